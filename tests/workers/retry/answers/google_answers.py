"""What Gemini and Vertex AI answer when they do not answer."""

from __future__ import annotations

import json

from tests.workers.retry.answers.documented import (
    PLAN,
    Documented,
    google,
    google_quotas,
    google_reason,
    of,
    retry_info,
)
from tidings.bus.messages import Reason
from tidings.workers.retry import advice

TROUBLESHOOTING = "Gemini API docs, troubleshooting"
VERTEX_ERRORS = "Vertex AI docs, generative AI: API errors"
VERTEX_429 = "Google Cloud docs, error code 429"

RETRY_IN = (
    f"{PLAN} For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.\n* Quota exceeded "
    "for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: {limit}, model: x\nPlease retry "
    "in 48.805646254s."
)


def wrapped(code: int, status: str, message: str, outer: str) -> str:
    """Write an error as Google's SDK for JavaScript passes it on: the answer as text in the message."""
    inner = google(code, status, message) + "\n"
    return json.dumps({"error": {"message": inner, "code": code, "status": outer}})


CLAUDE_TOKENS = google(
    429,
    "RESOURCE_EXHAUSTED",
    "Quota exceeded for aiplatform.googleapis.com/online_prediction_input_tokens_per_minute_per_base_model with base model: "
    "anthropic-claude-opus-4. Please submit a quota increase request.",
)

GEMINI = of(
    "Gemini",
    Documented(
        "quota per minute, delay in the body",
        "gemini",
        429,
        google(429, "RESOURCE_EXHAUSTED", PLAN, google_quotas("PerMinute"), retry_info("37s")),
        Reason.RATE_LIMIT,
        "Gemini API docs, rate limits",
        retry_after_s=37.0,
        code="RESOURCE_EXHAUSTED",
    ),
    Documented(
        "quota per minute, delay in words",
        "gemini",
        429,
        google(429, "RESOURCE_EXHAUSTED", RETRY_IN.format(limit=15), google_quotas("PerMinute")),
        Reason.RATE_LIMIT,
        "Google AI forum 109581",
        retry_after_s=48.805646254,
        code="RESOURCE_EXHAUSTED",
    ),
    Documented(
        "quota per day; the delay beside it is not the day's",
        "gemini",
        429,
        google(429, "RESOURCE_EXHAUSTED", RETRY_IN.format(limit=50), google_quotas("PerDay"), retry_info("48s")),
        Reason.QUOTA_EXHAUSTED,
        "Google AI forum 109581",
        code="RESOURCE_EXHAUSTED",
        action=advice.DAY_USED_UP,
    ),
    Documented(
        "quotas per minute and per day at once",
        "gemini",
        429,
        google(429, "RESOURCE_EXHAUSTED", PLAN, google_quotas("PerMinute", "PerDay"), retry_info("44s")),
        Reason.QUOTA_EXHAUSTED,
        "GitHub google-gemini/gemini-cli#8437",
        code="RESOURCE_EXHAUSTED",
        action=advice.DAY_USED_UP,
    ),
    Documented(
        "a model that the free tier does not have",
        "gemini",
        429,
        google(429, "RESOURCE_EXHAUSTED", RETRY_IN.format(limit=0)),
        Reason.QUOTA_EXHAUSTED,
        "GitHub continuedev/continue#9570",
        code="RESOURCE_EXHAUSTED",
        action=advice.NOTHING_ALLOWED,
    ),
    Documented(
        "no quota at all in this region",
        "gemini",
        429,
        google(
            429,
            "RESOURCE_EXHAUSTED",
            "Quota exceeded for quota metric 'Generate Content API requests per minute' and limit 'GenerateContent request limit "
            "per minute for a region' of service 'generativelanguage.googleapis.com'.",
            {
                **google_reason("RATE_LIMIT_EXCEEDED"),
                "metadata": {
                    "quota_location": "us-west4",
                    "quota_limit_value": "0",
                    "quota_limit": "GenerateContentRequestsPerMinutePerProjectPerRegion",
                },
            },
        ),
        Reason.QUOTA_EXHAUSTED,
        "GitHub tech-shrimp/gemini-playground#10",
        code="RESOURCE_EXHAUSTED",
        action=advice.NOTHING_ALLOWED,
        read_on="2026-12-01",
    ),
    Documented(
        "exhausted, wrapped in another error",
        "gemini",
        429,
        wrapped(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", "Too Many Requests"),
        Reason.RATE_LIMIT,
        "GitHub google-gemini/gemini-cli#1502",
        code="RESOURCE_EXHAUSTED",
        says="Resource has been exhausted (e.g. check quota).",
    ),
    Documented(
        "no capacity, called a rate limit",
        "gemini",
        429,
        google(
            429,
            "RESOURCE_EXHAUSTED",
            "No capacity available for model gemini-3.1-flash-lite on the server",
            google_reason("MODEL_CAPACITY_EXHAUSTED"),
        ),
        Reason.OVERLOADED,
        "GitHub google-gemini/gemini-cli#27548",
        code="RESOURCE_EXHAUSTED",
    ),
    Documented(
        "overloaded",
        "gemini",
        503,
        google(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
        Reason.OVERLOADED,
        "GitHub google-gemini/gemini-cli#5191",
        code="UNAVAILABLE",
    ),
    Documented(
        "wrong key",
        "gemini",
        400,
        google(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", google_reason("API_KEY_INVALID")),
        Reason.AUTH,
        "GitHub Wei-Shaw/sub2api#1709",
        code="INVALID_ARGUMENT",
    ),
    Documented(
        "leaked key, wrapped in another error",
        "gemini",
        403,
        wrapped(403, "PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key.", "Forbidden"),
        Reason.AUTH,
        "GitHub continuedev/continue#11541",
        code="PERMISSION_DENIED",
        says="Your API key was reported as leaked.",
    ),
    Documented(
        "country not supported",
        "gemini",
        400,
        google(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
        Reason.AUTH,
        "GitHub gemini-api-php/client#32",
        code="FAILED_PRECONDITION",
        action=advice.NOT_ALLOWED,
    ),
    Documented(
        "no billing",
        "gemini",
        400,
        google(
            400,
            "FAILED_PRECONDITION",
            "Gemini API free tier is not available in your country. Please enable billing on your project in Google AI Studio.",
        ),
        Reason.QUOTA_EXHAUSTED,
        TROUBLESHOOTING,
        code="FAILED_PRECONDITION",
    ),
    Documented(
        "too many tokens",
        "gemini",
        400,
        google(
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).",
        ),
        Reason.CONTEXT_WINDOW,
        "GitHub google-gemini/gemini-cli#6678",
        code="INVALID_ARGUMENT",
    ),
    Documented(
        "no such model",
        "gemini",
        404,
        google(404, "NOT_FOUND", "models/gemini-9 is not found for API version v1beta."),
        Reason.BAD_REQUEST,
        TROUBLESHOOTING,
        code="NOT_FOUND",
        action=advice.NO_SUCH_MODEL,
    ),
    Documented(
        "deadline",
        "gemini",
        504,
        google(504, "DEADLINE_EXCEEDED", "Deadline exceeded"),
        Reason.TIMEOUT,
        TROUBLESHOOTING,
        code="DEADLINE_EXCEEDED",
    ),
    Documented(
        "internal",
        "gemini",
        500,
        google(500, "INTERNAL", "An internal error has occurred. Please retry or report in the troubleshooting guide."),
        Reason.SERVER_ERROR,
        TROUBLESHOOTING,
        code="INTERNAL",
    ),
)

VERTEX = of(
    "Vertex AI",
    Documented(
        "pay as you go, nothing free",
        "vertex",
        429,
        google(429, "RESOURCE_EXHAUSTED", "Resource exhausted, please try again later."),
        Reason.RATE_LIMIT,
        VERTEX_429,
        code="RESOURCE_EXHAUSTED",
    ),
    Documented(
        "provisioned throughput exceeded",
        "vertex",
        429,
        google(429, "RESOURCE_EXHAUSTED", "Too many requests. Exceeded the Provisioned Throughput."),
        Reason.RATE_LIMIT,
        VERTEX_429,
        code="RESOURCE_EXHAUSTED",
    ),
    Documented(
        "tokens per minute of Claude, in a list of one",
        "vertex-claude",
        429,
        f"[{CLAUDE_TOKENS}]",
        Reason.RATE_LIMIT,
        "GitHub anthropics/claude-code#1440",
        code="RESOURCE_EXHAUSTED",
    ),
    Documented(
        "no token",
        "vertex",
        401,
        google(
            401,
            "UNAUTHENTICATED",
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
            "authentication credential.",
            google_reason("ACCESS_TOKEN_EXPIRED"),
        ),
        Reason.AUTH,
        VERTEX_ERRORS,
        code="UNAUTHENTICATED",
    ),
    Documented(
        "role missing",
        "vertex",
        403,
        google(
            403,
            "PERMISSION_DENIED",
            "Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/projects/x/locations/"
            "us-central1/publishers/google/models/gemini-pro' (or it may not exist).",
            google_reason("IAM_PERMISSION_DENIED"),
        ),
        Reason.AUTH,
        "GitHub rhel-lightspeed/linux-mcp-server#450",
        code="PERMISSION_DENIED",
        action=advice.NOT_ALLOWED,
    ),
    Documented(
        "API not enabled",
        "vertex",
        403,
        google(
            403,
            "PERMISSION_DENIED",
            "Vertex AI API has not been used in project 1 before or it is disabled. Enable it by visiting "
            "https://console.developers.google.com/apis/api/aiplatform.googleapis.com/overview then retry.",
            google_reason("SERVICE_DISABLED"),
        ),
        Reason.AUTH,
        "GitHub GoogleCloudPlatform/vertex-ai-samples#476",
        code="PERMISSION_DENIED",
        action=advice.NOT_ALLOWED,
    ),
    Documented(
        "model not enabled for the project",
        "vertex-claude",
        400,
        google(
            400,
            "FAILED_PRECONDITION",
            "Project `1` is not allowed to use Publisher Model `projects/x/locations/us-east5/publishers/anthropic/models/y`",
        ),
        Reason.AUTH,
        "GitHub yym68686/uni-api#41",
        code="FAILED_PRECONDITION",
        action=advice.NOT_ALLOWED,
    ),
    Documented(
        "no such model",
        "vertex",
        404,
        google(
            404,
            "NOT_FOUND",
            "Publisher Model `projects/x/locations/us-central1/publishers/google/models/y` was not found or your project does "
            "not have access to it. Please ensure you are using a valid model version.",
        ),
        Reason.BAD_REQUEST,
        "GitHub truefoundry/models#946",
        code="NOT_FOUND",
        action=advice.NO_SUCH_MODEL,
    ),
    Documented(
        "given up inside",
        "vertex",
        499,
        google(499, "CANCELLED", "The operation was cancelled."),
        Reason.SERVER_ERROR,
        VERTEX_ERRORS,
        code="CANCELLED",
    ),
    Documented(
        "unavailable",
        "vertex",
        503,
        google(503, "UNAVAILABLE", "The service is currently unavailable."),
        Reason.OVERLOADED,
        VERTEX_ERRORS,
        code="UNAVAILABLE",
    ),
    Documented(
        "deadline",
        "vertex",
        504,
        google(504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
        Reason.TIMEOUT,
        VERTEX_ERRORS,
        code="DEADLINE_EXCEEDED",
    ),
)
