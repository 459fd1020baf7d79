"""Failures from raw answers and from exceptions that need no litellm."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import aiohttp
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from tests.workers.retry.answers.documented import Documented, openai
from tests.workers.retry.answers.table import DOCUMENTED, answer_id
from tidings.bus.messages import Reason
from tidings.workers.retry import MESSAGE_LIMIT, Failure, advice, classify, classify_response

NOW = datetime(2026, 11, 22, 11, 0, tzinfo=UTC)

PROMISED = (
    "OpenAI",
    "Azure OpenAI",
    "Anthropic",
    "Gemini",
    "Vertex AI",
    "Mistral",
    "Groq",
    "Bedrock",
    "OpenRouter",
    "vLLM",
    "Other servers and services",
)
RETRYABLE = {Reason.RATE_LIMIT, Reason.OVERLOADED, Reason.TIMEOUT, Reason.CONNECTION, Reason.SERVER_ERROR}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
ERROR_LIKE = st.fixed_dictionaries(
    {},
    optional={
        "error": JSON,
        "message": JSON,
        "code": JSON,
        "type": JSON,
        "status": JSON,
        "details": JSON | st.lists(st.dictionaries(st.sampled_from(["retryDelay", "violations", "reason"]), JSON)),
        "innererror": JSON,
        "metadata": JSON,
    },
)


class Answered(Exception):
    """An SDK's error: it has a status and, maybe, a response and a body."""

    def __init__(self, status_code: int, response: object = None, body: object = None) -> None:
        super().__init__("the SDK's own words")
        self.status_code = status_code
        self.response = response
        self.body = body


def caused(error: BaseException, cause: BaseException) -> BaseException:
    """Say that one error was raised from another."""
    error.__cause__ = cause
    return error


def while_handling(error: BaseException, context: BaseException) -> BaseException:
    """Say that one error was raised while another was handled."""
    error.__context__ = context
    return error


def in_library(name: str, *bases: type[BaseException]) -> type[BaseException]:
    """Make an exception class that looks as if a library had defined it."""
    module, _, class_name = name.rpartition(".")
    return type(class_name, bases or (Exception,), {"__module__": module})


@pytest.mark.parametrize("answer", DOCUMENTED, ids=answer_id)
def test_documented_answer_has_its_reason(answer: Documented) -> None:
    """A raw answer gives the reason, the wait, the code, the words and the advice that belong to it."""
    failure = classify_response(answer.status, answer.headers, answer.body, now=NOW)
    assert (failure.reason, failure.retry_after_s) == (answer.reason, answer.retry_after_s)
    assert (failure.status, failure.code) == (answer.status if answer.status >= 300 else failure.status, answer.code)
    assert failure.retryable is (answer.reason in RETRYABLE)
    assert answer.says in failure.message
    assert failure.action == (answer.action or advice.BY_REASON[answer.reason])


def test_table_covers_the_providers() -> None:
    """Every provider that is promised has several answers, each with a source and each of another kind."""
    providers = Counter(answer.provider for answer in DOCUMENTED)
    assert set(PROMISED) <= set(providers)
    assert min(providers.values()) >= 5
    assert len(DOCUMENTED) >= 60
    assert all(answer.source for answer in DOCUMENTED)
    assert len({answer_id(answer) for answer in DOCUMENTED}) == len(DOCUMENTED)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (302, Reason.BAD_REQUEST),
        (400, Reason.BAD_REQUEST),
        (401, Reason.AUTH),
        (402, Reason.QUOTA_EXHAUSTED),
        (403, Reason.UNKNOWN),
        (407, Reason.UNKNOWN),
        (404, Reason.BAD_REQUEST),
        (405, Reason.BAD_REQUEST),
        (408, Reason.TIMEOUT),
        (409, Reason.SERVER_ERROR),
        (413, Reason.CONTEXT_WINDOW),
        (422, Reason.BAD_REQUEST),
        (425, Reason.SERVER_ERROR),
        (429, Reason.RATE_LIMIT),
        (500, Reason.SERVER_ERROR),
        (502, Reason.SERVER_ERROR),
        (503, Reason.OVERLOADED),
        (504, Reason.TIMEOUT),
        (520, Reason.SERVER_ERROR),
        (524, Reason.TIMEOUT),
        (529, Reason.OVERLOADED),
        (200, Reason.SERVER_ERROR),
    ],
)
def test_status_decides_where_the_body_says_nothing(status: int, reason: Reason) -> None:
    """An empty answer is judged by its status, and says so."""
    failure = classify_response(status, None, "", now=NOW)
    assert (failure.reason, failure.message) == (reason, f"HTTP {status} without a message")


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        # Mistral, Bedrock, Cohere, GCP, OpenRouter, xAI, litellm's proxy, Hugging Face, FastAPI
        (429, {"message": "Requests rate limit exceeded"}, Reason.RATE_LIMIT),
        (429, {"message": "capacity exceeded", "type": "x"}, Reason.OVERLOADED),
        (400, {"__type": "com.amazon#ThrottlingException", "message": "Slow down"}, Reason.RATE_LIMIT),
        (
            429,
            {"message": "Too many tokens per day, please wait before trying again."},
            Reason.QUOTA_EXHAUSTED,
        ),
        (429, {"message": "Trial key, which is limited to 1000 API calls / month"}, Reason.QUOTA_EXHAUSTED),
        (403, {"error": {"code": 403, "status": "rateLimitExceeded", "message": "x"}}, Reason.RATE_LIMIT),
        (403, {"error": {"message": "Used all available credits"}}, Reason.QUOTA_EXHAUSTED),
        (403, {"error": {"message": "flagged for violence"}}, Reason.CONTENT_POLICY),
        (
            429,
            {"error": {"message": "x", "code": 429, "metadata": {"raw": "daily limit"}}},
            Reason.QUOTA_EXHAUSTED,
        ),
        (400, {"error": {"type": "budget_exceeded", "message": "x"}}, Reason.QUOTA_EXHAUSTED),
        (503, {"error": "Model is currently loading", "estimated_time": 20}, Reason.OVERLOADED),
        (422, {"detail": [{"msg": "field required"}]}, Reason.BAD_REQUEST),
        (400, {"detail": "maximum context length is 4096"}, Reason.CONTEXT_WINDOW),
        (500, {"error": {"code": "context_length_exceeded"}}, Reason.CONTEXT_WINDOW),
        (500, {"error": {"message": "Resource exhausted"}}, Reason.RATE_LIMIT),
        (500, {"error": {"message": "overloaded"}}, Reason.OVERLOADED),
        (429, {"error": {"type": "rate_limit_error", "message": "servers overloaded"}}, Reason.RATE_LIMIT),
        (429, {"error": {"type": "overloaded_error", "message": "x"}}, Reason.OVERLOADED),
        (429, [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "x"}}], Reason.RATE_LIMIT),
        # An answer that claims success
        (200, {"error": {"code": 529, "message": "x"}}, Reason.OVERLOADED),
        (200, {"error": {"code": "401", "message": "x"}}, Reason.AUTH),
        (200, {"error": {"code": "invalid_api_key", "message": "x"}}, Reason.AUTH),
        (200, {"error": {"type": "invalid_request_error", "message": "x"}}, Reason.BAD_REQUEST),
        (200, {"error": {"message": "You exceeded your current quota"}}, Reason.QUOTA_EXHAUSTED),
        (200, {"error": {"message": "deadline exceeded"}}, Reason.TIMEOUT),
        (200, b"not json", Reason.SERVER_ERROR),
        (200, "{not json", Reason.SERVER_ERROR),
    ],
)
def test_dialects_of_other_providers(status: int, body: object, reason: Reason) -> None:
    """Codes and texts are found where each provider puts them."""
    assert classify_response(status, {}, body, now=NOW).reason is reason
    if isinstance(body, dict | list):
        assert classify_response(status, {}, json.dumps(body), now=NOW).reason is reason


@pytest.mark.parametrize("body", ["\0" * 5_000, "\x1b\x07\n", {"error": {"message": "\u200b\0"}}])
def test_a_body_of_nothing_that_can_be_shown_says_so(body: Any) -> None:
    """A decompressed bomb is mostly that; people are told the status in its place."""
    assert classify_response(400, None, body, now=NOW).message == "HTTP 400 without a message"


def test_body_that_is_no_json_is_judged_by_its_status() -> None:
    """What an SDK hangs on its error may hold anything, also what cannot be written down."""
    failure = classify_response(400, None, {"message": None, "context": object()}, now=NOW)
    assert (failure.reason, failure.message) == (Reason.BAD_REQUEST, "HTTP 400 without a message")
    details = [1, {"violations": [1, {"quotaId": "RequestsPerDay"}]}]
    assert classify_response(429, None, {"details": details}, now=NOW).reason is Reason.QUOTA_EXHAUSTED


def test_an_unknown_failure_says_status_and_first_line() -> None:
    """People read the provider's own words, since nothing here understands them."""
    failure = classify_response(418, None, "\n \nI'm a teapot\nsecond line", now=NOW)
    assert (failure.reason, failure.retryable, failure.status) == (Reason.UNKNOWN, False, 418)
    assert (failure.message, failure.action) == ("HTTP 418: I'm a teapot", advice.NOT_UNDERSTOOD)
    assert classify_response(403, None, "", now=NOW).message == "HTTP 403 without a message"


def test_a_used_up_quota_says_when_it_is_back() -> None:
    """Then it goes on by itself; else a person must act."""
    body = {"error": {"code": "insufficient_quota", "message": "no", "resets_in_seconds": 529_498}}
    known = classify_response(429, None, body, now=NOW)
    assert (known.reason, known.retry_after_s, known.action) == (Reason.QUOTA_EXHAUSTED, 529_498.0, advice.QUOTA_ENDS)
    unknown = classify_response(429, {"Retry-After": "60"}, openai("no", "insufficient_quota"), now=NOW)
    assert (unknown.retry_after_s, unknown.action) == (None, advice.BY_REASON[Reason.QUOTA_EXHAUSTED])


def test_error_type_in_a_header_counts() -> None:
    """Bedrock names the kind of an error in a header."""
    headers = {"X-Amzn-ErrorType": "ThrottlingException:http://example/"}
    failure = classify_response(400, headers, '{"message": "x"}', now=NOW)
    assert (failure.reason, failure.code) == (Reason.RATE_LIMIT, "ThrottlingException")


def test_waiting_time_is_told_only_where_waiting_helps() -> None:
    """A Retry-After on a refusal that no time will change is not passed on."""
    for status in (401, 402):
        assert classify_response(status, {"Retry-After": "5"}, "", now=NOW).retry_after_s is None


def test_resets_count_for_rate_limits_only() -> None:
    """When the allowance refills says nothing about when an overload ends."""
    headers = {"x-ratelimit-reset-requests": "6s"}
    assert classify_response(429, headers, "", now=NOW).retry_after_s == 6.0
    assert classify_response(503, headers, "", now=NOW).retry_after_s is None


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_says_what_a_person_can_do(reason: Reason) -> None:
    """The advice is there for each reason, and it is one sentence or two short ones."""
    statuses = {failure.reason: failure.action for failure in _one_failure_of_each_reason()}
    assert statuses[reason].endswith(".")
    assert len(statuses[reason]) < 100


def _one_failure_of_each_reason() -> list[Failure]:
    bodies = {429: PLAN_BODY, 413: "", 401: "", 408: "", 500: "", 503: "", 404: ""}
    failures = [classify_response(status, None, body, now=NOW) for status, body in bodies.items()]
    failures.append(classify_response(429, None, "", now=NOW))
    failures.append(classify_response(400, None, '{"code": "content_filter"}', now=NOW))
    failures.append(classify(ConnectionResetError(), now=NOW))
    failures.append(classify(TypeError(), now=NOW))
    return failures


PLAN_BODY = openai("x", "insufficient_quota")


def test_classification_needs_no_library() -> None:
    """Controllers and people's own loops can classify without litellm or an HTTP client being imported."""
    script = "import sys, workers.retry; print({'aiohttp', 'httpx', 'litellm', 'openai'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_failure_is_frozen() -> None:
    """Nobody changes a failure that others have seen."""
    failure = classify_response(500, None, "", now=NOW)
    with pytest.raises(dataclasses.FrozenInstanceError):
        failure.status = 200  # type: ignore[misc]


def test_message_is_one_redacted_line() -> None:
    """Keys, line breaks, terminal sequences and excess are gone."""
    text = "wrong key\nsk-abcdefgh12345678 \x1b[31mand tokin-abc " + "x" * 1000
    failure = classify_response(400, None, openai(text), now=NOW, secrets=["tokin-abc"])
    assert failure.message.startswith("wrong key [redacted] and [redacted] xxx")
    assert len(failure.message) == MESSAGE_LIMIT
    assert failure.message.endswith("…")


def test_secret_in_a_code_is_redacted() -> None:
    """The code comes from outside as well."""
    failure = classify_response(400, None, openai("x", None, "bad_hush-hush"), now=NOW, secrets=["hush-hush"])
    assert failure.code == "bad_[redacted]"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), Reason.TIMEOUT),
        (httpx.ReadTimeout("slow"), Reason.TIMEOUT),
        (httpx.ConnectTimeout("slow"), Reason.TIMEOUT),
        (aiohttp.ServerTimeoutError(), Reason.TIMEOUT),
        (httpx.ConnectError("refused"), Reason.CONNECTION),
        (httpx.RemoteProtocolError("disconnected"), Reason.CONNECTION),
        (httpx.ReadError("reset"), Reason.CONNECTION),
        (aiohttp.ServerDisconnectedError(), Reason.CONNECTION),
        (aiohttp.ClientPayloadError("cut"), Reason.CONNECTION),
        (ConnectionRefusedError(111, "refused"), Reason.CONNECTION),
        (OSError(113, "No route to host"), Reason.CONNECTION),
        (socket.gaierror(-2, "Name or service not known"), Reason.CONNECTION),
        (asyncio.IncompleteReadError(b"", 10), Reason.CONNECTION),
        (httpx.UnsupportedProtocol("no http"), Reason.BAD_REQUEST),
        (httpx.InvalidURL("no host"), Reason.BAD_REQUEST),
        (httpx.DecodingError("zlib"), Reason.SERVER_ERROR),
        (json.JSONDecodeError("Expecting value", "", 0), Reason.SERVER_ERROR),
    ],
)
def test_transport_errors_speak_for_themselves(error: BaseException, reason: Reason) -> None:
    """Errors of HTTP clients and of the system are known by their classes, also as the cause of another."""
    for seen in (error, caused(RuntimeError("wrapped"), error)):
        failure = classify(seen, now=NOW)
        assert (failure.reason, failure.status) == (reason, None)
        assert failure.message.startswith(type(error).__name__)


@pytest.mark.parametrize(
    "error",
    [
        TypeError("unsupported operand"),
        KeyError("messages"),
        FileNotFoundError(2, "No such file"),
        ValueError("rate limit must be positive"),
        Exception("rate limit"),
        in_library("agent.TooManyRequests")("too many requests"),
    ],
)
def test_defect_in_the_caller_is_not_retried(error: BaseException) -> None:
    """What no provider told is unknown, whatever words it uses."""
    failure = classify(error, now=NOW)
    assert (failure.reason, failure.retryable) == (Reason.UNKNOWN, False)
    assert failure.message == f"{type(error).__name__}: {error}"


def raised_in(module: str, function: str, error: BaseException) -> BaseException:
    """Raise an error in a function that looks as if it stood in a library, so that it has a traceback."""
    namespace: dict[str, object] = {"__name__": module, "error": error}
    exec(f"def {function}(): raise error", namespace)
    raise_it = namespace[function]
    assert callable(raise_it)
    try:
        raise_it()
    except BaseException as raised:
        return raised
    raise AssertionError("it did not raise")


def test_answer_that_litellm_cannot_read_is_a_server_error() -> None:
    """Although it raises a plain KeyError, and calls it a bad request."""
    error = in_library("litellm.llms.openrouter.OpenRouterException")("KeyError: 'choices', Got unexpected response")
    vars(error).update(status_code=400)
    broken = raised_in("litellm.llms.openrouter.chat.transformation", "chunk_parser", KeyError("choices"))
    failure = classify(while_handling(error, broken), now=NOW)
    assert (failure.reason, failure.retryable, failure.status) == (Reason.SERVER_ERROR, True, None)
    assert failure.message == "the provider's answer cannot be read (KeyError: 'choices')"
    assert failure.action == advice.UNREADABLE


def test_stream_that_litellm_found_too_short_is_a_connection_failure() -> None:
    """From 1.109 on, an end of iteration lies beneath its error; it is nobody's bug."""
    error = in_library("litellm.exceptions.MidStreamFallbackError")("litellm.APIConnectionError: Stream ended")
    vars(error).update(status_code=503, original_exception=None)
    end = raised_in("litellm.litellm_core_utils.streaming_handler", "__anext__", StopAsyncIteration())
    failure = classify(while_handling(error, end), now=NOW)
    assert (failure.reason, failure.retryable) == (Reason.CONNECTION, True)
    assert failure.message == "the stream ended before the answer did"


def test_end_of_iteration_in_an_agent_is_a_defect() -> None:
    """It lets a StopAsyncIteration out, which Python turns into a RuntimeError."""
    end = raised_in("my_agent", "step", StopAsyncIteration())
    failure = classify(caused(RuntimeError("async generator raised StopAsyncIteration"), end), now=NOW)
    assert (failure.reason, failure.retryable) == (Reason.UNKNOWN, False)


def test_package_that_is_missing_is_named() -> None:
    """Vertex AI needs one that litellm does not bring; the worker's log would say no more."""
    error = in_library("litellm.exceptions.APIConnectionError")("litellm.APIConnectionError: No module named 'google'")
    vars(error).update(status_code=500)
    missing = raised_in(
        "litellm.llms.vertex_ai.vertex_llm_base", "get_access_token", ModuleNotFoundError("No module named 'google'")
    )
    failure = classify(while_handling(error, missing), now=NOW)
    assert (failure.reason, failure.action) == (Reason.UNKNOWN, advice.NOT_INSTALLED)
    assert "google" in failure.message


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(1)])
def test_cancellation_is_not_retried(error: BaseException) -> None:
    """Who ended the call wanted it to end, even if a time-out was being handled."""
    failure = classify(caused(error, TimeoutError()), now=NOW)
    assert (failure.reason, failure.retryable) == (Reason.UNKNOWN, False)


def test_defect_while_handling_a_refusal_is_a_defect() -> None:
    """A bug in an `except` block does not inherit the failure it was about to handle."""
    refused = Answered(429)
    assert classify(while_handling(TypeError("bug"), refused), now=NOW).reason is Reason.UNKNOWN
    assert classify(caused(TypeError("on purpose"), refused), now=NOW).reason is Reason.RATE_LIMIT


def test_library_error_takes_over_what_it_was_handling() -> None:
    """Libraries raise without `from`; a `from None` hides what was there on purpose."""
    wrapper = in_library("openai.APIConnectionError")
    inner = httpx.ReadTimeout("slow")
    assert classify(while_handling(wrapper("Connection error."), inner), now=NOW).reason is Reason.TIMEOUT
    hidden = while_handling(wrapper("Connection error."), inner)
    hidden.__suppress_context__ = True
    assert classify(hidden, now=NOW).reason is Reason.CONNECTION


def test_answer_inside_an_sdk_error_counts() -> None:
    """Status, headers and body come from the response that the error carries."""
    response = httpx.Response(429, headers={"Retry-After": "3"}, text=openai("slow down", "requests"))
    failure = classify(Answered(429, response), now=NOW)
    assert (failure.reason, failure.status, failure.retry_after_s) == (Reason.RATE_LIMIT, 429, 3.0)
    assert (failure.code, failure.message) == ("requests", "slow down")


def test_body_on_the_error_stands_in_for_the_response() -> None:
    """A response that cannot be read does not hide the body that the SDK has parsed."""
    unread = httpx.Response(429, stream=httpx.ByteStream(b"{}"))
    body = {"message": "no money", "code": "insufficient_quota"}
    assert classify(Answered(429, unread, body), now=NOW).reason is Reason.QUOTA_EXHAUSTED
    assert classify(Answered(429, unread), now=NOW).message == "the SDK's own words"


def test_aiohttp_answer_counts() -> None:
    """With aiohttp the status is called `status`, and there is no body."""
    url = URL("http://127.0.0.1/")
    info = aiohttp.RequestInfo(url, "POST", CIMultiDictProxy(CIMultiDict()), url)
    error = aiohttp.ClientResponseError(info, (), status=503, message="Service Unavailable")
    failure = classify(error, now=NOW)
    assert (failure.reason, failure.status) == (Reason.OVERLOADED, 503)


def test_stream_broken_without_a_cause_is_a_connection_failure() -> None:
    """The 503 that litellm invents for a broken stream is not believed."""
    broken = in_library("litellm.exceptions.MidStreamFallbackError")("the stream ended")
    vars(broken).update(status_code=503, original_exception=None)
    failure = classify(broken, now=NOW)
    assert (failure.reason, failure.status, failure.retryable) == (Reason.CONNECTION, None, True)


def test_stream_broken_by_an_answer_has_its_reason() -> None:
    """The exception that a broken stream carries counts, even if it is neither cause nor context."""
    broken = in_library("litellm.exceptions.MidStreamFallbackError")("the stream ended")
    response = httpx.Response(529, text="")
    vars(broken).update(status_code=503, original_exception=Answered(529, response))
    assert classify(broken, now=NOW).reason is Reason.OVERLOADED


@pytest.mark.parametrize(
    ("name", "status", "reason", "told"),
    [
        ("RateLimitError", 429, Reason.RATE_LIMIT, 429),
        ("AuthenticationError", 401, Reason.AUTH, 401),
        ("ContextWindowExceededError", 400, Reason.CONTEXT_WINDOW, 400),
        ("ContentPolicyViolationError", 400, Reason.CONTENT_POLICY, 400),
        ("BudgetExceededError", None, Reason.QUOTA_EXHAUSTED, None),
        ("APITimeoutError", 408, Reason.TIMEOUT, None),
        ("InternalServerError", 500, Reason.SERVER_ERROR, 500),
        ("NewError", None, Reason.UNKNOWN, None),
    ],
)
def test_litellm_error_without_a_cause(name: str, status: int | None, reason: Reason, told: int | None) -> None:
    """Where litellm's word is all there is (mocks, its own limits), status and class are believed."""
    error = in_library(f"litellm.exceptions.{name}")(f"litellm.{name}: {name}: AcmeException - no")
    if status is not None:
        vars(error).update(status_code=status, litellm_response_headers={"retry-after": "4"})
    failure = classify(error, now=NOW)
    assert (failure.reason, failure.status, failure.message) == (reason, told, "no")
    assert failure.retry_after_s == (4.0 if failure.retryable else None)


def test_limit_by_the_day_that_only_litellm_tells_may_name_its_end() -> None:
    """Its words are those of the provider, so the time in them counts."""
    for words, reason in (("", Reason.QUOTA_EXHAUSTED), (" Please try again in 7m12s.", Reason.RATE_LIMIT)):
        error = in_library("litellm.exceptions.InternalServerError")(f"GroqException - limit on tokens per day (TPD).{words}")
        vars(error).update(status_code=500)
        failure = classify(error, now=NOW)
        assert (failure.reason, failure.retry_after_s) == (reason, 432.0 if words else None)


def test_traceback_in_a_message_is_cut_off() -> None:
    """Tracebacks, with paths and code, that litellm puts into messages are neither shown nor matched."""
    error = in_library("litellm.exceptions.APIConnectionError")(
        'litellm.APIConnectionError: it broke\nTraceback (most recent call last):\n  File "/x.py", timed out'
    )
    vars(error).update(status_code=500)
    failure = classify(error, now=NOW)
    assert (failure.message, failure.reason) == ("it broke", Reason.SERVER_ERROR)


def test_group_of_one_is_looked_into() -> None:
    """A task group around a single call does not hide why it failed; of several failures none is chosen."""
    one: BaseExceptionGroup[Exception] = ExceptionGroup("tasks", [httpx.ConnectError("refused")])
    two: BaseExceptionGroup[Exception] = ExceptionGroup("tasks", [httpx.ConnectError("a"), TypeError("b")])
    assert classify(one, now=NOW).reason is Reason.CONNECTION
    assert classify(two, now=NOW).reason is Reason.UNKNOWN


def test_circle_of_causes_ends() -> None:
    """Exceptions can be tied into a ring, and chains can be long."""
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert classify(first, now=NOW).reason is Reason.UNKNOWN
    chain: BaseException = TimeoutError()
    for _ in range(100):
        chain = caused(RuntimeError("x"), chain)
    assert classify(chain, now=NOW).reason is Reason.UNKNOWN


class Hostile(Exception):
    """An exception of which nothing can be read."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    @property
    def response(self) -> object:
        raise RuntimeError("no")


def test_unreadable_exception_is_still_a_failure() -> None:
    """An exception that raises when it is looked at is reported by its name."""
    assert classify(Hostile(), now=NOW).message == "Hostile"


@given(status=st.integers(100, 599), headers=st.dictionaries(st.text(), st.text()), body=JSON | ERROR_LIKE)
def test_any_answer_gives_a_failure(status: int, headers: dict[str, str], body: object) -> None:
    """Whatever a provider sends, there is a reason, one short line and a wait that can be slept."""
    failure = classify_response(status, headers, body, now=NOW)
    assert failure.retryable is (failure.reason in RETRYABLE)
    assert len(failure.message) <= MESSAGE_LIMIT
    assert "\n" not in failure.message
    assert failure.retry_after_s is None or 0 <= failure.retry_after_s < float("inf")


@pytest.mark.parametrize("number", [10**400, -(10**400), 10**5000, float("nan"), float("inf"), -1e308, True], ids=range(7))
def test_a_number_beyond_all_bounds_is_no_more_than_unread(number: float) -> None:
    """Neither a float nor a text can be made of the largest; none of them is a wait."""
    keys = ("code", "status", "retry_after", "resets_at", "remaining", "wait", "quota_limit_value", "retryDelay", "status_code")
    fields = dict.fromkeys(keys, number)
    detail = {**fields, "metadata": {**fields, "quota_limit": number}, "violations": [{**fields, "quotaId": number}]}
    metadata = {**fields, "retry_after_seconds": number, "headers": fields}
    for body in (
        fields,
        {"error": fields},
        {"error": {"metadata": metadata}},
        {"error": {"details": [detail]}},
        {"headers": fields},
    ):
        for status in (200, 400, 429):
            assert classify_response(status, None, body, now=NOW).retry_after_s in (None, 0.0)


@given(status=st.integers(), body=JSON, text=st.text())
def test_any_exception_gives_a_failure(status: int, body: object, text: str) -> None:
    """Whatever an SDK's exception carries, classification does not raise."""
    error = Answered(status, None, body)
    error.args = (text,)
    assert classify(error, now=NOW).action
