"""What a row of the table of providers' answers is, and how providers write their errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tidings.bus.messages import Reason

DATE = {"Date": "Sun, 22 Nov 2026 12:00:00 GMT"}
MIDNIGHT_MS = "1795392000000"
"""The midnight (UTC) that follows `DATE`, twelve hours later, as OpenRouter writes it."""
PLAN = "You exceeded your current quota, please check your plan and billing details."


@dataclass(frozen=True)
class Documented:
    """An answer of a provider, where it is documented, and what it means."""

    name: str
    route: str
    """The route of litellm that the answer is sent through."""
    status: int
    body: str
    reason: Reason
    source: str
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None
    code: str | None = None
    says: str = ""
    """What the failure's message must contain."""
    action: str = ""
    """What a person is told to do, where the answer tells more than its reason does."""
    provider: str = ""
    read_on: str = "2026-11-23"
    """When the source was read."""


def of(provider: str, *answers: Documented) -> list[Documented]:
    """Say whose answers these are."""
    return [replace(answer, provider=provider) for answer in answers]


def openai(message: str, kind: str | None = None, code: object = None) -> str:
    """Write an error as OpenAI and Azure do, and those who imitate them."""
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def anthropic(kind: str, message: str, **more: object) -> str:
    """Write an error as Anthropic does."""
    error = {"type": kind, "message": message, **more}
    return json.dumps({"type": "error", "error": error, "request_id": "req_1"})


def google(code: int, status: str, message: str, *details: Mapping[str, object]) -> str:
    """Write an error as Google does: indented, with details."""
    error = {"code": code, "message": message, "status": status, "details": list(details)}
    return json.dumps({"error": error}, indent=2)


def google_reason(reason: str) -> dict[str, object]:
    """Write the machine's word for it that Google puts into the details."""
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}


def retry_info(delay: str) -> dict[str, object]:
    """Write the delay that Google puts into the details."""
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def google_quotas(*periods: str) -> dict[str, object]:
    """Write which of its quotas Google means; a period is "PerDay" or "PerMinute"."""
    violations = [
        {
            "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
            "quotaId": f"GenerateRequests{period}PerProjectPerModel-FreeTier",
            "quotaDimensions": {"location": "global", "model": "gemini-2.5-flash"},
            "quotaValue": "50",
        }
        for period in periods
    ]
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}


def openrouter(message: str, code: int, **metadata: object) -> str:
    """Write an error as OpenRouter does."""
    return json.dumps({"error": {"message": message, "code": code, "metadata": metadata}, "user_id": "user_1"})


def mistral(message: str, kind: str, code: str | None) -> str:
    """Write an error as Mistral does."""
    return json.dumps({"object": "error", "message": message, "type": kind, "param": None, "code": code})


def bedrock(message: str) -> str:
    """Write an error as Bedrock does: its kind is in a header."""
    return json.dumps({"message": message})


def aws_error(kind: str) -> dict[str, str]:
    """Write the header that names the kind of an AWS error."""
    return {"x-amzn-ErrorType": f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"}
