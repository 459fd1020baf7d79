"""What is seen of one session, everywhere: the model, what follows from it, and how a notice changes it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import ConfigDict, Field, JsonValue, PlainSerializer, TypeAdapter, computed_field
from pydantic_core import SchemaSerializer, from_json

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
from tidings.bus.messages import DEFAULT_QUEUE, as_stored, most_telling
from tidings.bus.records import DRAWN
from tidings.bus.redaction import one_line
from tidings.bus.states import FINAL, HELD, WAITING, legal_commands
from tidings.workers.view.look import Look, look_of
from tidings.workers.view.words import age, clock, doing, duration, in_words, waiting

TEXT: Final = 2000
"""Characters of a text of others in JSON; the whole of it stands in the history or in the notices."""
WAITS: Final = 8
"""Waits that JSON lists."""

_AGENT = "agent"
_RESUME = "resume it, or say something"
_WAIT = "it goes on by itself; resume it to try at once"

_legal = cache(legal_commands)

if TYPE_CHECKING:
    told = property
else:

    def told(read):
        """Make a property that is told in JSON beside the fields."""
        return computed_field(property(read))


def _bounded(text: str | None) -> str | None:
    return text if text is None or len(text) <= TEXT else text[: TEXT - 1] + "…"


def _bounded_waits(waits: tuple[Wait, ...]) -> tuple[Wait, ...]:
    return tuple(wait if _is_short(wait) else _cut(wait) for wait in islice(waits, WAITS))


def _bounded_wait(wait: Wait | None) -> Wait | None:
    return wait if wait is None or _is_short(wait) else _cut(wait)


def _is_short(wait: Wait) -> bool:
    return len(wait.message) <= TEXT and len(wait.action) <= TEXT


def _cut(wait: Wait) -> Wait:
    return wait.model_copy(update={"message": _bounded(wait.message), "action": _bounded(wait.action)})


Text = Annotated[str | None, PlainSerializer(_bounded, return_type=str | None)]
Waits = Annotated[tuple[Wait, ...], PlainSerializer(_bounded_waits, return_type=tuple[Wait, ...])]
OneWait = Annotated[Wait | None, PlainSerializer(_bounded_wait, return_type=Wait | None)]


@dataclass(frozen=True, slots=True)
class SessionView:
    """One session as people and their programs see it; what is not known, or is not so, is null.

    The record has all of it, as the notices have, so a reader that comes later sees the same. In JSON a text has at most 2,000
    characters, and there are at most eight waits.

    Attributes:
        state: null while it is starting.
        since: when it entered its state.
        reason: why it waits or failed.
        why: why it is in its state, in one line for a person.
        waits: the calls that have failed and are not over: they wait, or are asked again.
        resume_at: when a parked session goes on by itself.
        model: that of the wait that says most, or of the call that failed; else the agent's.
        worker: name of the worker that holds it.
        message: what the provider said.
        action: what a person can do.
        by: sender of the command that led to the state; of a paused one, who paused it.
        parent: session of which it is a child.
        name: what that calls it.
        progress: what its agent has told last of the turn under way. People are shown it where no call waits.
        work: how it is worked on: queue, agent, the model that was asked for, priority, tenant, labels.
    """

    __pydantic_config__ = ConfigDict(json_schema_serialization_defaults_required=True)

    session: str
    state: State | None = None
    since: datetime | None = None
    reason: Reason | None = None
    why: Text = None
    waits: Waits = ()
    resume_at: datetime | None = None
    model: Text = None
    worker: Text = None
    message: Text = None
    action: Text = None
    by: Text = None
    parent: Text = None
    name: Text = None
    progress: Progress | None = None
    work: Work = field(default_factory=Work)
    usual: Annotated[str | None, Field(exclude=True)] = None
    """The model of its agent, to which `model` goes back when nothing of another path waits; not told."""

    @classmethod
    def of_child(cls, child: ChildState, parent: str) -> Self:
        """Return a child as its parent's people see it."""
        message, action, model = _said(child.wait or child.failure, child.model)
        return cls(
            child.child,
            state=child.state,
            reason=child.reason,
            why=child.why or None,
            waits=(child.wait,) if child.wait else (),
            resume_at=child.resume_at,
            worker=child.worker.name if child.worker else None,
            parent=parent,
            name=child.name,
            usual=child.model,
            message=message,
            action=action,
            model=model,
        )

    @classmethod
    def of(cls, record: Record, now: datetime) -> Self:
        """Return a session as its record has it."""
        notice = record.as_notice(now)
        row = cls(record.session, state=record.state)
        row = row.apply(notice) if notice else row
        # The notice has one wait, the picture has them all, and what an earlier worker's call has waited for.
        known = record.picture.waits.values() if row.waits else ()
        waits = tuple(wait for wait in known if not record.held or wait.asked_at or wait.lasts(now))
        return replace(row, since=row.since or record.since, waits=waits or row.waits)

    # what follows from that, and is told as well

    @told
    def word(self) -> str:
        """The state in words, such as ``rate limited``, ``parked`` or ``retrying later``."""
        return self.look.word if self.look else "starting"

    @told
    def urgency(self) -> int:
        """What the order rests on: 0 needs a person, 1 is at work or waits, 2 rests, 3 is over."""
        if self.needs_you:
            return 0
        if self.state is None or self.state is State.QUEUED or self.state in HELD:
            return 1
        return 3 if self.state in FINAL else 2

    @told
    def needs_you(self) -> bool:
        """Whether something went wrong that only a person can put right; where it just is a person's turn this is false.

        It failed, or it waits out a limit and no time is known at which it goes on.
        """
        # Of an outage the time is only not known yet; without one it would be in error.
        return self.state is State.ERROR or (self.state is State.RATE_LIMITED and self.resume_at is None and self.parked)

    @told
    def parked(self) -> bool:
        """Whether it waits without a worker: for a limit (``rate_limited``), or for an outage to end (``retrying``)."""
        if self.state not in WAITING or self.worker:
            return False
        return self.resume_at is not None or not any(wait.retry_at for wait in self.waits)

    @told
    def wait(self) -> OneWait:
        """The wait that says most; where nothing waits, the call that is asked again (``asked_at``)."""
        return most_telling(self.waits) if self.waits else None

    @told
    def legal(self) -> tuple[str, ...]:
        """Commands that would be accepted now."""
        return _legal(self.state)

    # how it is put

    @property
    def label(self) -> str:
        """What it is called: a child by the name that its parent gave it."""
        return self.name or self.session

    @property
    def under_way(self) -> bool:
        """Whether a call that failed is asked again at the moment, and none waits."""
        wait = self.wait
        return wait is not None and wait.asked_at is not None

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
    def place(self) -> str:
        """The queue and the agent that it waits for, as in ``queue gpu, agent coder``; '' for the usual ones."""
        queue, agent = self.work.place
        named = [f"queue {queue}" if queue != DEFAULT_QUEUE else "", f"agent {agent}" if agent else ""]
        return ", ".join(part for part in named if part)

    @property
    def labels(self) -> str:
        """What people call it by, as in ``customer=acme team=red``."""
        return " ".join(f"{name}={text}" for name, text in self.work.labels.items())

    @property
    def reason_word(self) -> str:
        """Why it waits or failed, in words."""
        return in_words(self.reason) if self.reason else ""

    @property
    def to_do(self) -> str:
        """What helps: what a person can do about it, or that nothing needs to be done."""
        return one_line(self.action or "", 200) or (_RESUME if self.needs_you else _WAIT)

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
            return " · ".join(part for part in (f"after {in_words(wait.reason)}", one_line(self.message or "", 300)) if part)
        # The agent's own code has no provider that says something; then the record's line is all there is.
        parts = (
            [self.reason_word, one_line(self.message or self.why or "", 300)] if self.reason else [one_line(self.why or "", 300)]
        )
        if self.needs_you:
            parts.insert(0, f"needs you: {self.to_do}")
        elif self.parked:
            parts.append(self.to_do)
        elif self.state is State.QUEUED and self.place:
            parts.append(self.place)
        return " · ".join(part for part in parts if part)

    def line(self) -> str:
        """Return what is known of the session in one line: everything but the time that is left."""
        wait = self.wait
        called = f"{self.session} ({self.name}, child of {self.parent})" if self.parent else self.session
        parts = [called, self.word]
        next_at = wait.retry_at if wait and not self.under_way else None
        if wait:
            parts.append(self.tried + (f", the next at {clock(next_at)}" if next_at else ""))
        if self.parked:
            parts.append(f"no worker, resumes at {clock(self.resume_at)}" if self.resume_at and not next_at else "no worker")
        parts += [self.story(), _short(self.model), f"on {_short(self.worker)}" if self.worker else ""]
        return "  ".join(part for part in parts if part)

    # how a notice changes it

    def apply(self, notice: Message[Notice]) -> Self:
        """Return the session after a notice.

        A wait is shown as soon as its worker tells it; the controllers' word on the state follows.
        """
        data = notice.data
        if isinstance(data, SessionState):
            return self._moved(data, notice)
        if isinstance(data, LlmRetry):
            return self._calling(_with(self.waits, data.wait()), data, notice)
        if isinstance(data, LlmAttempt):
            known = next((wait for wait in self.waits if wait.llm == data.llm), None)
            return self._calling(_with(self.waits, data.under_way(known, notice.time)), data, notice)
        if isinstance(data, LlmRecovered):
            return self._calling(tuple(wait for wait in self.waits if wait.llm != data.llm), data, notice)
        if isinstance(data, LlmParked | LlmFailed):
            return self._given_up(data)
        if isinstance(data, AgentProgress):
            return replace(self, progress=data.progress(), worker=self.worker or _worker_of(notice.source))
        if isinstance(data, WorkerClaimed):
            return replace(self, worker=data.worker.name, progress=None)
        if isinstance(data, WorkerReleased | WorkerLost):
            # It enters the state that follows now, be it called as the one before: what is parked does not go on waiting.
            return replace(self, worker=None, waits=(), since=notice.time, progress=None)
        return self

    def _calling(self, waits: tuple[Wait, ...], data: LlmRetry | LlmAttempt | LlmRecovered, notice: Message[Notice]) -> Self:
        """Return the session with these calls, that wait or are asked again, as its controller puts it."""
        wait = most_telling(waits)
        lasting = most_telling(wait for wait in waits if wait.asked_at is None)
        usual = self._usual(data.llm, data.model)
        if lasting is not None:
            state = lasting.state
        elif self.state in HELD:
            state = State.RUNNING
        else:
            # A recovery that is told too late moves nothing that is over.
            return replace(self, waits=waits, model=self.model or usual, usual=usual)
        message, action, model = _said(wait, usual)
        return replace(
            self,
            state=state,
            why=waiting(wait),
            since=self.since if state is self.state else notice.time,
            waits=waits,
            reason=lasting.reason if lasting else None,
            # The sender holds the session, also where its claim was missed; without a worker it would look parked.
            worker=self.worker or _worker_of(notice.source),
            usual=usual,
            message=message,
            action=action,
            model=model,
        )

    def _usual(self, llm: str, model: str | None) -> str | None:
        """Return the model of its agent, after a path has told its own; as a worker has it in its picture."""
        return model if model and (llm == _AGENT or not self.usual) else self.usual

    def _moved(self, data: SessionState, notice: Message[Notice]) -> Self:
        usual = data.model or self.usual
        message, action, model = _said(data.wait or data.failure, usual)
        # A change of state that a controller tells does not name the worker that goes on holding it, nor what its agent does.
        kept, progress = (self.worker, self.progress) if data.to in HELD else (None, None)
        return replace(
            self,
            state=data.to,
            reason=data.reason,
            why=data.why or None,
            since=self._entered(data, notice),
            by=data.by or None,
            waits=self._waits_with(data.to, data.wait),
            resume_at=data.resume_at,
            worker=data.worker.name if data.worker else kept,
            parent=data.parent or self.parent,
            name=data.name or self.name,
            usual=usual,
            progress=data.progress if notice.source == DRAWN else progress,
            work=data.work or self.work,
            message=message,
            action=action,
            model=model,
        )

    def _entered(self, data: SessionState, notice: Message[Notice]) -> datetime:
        """Return when it entered the state that a notice tells: what is told again has not begun again.

        The picture of a record says it; it comes first, and after notices that were missed.
        """
        told_again = data.to is self.state and notice.source != DRAWN
        return self.since if told_again and self.since else notice.time

    def _waits_with(self, to: State, wait: Wait | None) -> tuple[Wait, ...]:
        """Return the waits under way after a change of state that names one: the one that says most of several.

        The others go on, as long as it is a wait that its worker has told; each of them is ended by a notice of its own. Those of
        calls that were left are ended by the word that it runs.
        """
        if wait is None:
            return ()
        if not wait.retry_at or all(wait.llm != known.llm for known in self.waits):
            return (wait,)
        return _with(tuple(known for known in self.waits if to in WAITING or known.asked_at or known.llm == wait.llm), wait)

    def _given_up(self, data: LlmParked | LlmFailed) -> Self:
        usual = self._usual(data.llm, data.model)
        message, action, model = _said(data, usual)
        return replace(
            self,
            waits=(),
            reason=data.reason,
            resume_at=None if isinstance(data, LlmFailed) else data.resume_at,
            usual=usual,
            message=message,
            action=action,
            model=model,
        )


def _worker_of(source: str) -> str | None:
    role, _, name = source.partition("/")
    return name if role == "worker" else None


def _with(waits: tuple[Wait, ...], wait: Wait) -> tuple[Wait, ...]:
    """Return the waits with one in the place of that of its path."""
    if all(known.llm != wait.llm for known in waits):
        return (*waits, wait)
    return tuple(wait if known.llm == wait.llm else known for known in waits)


def _said(call: Wait | LlmParked | LlmFailed | None, usual: str | None) -> tuple[str | None, str | None, str | None]:
    """Return what is shown of a call that failed: what the provider said, what helps, the model."""
    return (call.message or None, call.action or None, call.model or usual) if call else (None, None, usual)


def states_told(session: str, notices: Iterable[Message[Notice]]) -> list[State]:
    """Return the states that a session came to by these notices, in order; one that is told again is no further one."""
    row, states = SessionView(session), list[State]()
    for notice in notices:
        row = row.apply(notice)
        if row.state is not None and states[-1:] != [row.state]:
            states.append(row.state)
    return states


def _short(name: str | None) -> str:
    return one_line(name, 100) if name else ""


@dataclass(frozen=True, slots=True)
class FamilyView(SessionView):
    """One session with its children, and what only its record says: its place in the history, and its newest notice.

    Attributes:
        version: grows with each change of state.
        events: how many events its history has: the offset of the newest one.
        cursor: ``<epoch>-<offset>`` of the newest event: where a stream can begin.
        last: the newest notice, as on the wire.
        children: as they are seen, in order; a gateway gives at most 200, and its stream has them all.
        children_total: how many there are.
    """

    version: int = 0
    events: int = 0
    cursor: str = ""
    last: dict[str, JsonValue] | None = None
    children: tuple[SessionView, ...] = ()
    children_total: int = 0

    @classmethod
    def of_record(cls, row: SessionView, record: Record, children: Iterable[SessionView], total: int | None = None) -> Self:
        """Return a session with what its record says.

        Args:
            row: the session as it is seen.
            total: how many children there are; None: no more than these.
        """
        seen: dict[str, Any] = {one.name: getattr(row, one.name) for one in fields(SessionView)}
        listed = tuple(children)
        return cls(
            **seen,
            version=record.version,
            events=record.events,
            cursor=f"{record.epoch}-{record.events}",
            last=from_json(as_stored(record.last)) if record.last else None,
            children=listed,
            children_total=len(listed) if total is None else total,
        )


@cache
def _encoders() -> dict[type, SchemaSerializer]:
    # Made when the first is asked for: most processes that know sessions tell nothing of them in JSON.
    return {kind: TypeAdapter(kind).serializer for kind in (SessionView, FamilyView)}


def view_json(view: SessionView) -> bytes:
    """Return a session as JSON in UTF-8: the row of the gateway, and the line of ``--json``."""
    return _encoders()[type(view)].to_json(view)
