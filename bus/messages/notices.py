"""Notices: what the system is doing, for people, controllers and other workers. Never for the model."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from pydantic import Field

from tidings.bus.messages.planes import Notice
from tidings.bus.messages.reasons import Reason
from tidings.bus.messages.values import MAX_COUNT, ChildName, Data, Instant, Seconds, SessionId, Text, missing
from tidings.bus.messages.work import Work
from tidings.bus.states import State

LONGEST_DOING = 200
"""Characters of what an agent says that it does."""


class WorkerRef(Data):
    """The worker of a session: enough to find the process.

    Attributes:
        name: name of the worker.
        host: host that it runs on.
        pid: its process id there.
    """

    name: Text = Field(min_length=1, max_length=128)
    host: Text = Field(default="", max_length=255)
    pid: int = Field(default=0, ge=0)


class Wait(Data):
    """What one LLM path waits for after a failed attempt; it is kept while the next attempt is under way, to count on from there.

    Attributes:
        llm: name of the path within the agent (``agent``, ``condenser``, ...).
        model: the model as litellm is asked for it.
        reason: why the last attempt failed.
        attempt: the attempt that failed; 1 is the first.
        max_attempts: attempts in this run.
        wait_s: length of the wait in seconds.
        waited_s: seconds of all waits of this run so far, this one included.
        retry_at: when the next attempt goes out; None where nothing is scheduled.
        asked_at: when the next attempt went out; None: it has not yet.
        message: what the provider said, one line, secrets removed.
        action: what a person can do; empty where nothing is to be done.
    """

    llm: Text = Field(default="agent", max_length=64)
    model: Text | None = Field(default=None, max_length=200)
    reason: Reason
    attempt: int = Field(default=1, ge=1)
    max_attempts: int = Field(default=1, ge=1)
    wait_s: Seconds = 0.0
    waited_s: Seconds = 0.0
    retry_at: Instant | None = None
    asked_at: Instant | None = None
    message: Text = ""
    action: Text = ""

    def lasts(self, now: datetime) -> bool:
        """Whether the next attempt is still waited for at an instant of server time."""
        return self.asked_at is None and (self.retry_at is None or self.retry_at > now)

    def kept(self) -> Wait:
        """Return it as the next worker takes it over: of an attempt that is cut short the wait is over."""
        return self if self.asked_at is None else self.model_copy(update={"asked_at": None, "retry_at": self.asked_at})

    @property
    def state(self) -> State:
        """The state of a session that waits so."""
        return State.RATE_LIMITED if self.reason.is_rate_limit else State.RETRYING


class Progress(Data):
    """What an agent does in its turn, by its own word, and how far it has come.

    Attributes:
        doing: what it does, as in ``compiling``; 1 to 200 characters.
        done: how much of it is done; None where it is not counted.
        total: how much there is to do; None where that is not known.
    """

    doing: Text = Field(min_length=1, max_length=LONGEST_DOING)
    done: int | None = Field(default=None, ge=0, le=MAX_COUNT)
    total: int | None = Field(default=None, ge=0, le=MAX_COUNT)


class Picture(Data):
    """What a worker is doing in a session right now; it goes with every renewal of the lease.

    Attributes:
        model: the model of its ``agent`` path; of the path that was told of first where the loop has not said it.
        waits: the calls that have failed and are not over, by LLM path: they wait, or their next attempt is under way.
        unsaid: whether a call is over without a notice of it: it was left. A follower of the notices still shows its wait.
        progress: what its agent has told last of this turn; left out where it has told nothing.
    """

    model: Text | None = None
    waits: dict[Text, Wait] = Field(default_factory=dict)
    unsaid: bool = False
    progress: Progress | None = Field(default=None, exclude_if=missing)

    @property
    def wait(self) -> Wait | None:
        """The wait that says most: one that is not over, a rate limit before others, then the one that ends last."""
        return most_telling(self.waits.values())

    def wait_at(self, now: datetime) -> Wait | None:
        """The wait that says most of those that last at an instant of server time; None where nothing is waited for."""
        return most_telling(wait for wait in self.waits.values() if wait.lasts(now))

    @property
    def under_way(self) -> Wait | None:
        """What the attempt under way has waited for, that says most of several; None where none is, but a first one perhaps."""
        return most_telling(wait for wait in self.waits.values() if wait.asked_at)

    def kept(self) -> Picture:
        """Return it as the next worker takes it over: no attempt is under way, the turn is over, what has been counted stays."""
        waits = {llm: wait.kept() for llm, wait in self.waits.items() if wait.retry_at}
        return self.model_copy(update={"waits": waits, "unsaid": False, "progress": None})

    @property
    def resume_at(self) -> datetime | None:
        """The instant before which no path asks again, in whole milliseconds as the record keeps it; None where none is known."""
        instants = [wait.retry_at for wait in self.waits.values() if wait.retry_at and wait.asked_at is None]
        if not instants:
            return None
        last = max(instants)
        return last + timedelta(microseconds=-last.microsecond % 1000)


def most_telling(waits: Iterable[Wait]) -> Wait | None:
    """Return the wait that says most: one that is not over, a rate limit before others, then the one that ends last."""
    ranked = sorted(
        waits,
        key=lambda wait: (
            wait.asked_at is None,
            wait.reason.is_rate_limit,
            wait.retry_at.timestamp() if wait.retry_at else 0.0,
        ),
    )
    return ranked[-1] if ranked else None


class LlmRetry(Wait, Notice, type="llm.retry"):
    """One attempt failed and will be repeated.

    Attributes:
        status_code: HTTP status of the failed attempt, None where there was no answer.
        retry_after_s: the wait that the provider asked for, None where it named none.
    """

    status_code: int | None = None
    retry_after_s: Seconds | None = None

    def wait(self) -> Wait:
        """Return what the picture shows of the call from now on."""
        return Wait.model_validate(self.model_dump(include=set(Wait.model_fields)))


class LlmAttempt(Notice, type="llm.attempt"):
    """A wait is over and the request is under way; not told of the first attempt of a call.

    Attributes:
        reason: why the attempt before it failed.
        attempt: the attempt that goes out: 2 or more.
        max_attempts: attempts in this run.
    """

    llm: Text = Field(default="agent", max_length=64)
    model: Text | None = Field(default=None, max_length=200)
    reason: Reason
    attempt: int = Field(ge=2)
    max_attempts: int = Field(ge=1)

    def under_way(self, known: Wait | None, asked_at: datetime) -> Wait:
        """Return what the picture shows of the call from now on.

        Args:
            known: what it has waited for, where that is known.
            asked_at: when the attempt went out.
        """
        known = known or Wait(llm=self.llm, model=self.model, reason=self.reason)
        counted = {"attempt": self.attempt - 1, "max_attempts": self.max_attempts, "asked_at": asked_at}
        return known.model_copy(update=counted)


class LlmParked(Notice, type="llm.parked"):
    """An outage of the provider outlasts the attempts of a run; the session is parked and its slot is free.

    Attributes:
        resume_at: when a controller will queue it again; None: only a person will.
        parks: parks in a row without a success between them.
        action: what a person must do; empty where nothing is to be done.
    """

    llm: Text = "agent"
    model: Text | None = None
    reason: Reason
    attempt: int = Field(ge=1)
    max_attempts: int = Field(ge=1)
    resume_at: Instant | None = None
    parks: int = Field(default=1, ge=1)
    message: Text = ""
    action: Text = ""


class LlmRateLimited(LlmParked, type="llm.rate_limited"):
    """The limit outlasts what a worker waits for; the session is parked and its slot is free."""


class LlmRecovered(Notice, type="llm.recovered"):
    """A call that had failed has succeeded; its waits are over.

    Attributes:
        attempt: the attempt that succeeded.
    """

    llm: Text = "agent"
    model: Text | None = None
    attempt: int = Field(ge=1)


class LlmFailed(Notice, type="llm.failed"):
    """A call failed and will not be repeated by itself.

    Attributes:
        attempt: the attempt that failed; 1 is the first.
        status_code: HTTP status of the failed attempt, None where there was no answer.
    """

    llm: Text = "agent"
    model: Text | None = None
    reason: Reason
    attempt: int = Field(ge=1)
    max_attempts: int = Field(ge=1)
    status_code: int | None = None
    message: Text = ""
    action: Text = ""


class AgentProgress(Progress, Notice, type="agent.progress"):
    """The agent of a session says what it does in its turn, every 0.5 s at most; it is over with the turn and in no prompt."""

    def progress(self) -> Progress:
        """Return what the picture shows of it from now on."""
        return Progress(doing=self.doing, done=self.done, total=self.total)


class WorkerClaimed(Notice, type="worker.claimed"):
    """A worker holds the session now.

    Attributes:
        worker: the worker that took it.
        token: fencing token of the lease.
    """

    worker: WorkerRef
    token: int = Field(default=0, ge=0)


class WorkerReleased(Notice, type="worker.released"):
    """The worker that held the session has let it go.

    Attributes:
        worker: the worker that released it.
        why: ``yield``, ``finish``, ``park``, ``outage``, ``fail`` or ``hand_back``.
    """

    worker: WorkerRef
    why: Text


class WorkerLost(Notice, type="worker.lost"):
    """The worker that held the session stopped renewing its lease.

    Attributes:
        worker: the worker that held it, None where that is not known.
        losses: how often in a row this session lost its worker.
    """

    worker: WorkerRef | None = None
    losses: int = Field(default=1, ge=1)


class SessionState(Notice, type="session.state"):
    """The state of the session changed, or this is what it is at the moment of attaching.

    Attributes:
        from_: state before (``from`` on the wire); None for a new session.
        to: state now.
        version: version of the session record; grows with every decision.
        parent: session of which it is a child, None where it is none.
        name: what the parent calls it.
        why: one line for a person.
        by: sender of the command that led to it, None where none did.
        reason: reason of the wait or failure, None where there is none.
        wait: the current wait, or what the attempt under way has waited for (``asked_at``); None where there is neither.
        resume_at: when a parked session will be queued again.
        worker: the worker that holds the session.
        failure: the call that failed for good, None where none did.
        model: the model of its agent, None where it is not known; a wait and a failure name their own.
        progress: what its agent does, as ``agent.progress`` told it last; only at the moment of attaching, and left out where
            that has told nothing or no worker holds the session.
        work: how the session is worked on; left out where the teller does not say.
    """

    from_: State | None = Field(default=None, alias="from")
    to: State
    version: int = Field(ge=0)
    parent: SessionId | None = None
    name: ChildName | None = None
    why: Text = ""
    by: Text | None = None
    reason: Reason | None = None
    wait: Wait | None = None
    resume_at: Instant | None = None
    worker: WorkerRef | None = None
    failure: Wait | None = None
    model: Text | None = None
    progress: Progress | None = Field(default=None, exclude_if=missing)
    work: Work | None = Field(default=None, exclude_if=missing)


class ChildState(Notice, type="child.state"):
    """The state or the wait of a child changed; told on the channel of its parent.

    Attributes:
        child: session id of the child.
        name: what its parent calls it.
        state: its state.
        why: one line for a person.
        reason: reason of its wait or failure, None where there is none.
        wait: its current wait, None where there is none.
        resume_at: when it will be queued again, if it is parked.
        worker: the worker that holds it.
        failure: the call that failed for good, None where none did.
        model: the model of its agent, None where it is not known.
    """

    child: SessionId
    name: ChildName
    state: State
    why: Text = ""
    reason: Reason | None = None
    wait: Wait | None = None
    resume_at: Instant | None = None
    worker: WorkerRef | None = None
    failure: Wait | None = None
    model: Text | None = None
