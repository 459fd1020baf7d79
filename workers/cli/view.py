"""What the command line tells of a session: one JSON object with stable fields, null where empty."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, SerializeAsAny

from tidings.bus import ChildState, Gap, Message, Notice, Outcome, Progress, Reason, Record, Result, State, Work, WorkerRef
from tidings.bus.messages import as_stored


class View(BaseModel):
    """A JSON line."""

    model_config = ConfigDict(frozen=True)

    def line(self) -> str:
        """Return the line."""
        return self.model_dump_json(by_alias=True)


class SessionView(View):
    """A session as ``sessions --json`` tells it.

    Attributes:
        since: when it entered its state.
        attempt: the attempt that failed last; 1 is the first. Null where no attempt of a call has failed.
        wait_s: length of the wait after it in seconds.
        retry_at: when the next attempt goes out.
        asked_at: when that went out: it is under way. Null while it is waited for.
        resume_at: when a parked session goes on by itself.
        last: the newest notice, as on the wire.
        parent: session of which it is a child.
        name: what that calls it.
        work: queue, agent, model that was asked for, priority, tenant and labels.
        progress: what its agent does in the turn under way, by its own word. Null where it has told nothing.
    """

    session: str
    state: State | None
    version: int
    reason: Reason | None
    why: str | None
    since: datetime | None
    attempt: int | None
    max_attempts: int | None
    wait_s: float | None
    retry_at: datetime | None
    asked_at: datetime | None
    resume_at: datetime | None
    paused_by: str | None
    worker: WorkerRef | None
    model: str | None
    last: SerializeAsAny[Message[Notice]] | None
    parent: str | None
    name: str | None
    progress: Progress | None
    work: Work

    @classmethod
    def of(cls, record: Record) -> Self:
        """Return what is told of a record."""
        wait = record.wait
        call = wait or record.failure
        return cls(
            session=record.session,
            state=record.state,
            version=record.version,
            reason=record.reason or (wait.reason if wait and not wait.asked_at else None),
            why=record.why or None,
            since=record.since,
            attempt=wait.attempt if wait else None,
            max_attempts=wait.max_attempts if wait else None,
            wait_s=wait.wait_s if wait else None,
            retry_at=wait.retry_at if wait else None,
            asked_at=wait.asked_at if wait else None,
            resume_at=record.resume_at,
            paused_by=record.paused_by,
            worker=record.worker,
            model=(call.model if call else None) or record.picture.model,
            last=record.last,
            parent=record.parent,
            name=record.name,
            progress=record.progress,
            work=record.work,
        )


class FamilyView(SessionView):
    """A session as ``status --json`` tells it.

    Attributes:
        children: its children, each as the newest ``child.state`` told it.
    """

    children: tuple[ChildState, ...] = ()

    @classmethod
    def with_children(cls, record: Record, children: tuple[ChildState, ...]) -> Self:
        """Return what is told of a record and of the children of its session."""
        return cls(**{**dict(SessionView.of(record)), "children": children})


class OutcomeView(View):
    """What became of a command.

    Attributes:
        result: ``applied``, ``refused`` or ``expired``.
        legal: commands that would have been accepted.
        warning: what will keep the session waiting.
    """

    result: Result
    command_id: str
    session: str
    reason: str | None = None
    state: State | None = None
    version: int | None = None
    legal: tuple[str, ...] = ()
    warning: str | None = None

    @classmethod
    def applied(cls, outcome: Outcome) -> Self:
        """Return what is told of a command that was applied."""
        return cls(
            result=outcome.result,
            command_id=outcome.command_id,
            session=outcome.session,
            reason=outcome.reason or None,
            state=outcome.state,
            version=outcome.version,
            legal=outcome.legal,
            warning=outcome.warning or None,
        )


class GapData(View):
    """Messages that can no longer be delivered; ``last`` is below ``first`` if it is not known how many."""

    channel: str
    why: str
    first: int
    last: int


class GapView(View):
    """A hole in a channel, in the place where the messages would have stood."""

    gap: GapData

    @classmethod
    def of(cls, gap: Gap) -> Self:
        """Return what is told of a gap."""
        return cls(gap=GapData(channel=gap.channel, why=gap.why, first=gap.first, last=gap.last))


def wire_line(item: Message[Any] | Gap) -> str:
    """Return what came out of a subscription as a JSON line: an envelope as it is on the wire, or a gap."""
    return GapView.of(item).line() if isinstance(item, Gap) else as_stored(item)
