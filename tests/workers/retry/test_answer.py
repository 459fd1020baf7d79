"""Bringing answers into one form."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.workers.retry.answer import error_details, read_answer

INNER = {"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "7s"}]}}


def test_answer_within_a_message_is_read() -> None:
    """Google's SDKs hand on what they got as text; the words and the delay are those at the bottom."""
    body = {"error": {"message": json.dumps(INNER, indent=2), "code": 429, "status": "Too Many Requests"}}
    answer = read_answer(429, None, body)
    assert (answer.message, answer.code) == ("slow down", "RESOURCE_EXHAUSTED")
    assert list(error_details(body)) == [{"retryDelay": "7s"}]


def test_words_of_upstream_are_told_with_those_around_them() -> None:
    """OpenRouter's own message says nothing; each is told once."""
    metadata = {"raw": "llama is rate-limited upstream", "provider_name": "Venice"}
    body = {"error": {"message": "Provider returned error", "code": 429, "metadata": metadata}}
    assert read_answer(429, None, body).message == "Provider returned error: llama is rate-limited upstream"
    twice = {"error": {"message": "no", "metadata": {"raw": '{"message": "no"}'}}}
    assert read_answer(400, None, twice).message == "no"


def test_answer_of_upstream_is_read() -> None:
    """If it is JSON, its code is the most telling one."""
    raw = json.dumps({"object": "error", "message": "Unexpected role", "type": "invalid_request_message_order"})
    answer = read_answer(400, None, {"error": {"message": "Provider returned error", "metadata": {"raw": raw}}})
    assert answer.code == "invalid_request_message_order"
    assert answer.message.endswith("Unexpected role")


def test_error_in_detail_is_read() -> None:
    """FastAPI puts what was raised there; a text or a list stays where it is."""
    assert read_answer(400, None, {"detail": {"message": "no", "type": "x"}}).code == "x"
    assert read_answer(401, None, {"detail": "Unauthorized"}).message == "Unauthorized"
    assert "field required" in read_answer(422, None, {"detail": [{"msg": "field required"}]}).message


def test_status_in_a_body_counts_where_http_claims_success() -> None:
    """Also the one of an error at the bottom."""
    body = {"error": {"message": json.dumps(INNER)}}
    assert read_answer(200, None, body).status == 429
    assert read_answer(None, None, body).status == 429
    assert read_answer(503, None, body).status == 503


def test_headers_in_a_body_stand_in_for_real_ones() -> None:
    """OpenRouter repeats upstream's; those of the answer itself count more."""
    metadata = {"headers": {"X-RateLimit-Remaining": "0", "Retry-After": "17"}, "retry_after_seconds": 16}
    body = {"error": {"message": "no", "metadata": metadata}}
    assert read_answer(429, None, body).headers == {"retry-after": "17", "x-ratelimit-remaining": "0"}
    assert read_answer(429, {"Retry-After": "3"}, body).headers["retry-after"] == "3"
    seconds = {"error": {"message": "no", "metadata": {"retry_after_seconds": 16.5}}}
    assert read_answer(429, {}, seconds).headers == {"retry-after": "16.5"}


def test_codes_are_found_wherever_they_are() -> None:
    """Azure's inner error, Anthropic's and Google's details, OpenRouter's metadata, AWS's header."""
    error = {
        "code": "outer",
        "innererror": {"code": "azure"},
        "details": [{"reason": "google"}, 1],
        "metadata": {"error_type": "openrouter", "reason": "budget", "limit_source": "key"},
        "error_type": "tgi",
    }
    codes = read_answer(400, {"X-Amzn-ErrorType": "Aws:http://x/"}, {"error": error}).codes
    assert codes == {"outer", "azure", "google", "openrouter", "budget", "key", "tgi", "aws"}
    assert read_answer(429, None, {"error": {"details": {"error_code": "anthropic"}}}).codes == {"anthropic"}


def test_wrapping_has_an_end() -> None:
    """Errors within errors within errors are not followed for ever."""
    body: object = {"message": "bottom", "code": "bottom"}
    for _ in range(10):
        body = {"error": {"message": json.dumps(body), "code": "wrapped"}}
    assert read_answer(400, None, body).codes == {"wrapped"}


@pytest.mark.parametrize("raw", ["", " ", "[]", "{}", "null", "[1]", '{"error": 1}', 7, None])
def test_nothing_from_upstream_leaves_the_message(raw: object) -> None:
    """What cannot be read there does not hide what stands beside it."""
    answer = read_answer(400, None, {"error": {"message": "Provider returned error", "metadata": {"raw": raw}}})
    assert answer.message.startswith("Provider returned error")


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_anything_may_be_wrapped(inner: object) -> None:
    """Whatever is in a message, in `raw` or in `detail`, reading does not raise."""
    text = json.dumps(inner)
    for body in ({"error": {"message": text}}, {"error": {"metadata": {"raw": text}}}, {"detail": inner}, {"error": inner}):
        assert read_answer(500, None, body).status == 500


def test_an_answer_that_was_cut_is_read_as_far_as_it_goes() -> None:
    """Codes and the beginning of the message stand before the cut; what is not JSON is text as before."""
    body = '{"error": {"code": "insufficient_quota", "message": "You exceeded your cur'
    answer = read_answer(429, None, body)
    assert (answer.code, answer.message) == ("insufficient_quota", "You exceeded your cur")
    for text in ("{not JSON", "[1, 2", "{", '[{"error": {"code": 1'):
        assert isinstance(read_answer(500, None, text).message, str)
    assert read_answer(500, None, "{not JSON").message == "{not JSON"
