"""Every error that the workers raise about calls to models, in one tree.

    LlmError                  a call to a model did not succeed, and the run that made it is over
    ├── LlmCallFailed             waiting does not help
    └── LlmCallParked             waiting helps, but longer than a worker holds a session for: an outage
        └── LlmCallLimited    the same of a limit

    BrokenAnswer              an answer came and is none; never raised to callers, only their ``__cause__``
    ├── AnswerTooLong         an answer goes on beyond what is taken in; asking again would bring the same
    └── ErrorInAnswer         a "200 OK" holds an error of the provider's, in whatever place

Both kinds of `LlmError` have the provider's (or the library's) own error as ``__cause__``. Data is on
attributes; the text says what to do. No text holds a secret: neither theirs nor, as far as it is text, their
cause's.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tidings.bus import Ending, Lease, LlmFailed, LlmParked, LlmRateLimited, Message, Notice, Reason, Trigger, Wait
from tidings.bus.redaction import one_line
from tidings.workers.retry import Failure, RetryPlan

SPREAD = 0.1
"""Parked sessions come back later than they could, by a tenth of the wait, `RetryPlan.park_base_s` at most: not all at once."""

_MODEL_LIMIT = 200
"""Characters of a model's name in a wait."""


class LlmError(Exception):
    """A call to a model did not succeed.

    Attributes:
        failure: what the last attempt ended with.
        attempt: which one it was; the first is 1.
        max_attempts: attempts that the plan allows a run.
        model: the model as litellm was asked for it.
        llm: name of the path within the agent.
        plan: how calls are repeated, and sessions parked.
    """

    def __init__(
        self,
        message: str,
        *,
        failure: Failure,
        attempt: int,
        max_attempts: int,
        model: str,
        llm: str = "agent",
        plan: RetryPlan | None = None,
    ) -> None:
        super().__init__(message)
        self.plan = plan or RetryPlan()
        self.failure = failure
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.model = model
        self.llm = llm

    def ending(self, lease: Lease) -> Ending:
        """Return how a session is released whose turn this error ends: parked until its time has come, or in error."""
        until = lease.waits_until(self.llm)
        return ending(self, lease, self.plan, lease.read, lease.now(), achieved=lease.achieved, not_before=until)


class LlmCallFailed(LlmError):
    """The failure is not retryable."""


class LlmCallParked(LlmError):
    """An outage outlasts the attempts of a run, or what a worker waits for.

    Attributes:
        resume_in_s: seconds until it is worth another try, as the provider said; None if it named no time.
        schedule: whether the park schedule (`RetryPlan.park_delay_s`) says when to try again. False with
            ``resume_in_s`` None: the quota is exhausted, and only a person or the calendar helps.
    """

    def __init__(
        self,
        message: str,
        *,
        failure: Failure,
        attempt: int,
        max_attempts: int,
        model: str,
        llm: str = "agent",
        plan: RetryPlan | None = None,
        resume_in_s: float | None = None,
        schedule: bool = False,
    ) -> None:
        super().__init__(message, failure=failure, attempt=attempt, max_attempts=max_attempts, model=model, llm=llm, plan=plan)
        self.resume_in_s = resume_in_s
        self.schedule = schedule


class LlmCallLimited(LlmCallParked):
    """A rate limit outlasts what a worker waits for, or the quota is exhausted."""


_TRY_AGAIN = "Resume to try again; if it happens again, see the provider's status page or choose another model."
_SHORTER = "Ask for a shorter answer or raise TIDINGS_MAX_ANSWER_BYTES, then resume."


class BrokenAnswer(Exception):
    """The provider answered "200 OK" with something that is no answer, or stopped in the middle of one.

    Attributes:
        reason: what to call it.
        action: what a person can do, in one sentence.
        tries: requests of one call that may end so; asking for more would bring the same. None for as many as the plan has.
    """

    def __init__(self, message: str, reason: Reason, action: str = _TRY_AGAIN, tries: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.action = action
        self.tries = tries


class AnswerTooLong(BrokenAnswer):
    """The provider sends more than is taken in, or goes on for longer; its connection is closed."""

    def __init__(self, message: str, reason: Reason, action: str) -> None:
        super().__init__(message, reason, action, tries=1)

    @classmethod
    def in_bytes(cls, most: int) -> AnswerTooLong:
        """Make the error for an answer of more than this many bytes."""
        return cls(
            f"the answer is larger than {most} bytes",
            Reason.SERVER_ERROR,
            _SHORTER,
        )

    @classmethod
    def in_parts(cls, most: int) -> AnswerTooLong:
        """Make the error for an answer of more objects, lists or lines than can be read at once."""
        return cls(
            f"the answer has more than {most} objects and lists, or too many lines, to be read at once",
            Reason.SERVER_ERROR,
            _SHORTER,
        )

    @classmethod
    def in_seconds(cls, most: float) -> AnswerTooLong:
        """Make the error for a stream that goes on for longer than this."""
        return cls(
            f"the answer is still coming after {most:g} s",
            Reason.TIMEOUT,
            "Ask for a shorter answer or raise TIDINGS_LLM_TIMEOUT_S, then resume.",
        )


class ErrorInAnswer(BrokenAnswer):
    """The provider says in a "200 OK" that it failed; what it says is judged as the body of an error is.

    Attributes:
        status_code: of the answer.
        headers: of the answer.
        body: what it says, as `tidings.workers.retry.answer` reads it.
    """

    def __init__(self, status_code: int, headers: Mapping[str, str], body: object) -> None:
        super().__init__('the provider sent an error in a "200 OK"', Reason.SERVER_ERROR)
        self.status_code = status_code
        self.headers = headers
        self.body = body


def ending(
    error: LlmError,
    lease: Lease,
    plan: RetryPlan,
    read: int,
    now: datetime,
    *,
    achieved: bool,
    not_before: datetime | None = None,
) -> Ending:
    """Return how to release a session whose turn a failed call has ended: its notice, its wait and its place on the schedule.

    Args:
        error: as the `Llm` raised it.
        lease: the lease that was worked under.
        plan: says how long to park where the provider named no time.
        read: offset up to which the loop has read the history.
        now: server time.
        achieved: whether the turn has brought anything; the row of parks before it is then over.
        not_before: until when another call of the turn was to wait, by what was told; None: none was.
    """
    if not isinstance(error, LlmCallParked):
        return _fail(error, lease, read, now, error.failure.action)
    parks, parked_s = (0, 0.0) if achieved else (lease.parks, lease.parked_s)
    seconds = error.resume_in_s
    if seconds is None and error.schedule:
        seconds = plan.park_delay_s(parked_s)
        if seconds is None and not isinstance(error, LlmCallLimited):
            action = f"It has been so for {_waits(parks)}: look" if parks else "Look"
            return _fail(error, lease, read, now, f"{action} at the provider, then resume.")
        parked_s += seconds or 0.0
    spread_s = 0.0 if seconds is None else random.random() * min(SPREAD * seconds, plan.park_base_s)
    resume_at = None if seconds is None else _in(max(now + timedelta(seconds=seconds), not_before or now), spread_s)
    action = error.failure.action
    if seconds is None and error.schedule:
        action = f"the limit has outlasted {_waits(parks)}: raise it or wait" if parks else "raise the limit or wait"
        action += ", then resume the session"
    return _park(error, lease, read, now, resume_at, action, parks + 1, parked_s)


def _park(
    error: LlmCallParked,
    lease: Lease,
    read: int,
    now: datetime,
    resume_at: datetime | None,
    action: str,
    parks: int,
    parked_s: float,
) -> Ending:
    limited = isinstance(error, LlmCallLimited)
    wait_s = max(0.0, (resume_at - now).total_seconds()) if resume_at else 0.0
    call = _shown(error, action, wait_s)
    fields = call.model_dump() | {"resume_at": resume_at, "parks": parks}
    envelope: dict[str, Any] = {"session": lease.session, "source": f"worker/{lease.worker.name}", "time": now}
    notice: Message[Notice]
    if limited:
        notice = Message.of(LlmRateLimited.model_validate(fields), **envelope)
    else:
        notice = Message.of(LlmParked.model_validate(fields), **envelope)
    return Ending(
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


def _fail(error: LlmError, lease: Lease, read: int, now: datetime, action: str) -> Ending:
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
    notice = Message.of(data, session=lease.session, source=f"worker/{lease.worker.name}", time=now)
    return Ending(
        Trigger.FAIL,
        read=read,
        reason=error.failure.reason,
        why=one_line(f"{error.model}: {_sentence(error.failure.message)} {action}"),
        notices=(notice,),
        waits={error.llm: _shown(error, action)},
    )


def _shown(error: LlmError, action: str, wait_s: float = 0.0) -> Wait:
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
