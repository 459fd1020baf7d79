"""One session as a row of the table: what is known of it, and how a notice changes that. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from tidings.bus import (
    AgentProgress,
    ChildState,
    LlmAttempt,
    LlmFailed,
    LlmParked,
    LlmRecovered,
    LlmRetry,
    Message,
    Notice,
    Progress,
    Reason,
    Record,
    SessionState,
    State,
    Wait,
    Work,
    WorkerClaimed,
    WorkerLost,
    WorkerReleased,
)
from tidings.bus.messages import DEFAULT_QUEUE, most_telling
from tidings.bus.records import DRAWN
from tidings.bus.redaction import one_line
from tidings.bus.states import FINAL, HELD, WAITING
from tidings.workers.board.look import Look, age, clock, doing, duration, look_of, waiting

_AGENT = "agent"
_RESUME = "resume it, or say something"
_WAIT = "it goes on by itself; resume it to try at once"


@dataclass(frozen=True, slots=True)
class Row:
    """What is shown of one session.

    The record has all of it, as the notices have, so a reader that comes later sees the same.

    Attributes:
        since: when it entered its state; None where that is not known.
        by: sender of the command that led to the state; '' where none did.
        waits: the calls that have failed and are not over, by LLM path: they wait, or are asked again.
        resume_at: when a parked session goes on by itself.
        message: what the provider said.
        action: what a person can do.
        model: that of the wait that says most, or of the call that failed; else the agent's.
        parent: session of which it is a child; '' for none.
        name: what that calls it.
        usual: the model of its agent, to which `model` goes back when nothing of another path waits.
        work: how it is worked on.
        progress: what its agent has told last of the turn under way; None where it has told nothing.
    """

    session: str
    state: State | None = None
    reason: Reason | None = None
    why: str = ""
    since: datetime | None = None
    by: str = ""
    waits: Mapping[str, Wait] = field(default_factory=dict)
    resume_at: datetime | None = None
    message: str = ""
    action: str = ""
    model: str = ""
    worker: str = ""
    parent: str = ""
    name: str = ""
    usual: str = ""
    progress: Progress | None = None
    work: Work = field(default_factory=Work)

    @classmethod
    def of_child(cls, child: ChildState, parent: str) -> Self:
        """Return the row of a child as its parent's people see it."""
        wait, said = child.wait, child.wait or child.failure
        return cls(
            child.child,
            state=child.state,
            reason=child.reason,
            why=child.why,
            waits={wait.llm: wait} if wait else {},
            resume_at=child.resume_at,
            message=said.message if said else "",
            action=said.action if said else "",
            model=(said.model if said else None) or child.model or "",
            worker=child.worker.name if child.worker else "",
            parent=parent,
            name=child.name,
            usual=child.model or "",
        )

    @classmethod
    def of(cls, record: Record, now: datetime) -> Self:
        """Return the row of a record as it is."""
        notice = record.as_notice(now)
        row = cls(record.session, state=record.state)
        row = row.apply(notice) if notice else row
        # The notice has one wait, the picture has them all, and what an earlier worker's call has waited for.
        known = record.picture.waits if row.waits else {}
        waits = {llm: wait for llm, wait in known.items() if not record.held or wait.asked_at or wait.lasts(now)}
        return replace(row, since=row.since or record.since, waits=waits or row.waits)

    def apply(self, notice: Message[Notice]) -> Self:
        """Return the row after a notice.

        A wait is shown as soon as its worker tells it; the controllers' word on the state follows.
        """
        if isinstance(notice.data, SessionState):
            return self._moved(notice.data, notice)
        told = notice.data
        if isinstance(told, LlmRetry):
            return self._calling({**self.waits, told.llm: told.wait()}, told, notice)
        if isinstance(told, LlmAttempt):
            return self._calling({**self.waits, told.llm: told.under_way(self.waits.get(told.llm), notice.time)}, told, notice)
        if isinstance(told, LlmRecovered):
            return self._calling({llm: wait for llm, wait in self.waits.items() if llm != told.llm}, told, notice)
        if isinstance(notice.data, LlmParked | LlmFailed):
            return self._given_up(notice.data)
        if isinstance(told, AgentProgress):
            return replace(self, progress=told.progress(), worker=self.worker or _worker_of(notice.source))
        if isinstance(notice.data, WorkerClaimed):
            return replace(self, worker=notice.data.worker.name, progress=None)
        if isinstance(notice.data, WorkerReleased | WorkerLost):
            # It enters the state that follows now, be it called as the one before: what is parked does not go on waiting.
            return replace(self, worker="", waits={}, since=notice.time, progress=None)
        return self

    def _calling(self, waits: Mapping[str, Wait], told: LlmRetry | LlmAttempt | LlmRecovered, notice: Message[Notice]) -> Self:
        """Return the row with these calls, that wait or are asked again, as its controller puts it."""
        wait = most_telling(waits.values())
        lasting = most_telling(wait for wait in waits.values() if wait.asked_at is None)
        usual = self._usual(told.llm, told.model)
        if lasting is not None:
            state = lasting.state
        elif self.state in HELD:
            state = State.RUNNING
        else:
            # A recovery that is told too late moves nothing that is over.
            return replace(self, waits=waits, model=self.model or usual, usual=usual)
        return replace(
            self,
            state=state,
            why=waiting(wait),
            since=self.since if state is self.state else notice.time,
            waits=waits,
            reason=lasting.reason if lasting else None,
            message=wait.message if wait else "",
            action=wait.action if wait else "",
            model=(wait.model if wait else None) or usual,
            # The sender holds the session, also where its claim was missed; without a worker it would look parked.
            worker=self.worker or _worker_of(notice.source),
            usual=usual,
        )

    def _usual(self, llm: str, model: str | None) -> str:
        """Return the model of its agent, after a path has told its own; as a worker has it in its picture."""
        return model if model and (llm == _AGENT or not self.usual) else self.usual

    def _moved(self, told: SessionState, notice: Message[Notice]) -> Self:
        wait, said = told.wait, told.wait or told.failure
        usual = told.model or self.usual
        # A change of state that a controller tells does not name the worker that goes on holding it, nor what its agent does.
        kept, progress = (self.worker, self.progress) if told.to in HELD else ("", None)
        return replace(
            self,
            state=told.to,
            reason=told.reason,
            why=told.why,
            since=self._entered(told, notice),
            by=told.by or "",
            waits=self._waits_with(told.to, wait),
            resume_at=told.resume_at,
            message=said.message if said else "",
            action=said.action if said else "",
            model=(said.model if said else None) or usual,
            worker=told.worker.name if told.worker else kept,
            parent=told.parent or self.parent,
            name=told.name or self.name,
            usual=usual,
            progress=told.progress if notice.source == DRAWN else progress,
            work=told.work or self.work,
        )

    def _entered(self, told: SessionState, notice: Message[Notice]) -> datetime:
        """Return when it entered the state that a notice tells: what is told again has not begun again.

        The picture of a record says it; it comes first, and after notices that were missed.
        """
        told_again = told.to is self.state and notice.source != DRAWN
        return self.since if told_again and self.since else notice.time

    def _waits_with(self, to: State, wait: Wait | None) -> Mapping[str, Wait]:
        """Return the waits under way after a change of state that names one: the one that says most of several.

        The others go on, as long as it is a wait that its worker has told; each of them is ended by a notice of its own. Those of
        calls that were left are ended by the word that it runs.
        """
        if wait is None:
            return {}
        if not wait.retry_at or wait.llm not in self.waits:
            return {wait.llm: wait}
        others = {llm: other for llm, other in self.waits.items() if to in WAITING or other.asked_at}
        return {**others, wait.llm: wait}

    def _given_up(self, told: LlmParked | LlmFailed) -> Self:
        usual = self._usual(told.llm, told.model)
        return replace(
            self,
            waits={},
            reason=told.reason,
            resume_at=None if isinstance(told, LlmFailed) else told.resume_at,
            message=told.message,
            action=told.action,
            model=told.model or usual,
            usual=usual,
        )

    @property
    def label(self) -> str:
        """What it is called: a child by the name that its parent gave it."""
        return self.name or self.session

    @property
    def wait(self) -> Wait | None:
        """The wait that says most, else what the attempt under way has waited for (``asked_at``); None where there is neither."""
        return most_telling(self.waits.values())

    @property
    def under_way(self) -> bool:
        """Whether a call that failed is asked again at the moment, and none waits."""
        wait = self.wait
        return wait is not None and wait.asked_at is not None

    @property
    def parked(self) -> bool:
        """Whether it waits for a provider without a worker."""
        held = self.worker or (self.resume_at is None and any(wait.retry_at for wait in self.waits.values()))
        return self.state in WAITING and not held

    @property
    def needs_you(self) -> bool:
        """Whether something went wrong that only a person can put right; not where it just is a person's turn."""
        # Of an outage the time is only not known yet; without one it would be in error.
        return self.state is State.ERROR or (self.state is State.RATE_LIMITED and self.parked and self.resume_at is None)

    @property
    def look(self) -> Look | None:
        """How its state is shown; None while it has none."""
        return look_of(self.state, parked=self.parked, needs_you=self.needs_you) if self.state else None

    @property
    def attempt(self) -> str:
        """The attempt that is under way, else the one that failed last, as in ``2 of 6``; '' where none has failed."""
        wait = self.wait
        return f"{wait.attempt + self.under_way} of {wait.max_attempts}" if wait else ""

    @property
    def tried(self) -> str:
        """How far the call is, as in ``attempt 1 of 6 failed``; '' where no attempt of it has failed."""
        how = "under way" if self.under_way else "failed"
        return f"attempt {self.attempt} {how}" if self.wait else ""

    @property
    def doing(self) -> str:
        """What its agent does, as in ``compiling 3/8``; '' where it has told nothing, or a call waits or is asked again."""
        return doing(self.progress) if self.progress and self.state is State.RUNNING and not self.waits else ""

    @property
    def reason_word(self) -> str:
        """Why it waits or failed, in words."""
        return _words(self.reason) if self.reason else ""

    @property
    def to_do(self) -> str:
        """What helps: what a person can do about it, or that nothing needs to be done."""
        return one_line(self.action, 200) or (_RESUME if self.needs_you else _WAIT)

    def countdown(self, now: datetime) -> str:
        """Return how long it is until something happens by itself; '' where nothing is waited for."""
        wait = None if self.under_way else self.wait
        until = self.resume_at if self.parked else wait.retry_at if wait else None
        if until is None or self.state in FINAL:
            return ""
        return duration((until - now).total_seconds())

    def age(self, now: datetime) -> str:
        """Return for how long it has been in its state; '' where that is not known."""
        return age((now - self.since).total_seconds()) if self.since else ""

    def story(self) -> str:
        """Return why it is in its state, in one line; of one at work, what its agent does."""
        if self.doing:
            return self.doing
        wait = self.wait
        if wait is not None and wait.asked_at is not None:
            # The attempt itself is told beside it.
            return " · ".join(part for part in (f"after {_words(wait.reason)}", one_line(self.message, 300)) if part)
        place = self.place
        # The agent's own code has no provider that says something; then the record's line is all there is.
        parts = [self.reason_word, one_line(self.message or self.why, 300)] if self.reason else [one_line(self.why, 300)]
        if self.needs_you:
            parts.insert(0, f"needs you: {self.to_do}")
        elif self.parked:
            parts.append(self.to_do)
        elif self.state is State.QUEUED and place:
            parts.append(place)
        return " · ".join(part for part in parts if part)

    @property
    def place(self) -> str:
        """The queue and the agent that it waits for, as in ``queue gpu, agent coder``; '' for the usual ones."""
        queue, agent = self.work.place
        named = [f"queue {queue}" if queue != DEFAULT_QUEUE else "", f"agent {agent}" if agent else ""]
        return ", ".join(part for part in named if part)

    def line(self) -> str:
        """Return what is known of the session in one line: everything but the time that is left."""
        wait = self.wait
        called = f"{self.session} ({self.name}, child of {self.parent})" if self.parent else self.session
        parts = [called, self.look.word if self.look else "starting"]
        next_at = wait.retry_at if wait and not self.under_way else None
        if wait:
            parts.append(self.tried + (f", the next at {clock(next_at)}" if next_at else ""))
        if self.parked:
            parts.append(f"no worker, resumes at {clock(self.resume_at)}" if self.resume_at and not next_at else "no worker")
        parts += [self.story(), _short(self.model), f"on {_short(self.worker)}" if self.worker else ""]
        return "  ".join(part for part in parts if part)


def _worker_of(source: str) -> str:
    role, _, name = source.partition("/")
    return name if role == "worker" else ""


def _words(reason: Reason) -> str:
    return reason.value.replace("_", " ")


def states_told(session: str, notices: Iterable[Message[Notice]]) -> list[State]:
    """Return the states that a session came to by these notices, in order; one that is told again is no further one."""
    row, states = Row(session), list[State]()
    for notice in notices:
        row = row.apply(notice)
        if row.state is not None and states[-1:] != [row.state]:
            states.append(row.state)
    return states


def _short(name: str) -> str:
    return one_line(name, 100) if name else ""
