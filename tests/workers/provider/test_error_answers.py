"""Error answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tidings.workers.provider import Fault, Limit
from tidings.workers.provider.error_answers import rate_limited, scripted, unknown_key, unknown_model
from tidings.workers.provider.limits import Meter


def error(fault: str) -> dict[str, Any]:
    """Return the error object of a scripted failure."""
    answer = json.loads(scripted(Fault.parse(fault)).text())["error"]
    assert set(answer) == {"message", "type", "param", "code"}
    return dict(answer)


@pytest.mark.parametrize(
    ("fault", "status", "kind", "code"),
    [
        ("400", 400, "invalid_request_error", None),
        ("401", 401, "invalid_request_error", "invalid_api_key"),
        ("403", 403, "permission_error", None),
        ("404", 404, "invalid_request_error", "model_not_found"),
        ("429", 429, "requests", "rate_limit_exceeded"),
        ("quota", 429, "insufficient_quota", "insufficient_quota"),
        ("429:code=insufficient_quota", 429, "insufficient_quota", "insufficient_quota"),
        ("400:code=context_length_exceeded", 400, "invalid_request_error", "context_length_exceeded"),
        ("400:code=content_policy_violation", 400, "invalid_request_error", "content_policy_violation"),
        ("400:code=my_own", 400, "invalid_request_error", "my_own"),
        ("500", 500, "server_error", None),
        ("502", 502, "server_error", None),
        ("503", 503, "service_unavailable", None),
        ("529", 529, "overloaded_error", "overloaded"),
    ],
)
def test_a_scripted_status_brings_its_usual_error(fault: str, status: int, kind: str, code: str | None) -> None:
    """Type, code and a text come with the status or the code."""
    answer = error(fault)
    assert scripted(Fault.parse(fault)).status == status
    assert (answer["type"], answer["code"]) == (kind, code)
    assert answer["message"]


def test_a_context_error_says_what_clients_look_for() -> None:
    """The phrase and the parameter by which libraries tell it."""
    answer = error("400:code=context_length_exceeded")
    assert "maximum context length" in answer["message"]
    assert answer["param"] == "messages"


def test_a_fault_may_say_it_all_itself() -> None:
    """Message, type, code, headers and status of the fault go before the usual ones."""
    fault = Fault.parse("503:message=Gone fishing,type=break,code=fish,retry-after=120")
    answer = error("503:message=Gone fishing,type=break,code=fish")
    assert answer == {"message": "Gone fishing", "type": "break", "param": None, "code": "fish"}
    assert scripted(fault).headers == {"Retry-After": "120"}
    assert scripted(Fault(kind="quota", status=403)).status == 403


@pytest.mark.parametrize(("body", "text"), [("<html>", "<html>"), ("", ""), ({"a": [1]}, '{"a": [1]}'), ([], "[]")])
def test_a_fault_may_bring_its_own_body(body: Any, text: str) -> None:
    """Text goes out as it is, anything else as JSON."""
    assert scripted(Fault(kind="status", status=502, body=body)).text() == text


def test_a_rate_limit_tells_its_resource_but_no_time() -> None:
    """How long to wait is a matter of headers, so that none at all can be set."""
    meter = Meter.fresh(Limit(requests_per_minute=1, tokens_per_minute=9), 0.0)
    meter, _ = meter.admit(4, 0.0)
    answer = rate_limited("m", 4, meter.admit(4, 0.0)[1], {"Retry-After": "60"})
    assert (answer.status, answer.code, answer.type) == (429, "rate_limit_exceeded", "requests")
    assert answer.headers == {"Retry-After": "60"}
    assert "limit 1, requested 1" in answer.message
    assert "60" not in answer.message


def test_a_call_too_large_is_told_that_waiting_is_vain() -> None:
    """Such a refusal names tokens, the limit and what was asked for."""
    decision = Meter.fresh(Limit(tokens_per_minute=9), 0.0).admit(10, 0.0)[1]
    answer = rate_limited("m", 10, decision, {})
    assert (answer.code, answer.type) == ("rate_limit_exceeded", "tokens")
    assert "too large" in answer.message
    assert "limit 9, requested 10" in answer.message


def test_unknown_keys_and_models_have_their_codes() -> None:
    """401 and 404 as OpenAI gives them."""
    assert (unknown_key("…abcd").status, unknown_key("…abcd").code) == (401, "invalid_api_key")
    assert (unknown_model("m").status, unknown_model("m").code) == (404, "model_not_found")
