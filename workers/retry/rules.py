"""Tell from a provider's answer why it failed: by status, then by code, then by text.

The status narrows down what it can be; codes and text choose among that. Text decides last because it may
quote anything, even the prompt. Every rule here has an answer that providers document, in the tests.
"""

from __future__ import annotations

import re
from typing import Final

from bus.messages import Reason
from workers.retry.answer import TEXT_LIMIT, Answer

RETRYABLE: Final = frozenset(
    {Reason.RATE_LIMIT, Reason.OVERLOADED, Reason.TIMEOUT, Reason.CONNECTION, Reason.SERVER_ERROR}
)
"""The reasons for which the same request may succeed a little later."""

_CODES: Final[dict[Reason, frozenset[str]]] = {
    Reason.QUOTA_EXHAUSTED: frozenset(
        {
            "insufficient_quota",
            "insufficient_balance",
            "insufficient_credits",
            "billing_error",
            "billing_hard_limit_reached",
            "billing_not_active",
            "budget_exceeded",
            "dailylimitexceeded",
            "payment_required",
            "quota_exceeded",
            "quotaexceeded",
        }
    ),
    Reason.CONTEXT_WINDOW: frozenset(
        {"context_length_exceeded", "context_window_exceeded", "request_too_large", "string_above_max_length"}
    ),
    Reason.CONTENT_POLICY: frozenset(
        {
            "content_filter",
            "content_policy_violation",
            "invalid_prompt",
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
            "authentication_error",
            "expiredtokenexception",
            "invalid_api_key",
            "permission_denied",
            "permission_error",
            "unauthenticated",
            "unauthorized",
            "unrecognizedclientexception",
        }
    ),
    Reason.RATE_LIMIT: frozenset(
        {
            "rate_limit_error",
            "rate_limit_exceeded",
            "ratelimitexceeded",
            "requests",
            "resource_exhausted",
            "throttlingexception",
            "tokens",
            "too_many_requests",
            "toomanyrequestsexception",
            "userratelimitexceeded",
        }
    ),
    Reason.OVERLOADED: frozenset(
        {
            "engine_overloaded",
            "engine_overloaded_error",
            "model_overloaded",
            "modelnotreadyexception",
            "overloaded",
            "overloaded_error",
            "service_unavailable",
            "serviceunavailableexception",
            "slow_down",
            "unavailable",
        }
    ),
    Reason.TIMEOUT: frozenset(
        {"deadline_exceeded", "modeltimeoutexception", "request_timeout", "timeout", "timeout_error"}
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

_TEXTS: Final[dict[Reason, re.Pattern[str]]] = {
    reason: re.compile("|".join(patterns), re.IGNORECASE)
    for reason, patterns in {
        # No bare "billing" and no bare "quota": OpenAI, Groq and Azure advertise both in per-minute refusals.
        Reason.QUOTA_EXHAUSTED: (
            r"insufficient[ _](?:quota|balance|credits?|funds)",
            r"credit balance is too low",
            r"(?:out of|not enough|used all available|add more) credits",
            r"(?:daily|weekly|monthly) (?:\w+ )?(?:limit|quota|budget)",
            r"spend(?:ing)? limit",
            r"reached your (?:\w+ ){0,3}usage limit",
            r"enable billing",
            r"budget has been exceeded",
            r"(?:per|/)[ -]?(?:day|month)\b",
            r"\b[rt]pd\b",
            r"perday",
            r"\blimit: 0(?![.\d])",  # Gemini, for a model that the free tier does not have
        ),
        Reason.CONTEXT_WINDOW: (
            r"maximum context length",
            r"context[ _](?:length|window|limit)",
            r"prompt is too long",
            r"(?:input|request|prompt) (?:is )?too (?:long|large)",
            r"exceeds the maximum number of tokens",
            r"reduce the length of",
        ),
        Reason.CONTENT_POLICY: (
            r"content (?:management )?polic",
            r"content[ _]filter",
            r"safety system",
            r"usage polic",
            r"flagged (?:for|as|by)",
            r"prohibited[ _]content",
        ),
        Reason.AUTH: (
            r"(?:missing|no|set|invalid|incorrect|valid) (?:\w+ ){0,2}(?:api[ _-]?key|credentials)",
            r"api[ _-]?key (?:is )?(?:not valid|not found|invalid|missing|expired)",
            r"organization has been disabled",
            r"invalid x-api-key",
            # A key read from a file with its line break cannot be sent in a header.
            r"control character detected in headers|illegal header value",
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
            r"connection (?:error|refused|reset|aborted|closed)",
            r"(?:cannot|could not|failed to) connect",
            r"server disconnected",
            r"payload is not completed",
        ),
    }.items()
}

# OpenAI says this when the account has no money left, Gemini also at every per-minute limit.
_PLAN_TEXT: Final = re.compile(r"exceeded your current quota|plans? (?:and|&) billing", re.IGNORECASE)

# litellm's words for a "200 OK" that it could not read; it calls that a 500, a 422 or a lost connection.
_UNREADABLE: Final = re.compile(
    r"expecting value: line|unable to get json response|error converting to valid response|"
    r"(?:empty or )?invalid response (?:object|from)|'choices' that is not a list",
    re.IGNORECASE,
)

_GATEWAY_TIMEOUTS: Final = frozenset({408, 504, 522, 524})  # 522 and 524: Cloudflare
_CONFLICTS: Final = frozenset({409, 425})  # retried by the SDKs of OpenAI and Anthropic

_TOLD_BY_STATUS: Final = {
    401: Reason.AUTH,
    402: Reason.QUOTA_EXHAUSTED,
    404: Reason.BAD_REQUEST,
    413: Reason.CONTEXT_WINDOW,
}

_REFUSALS: Final = (
    Reason.QUOTA_EXHAUSTED,
    Reason.CONTEXT_WINDOW,
    Reason.CONTENT_POLICY,
    Reason.AUTH,
    Reason.RATE_LIMIT,
)


def judge(answer: Answer) -> Reason:
    """Say why an answer failed; whatever cannot be told by code or text is told by its status."""
    status = answer.status
    if status == 429:
        return _limit(answer)
    if status is not None and 400 <= status < 500:
        return _refusal(answer, status)
    if status is not None and status >= 500:
        return _breakdown(answer, status)
    if status is not None and 300 <= status < 400:
        return Reason.BAD_REQUEST  # a redirect that nobody followed: the address is wrong
    return _unnumbered(answer)


def judge_text(text: str) -> Reason | None:
    """Say why a call failed when there are only words and no answer; None if they do not say."""
    text = text[:TEXT_LIMIT]
    if _UNREADABLE.search(text):
        return Reason.SERVER_ERROR
    return _by_text(text, Reason.AUTH) or _by_plan(text) or _by_text(text, *_TEXTS)


def _limit(answer: Answer) -> Reason:
    """Judge a 429: per minute, or used up, or larger than the limit itself, or really an overload."""
    return (
        _by_code(answer, Reason.QUOTA_EXHAUSTED, Reason.OVERLOADED)
        or _by_text(answer.text, Reason.QUOTA_EXHAUSTED)
        or _by_plan(answer.text, answer.codes)
        # "Request too large for gpt-4o on tokens per min: Limit 30000, Requested 40000" never fits.
        or _by_text(answer.text, Reason.CONTEXT_WINDOW)
        or _by_code(answer, Reason.RATE_LIMIT)
        or _by_text(answer.text, Reason.OVERLOADED)
        or Reason.RATE_LIMIT
    )


def _refusal(answer: Answer, status: int) -> Reason:
    """Judge the other 4xx."""
    if status in _GATEWAY_TIMEOUTS:
        return Reason.TIMEOUT
    if status in _CONFLICTS:
        return Reason.SERVER_ERROR
    fixed = {
        401: Reason.AUTH,
        402: Reason.QUOTA_EXHAUSTED,
        404: Reason.BAD_REQUEST,
        413: Reason.CONTEXT_WINDOW,
    }
    if status in fixed:
        return fixed[status]
    if status == 403:
        choices = (Reason.QUOTA_EXHAUSTED, Reason.CONTENT_POLICY, Reason.RATE_LIMIT)
        return _by_code(answer, *choices) or _by_text(answer.text, *choices) or Reason.AUTH
    return (
        _by_code(answer, *_REFUSALS)
        or _by_plan(answer.text, answer.codes)
        or _by_text(answer.text, *_REFUSALS)
        or Reason.BAD_REQUEST
    )


def _breakdown(answer: Answer, status: int) -> Reason:
    """Judge a 5xx; some gateways put other people's refusals into one."""
    if status in _GATEWAY_TIMEOUTS:
        return Reason.TIMEOUT
    default = Reason.OVERLOADED if status in (503, 529) else Reason.SERVER_ERROR
    choices = (Reason.CONTEXT_WINDOW, Reason.RATE_LIMIT, Reason.OVERLOADED, Reason.TIMEOUT)
    return _by_code(answer, Reason.QUOTA_EXHAUSTED, *choices) or _by_text(answer.text, *choices) or default


def _unnumbered(answer: Answer) -> Reason:
    """Judge an error without a status of its own: inside a stream, or in an answer that claims success."""
    return (
        _by_code(answer, *(reason for reason in _CODES if reason is not Reason.BAD_REQUEST))
        or _by_plan(answer.text, answer.codes)
        or _by_text(answer.text, *_TEXTS)
        or _by_code(answer, Reason.BAD_REQUEST)
        or Reason.SERVER_ERROR
    )


def _by_code(answer: Answer, *reasons: Reason) -> Reason | None:
    return next((reason for reason in reasons if answer.codes & _CODES[reason]), None)


def _by_text(text: str, *reasons: Reason) -> Reason | None:
    return next((reason for reason in reasons if _TEXTS[reason].search(text)), None)


def _by_plan(text: str, codes: frozenset[str] = frozenset()) -> Reason | None:
    if "resource_exhausted" in codes or "resource_exhausted" in text.lower():
        return None
    return Reason.QUOTA_EXHAUSTED if _PLAN_TEXT.search(text) else None
