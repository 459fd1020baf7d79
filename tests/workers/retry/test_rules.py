"""What the rules make of limits by the day; the table of documented answers tests all others."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bus.messages import Reason
from workers.retry import Park, Retry, RetryPlan, Verdict, advice, classify_response

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
