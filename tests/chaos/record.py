"""What a fault run records: one frozen object for each thing that an actor asked, was answered, was told or did to the server.

Each process writes a file of its own, one JSON object a line, straight to the file, so that a SIGKILL loses nothing that was
noted. ``read`` merges the files of a run. ``at`` is monotonic time in seconds, which is one clock for all processes of a machine;
``wall`` is the time of day in seconds, to be held against instants of the server, which runs on the same machine.

A call is noted twice: before it is made (``AppendBegun``, ``Asked``) and when it has ended. Without the second, what was asked
may or may not have happened. The short calls whose beginning says nothing by itself carry it as ``began`` (monotonic).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from tidings.bus.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the record.

    Attributes:
        actor: who noted it: a name that no other process, and no later process of the same kind, has.
        at: monotonic time at which it was noted, in seconds; for a fault: at which it began.
        wall: time of day then, in seconds since 1970.
    """

    actor: str = ""
    at: float = 0.0
    wall: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A message as it was written, delivered or found in a log.

    Attributes:
        id: its id.
        type: its type.
        body: its ``data`` as JSON.
        made: the ``time`` of its envelope, in seconds since 1970.
        offset, epoch: its place; 0 and '' for one that has none yet.
    """

    id: str
    type: str
    body: str
    made: float = 0.0
    offset: int = 0
    epoch: str = ""

    @classmethod
    def of(cls, message: Message[Any]) -> Self:
        """Return a message of the bus as it is recorded."""
        whole = json.loads(message.model_dump_json(by_alias=True))
        return cls(
            id=message.id,
            type=whole["type"],
            body=json.dumps(whole.get("data"), sort_keys=True, ensure_ascii=False),
            made=message.time.timestamp(),
            offset=message.offset or 0,
            epoch=message.epoch or "",
        )


# the run and what was done to it


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Entry):
    """What the run is; one of them.

    Attributes:
        mode: ``always``, ``everysec``, ``rdb`` or ``none``.
        seed: what its choices were drawn from.
        lease_s: length of a lease in seconds.
        clock_s: how far instants of the bus may be from ``wall``, in seconds: the estimate of the server's clock is as good as
            the connection is quick.
        marker: text that is in every notice, and so must be in no event.
        secrets: texts that must be nowhere.
    """

    mode: str
    seed: int = 0
    lease_s: float = 2.0
    clock_s: float = 1.0
    marker: str = ""
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(Entry):
    """Something was done to the server, a connection or a process; ``at`` is when it began.

    Attributes:
        kind: e.g. ``kill``, ``flushall``, ``cut``, ``swallow``, ``stop``.
        target: whom it met.
        until: monotonic time at which it was over: the server dead, the data gone, the process continued.
        keeps: what was acknowledged up to this (monotonic) time must be there afterwards, later writes may be lost, as one tail
            of all writes; 0: everything may be lost; None: nothing may. For ``everysec`` and ``rdb`` the time of the newest
            fsync or snapshot that was kept (of the fork, not of its end), or 2 s before the kill where it is not known.
    """

    kind: str
    target: str = ""
    until: float = 0.0
    keeps: float | None = None


# workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease(Entry):
    """What all entries of a worker name: the lease under which it acts.

    Attributes:
        session: the session that it holds.
        worker: the worker's name; a process has a name of its own, also one that replaces another.
        epoch, token: of the claim.
        lease: the random part of the lease, '' where there is none.
        began: monotonic time before the call was made.
    """

    session: str
    worker: str
    epoch: str
    token: int
    lease: str = ""
    began: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed(Lease):
    """A claim was granted, and the worker knows.

    Attributes:
        version: version of the record after it.
    """

    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed(Lease):
    """A renewal was answered with ``held``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendBegun(Lease):
    """A worker is about to append the events of one step; they may be in the log from here on.

    Attributes:
        call: joins it to its end; unique in the run. The same events sent again are another call.
        events: the events, without places.
    """

    call: str
    events: tuple[Text, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended(Entry):
    """An append was acknowledged.

    Attributes:
        call: of its beginning.
        offsets: of its events, in their order.
    """

    call: str
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendFailed(Entry):
    """An append raised; its events may be in the log all the same (a lost answer, then LeaseLost).

    Attributes:
        error: name of the exception.
    """

    call: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Released(Lease):
    """A release was acknowledged.

    Attributes:
        trigger: how it was let go.
        state, version: of the record after it.
    """

    trigger: str
    state: str
    version: int


# people, programs, parents


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Entry):
    """A command is about to be sent; noted for each sending, also of the same command again.

    Attributes:
        call: joins it to its end; unique in the run.
        session, command: for which session, and the command's id.
        kind: its type, e.g. ``session.say``.
        text: what is said with it; None: nothing.
        expires: time of day after which it must not be applied; None: it does not expire (``submit``).
    """

    call: str
    session: str
    command: str
    kind: str
    text: str | None = None
    expires: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Entry):
    """A sending of a command ended with an outcome, also where that was raised (CommandRefused, CommandExpired).

    Attributes:
        result: ``applied``, ``refused`` or ``expired``.
        state, version: as the outcome says; '' and 0 where it does not, or where the error does not tell.
    """

    call: str
    result: str
    state: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AskFailed(Entry):
    """A sending of a command raised something that is no outcome: what becomes of the command is not known to its asker.

    Attributes:
        error: name of the exception, e.g. ``Unreachable``, ``UnknownSession``, ``SessionDeleted``.
    """

    call: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Entry):
    """An outcome was seen elsewhere than in the answer to its asker.

    Attributes:
        session, command: whose it is.
        how: ``channel`` (published; noted by a listener that no fault meets) or ``key`` (stored, read at the end).
    """

    session: str
    command: str
    result: str
    how: str
    state: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Entry):
    """A command was stored, as a listener that no fault meets was told by its channel.

    Attributes:
        session, command: which.
        offset: its place among the commands of the session.
    """

    session: str
    command: str
    offset: int


# readers


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed(Entry):
    """A subscription was entered.

    Attributes:
        reader: name of this subscription; one that goes on from a cursor after a break is another.
        channel: ``events.SESSION``, ``status.SESSION`` or ``status.*``.
        epoch, offset, id: of the cursor; '', 0 and '' where it began without one (or: a cursor that is only an offset).
    """

    reader: str
    channel: str
    epoch: str = ""
    offset: int = 0
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered(Entry):
    """A reader was given a message.

    Attributes:
        session: its session.
        message: what it was given.
        picture: whether it is a ``session.state`` that was drawn from the record (source ``record``), not one of the log.
    """

    reader: str
    session: str
    message: Text
    picture: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(Entry):
    """A reader was told of a gap.

    Attributes:
        session: of its channel.
        why: ``trimmed``, ``reset`` or ``deleted``.
        first, last: as it says.
    """

    reader: str
    session: str
    why: str
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceased(Entry):
    """A subscription was closed, or raised. A reader that was killed notes nothing.

    Attributes:
        error: name of the exception; '' for none.
        end: whether it was closed because the run is over, after it was given its time: then it must have reached the end.
    """

    reader: str
    error: str = ""
    end: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled(Entry):
    """``Bus.status`` was answered.

    Attributes:
        began: monotonic time before the call.
    """

    session: str
    epoch: str
    state: str
    version: int
    began: float = 0.0


# the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Final(Entry):
    """A session as it stands in Redis when the run is over.

    Read past the proxy, in one MULTI; one of them for each session that has a record or was ever asked for. The harness heals all
    faults, keeps enough workers and controllers running, and waits (bounded) until nothing moves any more; then it notes these,
    and ends the processes after that.

    Attributes:
        session: its id.
        state: '' where there is no record, or one without a state.
        epoch, version, token, worker: of the record; worker: its name, '' for none.
        lease_until, resume_at: time of day in seconds; None for none.
        ready: whether it stands in ``ready``.
        due: its time in ``due``, time of day in seconds; None where it is not there.
        events, status, commands, handled: newest offsets.
        waiting: entries of the log of commands beyond ``handled``.
        parent: session of which it is a child; '' for none.
        pending: whether a run was interrupted or has not begun.
        history: all of the log of events, in its order.
        ring: what is retained of the log of status.
        alive: names of the workers that are running.
    """

    session: str
    state: str = ""
    epoch: str = ""
    version: int = 0
    token: int = 0
    worker: str = ""
    lease_until: float | None = None
    resume_at: float | None = None
    ready: bool = False
    due: float | None = None
    events: int = 0
    status: int = 0
    commands: int = 0
    handled: int = 0
    waiting: int = 0
    parent: str = ""
    pending: bool = False
    history: tuple[Text, ...] = ()
    ring: tuple[Text, ...] = ()
    alive: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Left(Entry):
    """Something was still there after everything was closed.

    Attributes:
        kind: ``task``, ``file``, ``connection`` or ``process``.
        count: how many more than before.
        what: which, for the reader of the report.
    """

    kind: str
    count: int
    what: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Entry):
    """A process or an actor's task ended.

    Attributes:
        name: which.
        wanted: whether it was killed, told to end, or done.
        error: name and text of the exception that ended it, or its exit code; '' for none.
    """

    name: str
    wanted: bool
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(Entry):
    """What a process wrote to its standard error, with its log; whole, or the lines that are worth looking at.

    Attributes:
        name: which process.
        text: what it wrote.
    """

    name: str
    text: str


KINDS = {
    kind.__name__: kind
    for kind in (
        *(
            Run,
            Fault,
            Claimed,
            Renewed,
            AppendBegun,
            Appended,
            AppendFailed,
            Released,
            Asked,
            Answered,
            AskFailed,
            Outcome,
            Stored,
        ),
        *(Subscribed, Delivered, Gap, Ceased, Polled, Final, Left, Ended, Output),
    )
}
"""The kinds of entries by the name under which they are written."""
_TEXTS = frozenset({"events", "history", "ring"})


class Recorder:
    """Writes the entries of one process; safe to share between its tasks and threads.

    Args:
        path: its file; made when it is not there.
        actor: name under which it notes.
    """

    def __init__(self, path: Path, actor: str) -> None:
        self.actor = actor
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def note(self, entry: Entry) -> None:
        """Write an entry; who notes it and when is filled in where it is not said."""
        at, wall = time.monotonic(), time.time()
        if entry.at:
            wall += entry.at - at
        stamped = replace(entry, actor=entry.actor or self.actor, at=entry.at or at, wall=entry.wall or wall)
        # One write a line: a line is whole or (killed in between) the last.
        os.write(self._file, encode(stamped))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def encode(entry: Entry) -> bytes:
    """Return an entry as a line."""
    return json.dumps({"entry": type(entry).__name__, **asdict(entry)}).encode() + b"\n"


def decode(line: bytes) -> Entry:
    """Return the entry of a line.

    Raises:
        ValueError: it is none.
    """
    raw = json.loads(line)
    kind = KINDS.get(raw.pop("entry", ""))
    if kind is None:
        raise ValueError(f"not an entry: {line[:80]!r}")
    values = {field.name: _value(field.name, raw[field.name]) for field in fields(kind) if field.name in raw}
    entry: Entry = kind(**values)
    return entry


def read(folder: Path) -> list[Entry]:
    """Return what all processes of a run noted (``*.jsonl``), in the order of time."""
    entries: list[Entry] = []
    for path in sorted(folder.glob("*.jsonl")):
        lines = path.read_bytes().split(b"\n")
        # What stands behind the last line end was cut off by a kill.
        entries += (decode(line) for line in lines[:-1])
    return merged(entries)


def merged(entries: Iterable[Entry]) -> list[Entry]:
    """Return entries in the order of time."""
    return sorted(entries, key=lambda entry: entry.at)


def _value(name: str, value: Any) -> Any:
    if name == "message":
        return Text(**value)
    if name in _TEXTS and isinstance(value, list):
        return tuple(Text(**item) for item in value)
    return tuple(value) if isinstance(value, list) else value
