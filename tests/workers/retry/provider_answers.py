"""Answers as providers document them, and what they mean: for raw answers and for litellm's errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from bus.messages import Reason

DATE = {"Date": "Sun, 22 Nov 2026 12:00:00 GMT"}

MODELS = {
    "openai": "openai/gpt-4o",
    "anthropic": "anthropic/claude-3-5-sonnet-20241022",
    "gemini": "gemini/gemini-1.5-flash",
    "azure": "azure/deployment",
}


@dataclass(frozen=True)
class Documented:
    """An answer of a provider, and what it means."""

    name: str
    provider: str
    status: int
    body: str
    reason: Reason
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None
    code: str | None = None
    says: str = ""
    """What the failure's message must contain."""


def openai(message: str, kind: str | None = None, code: object = None) -> str:
    """Write an error as OpenAI and Azure do."""
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def anthropic(kind: str, message: str) -> str:
    """Write an error as Anthropic does."""
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})


def gemini(code: int, status: str, message: str, *details: Mapping[str, object]) -> str:
    """Write an error as Google does: indented, with details."""
    error = {"code": code, "message": message, "status": status, "details": list(details)}
    return json.dumps({"error": error}, indent=2)


RETRY_IN_37_S = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"}


def gemini_quota(period: str) -> dict[str, object]:
    """Write which of its quotas Gemini means; `period` is "PerDay" or "PerMinute"."""
    violation = {
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
        "quotaId": f"GenerateRequests{period}PerProjectPerModel-FreeTier",
        "quotaValue": "50",
    }
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}


PLAN = "You exceeded your current quota, please check your plan and billing details."

DOCUMENTED = [
    # OpenAI and those that speak like it
    Documented(
        "requests per minute",
        "openai",
        429,
        openai(
            "Rate limit reached for gpt-4o in organization org-x on requests per min (RPM): Limit 3, Used 3, "
            "Requested 1. Please try again in 20s. You can increase your rate limit by adding a payment "
            "method to your account at https://platform.openai.com/account/billing.",
            "requests",
            "rate_limit_exceeded",
        ),
        Reason.RATE_LIMIT,
        {"Retry-After": "7", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "8s"},
        retry_after_s=7.0,
        code="rate_limit_exceeded",
    ),
    Documented(
        "tokens per minute, told only in words",
        "openai",
        429,
        openai("Rate limit reached on tokens per min (TPM). Please try again in 1m30s.", "tokens"),
        Reason.RATE_LIMIT,
        retry_after_s=90.0,
        code="tokens",
    ),
    Documented(
        "resets of two allowances, one of them exhausted",
        "openai",
        429,
        openai("Rate limit reached", "requests", "rate_limit_exceeded"),
        Reason.RATE_LIMIT,
        {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "6s",
            "x-ratelimit-remaining-tokens": "149984",
            "x-ratelimit-reset-tokens": "1m2.5s",
        },
        retry_after_s=6.0,
        code="rate_limit_exceeded",
    ),
    Documented(
        "Retry-After as a date",
        "openai",
        429,
        openai("Too many requests"),
        Reason.RATE_LIMIT,
        {**DATE, "Retry-After": "Sun, 22 Nov 2026 12:00:45 GMT"},
        retry_after_s=45.0,
    ),
    Documented(
        "no money left",
        "openai",
        429,
        openai(PLAN, "insufficient_quota", "insufficient_quota"),
        Reason.QUOTA_EXHAUSTED,
        code="insufficient_quota",
    ),
    Documented(
        "requests per day",
        "openai",
        429,
        openai("Rate limit reached on requests per day (RPD): Limit 200, Used 200.", "requests"),
        Reason.QUOTA_EXHAUSTED,
        code="requests",
    ),
    Documented(
        "a request larger than the limit per minute",
        "openai",
        429,
        openai(
            "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000. The input "
            "or output tokens must be reduced in order to run successfully.",
            "tokens",
            "rate_limit_exceeded",
        ),
        Reason.CONTEXT_WINDOW,
        code="rate_limit_exceeded",
    ),
    Documented("429 without a body", "openai", 429, "", Reason.RATE_LIMIT, says="HTTP 429"),
    Documented(
        "credits used up",
        "openai",
        402,
        openai("Insufficient Balance", "unknown_error", "invalid_request_error"),
        Reason.QUOTA_EXHAUSTED,
        code="invalid_request_error",
    ),
    Documented(
        "wrong key",
        "openai",
        401,
        openai(
            "Incorrect API key provided: sk-abcdefgh12345678.", "invalid_request_error", "invalid_api_key"
        ),
        Reason.AUTH,
        code="invalid_api_key",
        says="Incorrect API key provided: [redacted]",
    ),
    Documented(
        "country not supported",
        "openai",
        403,
        openai("Country, region, or territory not supported", "request_forbidden"),
        Reason.AUTH,
        code="request_forbidden",
    ),
    Documented(
        "no such model",
        "openai",
        404,
        openai("The model `gpt-9` does not exist.", "invalid_request_error", "model_not_found"),
        Reason.BAD_REQUEST,
        code="model_not_found",
    ),
    Documented(
        "context length",
        "openai",
        400,
        openai(
            "This model's maximum context length is 8192 tokens.",
            "invalid_request_error",
            "context_length_exceeded",
        ),
        Reason.CONTEXT_WINDOW,
        code="context_length_exceeded",
    ),
    Documented(
        "safety system",
        "openai",
        400,
        openai("Your request was rejected as a result of our safety system.", "invalid_request_error"),
        Reason.CONTENT_POLICY,
        code="invalid_request_error",
    ),
    Documented(
        "bad parameter",
        "openai",
        400,
        openai("Unsupported value: 'temperature'", "invalid_request_error", "unsupported_value"),
        Reason.BAD_REQUEST,
        code="unsupported_value",
    ),
    Documented(
        "unprocessable",
        "openai",
        422,
        openai("bad", "invalid_request_error"),
        Reason.BAD_REQUEST,
        code="invalid_request_error",
    ),
    Documented("server error", "openai", 500, openai("The server had an error"), Reason.SERVER_ERROR),
    Documented(
        "bad gateway, in HTML",
        "openai",
        502,
        "<html><h1>Bad gateway</h1></html>",
        Reason.SERVER_ERROR,
        says="Bad gateway",
    ),
    Documented(
        "engine overloaded",
        "openai",
        503,
        openai("The engine is currently overloaded, please try again later", "server_error"),
        Reason.OVERLOADED,
        {"Retry-After": "2.5", "x-ratelimit-reset-requests": "50s"},
        retry_after_s=2.5,
        code="server_error",
    ),
    Documented(
        "gateway time-out with a reset",
        "openai",
        504,
        "<html>Gateway Timeout</html>",
        Reason.TIMEOUT,
        {"x-ratelimit-reset-requests": "50s"},
    ),
    Documented(
        "request time-out",
        "openai",
        408,
        openai("Request timeout", "timeout"),
        Reason.TIMEOUT,
        code="timeout",
    ),
    # Azure
    Documented(
        "milliseconds and seconds",
        "azure",
        429,
        openai(
            "Requests to the ChatCompletions_Create Operation have exceeded call rate limit of your current "
            "OpenAI S0 pricing tier. Please retry after 2 seconds.",
            None,
            "429",
        ),
        Reason.RATE_LIMIT,
        {"retry-after-ms": "1500", "retry-after": "2"},
        retry_after_s=1.5,
    ),
    Documented(
        "seconds only in words",
        "azure",
        429,
        openai("You have exceeded token rate limit. Please retry after 55 seconds.", None, "429"),
        Reason.RATE_LIMIT,
        retry_after_s=55.0,
    ),
    Documented(
        "content filter",
        "azure",
        400,
        json.dumps(
            {
                "error": {
                    "message": "The response was filtered due to the prompt triggering a policy.",
                    "code": "content_filter",
                    "innererror": {"code": "ResponsibleAIPolicyViolation"},
                }
            }
        ),
        Reason.CONTENT_POLICY,
        code="content_filter",
    ),
    Documented(
        "no such deployment",
        "azure",
        404,
        openai("The API deployment does not exist.", None, "DeploymentNotFound"),
        Reason.BAD_REQUEST,
        code="DeploymentNotFound",
    ),
    Documented("wrong subscription key", "azure", 401, openai("Access denied", "", "401"), Reason.AUTH),
    # Anthropic
    Documented(
        "rate limit with Retry-After",
        "anthropic",
        429,
        anthropic(
            "rate_limit_error",
            "This request would exceed your organization's rate limit of 50,000 input tokens per minute. "
            "Please reduce the prompt length or the maximum tokens requested, or try again later.",
        ),
        Reason.RATE_LIMIT,
        {"retry-after": "12", "anthropic-ratelimit-requests-remaining": "0"},
        retry_after_s=12.0,
        code="rate_limit_error",
        says="This request would exceed",
    ),
    Documented(
        "rate limit with resets",
        "anthropic",
        429,
        anthropic("rate_limit_error", "Number of request tokens has exceeded your per-minute rate limit"),
        Reason.RATE_LIMIT,
        {
            **DATE,
            "anthropic-ratelimit-input-tokens-remaining": "0",
            "anthropic-ratelimit-input-tokens-reset": "2026-11-22T12:00:30Z",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2026-11-22T12:00:59Z",
        },
        retry_after_s=30.0,
        code="rate_limit_error",
    ),
    Documented(
        "overloaded",
        "anthropic",
        529,
        anthropic("overloaded_error", "Overloaded"),
        Reason.OVERLOADED,
        code="overloaded_error",
        says="Overloaded",
    ),
    Documented(
        "internal error",
        "anthropic",
        500,
        anthropic("api_error", "Internal server error"),
        Reason.SERVER_ERROR,
        code="api_error",
    ),
    Documented(
        "wrong key",
        "anthropic",
        401,
        anthropic("authentication_error", "invalid x-api-key"),
        Reason.AUTH,
        code="authentication_error",
    ),
    Documented(
        "no permission",
        "anthropic",
        403,
        anthropic("permission_error", "Your API key may not"),
        Reason.AUTH,
        code="permission_error",
    ),
    Documented(
        "prompt too long",
        "anthropic",
        400,
        anthropic("invalid_request_error", "prompt is too long: 209000 tokens > 200000 maximum"),
        Reason.CONTEXT_WINDOW,
        code="invalid_request_error",
    ),
    Documented(
        "no credit",
        "anthropic",
        400,
        anthropic("invalid_request_error", "Your credit balance is too low. Please go to Plans & Billing"),
        Reason.QUOTA_EXHAUSTED,
        code="invalid_request_error",
    ),
    Documented(
        "request too large",
        "anthropic",
        413,
        anthropic("request_too_large", "Request exceeds the maximum size"),
        Reason.CONTEXT_WINDOW,
        code="request_too_large",
    ),
    Documented(
        "time-out",
        "anthropic",
        504,
        anthropic("timeout_error", "Request timed out"),
        Reason.TIMEOUT,
        code="timeout_error",
    ),
    # Gemini
    Documented(
        "quota per minute, delay in the body",
        "gemini",
        429,
        gemini(429, "RESOURCE_EXHAUSTED", PLAN, gemini_quota("PerMinute"), RETRY_IN_37_S),
        Reason.RATE_LIMIT,
        retry_after_s=37.0,
        code="RESOURCE_EXHAUSTED",
    ),
    Documented(
        "quota per day, delay in the body",
        "gemini",
        429,
        gemini(429, "RESOURCE_EXHAUSTED", PLAN, gemini_quota("PerDay"), RETRY_IN_37_S),
        Reason.QUOTA_EXHAUSTED,
        retry_after_s=37.0,
        code="RESOURCE_EXHAUSTED",
    ),
    Documented(
        "a model the free tier does not have",
        "gemini",
        429,
        gemini(429, "RESOURCE_EXHAUSTED", f"{PLAN}\n* Quota exceeded for metric: x/requests, limit: 0"),
        Reason.QUOTA_EXHAUSTED,
        code="RESOURCE_EXHAUSTED",
    ),
    Documented(
        "overloaded",
        "gemini",
        503,
        gemini(503, "UNAVAILABLE", "The model is overloaded."),
        Reason.OVERLOADED,
        code="UNAVAILABLE",
    ),
    Documented(
        "wrong key",
        "gemini",
        400,
        gemini(400, "INVALID_ARGUMENT", "API key not valid.", {"reason": "API_KEY_INVALID"}),
        Reason.AUTH,
        code="INVALID_ARGUMENT",
    ),
    Documented(
        "too many tokens",
        "gemini",
        400,
        gemini(
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200000) exceeds the maximum number of tokens allowed.",
        ),
        Reason.CONTEXT_WINDOW,
        code="INVALID_ARGUMENT",
    ),
    Documented(
        "deadline",
        "gemini",
        504,
        gemini(504, "DEADLINE_EXCEEDED", "Deadline exceeded"),
        Reason.TIMEOUT,
        code="DEADLINE_EXCEEDED",
    ),
    Documented(
        "internal",
        "gemini",
        500,
        gemini(500, "INTERNAL", "An internal error has occurred"),
        Reason.SERVER_ERROR,
        code="INTERNAL",
    ),
]
