"""Tell from a provider's answer why it failed: by status, then by code, then by text.

The status narrows down what it can be; codes and text choose among that. Text decides last because it may quote anything,
even the prompt. Every rule here has an answer that providers document, in the tests.

A limit by the day, the week or the month is a quota that is used up, unless the provider names the time at which it ends:
then it is a rate limit like any other, only slower. OpenAI's and Groq's refill all the time (a limit of 200 a day lets one
through every 7m12s), OpenRouter's ends at midnight; either way waiting for the time that was named helps, and nobody has to
act. Google's are the exception: the delay beside a quota `PerDay` is not about the day (it says 37 seconds at noon), so it
is not believed.
"""

from __future__ import annotations

from typing import Final

from bus.messages import Reason
from workers.retry.answer import TEXT_LIMIT, Answer
from workers.retry.vocabulary import CODES, LONG_PERIOD, PLAN, TEXTS, UNREADABLE

RETRYABLE: Final = frozenset({Reason.RATE_LIMIT, Reason.OVERLOADED, Reason.TIMEOUT, Reason.CONNECTION, Reason.SERVER_ERROR})
"""The reasons for which the same request may succeed a little later."""

_GATEWAY_TIMEOUTS: Final = frozenset({408, 504, 522, 524})  # 522 and 524: Cloudflare
# 409 and 425: retried by the SDKs of OpenAI and Anthropic; 424: the model broke, Bedrock; 499: given up inside, Google.
_CONFLICTS: Final = frozenset({409, 424, 425, 499})

_TOLD_BY_STATUS: Final = {
    401: Reason.AUTH,
    402: Reason.QUOTA_EXHAUSTED,
    404: Reason.BAD_REQUEST,
    413: Reason.CONTEXT_WINDOW,
    498: Reason.OVERLOADED,  # Groq: no room in the flexible tier
}

_FORBIDDEN: Final = (Reason.QUOTA_EXHAUSTED, Reason.CONTENT_POLICY, Reason.CONTEXT_WINDOW, Reason.RATE_LIMIT)
_REFUSALS: Final = (
    Reason.QUOTA_EXHAUSTED,
    Reason.CONTEXT_WINDOW,
    Reason.CONTENT_POLICY,
    Reason.AUTH,
    Reason.RATE_LIMIT,
)
_BREAKDOWNS: Final = (Reason.OVERLOADED, Reason.TIMEOUT, Reason.SERVER_ERROR)


def judge(answer: Answer, *, ends: bool = False) -> Reason:
    """Say why an answer failed; whatever cannot be told by code or text is told by its status.

    Args:
        answer: What the provider said.
        ends: Whether it names the time at which a limit by the day or longer ends.
    """
    status = answer.status
    if status == 429:
        return _limit(answer, ends)
    if status is not None and 400 <= status < 500:
        return _refusal(answer, status, ends)
    if status is not None and status >= 500:
        return _breakdown(answer, status)
    if status is not None and 300 <= status < 400:
        return Reason.BAD_REQUEST  # a redirect that nobody followed: the address is wrong
    return _unnumbered(answer, ends)


def judge_text(text: str, *, ends: bool = False) -> Reason | None:
    """Say why a call failed when there are only words and no answer; None if they do not say."""
    text = text[:TEXT_LIMIT]
    if UNREADABLE.search(text):
        return Reason.SERVER_ERROR
    return (
        _by_text(text, Reason.AUTH, Reason.QUOTA_EXHAUSTED) or _by_plan(text) or _by_period(text, ends) or _by_text(text, *TEXTS)
    )


def is_by_period(answer: Answer) -> bool:
    """Whether the limit that an answer tells of is one by the day, the week or the month."""
    return bool(LONG_PERIOD.search(answer.text)) or "openrouter_free_tier_daily" in answer.codes


def _limit(answer: Answer, ends: bool) -> Reason:
    """Judge a 429: per minute, or used up, or larger than the limit itself, or really an overload."""
    return (
        _by_code(answer, Reason.QUOTA_EXHAUSTED, Reason.OVERLOADED)
        or _by_text(answer.text, Reason.QUOTA_EXHAUSTED)
        or _by_plan(answer.text, answer.codes)
        # "Request too large for gpt-4o on tokens per min: Limit 30000, Requested 40000" never fits.
        or _by_text(answer.text, Reason.CONTEXT_WINDOW)
        or (_period(ends) if is_by_period(answer) else None)
        or _by_code(answer, Reason.RATE_LIMIT)
        or _by_text(answer.text, Reason.OVERLOADED)
        or Reason.RATE_LIMIT
    )


def _refusal(answer: Answer, status: int, ends: bool) -> Reason:
    """Judge the other 4xx."""
    if status in _GATEWAY_TIMEOUTS:
        return Reason.TIMEOUT
    if status in _CONFLICTS:
        return Reason.SERVER_ERROR
    if "in_flight_budget_exhausted" in answer.codes:
        return Reason.RATE_LIMIT  # OpenRouter's 402 for too much at once, with money left
    if status in _TOLD_BY_STATUS:
        return _TOLD_BY_STATUS[status]
    if status == 403:
        return _by_code(answer, *_FORBIDDEN) or _by_words(answer, ends, *_FORBIDDEN) or Reason.AUTH
    return (
        _by_code(answer, *_REFUSALS, *_BREAKDOWNS)
        or _by_plan(answer.text, answer.codes)
        or _by_words(answer, ends, *_REFUSALS)
        or Reason.BAD_REQUEST
    )


def _breakdown(answer: Answer, status: int) -> Reason:
    """Judge a 5xx; some gateways put other people's refusals into one."""
    if status in _GATEWAY_TIMEOUTS:
        return Reason.TIMEOUT
    default = Reason.OVERLOADED if status in (503, 529) else Reason.SERVER_ERROR
    choices = (Reason.CONTEXT_WINDOW, Reason.RATE_LIMIT, Reason.OVERLOADED, Reason.TIMEOUT)
    return _by_code(answer, Reason.QUOTA_EXHAUSTED, *choices) or _by_text(answer.text, *choices) or default


def _unnumbered(answer: Answer, ends: bool) -> Reason:
    """Judge an error without a status of its own: inside a stream, or in an answer that claims success."""
    told = _by_code(answer, *(reason for reason in CODES if reason is not Reason.BAD_REQUEST))
    if told is Reason.RATE_LIMIT:
        return _limit(answer, ends)
    return (
        told
        or _by_plan(answer.text, answer.codes)
        or _by_words(answer, ends, *TEXTS)
        or _by_code(answer, Reason.BAD_REQUEST)
        or Reason.SERVER_ERROR
    )


def _by_code(answer: Answer, *reasons: Reason) -> Reason | None:
    return next((reason for reason in reasons if answer.codes & CODES[reason]), None)


def _by_words(answer: Answer, ends: bool, *reasons: Reason) -> Reason | None:
    """Choose by text; that a quota is used up may also be told by its period."""
    first, *others = reasons
    return _by_text(answer.text, first) or _by_period(answer.text, ends) or _by_text(answer.text, *others)


def _by_text(text: str, *reasons: Reason) -> Reason | None:
    return next((reason for reason in reasons if TEXTS[reason].search(text)), None)


def _by_period(text: str, ends: bool) -> Reason | None:
    return _period(ends) if LONG_PERIOD.search(text) else None


def _period(ends: bool) -> Reason:
    return Reason.RATE_LIMIT if ends else Reason.QUOTA_EXHAUSTED


def _by_plan(text: str, codes: frozenset[str] = frozenset()) -> Reason | None:
    if "resource_exhausted" in codes or "resource_exhausted" in text.lower():
        return None
    return Reason.QUOTA_EXHAUSTED if PLAN.search(text) else None
