"""Tell from a provider's answer why it failed: by status, then by code, then by text.

The status narrows down what it can be; codes and text choose among that. Text decides last because it may quote anything,
even the prompt. Every rule here has an answer that providers document, in the tests.

A limit by the day, the week or the month, and any other allowance that is used up, is a quota that is used up, unless the
provider names the time at which it ends: then it is a rate limit like any other, only slower. OpenAI's and Groq's refill all
the time (a limit of 200 a day lets one through every 7m12s), OpenRouter's ends at midnight; either way waiting for the time
that was named helps, and no person has to act. Google's are the exception: the delay beside a quota `PerDay` is not about the
day (it says 37 seconds at noon), so it is not believed. Money is no matter of time, and a limit of zero never lifts.

The other way round, a limit by the minute stays one in any words: DashScope and Scaleway tell it in those for no money.

Nothing is a guess. A 403 without a word about permissions, or a status that has no one meaning, is UNKNOWN, and
people read the provider's words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tidings.bus.messages import Reason
from tidings.workers.retry import allowances
from tidings.workers.retry import vocabulary as say
from tidings.workers.retry.answer import TEXT_LIMIT, Answer, error_details
from tidings.workers.retry.vocabulary import CODES, KEY, LONG_PERIOD, TEXTS, UNREADABLE

RETRYABLE: Final = frozenset({Reason.RATE_LIMIT, Reason.OVERLOADED, Reason.TIMEOUT, Reason.CONNECTION, Reason.SERVER_ERROR})
"""The reasons for which the same request may succeed a little later."""

_GATEWAY_TIMEOUTS: Final = frozenset({408, 504, 522, 524})  # 522 and 524: Cloudflare
# 409 and 425: retried by the SDKs of OpenAI and Anthropic; 424: the model broke, Bedrock; 499: given up inside, Google.
_CONFLICTS: Final = frozenset({409, 424, 425, 499})

_TOLD_BY_STATUS: Final = {
    402: Reason.QUOTA_EXHAUSTED,
    404: Reason.BAD_REQUEST,
    413: Reason.CONTEXT_WINDOW,
    498: Reason.OVERLOADED,  # Groq: no room in the flexible tier
}
# The 4xx of RFC 9110 and its siblings by which a server says that the request is wrong, and nothing else.
_WRONG_REQUESTS: Final = frozenset({400, 405, 406, 410, 411, 412, 414, 415, 416, 417, 421, 422, 426, 428, 431})
_WRONG_KEYS: Final = frozenset({"invalid_api_key", "api_key_invalid", "expiredtokenexception", "unrecognizedclientexception"})

_FORBIDDEN: Final = (Reason.CONTENT_POLICY, Reason.CONTEXT_WINDOW, Reason.RATE_LIMIT)
_REFUSALS: Final = (Reason.CONTEXT_WINDOW, Reason.CONTENT_POLICY, Reason.AUTH, Reason.RATE_LIMIT)
_BREAKDOWNS: Final = (Reason.OVERLOADED, Reason.TIMEOUT, Reason.SERVER_ERROR)
_SEPARATORS: Final = re.compile(r"[^a-z0-9]")


def judge(answer: Answer, *, ends: bool = False) -> Reason:
    """Say why an answer failed; what cannot be told by code or text is told by its status.

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
        return Reason.BAD_REQUEST  # a redirect that was not followed: the address is wrong
    return _unnumbered(answer, ends)


def judge_text(text: str, *, ends: bool = False) -> Reason | None:
    """Say why a call failed when there are only words and no answer; None if they do not say."""
    text = text[:TEXT_LIMIT]
    if UNREADABLE.search(text):
        return Reason.SERVER_ERROR
    return (
        _by_text(text, Reason.AUTH)
        or _by_money(text)
        or (Reason.QUOTA_EXHAUSTED if say.NO_ALLOWANCE.search(text) else None)
        or _by_allowance(text, ends=ends)
        or _by_text(text, *(reason for reason in TEXTS if reason is not Reason.QUOTA_EXHAUSTED))
    )


def is_by_period(answer: Answer) -> bool:
    """Whether the limit that an answer tells of is one by the day, the week or the month."""
    return bool(LONG_PERIOD.search(answer.text)) or "openrouter_free_tier_daily" in answer.codes


def is_nothing_allowed(answer: Answer) -> bool:
    """Whether the limit itself is zero: in words, in Google's details, in the headers."""
    if say.NO_ALLOWANCE.search(answer.text):
        return True
    for detail in error_details(answer.body):
        violations = detail.get("violations")
        told = [detail.get("metadata"), *(violations if isinstance(violations, list) else ())]
        values = (one.get(name) for one in told if isinstance(one, Mapping) for name in ("quota_limit_value", "quotaValue"))
        if any(value == "0" or value == 0 for value in values):
            return True
    return allowances.is_nothing_allowed(answer.headers)


def _limit(answer: Answer, ends: bool) -> Reason:
    """Judge a 429: per minute, or used up, or larger than the limit itself, or really an overload."""
    return (
        _by_money(answer.text, answer.codes)
        or (Reason.QUOTA_EXHAUSTED if is_nothing_allowed(answer) else None)
        or _by_code(answer, Reason.OVERLOADED)
        # "Request too large for gpt-4o on tokens per min: Limit 30000, Requested 40000" never fits.
        or _by_text(answer.text, Reason.CONTEXT_WINDOW)
        or (_period(ends) if is_by_period(answer) else None)
        or _by_allowance(answer.text, answer.codes, ends=ends)
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
    if status in (401, 403):
        return _forbidden(answer, status, ends)
    return (
        _by_quota(answer, ends)
        or _by_code(answer, *_REFUSALS, *_BREAKDOWNS)
        or _by_text(answer.text, *_REFUSALS)
        or (Reason.BAD_REQUEST if status in _WRONG_REQUESTS else Reason.UNKNOWN)
    )


def _forbidden(answer: Answer, status: int, ends: bool) -> Reason:
    """Judge a 401 and a 403: a key that is refused, a quota, what was asked, or what only a person can tell."""
    no_money = _by_text(answer.text, Reason.QUOTA_EXHAUSTED)
    if not no_money and (KEY.search(answer.text) or answer.codes & _WRONG_KEYS):
        return Reason.AUTH
    if quota := no_money or _by_quota(answer, ends):
        return quota
    if status == 401:
        return Reason.AUTH  # by RFC 9110, section 15.5.2, it says nothing else
    told = _by_code(answer, *_FORBIDDEN) or _by_text(answer.text, *_FORBIDDEN) or _by_code(answer, Reason.AUTH)
    if told or (isinstance(answer.body, str) and answer.body.startswith("<")):  # a page: a firewall's, not the provider's
        return told or Reason.UNKNOWN
    return _by_text(answer.text, Reason.AUTH) or (Reason.AUTH if say.ACCESS.search(answer.text) else Reason.UNKNOWN)


def _breakdown(answer: Answer, status: int) -> Reason:
    """Judge a 5xx; some gateways put other people's refusals into one."""
    if status in _GATEWAY_TIMEOUTS:
        return Reason.TIMEOUT
    default = Reason.OVERLOADED if status in (503, 529) else Reason.SERVER_ERROR
    choices = (Reason.CONTEXT_WINDOW, Reason.RATE_LIMIT, Reason.OVERLOADED, Reason.TIMEOUT)
    money = _by_text(answer.text, Reason.QUOTA_EXHAUSTED) or _by_money("", answer.codes)  # MiniMax, as a 500
    return money or _by_code(answer, *choices) or _by_text(answer.text, *choices) or default


def _unnumbered(answer: Answer, ends: bool) -> Reason:
    """Judge an error without a status of its own: inside a stream, or in an answer that claims success."""
    told = _by_code(answer, *(reason for reason in CODES if reason not in (Reason.BAD_REQUEST, Reason.QUOTA_EXHAUSTED)))
    if told is Reason.RATE_LIMIT:
        return _limit(answer, ends)
    return (
        _by_money(answer.text, answer.codes)
        or told
        or _by_allowance(answer.text, answer.codes, ends=ends)
        or _by_text(answer.text, *TEXTS)
        or _by_code(answer, Reason.BAD_REQUEST)
        or Reason.SERVER_ERROR
    )


def _by_quota(answer: Answer, ends: bool) -> Reason | None:
    """Judge a refusal that is no 429 by what it says of money and of quotas; by the minute it is a rate limit."""
    money = _by_money(answer.text, answer.codes)
    allowance = _by_allowance(answer.text, answer.codes, ends=ends)
    if money or allowance:
        return money or allowance
    if not say.QUOTA.search(answer.text):
        return None
    # Google quotes the names of its quotas.
    is_short = answer.codes & CODES[Reason.RATE_LIMIT] or _is_short(answer.message[:TEXT_LIMIT])
    return Reason.RATE_LIMIT if is_short else _period(ends)


def _by_money(text: str, codes: frozenset[str] = frozenset()) -> Reason | None:
    """Whether there is no money, or the plan has no room; a code for it does not count beside words of a minute."""
    if TEXTS[Reason.QUOTA_EXHAUSTED].search(text):
        return Reason.QUOTA_EXHAUSTED
    if _is_short(text):
        return None
    if codes & CODES[Reason.QUOTA_EXHAUSTED] or _has_shape(say.NO_MONEY, codes) or "insufficient_quota" in text:
        return Reason.QUOTA_EXHAUSTED
    if "resource_exhausted" in codes or "resource_exhausted" in text.lower():
        return None  # Google says "plan and billing" at every limit
    return Reason.QUOTA_EXHAUSTED if say.PLAN.search(text) else None


def _by_allowance(text: str, codes: frozenset[str] = frozenset(), *, ends: bool) -> Reason | None:
    """Whether an allowance of the day or of hours is used up; whether it is waited for depends on what it names."""
    if LONG_PERIOD.search(text):
        return _period(ends)
    if _is_short(text) or _has_shape(say.PER_MINUTE_CODE, codes):
        return None
    return _period(ends) if say.ALLOWANCE.search(text) or _has_shape(say.USED_UP, codes) else None


def _is_short(text: str) -> bool:
    """Whether a limit is one by the minute or the second, and not also one by the day."""
    return bool(say.SHORT_PERIOD.search(text)) and not LONG_PERIOD.search(text)


def _has_shape(shape: re.Pattern[str], codes: frozenset[str]) -> bool:
    return any(shape.search(_SEPARATORS.sub("", code)) for code in codes)


def _by_code(answer: Answer, *reasons: Reason) -> Reason | None:
    return next((reason for reason in reasons if answer.codes & CODES[reason]), None)


def _by_text(text: str, *reasons: Reason) -> Reason | None:
    return next((reason for reason in reasons if TEXTS[reason].search(text)), None)


def _period(ends: bool) -> Reason:
    return Reason.RATE_LIMIT if ends else Reason.QUOTA_EXHAUSTED
