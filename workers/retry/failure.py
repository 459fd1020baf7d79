"""Say in one form why a call to a model failed, whether to try again, and what a person can do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tidings.bus.errors import cause_of
from tidings.bus.messages import Reason
from tidings.bus.redaction import EXCERPT, one_line, redact
from tidings.workers.retry import advice
from tidings.workers.retry.answer import TEXT_LIMIT, Answer, read_answer
from tidings.workers.retry.evidence import Evidence, gather, is_cancellation, text_of
from tidings.workers.retry.retry_after import renewed_after, retry_after
from tidings.workers.retry.rules import RETRYABLE, is_by_period, is_nothing_allowed, judge, judge_text

MESSAGE_LIMIT: Final = 500
"""Most characters of a failure's message."""

_CODE_LIMIT: Final = 100

# How litellm begins a message: "litellm.InternalServerError: AnthropicException - ".
_PREFIX: Final = re.compile(r"^(?:(?:litellm\.)?\w{1,60}(?:Error|Exception|Timeout)(?: \w{0,60}Error)?(?:: | - ))+")
# How it ends one: with a traceback, with the same once more, with advice to programmers.
_SUFFIX: Final = re.compile(r"Traceback \(most recent call last\)|Original exception: |Handle with `litellm")
_SSL_OBJECT: Final = re.compile(r" ssl:(?:<[^<>]*>|default)")


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt to call a model."""

    reason: Reason
    retryable: bool
    """Whether the same request may succeed a little later."""
    status: int | None
    """The HTTP status of the answer, as the provider or else litellm tells it; None if there was none."""
    code: str | None
    """The provider's own word for it, as in the body of its answer."""
    message: str
    """What the provider or the library said: redacted, one line, at most `MESSAGE_LIMIT` characters."""
    retry_after_s: float | None
    """Seconds that the provider asks to wait, from 0; of a used-up quota until it is back; None if it does not say."""
    action: str
    """What a person can do, in one sentence."""


def classify(error: BaseException, *, now: datetime, secrets: Iterable[str] = ()) -> Failure:
    """Say why a call failed, from the exception it ended with.

    Works by attributes and class names along the exception's causes, so that neither litellm nor any SDK
    has to be there; see `evidence` for what counts more than what. A failure that no provider told (a
    `TypeError` in the caller's code, a cancellation) is UNKNOWN and not retryable. It never raises.

    Args:
        now: An aware instant, for Retry-After dates in answers without a `Date`.
        secrets: Values to keep out of the message, in any shape; see `redaction.environment_secrets`.
    """
    if is_cancellation(error):
        return _failure(Reason.UNKNOWN, _described(error), secrets)
    evidence = gather(error)
    if evidence.answer is not None:
        return _from_answer(evidence.answer, now, secrets)
    if evidence.transport is not None and evidence.culprit is not None:
        return _from_culprit(evidence.transport, evidence.culprit, evidence.unreadable, secrets)
    return _from_words(error, evidence, now, secrets)


def classify_response(
    status: int,
    headers: object,
    body: object,
    *,
    now: datetime,
    secrets: Iterable[str] = (),
) -> Failure:
    """Say why a call failed, from the provider's raw answer.

    Args:
        status: The HTTP status; with 200 the error is looked for in the body.
        headers: A mapping, names in any case; None for none.
        body: Text, bytes or parsed JSON.
        now: An aware instant, for Retry-After dates in answers without a `Date`.
        secrets: Values to keep out of the message, in any shape.
    """
    return _from_answer(read_answer(status, headers, body), now, secrets)


def _from_culprit(reason: Reason, culprit: BaseException, unreadable: bool, secrets: Iterable[str]) -> Failure:
    """Report what stands in the way of an answer."""
    if unreadable:
        told = f"the provider's answer cannot be read ({_described(culprit)})"
        return _failure(reason, told, secrets, action=advice.UNREADABLE)
    if isinstance(culprit, StopAsyncIteration | StopIteration):
        return _failure(reason, "the stream ended before the answer did", secrets)
    return _failure(reason, _described(culprit), secrets)


def _from_answer(answer: Answer, now: datetime, secrets: Iterable[str]) -> Failure:
    reason = judge(answer, ends=_names_its_end(answer, now))
    message = answer.message if one_line(answer.message) else f"HTTP {answer.status} without a message"
    if reason is Reason.UNKNOWN and message is answer.message:
        message = f"HTTP {answer.status}: {_first_line(message)}"
    hint_s = _hint_s(reason, answer, now)
    return _failure(
        reason,
        message,
        secrets,
        status=answer.status,
        code=answer.code,
        retry_after_s=hint_s,
        action=_action(reason, answer, hint_s),
    )


def _from_words(error: BaseException, evidence: Evidence, now: datetime, secrets: Iterable[str]) -> Failure:
    """Judge by what litellm made of it: its status if that is a refusal, else its words."""
    status = evidence.wrapper_status
    said = [_stripped(text) for text in evidence.texts]
    told = read_answer(status, evidence.wrapper_headers, next(filter(None, reversed(said)), ""))
    by_words = judge_text("\n".join(said), ends=_names_its_end(told, now))
    unreadable = status == 422 and by_words is Reason.SERVER_ERROR
    if status is not None and status < 500 and not unreadable and evidence.wrapper_kind is None:
        return _from_answer(told, now, secrets)
    reason = evidence.wrapper_kind or by_words
    if reason is None and evidence.culprit is not None:
        action = advice.NOT_INSTALLED if isinstance(evidence.culprit, ImportError) else None
        return _failure(Reason.UNKNOWN, _described(evidence.culprit), secrets, action=action)
    reason = reason or evidence.guess or (Reason.UNKNOWN if status is None else judge(told))
    hint_s = _hint_s(reason, told, now)
    return _failure(
        reason,
        told.message if one_line(told.message) else _described(error),
        secrets,
        status=status if _is_genuine(status, reason) else None,
        code=told.code,
        retry_after_s=hint_s,
        action=advice.BY_REASON[reason] if reason is Reason.UNKNOWN else _action(reason, told, hint_s),
    )


def _is_genuine(status: int | None, reason: Reason) -> bool:
    """Whether a status that only litellm told goes with the reason; if not, litellm made it up."""
    if reason in (Reason.TIMEOUT, Reason.CONNECTION, Reason.UNKNOWN) or status is None:
        return False
    return status not in (422, 500) or judge(read_answer(status, None, "")) is reason


def _names_its_end(answer: Answer, now: datetime) -> bool:
    """Whether the answer to a limit by the day names the time at which the limit ends."""
    return retry_after(answer.headers, answer.body, answer.text, now=now, spent_only=True) is not None


def _hint_s(reason: Reason, answer: Answer, now: datetime) -> float | None:
    """Read how long to wait, where waiting helps at all; of a used-up quota only when it is back."""
    if reason is Reason.QUOTA_EXHAUSTED and not is_nothing_allowed(answer):
        return renewed_after(answer.headers, answer.body, answer.text, now=now)
    if reason not in RETRYABLE:
        return None
    return retry_after(
        answer.headers,
        answer.body,
        answer.text,
        now=now,
        resets=reason is Reason.RATE_LIMIT,
        spent_only=is_by_period(answer),
    )


def _action(reason: Reason, answer: Answer, hint_s: float | None) -> str:
    """Say what a person can do; of a quota that ends by itself, nothing needs to be done."""
    if reason is Reason.QUOTA_EXHAUSTED and hint_s is not None:
        return advice.QUOTA_ENDS
    return advice.advise(reason, answer)


def _first_line(text: str) -> str:
    """Return the first line that holds anything; of an HTML page its title, mostly."""
    return next((line for line in text[:TEXT_LIMIT].splitlines() if one_line(line)), "")


def _stripped(text: str) -> str:
    """Take away what litellm puts around the words of others."""
    return _SUFFIX.split(_PREFIX.sub("", text.lstrip()), maxsplit=1)[0].strip()


def _described(error: BaseException) -> str:
    """Name an error and what it says."""
    return cause_of(error, _SUFFIX.split(text_of(error), maxsplit=1)[0])


def _failure(
    reason: Reason,
    message: str,
    secrets: Iterable[str],
    *,
    status: int | None = None,
    code: str | None = None,
    retry_after_s: float | None = None,
    action: str | None = None,
) -> Failure:
    secrets = tuple(secrets)
    message = redact(_SSL_OBJECT.sub("", message[:TEXT_LIMIT]), secrets, EXCERPT)
    return Failure(
        reason=reason,
        retryable=reason in RETRYABLE,
        status=status,
        code=one_line(redact(code, secrets), _CODE_LIMIT) if code else None,
        message=one_line(message, MESSAGE_LIMIT),
        retry_after_s=retry_after_s,
        action=action or advice.advise(reason),
    )
