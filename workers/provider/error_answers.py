"""Answers that are errors, in OpenAI's form: the provider's own and the scripted ones.

Types, codes and the phrases that clients look for are those of OpenAI's API reference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tidings.workers.provider.faults import Fault
from tidings.workers.provider.limits import Admission


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error as it is sent: `body` is what is sent in place of OpenAI's error object, if not None."""

    status: int
    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None

    def text(self) -> str:
        """Return the body."""
        if self.body is not None:
            return self.body
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return json.dumps({"error": error})


class Refusal(Exception):
    """A call that ends in an error answer."""

    def __init__(self, answer: ErrorAnswer) -> None:
        super().__init__(answer.message)
        self.answer = answer


class _Wording(NamedTuple):
    type: str
    code: str | None
    message: str
    param: str | None = None


_BY_CODE = {
    "context_length_exceeded": _Wording(
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 8192 tokens. Your messages are longer: shorten them.",
        "messages",
    ),
    "content_policy_violation": _Wording(
        "invalid_request_error",
        "content_policy_violation",
        "Your request was rejected by the safety system: it breaks the content policy.",
    ),
    "insufficient_quota": _Wording(
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "rate_limit_exceeded": _Wording("requests", "rate_limit_exceeded", "Rate limit reached."),
    "invalid_api_key": _Wording("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "model_not_found": _Wording("invalid_request_error", "model_not_found", "The model does not exist."),
}
_BY_STATUS = {
    401: _BY_CODE["invalid_api_key"],
    403: _Wording("permission_error", None, "This API key may not use this model."),
    404: _BY_CODE["model_not_found"],
    408: _Wording("timeout", None, "The request took too long."),
    429: _BY_CODE["rate_limit_exceeded"],
    503: _Wording("service_unavailable", None, "The service is unavailable: try again later."),
    504: _Wording("timeout", None, "The gateway waited too long for an answer."),
    529: _Wording("overloaded_error", "overloaded", "Overloaded"),
}
_SERVER_ERROR = _Wording("server_error", None, "The server had an error while it processed the request.")
_BAD_REQUEST = _Wording("invalid_request_error", None, "The request is not valid.")


def scripted(fault: Fault) -> ErrorAnswer:
    """Return the answer of a `status` or `quota` fault: what it says, completed by its code or status."""
    quota = fault.kind == "quota"
    status = fault.status or 429
    code = fault.code or ("insufficient_quota" if quota else None)
    usual = _BY_STATUS.get(status, _SERVER_ERROR if status >= 500 else _BAD_REQUEST)
    wording = _BY_CODE.get(code or "", usual)
    return ErrorAnswer(
        status=status,
        message=fault.message if fault.message is not None else wording.message,
        type=fault.type or wording.type,
        param=wording.param,
        code=code or wording.code,
        headers=fault.headers,
        body=fault.body if fault.body is None or isinstance(fault.body, str) else json.dumps(fault.body),
    )


def rate_limited(model: str, tokens: int, decision: Admission, headers: Mapping[str, str]) -> ErrorAnswer:
    """Return the answer to a call that the limits refuse.

    The text gives no time: whether a client is told how long to wait is a matter of the headers, as set.
    """
    resource = decision.short_of or "requests"
    granted = decision.standings[resource].limit
    asked = tokens if resource == "tokens" else 1
    told = f"on {resource} per min: limit {granted}, requested {asked}."
    message = f"Rate limit reached for {model} {told}"
    if decision.wait_s is None:
        message = f"Request too large for {model} {told} Waiting does not help."
    return ErrorAnswer(429, message, resource, None, "rate_limit_exceeded", headers)


def unknown_key(shown: str) -> ErrorAnswer:
    """Return the answer to a call whose key is not known; `shown` is the masked key."""
    return ErrorAnswer(401, f"Incorrect API key provided: {shown}.", code="invalid_api_key")


def unknown_model(model: str) -> ErrorAnswer:
    """Return the answer to a call for a model that does not exist."""
    return ErrorAnswer(404, f"The model {model!r} does not exist.", param="model", code="model_not_found")
