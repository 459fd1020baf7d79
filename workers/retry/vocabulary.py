"""The codes and phrases by which providers say why they refuse.

Every one of them is in an answer that a provider documents or sends; docs/providers.md has the table. Codes are whole, in
lower case; phrases are searched for in text that may quote anything, so they are as long as they need to be.
"""

from __future__ import annotations

import re
from typing import Final

from bus.messages import Reason

CODES: Final[dict[Reason, frozenset[str]]] = {
    Reason.QUOTA_EXHAUSTED: frozenset(
        {
            "billing_error",
            "billing_hard_limit_reached",
            "billing_not_active",
            "budget_exceeded",
            "credit_balance_exhausted",
            "dailylimitexceeded",
            "enforced_spend_limit_reached",
            "insufficient_balance",
            "insufficient_credits",
            "insufficient_quota",
            "openrouter_guardrail_budget",
            "openrouter_key_limit",
            "openrouter_workspace_budget",
            "organization_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
            "payment_required",
            "project_spend_limit_exceeded",
            "quota_exceeded",
            "quotaexceeded",
        }
    ),
    Reason.CONTEXT_WINDOW: frozenset(
        {
            "context_length_exceeded",
            "context_window_exceeded",
            "exceed_context_size_error",
            "payload_too_large",
            "request_too_large",
            "string_above_max_length",
            "string_too_long",
        }
    ),
    Reason.CONTENT_POLICY: frozenset(
        {
            "content_filter",
            "content_policy_violation",
            "moderation_blocked",
            "prohibited_content",
            "responsibleaipolicyviolation",
        }
    ),
    Reason.AUTH: frozenset(
        {
            "accessdeniedexception",
            "account_deactivated",
            "api_key_invalid",
            "authentication",
            "authentication_error",
            "expiredtokenexception",
            "invalid_api_key",
            "organization_restricted",
            "permission_denied",
            "permission_error",
            "unauthenticated",
            "unauthorized",
            "unrecognizedclientexception",
        }
    ),
    Reason.RATE_LIMIT: frozenset(
        {
            "in_flight_budget_exhausted",
            "rate_limit_error",
            "rate_limit_exceeded",
            "rate_limited",
            "ratelimitexceeded",
            "requests",
            "resource_exhausted",
            # OpenAI and AWS, also with a 503: not that nobody gets through, but that we came too fast.
            "slow_down",
            "throttlingexception",
            "tokens",
            "too_many_requests",
            "too_many_requests_error",
            "toomanyrequestsexception",
            "userratelimitexceeded",
        }
    ),
    Reason.OVERLOADED: frozenset(
        {
            "capacity_exceeded",
            "engine_overloaded",
            "engine_overloaded_error",
            "model_capacity_exhausted",
            "model_overloaded",
            "modelnotreadyexception",
            "overloaded",
            "overloaded_error",
            "provider_overloaded",
            "server_is_overloaded",
            "service_unavailable",
            "service_unavailable_error",
            "serviceunavailableexception",
            "unavailable",
        }
    ),
    Reason.TIMEOUT: frozenset({"deadline_exceeded", "modeltimeoutexception", "request_timeout", "timeout", "timeout_error"}),
    # What the model made was not what the provider could pass on; it may make something else the next time.
    Reason.SERVER_ERROR: frozenset(
        {"json_validate_failed", "modelerrorexception", "modelstreamerrorexception", "provider_unavailable", "tool_use_failed"}
    ),
    Reason.BAD_REQUEST: frozenset(
        {
            "failed_precondition",
            "invalid_argument",
            "invalid_request_error",
            "model_not_found",
            "not_found",
            "not_found_error",
            "validationexception",
        }
    ),
}

_KEY: Final = (
    r"(?:missing|no|set|invalid|incorrect|valid) (?:\w+ ){0,2}(?:api[ _-]?key|credentials|signature)",
    r"api[ _-]?key (?:is |was )?(?:not valid|not found|invalid|missing|expired|reported)",
    r"security token included in the request is",
    r"invalid x-api-key",
    # A key read from a file with its line break cannot be sent in a header.
    r"control character detected in headers|illegal header value",
)

TEXTS: Final[dict[Reason, re.Pattern[str]]] = {
    reason: re.compile("|".join(patterns), re.IGNORECASE)
    for reason, patterns in {
        # No bare "billing" and no bare "quota": OpenAI, Groq and Azure advertise both in per-minute refusals.
        Reason.QUOTA_EXHAUSTED: (
            r"insufficient[ _](?:quota|balance|credits?|funds)",
            r"credit balance is too low",
            r"(?:out of|not enough|used all available|add more|have any) credits",
            r"(?:usage credits?|extra usage) (?:is|are) required",
            r"spend(?:ing)? limit",
            r"reached your (?:\w+ ){0,3}usage limit",
            r"monthly included credits",
            r"enable billing",
            r"budget (?:limit|has been) exceeded",
            r"invalid_payment_instrument",
            r"perday",  # Google's name of a quota; the delay beside it says nothing about the day
            r"\blimit: 0(?![.\d])",  # Gemini, for a model that the free tier does not have
        ),
        Reason.CONTEXT_WINDOW: (
            r"maximum context length",
            r"context[ _](?:length|window|limit|size)",
            r"prompt is too long",
            r"(?:input|request|prompt) (?:is )?too (?:long|large)",
            r"exceeds the maximum number of tokens",
            r"must have less than [0-9]+ tokens",
            r"reduce the length of",
        ),
        Reason.CONTENT_POLICY: (
            r"content (?:management )?polic",
            r"content[ _]filter",
            r"safety system",
            r"usage polic",
            r"flagged (?:for|as|by)",
            r"prohibited[ _]content",
            r"request blocked: ",
        ),
        Reason.AUTH: (
            *_KEY,
            r"organization (?:has been disabled|must be verified)",
            r"(?:location|country|region)[\w, ]{0,40} (?:is )?not supported",
            r"not allowed to use|^operation not allowed",
        ),
        Reason.RATE_LIMIT: (
            r"rate[ _-]?limit",
            r"too many (?:requests|tokens)",
            r"throttl",
            r"resource[ _](?:has been )?exhausted",
            r"quota exceeded",
        ),
        Reason.OVERLOADED: (
            r"overloaded",
            r"(?:at|over|no|insufficient|exceeds?|exceeded) capacity|capacity exceeded",
            r"(?:temporarily|currently) unavailable",
            r"high (?:load|demand|traffic)",
        ),
        Reason.TIMEOUT: (r"timed?[ -]?out", r"deadline exceeded"),
        Reason.CONNECTION: (
            r"connection (?:error|refused|reset|aborted|closed|lost)",
            r"(?:cannot|could not|failed to) connect",
            r"server disconnected",
            r"payload is not completed",
        ),
    }.items()
}

KEY: Final = re.compile("|".join(_KEY), re.IGNORECASE)
"""The key itself is refused, and not what it is used for."""

LONG_PERIOD: Final = re.compile(
    r"(?:daily|weekly|monthly) (?!spend)(?:\w+ )?(?:limit|quota|budget)|(?:per|/)[ -]?(?:day|week|month)\b|\b[rt]pd\b|perday",
    re.IGNORECASE,
)
"""A limit by the day, the week or the month."""

PLAN: Final = re.compile(r"exceeded your current quota(?! of (?:requests|tokens))|plans? (?:and|&) billing", re.IGNORECASE)
"""OpenAI says this when the account has no money left, Gemini also at every per-minute limit."""

UNREADABLE: Final = re.compile(
    r"expecting value: line|unable to get json response|error converting to valid response|"
    r"(?:empty or )?invalid response (?:object|from)|'choices' that is not a list",
    re.IGNORECASE,
)
"""litellm's words for a "200 OK" that it could not read; it calls that a 500, a 422 or a lost connection."""
