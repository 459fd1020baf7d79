"""How a turn ends after a call to a model was given up: parked until a time, or in error. It is the same for every loop."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from tidings.bus import Claim, LlmFailed, LlmParked, LlmRateLimited, Message, Notice, Release, Trigger, Wait
from tidings.workers import errors
from tidings.workers.redaction import one_line
from tidings.workers.retry import RetryPlan

SPREAD = 0.1
"""Parked sessions come back later than they could, by a tenth of the wait, `RetryPlan.park_base_s` at most: not all at once."""

_MODEL_LIMIT = 200
"""Characters of a model's name in a wait."""


def ending(
    error: errors.LlmError,
    claim: Claim,
    plan: RetryPlan,
    read: int,
    now: datetime,
    *,
    progress: bool,
    not_before: datetime | None = None,
) -> Release:
    """Return how to release a session whose turn a failed call has ended: its notice, its wait and its place on the schedule.

    Args:
        error: as the `Llm` raised it.
        claim: the claim that was worked under.
        plan: says how long to park where the provider named no time.
        read: offset up to which the loop has read the history.
        now: server time.
        progress: whether the turn has brought anything; the row of parks before it is then over.
        not_before: until when another call of the turn was to wait, by what was told; None: none was.
    """
    if not isinstance(error, errors.LlmParked):
        return _fail(error, claim, read, now, error.failure.action)
    parks, parked_s = (0, 0.0) if progress else (claim.parks, claim.parked_s)
    seconds = error.resume_in_s
    if seconds is None and error.schedule:
        seconds = plan.park_delay_s(parked_s)
        if seconds is None and not isinstance(error, errors.LlmRateLimited):
            action = f"It has been so for {_waits(parks)}: look" if parks else "Look"
            return _fail(error, claim, read, now, f"{action} at the provider, then resume.")
        parked_s += seconds or 0.0
    spread_s = 0.0 if seconds is None else random.random() * min(SPREAD * seconds, plan.park_base_s)
    resume_at = None if seconds is None else _in(max(now + timedelta(seconds=seconds), not_before or now), spread_s)
    action = error.failure.action
    if seconds is None and error.schedule:
        action = f"the limit has outlasted {_waits(parks)}: raise it or wait" if parks else "raise the limit or wait"
        action += ", then resume the session"
    return _park(error, claim, read, now, resume_at, action, parks + 1, parked_s)


def _park(
    error: errors.LlmParked,
    claim: Claim,
    read: int,
    now: datetime,
    resume_at: datetime | None,
    action: str,
    parks: int,
    parked_s: float,
) -> Release:
    limited = isinstance(error, errors.LlmRateLimited)
    wait_s = max(0.0, (resume_at - now).total_seconds()) if resume_at else 0.0
    call = _shown(error, action, wait_s)
    fields = call.model_dump() | {"resume_at": resume_at, "parks": parks}
    envelope: dict[str, Any] = {"session": claim.session, "source": f"worker/{claim.worker.name}", "time": now}
    notice: Message[Notice]
    if limited:
        notice = Message.of(LlmRateLimited.model_validate(fields), **envelope)
    else:
        notice = Message.of(LlmParked.model_validate(fields), **envelope)
    return Release(
        Trigger.PARK if limited else Trigger.OUTAGE,
        read=read,
        parks=parks,
        parked_s=parked_s,
        resume_at=resume_at,
        waits={error.llm: call},
        reason=error.failure.reason,
        why=one_line(f"parked: {error.model}: {error.failure.message}" if resume_at else f"parked: {action}"),
        notices=(notice,),
    )


def _fail(error: errors.LlmError, claim: Claim, read: int, now: datetime, action: str) -> Release:
    data = LlmFailed(
        llm=error.llm,
        model=error.model,
        reason=error.failure.reason,
        attempt=error.attempt,
        max_attempts=error.max_attempts,
        status_code=error.failure.status,
        message=error.failure.message,
        action=action,
    )
    notice = Message.of(data, session=claim.session, source=f"worker/{claim.worker.name}", time=now)
    return Release(
        Trigger.FAIL,
        read=read,
        reason=error.failure.reason,
        why=one_line(f"{error.model}: {_sentence(error.failure.message)} {action}"),
        notices=(notice,),
        waits={error.llm: _shown(error, action)},
    )


def _shown(error: errors.LlmError, action: str, wait_s: float = 0.0) -> Wait:
    """Return a call that was given up as the record keeps it, for people to see."""
    return Wait(
        llm=error.llm,
        model=error.model[:_MODEL_LIMIT],
        reason=error.failure.reason,
        attempt=error.attempt,
        max_attempts=error.max_attempts,
        wait_s=wait_s,
        message=error.failure.message,
        action=action,
    )


def _waits(count: int) -> str:
    return f"{count} {'wait' if count == 1 else 'waits'}"


def _in(now: datetime, seconds: float) -> datetime:
    """Return the instant so many seconds from now, in whole milliseconds, as the record keeps it; never too early."""
    when = now + timedelta(seconds=seconds, milliseconds=1)
    return when.replace(microsecond=when.microsecond // 1000 * 1000)


def _sentence(text: str) -> str:
    """Return what a provider said so that a sentence may follow."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
