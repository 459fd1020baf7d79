"""What OpenAI answers when it does not answer."""

from __future__ import annotations

from tests.workers.retry.answers.documented import DATE, PLAN, Documented, of, openai
from tidings.bus.messages import Reason
from tidings.workers.retry import advice

ERRORS = "OpenAI docs, guides/error-codes"
LIMITS = "OpenAI docs, guides/rate-limits"
HELP = "OpenAI help center, 5955604: troubleshooting API rate limits and 429 errors"

PER_DAY = (
    "Rate limit reached for gpt-4o-mini in organization org-x on requests per day (RPD): Limit 200, Used 200, Requested 1. "
    "Please try again in 7m12s. Visit https://platform.openai.com/account/rate-limits to learn more. You can increase your "
    "rate limit by adding a payment method to your account at https://platform.openai.com/account/billing."
)

OPENAI = of(
    "OpenAI",
    Documented(
        "requests per minute",
        "openai",
        429,
        openai(
            "Rate limit reached for gpt-4o in organization org-x on requests per min (RPM): Limit 3, Used 3, Requested 1. "
            "Please try again in 20s. You can increase your rate limit by adding a payment method to your account at "
            "https://platform.openai.com/account/billing.",
            "requests",
            "rate_limit_exceeded",
        ),
        Reason.RATE_LIMIT,
        LIMITS,
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
        LIMITS,
        retry_after_s=90.0,
        code="tokens",
    ),
    Documented(
        "resets of two allowances, one of them used up",
        "openai",
        429,
        openai("Rate limit reached", "requests", "rate_limit_exceeded"),
        Reason.RATE_LIMIT,
        LIMITS,
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
        "RFC 9110, section 10.2.3; the openai SDK reads it too",
        {**DATE, "Retry-After": "Sun, 22 Nov 2026 12:00:45 GMT"},
        retry_after_s=45.0,
    ),
    Documented(
        "traffic grew too fast",
        "openai",
        429,
        openai("Your request rate increased too quickly. Slow down.", "rate_limit_error", "slow_down"),
        Reason.RATE_LIMIT,
        ERRORS,
        {"Retry-After": "15"},
        retry_after_s=15.0,
        code="slow_down",
    ),
    Documented(
        "requests per day, with the time at which one is free again",
        "openai",
        429,
        openai(PER_DAY, "requests", "rate_limit_exceeded"),
        Reason.RATE_LIMIT,
        "GitHub feder-cr/invisible_playwright_mcp#109",
        retry_after_s=432.0,
        code="rate_limit_exceeded",
        action=advice.DAY_ENDS,
    ),
    Documented(
        "requests per day, free again in seconds",
        "openai",
        429,
        openai(PER_DAY.replace("200", "10000").replace("7m12s", "8.64s"), "requests", "rate_limit_exceeded"),
        Reason.RATE_LIMIT,
        "GitHub MSU-AI-Agents/fall-2025-course#76",
        retry_after_s=8.64,
        code="rate_limit_exceeded",
        action=advice.DAY_ENDS,
    ),
    Documented(
        "requests per day without a time; the minute's allowance beside it does not count",
        "openai",
        429,
        openai("Rate limit reached on requests per day (RPD): Limit 200, Used 200.", "requests"),
        Reason.QUOTA_EXHAUSTED,
        LIMITS,
        {"x-ratelimit-remaining-tokens": "149984", "x-ratelimit-reset-tokens": "6ms"},
        code="requests",
        action=advice.DAY_USED_UP,
    ),
    Documented(
        "no money left",
        "openai",
        429,
        openai(PLAN, "insufficient_quota", "insufficient_quota"),
        Reason.QUOTA_EXHAUSTED,
        "GitHub cursor/cursor#1293",
        code="insufficient_quota",
    ),
    Documented(
        "prepaid credits used up",
        "openai",
        429,
        openai(PLAN, "insufficient_quota", "credit_balance_exhausted"),
        Reason.QUOTA_EXHAUSTED,
        HELP,
        code="credit_balance_exhausted",
    ),
    Documented(
        "spend limit of the project",
        "openai",
        429,
        openai("Your project has reached its limit.", "insufficient_quota", "project_spend_limit_exceeded"),
        Reason.QUOTA_EXHAUSTED,
        "OpenAI docs, guides/spend-limits",
        code="project_spend_limit_exceeded",
    ),
    Documented(
        "spend limit of the organization",
        "openai",
        429,
        openai("Your organization has reached its limit.", None, "organization_spend_limit_exceeded"),
        Reason.QUOTA_EXHAUSTED,
        "OpenAI docs, guides/spend-limits",
        code="organization_spend_limit_exceeded",
    ),
    Documented(
        "account not active",
        "openai",
        429,
        openai(
            "Your account is not active, please check your billing details on our website.",
            "billing_not_active",
            "billing_not_active",
        ),
        Reason.QUOTA_EXHAUSTED,
        "GitHub BerriAI/litellm#2743",
        code="billing_not_active",
    ),
    Documented(
        "a request larger than the limit per minute",
        "openai",
        429,
        openai(
            "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 30601. The "
            "input or output tokens must be reduced in order to run successfully.",
            "tokens",
            "rate_limit_exceeded",
        ),
        Reason.CONTEXT_WINDOW,
        "GitHub vanderschaarlab/climb#1",
        code="rate_limit_exceeded",
        action=advice.TOO_LARGE_A_MINUTE,
    ),
    Documented("429 without a body", "openai", 429, "", Reason.RATE_LIMIT, ERRORS, says="HTTP 429"),
    Documented(
        "wrong key",
        "openai",
        401,
        openai("Incorrect API key provided: sk-abcdefgh12345678.", "invalid_request_error", "invalid_api_key"),
        Reason.AUTH,
        ERRORS,
        code="invalid_api_key",
        says="Incorrect API key provided: [redacted]",
    ),
    Documented(
        "country not supported",
        "openai",
        403,
        openai("Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory"),
        Reason.AUTH,
        ERRORS,
        code="unsupported_country_region_territory",
        action=advice.NOT_ALLOWED,
    ),
    Documented(
        "organization not verified",
        "openai",
        400,
        openai(
            "Your organization must be verified to stream this model. Please go to: "
            "https://platform.openai.com/settings/organization/general and click on Verify Organization.",
            "invalid_request_error",
            "unsupported_value",
        ),
        Reason.AUTH,
        "GitHub Lamb-Project/lamb#54",
        code="unsupported_value",
        action=advice.NOT_ALLOWED,
    ),
    Documented(
        "no such model",
        "openai",
        404,
        openai("The model `gpt-9` does not exist or you do not have access to it.", "invalid_request_error", "model_not_found"),
        Reason.BAD_REQUEST,
        ERRORS,
        code="model_not_found",
        action=advice.NO_SUCH_MODEL,
    ),
    Documented(
        "context length",
        "openai",
        400,
        openai(
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 8227 tokens. Please "
            "reduce the length of the messages.",
            "invalid_request_error",
            "context_length_exceeded",
        ),
        Reason.CONTEXT_WINDOW,
        "GitHub crewAIInc/crewAI-examples#121",
        code="context_length_exceeded",
    ),
    Documented(
        "safety system",
        "openai",
        400,
        openai("Your request was rejected as a result of our safety system.", "invalid_request_error"),
        Reason.CONTENT_POLICY,
        "OpenAI docs, guides/images and guides/safety-best-practices",
        code="invalid_request_error",
    ),
    Documented(
        "flagged prompt",
        "openai",
        400,
        openai(
            "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
            "invalid_request_error",
            "invalid_prompt",
        ),
        Reason.CONTENT_POLICY,
        "OpenAI docs, guides/reasoning",
        code="invalid_prompt",
    ),
    Documented(
        "bad parameter",
        "openai",
        400,
        openai(
            "Unsupported value: 'temperature' does not support 0.1 with this model. Only the default (1) value is supported.",
            "invalid_request_error",
            "unsupported_value",
        ),
        Reason.BAD_REQUEST,
        "GitHub microsoft/vscode#252757",
        code="unsupported_value",
    ),
    Documented(
        "server error",
        "openai",
        500,
        openai(
            "The server had an error processing your request. Sorry about that! You can retry your request, or contact us "
            "through our help center at help.openai.com if you keep seeing this error.",
            "server_error",
        ),
        Reason.SERVER_ERROR,
        "GitHub microsoft/semantic-kernel#3700",
        code="server_error",
    ),
    Documented(
        "engine overloaded",
        "openai",
        503,
        openai("The engine is currently overloaded, please try again later", "server_error"),
        Reason.OVERLOADED,
        ERRORS,
        {"Retry-After": "2.5", "x-ratelimit-reset-requests": "50s"},
        retry_after_s=2.5,
        code="server_error",
    ),
    Documented(
        "model overloaded",
        "openai",
        503,
        openai(
            "Our servers are currently overloaded. Please try again later.", "service_unavailable_error", "server_is_overloaded"
        ),
        Reason.OVERLOADED,
        "GitHub openai/codex#43337",
        code="server_is_overloaded",
    ),
    Documented(
        "the same inside an answer that claims success",
        "openai",
        200,
        openai(
            "Our servers are currently overloaded. Please try again later.", "service_unavailable_error", "server_is_overloaded"
        ),
        Reason.OVERLOADED,
        "GitHub openai/codex#43337",
        code="server_is_overloaded",
    ),
)
