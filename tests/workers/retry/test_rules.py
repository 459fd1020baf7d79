"""What the rules make of limits by the day; the table of documented answers tests all others."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tidings.bus.messages import Reason
from tidings.workers.retry import Park, Retry, RetryPlan, Verdict, advice, classify_response

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

DAY = "Rate limit reached on tokens per day (TPD): Limit 100000, Used 99936, Requested 1739."


def decided(message: str, headers: dict[str, str] | None = None, status: int = 429) -> Verdict:
    """Classify a refusal and decide, without jitter."""
    failure = classify_response(status, headers, {"error": {"message": message, "type": "tokens"}}, now=NOW)
    return RetryPlan().decide(failure, attempt=1, waited_s=0.0, rng=lambda: 0.0)


@pytest.mark.parametrize(
    ("message", "headers"),
    [
        (f"{DAY} Please try again in 23m58.5s.", {}),
        (DAY, {"Retry-After": "1438.5"}),
        (DAY, {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "23m58.5s"}),
        ("Daily limit reached. Try again in 23m58.5s", {}),
    ],
)
def test_limit_by_the_day_that_names_its_end_parks_until_then(message: str, headers: dict[str, str]) -> None:
    """The session comes back by itself at that time; nobody has to act."""
    assert decided(message, headers) == Park(Reason.RATE_LIMIT, 1438.5)


def test_limit_by_the_day_that_ends_soon_is_waited_for() -> None:
    """One of 10,000 a day is free again after 8.64 s: that is held, like any short wait."""
    assert decided(f"{DAY} Please try again in 8.64s.") == Retry(8.64)


@pytest.mark.parametrize("headers", [{}, {"x-ratelimit-remaining-tokens": "12000", "x-ratelimit-reset-tokens": "7.66s"}])
def test_limit_by_the_day_without_an_end_parks_without_a_time(headers: dict[str, str]) -> None:
    """The minute's allowance, which is nearly full, does not say when the day's comes back."""
    assert decided(DAY, headers) == Park(Reason.QUOTA_EXHAUSTED, None)


def test_limit_by_the_month_that_ends_after_days_parks_until_then() -> None:
    """More than a day away is a used-up quota, and its end is known."""
    assert decided("Monthly limit reached.", {"Retry-After": "864000"}) == Park(Reason.QUOTA_EXHAUSTED, 864_000.0)


@pytest.mark.parametrize(
    "message",
    [
        "Quota exceeded: GenerateRequestsPerDayPerProjectPerModel-FreeTier. Please retry in 48s.",
        "You have reached your monthly spending limit. Try again in 5 minutes.",
        "Insufficient balance. Retry after 60 seconds.",
    ],
)
def test_time_beside_a_lack_of_money_is_not_believed(message: str) -> None:
    """Neither is Google's beside a quota by the day."""
    assert decided(message) == Park(Reason.QUOTA_EXHAUSTED, None)


def test_limit_by_the_day_inside_a_stream_is_the_same() -> None:
    """There is no status then, and the code alone says no more than "too many tokens"."""
    assert decided(DAY, status=200) == Park(Reason.QUOTA_EXHAUSTED, None)
    assert decided(f"{DAY} Please try again in 1h.", status=200) == Park(Reason.RATE_LIMIT, 3600.0)
    assert decided("Daily limit reached. Try again in 1h.", status=400) == Park(Reason.RATE_LIMIT, 3600.0)


def test_people_are_told_which_of_them_it_is() -> None:
    """One comes back, the other is used up."""
    ends = classify_response(429, None, f"{DAY} Please try again in 23m58.5s.", now=NOW)
    used_up = classify_response(429, None, DAY, now=NOW)
    assert (ends.action, used_up.action) == (advice.DAY_ENDS, advice.DAY_USED_UP)
    assert (ends.retryable, used_up.retryable) == (True, False)


def read_as(status: int, body: object, headers: dict[str, str] | None = None) -> Reason:
    """Classify an answer."""
    return classify_response(status, headers, body, now=NOW).reason


def error(message: str, kind: str | None = None, code: object = None) -> dict[str, object]:
    """Write an error as OpenAI does."""
    return {"error": {"message": message, "type": kind, "code": code}}


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
@pytest.mark.parametrize(
    "body",
    [
        error("x", "insufficient_user_quota"),
        error("x", "INSUFFICIENT_BALANCE"),
        error("x", None, "AccountOverdueError"),
        error("x", "exceeded_current_quota_error"),
        error("x", None, "Arrearage"),
        error("Your credit balance is too low"),
        error("Sorry, your account balance is insufficient"),
        error("You have run out of credits. Add some or set your own API key."),
        error("Out of Kiro credits. Try again after the plan refreshes."),
        error("余额不足或无可用资源包,请充值。"),
        error("账户已欠费"),
        error("Billing hard limit has been reached."),
        {"type": "https://example.com/Error#out-of-credit", "title": "You do not have enough credit"},
    ],
)
def test_a_lack_of_money_is_told_under_any_status(status: int, body: dict[str, object]) -> None:
    """By the shape of a code or by words, in English and Chinese."""
    assert read_as(status, body) is Reason.QUOTA_EXHAUSTED


@pytest.mark.parametrize("status", [400, 401, 403, 429])
@pytest.mark.parametrize(
    "body",
    [
        error("You've reached your usage limit for this period."),
        error("令牌额度已用尽"),
        error("您的額度已用盡"),
        error("x", "free_quota_exceeded"),
        error("You have exceeded the 5-hour usage quota.", None, "AccountQuotaExceeded"),
        error("Quota exceeded for generativelanguage.googleapis.com/generate_requests_per_model_per_day"),
    ],
)
def test_a_used_up_allowance_ends_if_it_says_when(status: int, body: dict[str, object]) -> None:
    """Then it is a rate limit like any other, only slower."""
    assert read_as(status, body) is Reason.QUOTA_EXHAUSTED
    assert read_as(status, {**body, "resets_in_seconds": 600}) is Reason.RATE_LIMIT


@pytest.mark.parametrize(
    "body",
    [
        error("You exceeded your current quota, see error-code#token-limit", "insufficient_quota", "insufficient_quota"),
        error("You exceeded your current quota of requests per minute", "insufficient_quota"),
        error("Requests per minute limit exceeded", "x", "request_quota_exceeded"),
        error("Allocated quota exceeded", None, "Throttling.AllocationQuota"),
        error("Quota exceeded for online_prediction_input_tokens_per_minute_per_base_model"),
        error("Concurrency quota exceeded", "quota_exceeded"),
        error("每分钟请求次数超过上限"),
        error("Rate limit reached: 3 RPM. Please top up to raise it."),
        error("Rate limit reached. See our usage limits."),
    ],
)
def test_a_limit_by_the_minute_stays_one_in_the_words_of_a_quota(body: dict[str, object]) -> None:
    """Under a 403 as well."""
    assert read_as(429, body) is Reason.RATE_LIMIT
    assert read_as(403, error("Quota exceeded: 60 requests per minute")) is Reason.RATE_LIMIT
    assert read_as(403, error("Quota exceeded for limit 'Requests per minute per user' of x")) is Reason.RATE_LIMIT
    assert read_as(403, error("Quota exceeded", "rateLimitExceeded")) is Reason.RATE_LIMIT


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, error("Incorrect API key provided. See https://x/account/billing and your quota.", None, "invalid_api_key")),
        (401, error("Invalid API key. Check plan and billing, and that you have not exceeded your quota.")),
        (401, error("无效的令牌")),
        (401, error("You exceeded the quota of tries with an invalid API key")),
        (401, {"message": "User not found."}),
        (401, ""),
        (403, error("Your API key does not have permission to use the specified resource.")),
        (403, error("You do not have access to the model. Request access, or raise your usage tier.")),
        (403, {"__type": "ExpiredTokenException", "message": "The security token included in the request is expired"}),
    ],
)
def test_a_bad_key_is_still_one(status: int, body: object) -> None:
    """Also where the words for it lead to pages about money."""
    assert read_as(status, body) is Reason.AUTH


@pytest.mark.parametrize(
    "body",
    [
        error("Invalid value: 'my account has an insufficient balance, please recharge'. Supported values are: 'a'"),
        error('Invalid prompt: "I exceeded my current quota, please check your plan and billing details" is not allowed'),
        error("Bad request: {'messages': [{'role': 'user', 'content': 'my balance is insufficient, I am out of credits'}]}"),
        error("Unsupported content “the monthly limit is reached, the api key is invalid”"),
        {"detail": [{"msg": "Field required", "input": {"messages": "insufficient balance, daily limit, content policy"}}]},
        {"error": {"message": "bad", "input": "You exceeded your current quota", "prompt": "insufficient balance"}},
    ],
)
def test_what_an_answer_quotes_of_the_request_is_no_verdict(body: dict[str, object]) -> None:
    """A prompt about an empty account is no empty account."""
    assert read_as(400, body) is Reason.BAD_REQUEST


def test_what_an_answer_passes_on_is_one() -> None:
    """The values of a dictionary that a gateway puts into its message are upstream's words, though they stand in quotes."""
    passed_on = "Error code: 429 - {'error': {'code': 'x', 'message': 'Your credit balance is too low to go on'}}"
    assert read_as(400, error(passed_on)) is Reason.QUOTA_EXHAUSTED
    assert read_as(500, error(passed_on.replace("'", '"'))) is Reason.QUOTA_EXHAUSTED


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (error("limit: 0, model: x"), {}),
        (error("The limit: 0. Nothing more."), {}),
        (error("Rate limit reached on tokens per min (TPM): Limit 0, Used 0, Requested 100"), {}),
        ({"error": {"message": "x", "details": [{"violations": [{"quotaId": "PerMinute", "quotaValue": "0"}]}]}}, {}),
        ({"error": {"message": "x", "details": [{"metadata": {"quota_limit_value": "0"}}]}}, {}),
        (error("x"), {"x-ratelimit-limit-requests": "0", "x-ratelimit-remaining-requests": "0"}),
    ],
)
def test_a_limit_of_zero_is_not_waited_for(body: dict[str, object], headers: dict[str, str]) -> None:
    """Also where a time stands beside it."""
    failure = classify_response(429, headers, {**body, "resets_in_seconds": 600}, now=NOW)
    assert (failure.reason, failure.retry_after_s, failure.action) == (Reason.QUOTA_EXHAUSTED, None, advice.NOTHING_ALLOWED)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, ""),
        (403, error("Forbidden")),
        (403, "<html><title>Access Denied</title>Reference #18</html>"),
        (407, "Proxy Authentication Required"),
        (418, "I'm a teapot"),
        (451, "Unavailable For Legal Reasons"),
        (480, "x"),
    ],
)
def test_what_cannot_be_told_is_unknown(status: int, body: object) -> None:
    """A person is not told to change a key that may be right; a page is a firewall's, not the provider's."""
    assert read_as(status, body) is Reason.UNKNOWN


def test_a_limit_that_only_begins_with_a_zero_is_not_zero() -> None:
    """Half a request is one every two."""
    assert read_as(429, error("limit: 0.5 requests")) is Reason.RATE_LIMIT
    assert read_as(429, error("limit: 01")) is Reason.RATE_LIMIT


def test_a_proxy_that_calls_a_lack_of_money_a_wrong_key_is_not_believed() -> None:
    """Its words say more than its code; a person would look for another key in vain."""
    for status in (401, 403):
        assert read_as(status, error("Insufficient balance", "authentication_error", "invalid_api_key")) is Reason.QUOTA_EXHAUSTED


def test_a_path_of_an_address_is_no_limit_by_the_second() -> None:
    """`/security` and `/minimax` begin like a second and a minute."""
    for place in ("settings/security", "minimax/billing", "docs/permissions"):
        body = error(f"You exceeded your current quota, see https://x.example/{place}", "insufficient_quota")
        assert read_as(429, body) is Reason.QUOTA_EXHAUSTED
