"""What Mistral answers when it does not answer."""

from __future__ import annotations

import json

from tests.workers.retry.answers.documented import Documented, mistral, of
from tidings.bus.messages import Reason

MISTRAL = of(
    "Mistral",
    Documented(
        "rate limit",
        "mistral",
        429,
        mistral("Rate limit exceeded", "rate_limited", "1300"),
        Reason.RATE_LIMIT,
        "GitHub cline/cline#9085",
        code="rate_limited",
    ),
    Documented(
        "rate limit, nothing but a message",
        "mistral",
        429,
        json.dumps({"message": "Requests rate limit exceeded"}),
        Reason.RATE_LIMIT,
        "GitHub dnakov/anon-kode#53",
    ),
    Documented(
        "no capacity, called a rate limit",
        "mistral",
        429,
        mistral("Service tier capacity exceeded for this model.", "invalid_request_error", None),
        Reason.OVERLOADED,
        "GitHub continuedev/continue#6185",
        code="invalid_request_error",
    ),
    Documented(
        "no capacity",
        "mistral",
        503,
        mistral("Service tier capacity exceeded for this model.", "service_tier_capacity_exceeded", "3505"),
        Reason.OVERLOADED,
        "GitHub BerriAI/litellm#25078",
        code="service_tier_capacity_exceeded",
    ),
    Documented(
        "wrong key",
        "mistral",
        401,
        json.dumps({"detail": "Unauthorized"}),
        Reason.AUTH,
        "GitHub nextcloud/integration_openai#332",
        says="Unauthorized",
    ),
    Documented(
        "wrong key, another gateway",
        "mistral",
        401,
        json.dumps({"message": "Unauthorized", "request_id": "933f"}),
        Reason.AUTH,
        "GitHub coolcline/CoolCline#36",
        says="Unauthorized",
    ),
    Documented(
        "no such model",
        "mistral",
        400,
        mistral("Invalid model: mistral-9", "invalid_model", "1500"),
        Reason.BAD_REQUEST,
        "GitHub tmc/langchaingo#1233",
        code="invalid_model",
    ),
    Documented(
        "prompt too long",
        "mistral",
        400,
        mistral(
            "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
            "invalid_request_error",
            "3051",
        ),
        Reason.CONTEXT_WINDOW,
        "Mistral docs, known limitations; GitHub WorkflowAI/WorkflowAI, mistral_provider_test.py",
        code="invalid_request_error",
    ),
    Documented(
        "order of the messages",
        "mistral",
        400,
        mistral("Unexpected role 'tool' after role 'user'", "invalid_request_message_order", "3230"),
        Reason.BAD_REQUEST,
        "GitHub charmbracelet/crush#683",
        code="invalid_request_message_order",
    ),
    Documented(
        "unknown parameter",
        "mistral",
        422,
        json.dumps(
            {
                "detail": [
                    {"type": "extra_forbidden", "loc": ["body", "store"], "msg": "Extra inputs are not permitted", "input": False}
                ]
            }
        ),
        Reason.BAD_REQUEST,
        "GitHub Gitlawb/openclaude#739",
        says="Extra inputs are not permitted",
    ),
    Documented(
        "server error",
        "mistral",
        500,
        mistral("Internal server error", "internal_server_error", "1000"),
        Reason.SERVER_ERROR,
        "Mistral docs, API: error responses",
        code="internal_server_error",
    ),
)
