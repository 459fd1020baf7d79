"""What Groq answers when it does not answer."""

from __future__ import annotations

from tests.workers.retry.answers.documented import Documented, of, openai
from tidings.bus.messages import Reason
from tidings.workers.retry import advice

ERRORS = "Groq docs, API error codes and responses"
WHERE = "for model `llama-3.3-70b-versatile` in organization `org_x` service tier `on_demand`"
MORE = "Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing"

GROQ = of(
    "Groq",
    Documented(
        "tokens per minute",
        "groq",
        429,
        openai(
            f"Rate limit reached {WHERE} on tokens per minute (TPM): Limit 12000, Used 4437, Requested 9854. Please try again "
            f"in 11.455s. {MORE}",
            "tokens",
            "rate_limit_exceeded",
        ),
        Reason.RATE_LIMIT,
        "GitHub ago19800/HomeMind#29",
        retry_after_s=11.455,
        code="rate_limit_exceeded",
    ),
    Documented(
        "tokens per day, with the time at which it fits again",
        "groq",
        429,
        openai(
            f"Rate limit reached {WHERE} on tokens per day (TPD): Limit 100000, Used 97050, Requested 3619. Please try again in "
            f"9m38.016s. {MORE}",
            "tokens",
            "rate_limit_exceeded",
        ),
        Reason.RATE_LIMIT,
        "GitHub continuedev/continue#10920; Groq docs, rate limits: headers",
        {
            "retry-after": "579",
            "x-ratelimit-remaining-requests": "970",
            "x-ratelimit-reset-requests": "2m59.56s",
            "x-ratelimit-remaining-tokens": "12000",
            "x-ratelimit-reset-tokens": "7.66s",
        },
        retry_after_s=579.0,
        code="rate_limit_exceeded",
        action=advice.DAY_ENDS,
    ),
    Documented(
        "a request larger than the limit per minute",
        "groq",
        413,
        openai(
            f"Request too large {WHERE} on tokens per minute (TPM): Limit 6000, Requested 12328, please reduce your message size "
            f"and try again. {MORE}",
            "tokens",
            "rate_limit_exceeded",
        ),
        Reason.CONTEXT_WINDOW,
        "GitHub HunorLaczko/ha-groq-cloud-api#27",
        code="rate_limit_exceeded",
        action=advice.TOO_LARGE_A_MINUTE,
    ),
    Documented(
        "no room in the flexible tier",
        "groq",
        498,
        openai("Flex tier capacity exceeded.", "capacity_exceeded", "capacity_exceeded"),
        Reason.OVERLOADED,
        "Groq docs, flex processing",
        code="capacity_exceeded",
    ),
    Documented(
        "over capacity",
        "groq",
        503,
        openai(
            "llama-3.3-70b-versatile is currently over capacity. Please try again and back off exponentially. Visit "
            "https://groqstatus.com to see if there is an active incident.",
            "internal_server_error",
        ),
        Reason.OVERLOADED,
        "GitHub infiniflow/ragflow#9858",
        code="internal_server_error",
    ),
    Documented(
        "the model's tool call was no tool call",
        "groq",
        400,
        openai(
            "Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details.",
            "invalid_request_error",
            "tool_use_failed",
        ),
        Reason.SERVER_ERROR,
        "GitHub agno-agi/agno#4090",
        code="tool_use_failed",
    ),
    Documented(
        "wrong key",
        "groq",
        401,
        openai("Invalid API Key", "invalid_request_error", "invalid_api_key"),
        Reason.AUTH,
        "GitHub continuedev/continue#11010",
        code="invalid_api_key",
    ),
    Documented(
        "organization restricted",
        "groq",
        400,
        openai(
            "Organization has been restricted. Please reach out to support if you believe this was in error.",
            "invalid_request_error",
            "organization_restricted",
        ),
        Reason.AUTH,
        "GitHub NVIDIA-NeMo/Guardrails#563",
        code="organization_restricted",
        action=advice.NOT_ALLOWED,
    ),
    Documented(
        "model withdrawn",
        "groq",
        400,
        openai(
            "The model `llama-3.2-11b-vision-preview` has been decommissioned and is no longer supported. Please refer to "
            "https://console.groq.com/docs/deprecations for a recommendation on which model to use instead.",
            "invalid_request_error",
            "model_decommissioned",
        ),
        Reason.BAD_REQUEST,
        "GitHub valentinfrlch/ha-llmvision#324",
        code="model_decommissioned",
    ),
    Documented("bad gateway", "groq", 502, "Bad Gateway", Reason.SERVER_ERROR, ERRORS, says="Bad Gateway"),
)
