"""What Anthropic answers when it does not answer."""

from __future__ import annotations

from bus.messages import Reason
from tests.workers.retry.answers.documented import DATE, Documented, anthropic, of
from workers.retry import advice

ERRORS = "Anthropic docs, API errors"
LIMITS = "Anthropic docs, rate limits"

ANTHROPIC = of(
    "Anthropic",
    Documented(
        "rate limit with Retry-After",
        "anthropic",
        429,
        anthropic(
            "rate_limit_error",
            "This request would exceed your organization's rate limit of 30,000 input tokens per minute (org: x, model: "
            "claude-sonnet-4-20250514). You can see the response headers for current usage. Please reduce the prompt length or "
            "the maximum tokens requested, or try again later.",
        ),
        Reason.RATE_LIMIT,
        "GitHub logancyang/obsidian-copilot#2327",
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
        LIMITS,
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
        "spend cap of the tier, called a rate limit",
        "anthropic",
        429,
        anthropic("rate_limit_error", "API usage is paused.", details={"error_code": "enforced_spend_limit_reached"}),
        Reason.QUOTA_EXHAUSTED,
        "Anthropic docs, rate limits: reaching a spend limit",
        code="rate_limit_error",
    ),
    Documented(
        "long prompts need credits",
        "anthropic",
        429,
        anthropic("rate_limit_error", "Extra usage is required for long context requests."),
        Reason.QUOTA_EXHAUSTED,
        "GitHub anthropics/claude-code#29584",
        code="rate_limit_error",
    ),
    Documented(
        "no credit",
        "anthropic",
        400,
        anthropic(
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase "
            "credits.",
        ),
        Reason.QUOTA_EXHAUSTED,
        "GitHub anthropics/claude-code#4684",
        code="invalid_request_error",
    ),
    Documented(
        "spend limit that the customer has set",
        "anthropic",
        400,
        anthropic(
            "invalid_request_error",
            "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.",
        ),
        Reason.QUOTA_EXHAUSTED,
        "GitHub anthropics/claude-code#2127",
        code="invalid_request_error",
    ),
    Documented(
        "billing",
        "anthropic",
        402,
        anthropic("billing_error", "There's an issue with your billing or payment information."),
        Reason.QUOTA_EXHAUSTED,
        ERRORS,
        code="billing_error",
    ),
    Documented(
        "overloaded",
        "anthropic",
        529,
        anthropic("overloaded_error", "Overloaded"),
        Reason.OVERLOADED,
        ERRORS,
        code="overloaded_error",
        says="Overloaded",
    ),
    Documented(
        "internal error",
        "anthropic",
        500,
        anthropic("api_error", "Internal server error"),
        Reason.SERVER_ERROR,
        ERRORS,
        code="api_error",
    ),
    Documented(
        "conflict",
        "anthropic",
        409,
        anthropic("conflict_error", "The request conflicts with another one."),
        Reason.SERVER_ERROR,
        ERRORS,
        code="conflict_error",
    ),
    Documented(
        "wrong key",
        "anthropic",
        401,
        anthropic("authentication_error", "invalid x-api-key"),
        Reason.AUTH,
        "GitHub Good-player/free-claude-api-and-anthropic#12",
        code="authentication_error",
    ),
    Documented(
        "no permission",
        "anthropic",
        403,
        anthropic("permission_error", "Your API key does not have permission to use the specified resource."),
        Reason.AUTH,
        ERRORS,
        code="permission_error",
        action=advice.NOT_ALLOWED,
    ),
    Documented(
        "no such model",
        "anthropic",
        404,
        anthropic("not_found_error", "model: claude-9"),
        Reason.BAD_REQUEST,
        ERRORS,
        code="not_found_error",
        action=advice.NO_SUCH_MODEL,
    ),
    Documented(
        "prompt too long",
        "anthropic",
        400,
        anthropic("invalid_request_error", "prompt is too long: 209000 tokens > 200000 maximum"),
        Reason.CONTEXT_WINDOW,
        "Anthropic docs, context windows",
        code="invalid_request_error",
    ),
    Documented(
        "request too large",
        "anthropic",
        413,
        anthropic("request_too_large", "Request exceeds the maximum size"),
        Reason.CONTEXT_WINDOW,
        ERRORS,
        code="request_too_large",
    ),
    Documented(
        "time-out",
        "anthropic",
        504,
        anthropic("timeout_error", "Request timed out"),
        Reason.TIMEOUT,
        ERRORS,
        code="timeout_error",
    ),
)
