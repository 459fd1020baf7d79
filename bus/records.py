"""The session record: one hash in Redis, read into one frozen object."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from tidings.bus.errors import InvalidMessage, SchemaMismatch, SpoiledLog, UnreadableRecord
from tidings.bus.messages import (
    Message,
    Notice,
    Picture,
    Progress,
    Reason,
    SessionState,
    Wait,
    Work,
    WorkerRef,
    decode_notice,
    explain,
    is_session,
)
from tidings.bus.messages.message import LOST
from tidings.bus.states import HELD, WAITING, State

T = TypeVar("T")

SCHEMA = 5
"""The schema of records that this version reads and writes; ``prelude.lua`` has the same number."""

_EPOCH = re.compile(rb"[A-Za-z0-9_-]{1,64}")
"""What an epoch looks like; it stands in ids, cursors and frames, and scripts put it into JSON as it is."""
DRAWN = "record"
"""Source of a notice that no process told: it was drawn from the record, for who attaches later."""
LAST_MS = 253_370_764_800_000
"""The year 9999, in whatever time zone it is shown."""


def instant(milliseconds: float) -> datetime:
    """Return the instant of so many milliseconds since 1970, as Redis keeps it."""
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


def count_of(value: bytes | None) -> int | None:
    """Return a count as the scripts keep it, 0 for one that is not there; None: it is none.

    The same rule is in ``prelude.lua``: digits, and below 2^53, beyond which neither Lua nor readers of JSON hold every number.
    """
    if not value:
        return 0
    return int(value) if value.isdigit() and len(value) < 17 and int(value) < 2**53 else None


def epoch_of(value: bytes | None) -> str | None:
    """Return the epoch of a record, None where there is none; ``lost`` stands for one that cannot be read."""
    if not value:
        return None
    return value.decode() if _EPOCH.fullmatch(value) else LOST


def offset_of(entry: Sequence[Any]) -> int:
    """Return the offset of an entry of a log, as Redis gives it: its id is the offset and a zero."""
    return int(entry[0].split(b"-")[0])


def milliseconds(when: datetime | None) -> str:
    """Return an instant as Redis keeps it: whole milliseconds since 1970, '' for none."""
    return "" if when is None else str(round(when.timestamp() * 1000))


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a session.

    Attributes:
        session: its id.
        state: None while a ``session.start`` waits for its controller.
        epoch: identity of its logs.
        version: grows with every change of state.
        why: one line for a person.
        by: who asked for the state; None: nobody.
        reason: reason of the wait or failure, None where there is none.
        since: when it entered the state.
        token: fencing token; it grows with each claim and each loss of one. A write with another is refused.
        lease: random part of the newest lease; a write with another is refused as well.
        lease_until: until when its worker holds it.
        worker: who holds it; None: nobody.
        picture: what the worker is doing; of a session without one its model, and what it is parked for, has failed at, or is to
            go on with.
        nudge: how often it was resumed while a worker held it.
        resume_at: when a parked session is queued again.
        parks: parks in a row without success.
        parked_s: seconds of those parks for which no provider named an instant.
        losses: workers lost in a row.
        paused_by: who paused it.
        pending: whether a run was interrupted or has not begun; False: the next word is a person's.
        work: how it is worked on: queue, agent, model, priority, tenant, labels.
        parent: session of which it is a child; None: of none.
        name: what its parent calls it.
        children: how many sessions were started as its children.
        awaits: how many children its agent waited for when its last turn ended.
        shown: mark of what its parent's people were told of it.
        reported: mark of what its parent was told of it.
        said: offset of the newest message that came from outside: what a person said, or a child's result.
        status, events, commands: newest offset of each plane.
        handled: offset of the newest handled command.
        touched: grows with everything that may want a decision.
        failures: how often in a row controllers could not read or write it; above 0 it is in quarantine, and takes no command.
        last: the newest notice.
        schema: the form in which it was written; a version reads its own and no other.
    """

    session: str
    state: State | None
    epoch: str
    version: int = 0
    why: str = ""
    by: str | None = None
    reason: Reason | None = None
    since: datetime | None = None
    token: int = 0
    lease: str = ""
    lease_until: datetime | None = None
    worker: WorkerRef | None = None
    picture: Picture = field(default_factory=Picture)
    nudge: int = 0
    resume_at: datetime | None = None
    parks: int = 0
    parked_s: float = 0.0
    losses: int = 0
    paused_by: str | None = None
    pending: bool = False
    work: Work = field(default_factory=Work)
    parent: str | None = None
    name: str | None = None
    children: int = 0
    awaits: int = 0
    shown: str = ""
    reported: str = ""
    said: int = 0
    status: int = 0
    events: int = 0
    commands: int = 0
    handled: int = 0
    touched: int = 0
    failures: int = 0
    last: Message[Notice] | None = None
    schema: int = SCHEMA

    @property
    def held(self) -> bool:
        """Whether a worker holds the session."""
        return self.worker is not None

    @property
    def parked(self) -> bool:
        """Whether it waits for a provider without a worker."""
        return self.state in WAITING and self.worker is None

    @property
    def wait(self) -> Wait | None:
        """The wait to show, or what the attempt under way has waited for (``asked_at``); None where there is neither."""
        if self.state in WAITING:
            return self.picture.wait
        return self.picture.under_way if self.state is State.RUNNING else None

    @property
    def failure(self) -> Wait | None:
        """The call that failed for good; None where none did."""
        return self.picture.wait if self.state is State.ERROR else None

    @property
    def progress(self) -> Progress | None:
        """What the agent has told last of the turn under way; None where it has told nothing, or no worker holds the session."""
        return self.picture.progress if self.held and self.state in HELD else None

    def as_notice(self, at: datetime) -> Message[SessionState] | None:
        """Draw the current picture as a ``session.state`` notice that stands at the newest status offset.

        Of a session that a worker holds the worker's picture counts: its notices up to that offset have told it, and a controller
        that follows them need not tell it again.

        Its time is that at which the session entered that state, whenever it is drawn: who attaches later counts from there too.

        Args:
            at: now, and its time where the record does not say that.

        Returns:
            None where there is nothing to tell yet.
        """
        if self.state is None or self.status < 1:
            return None
        state, wait, entered = self.state, self.wait, self.since
        if self.held and state in HELD:
            waits = self.picture.wait_at(at)
            state, wait = (waits.state, waits) if waits else (State.RUNNING, self.picture.under_way)
            if state is not self.state:
                entered = self.last.time if self.last else None
        return Message.of(
            SessionState(
                from_=state,
                to=state,
                version=self.version,
                parent=self.parent,
                name=self.name,
                why=self.why,
                by=self.paused_by if self.state is State.PAUSED else self.by,
                reason=wait.reason if wait and state in WAITING else self.reason if state is self.state else None,
                wait=wait,
                resume_at=self.resume_at,
                worker=self.worker,
                failure=self.failure,
                model=self.picture.model,
                progress=self.progress,
                work=self.work,
            ),
            id=f"{self.epoch}.{self.version}.{self.status}",
            source=DRAWN,
            session=self.session,
            time=entered or at,
            offset=self.status,
            epoch=self.epoch,
        )


def parse_record(session: str, fields: Mapping[bytes, bytes]) -> Record | None:
    """Read the hash of a session.

    Returns None where there is none.

    Raises:
        UnreadableRecord: a field cannot be read; the text names it and does not quote it.
        SchemaMismatch: another version wrote it.
    """
    if not fields:
        return None
    try:
        _check_schema(session, fields)
        if not fields.get(b"epoch"):
            raise InvalidMessage("epoch: missing")
        return _parse(session, fields, _read)
    except SchemaMismatch:
        raise
    except InvalidMessage as error:
        raise UnreadableRecord(session, str(error)) from None


def _check_schema(session: str, fields: Mapping[bytes, bytes]) -> None:
    """Check that this version can read a hash.

    Raises:
        SchemaMismatch: another version wrote it.
        InvalidMessage: its schema is missing, or is none.
    """
    schema = fields.get(b"schema", b"")
    if not schema.isdigit() or len(schema) > 9 or schema.startswith(b"0"):
        raise InvalidMessage("schema: not a number above 0" if schema else "schema: missing")
    if int(schema) != SCHEMA:
        raise SchemaMismatch(session, int(schema))


def check_fit(session: str, answer: Sequence[Any]) -> None:
    """Check that a script did not find a record or a log that it must not add to.

    Raises:
        SchemaMismatch: another version wrote the record.
        SpoiledLog: something else wrote into the events log.
        UnreadableRecord: what the scripts count with cannot be read.
    """
    if answer[0] == b"schema":
        raise SchemaMismatch(session, int(answer[1]))
    if answer[0] == b"spoiled":
        raise SpoiledLog(session)
    if answer[0] == b"unreadable":
        raise UnreadableRecord(session, "a count in it is not a number")


def salvage_record(session: str, fields: Mapping[bytes, bytes]) -> Record:
    """Read what can be read of the hash of a session, for an export; what cannot be read is as if it were not there."""
    return _parse(session, fields, _read_if_possible)


def _parse(session: str, fields: Mapping[bytes, bytes], reader: Callable[..., Any]) -> Record:
    def read(name: str, convert: Callable[[str], T]) -> T | None:
        found: T | None = reader(fields, name, convert)
        return found

    return Record(
        session=session,
        state=read("state", State),
        epoch=read("epoch", _epoch) or "",
        version=read("version", _count) or 0,
        why=read("why", str) or "",
        by=read("by", str),
        reason=read("reason", Reason),
        since=read("since", _when),
        token=read("token", _count) or 0,
        lease=read("lease", str) or "",
        lease_until=read("lease_until", _when),
        worker=read("worker", WorkerRef.model_validate_json),
        picture=read("picture", Picture.model_validate_json) or Picture(),
        nudge=read("nudge", _count) or 0,
        resume_at=read("resume_at", _when),
        parks=read("parks", _count) or 0,
        parked_s=(read("parked_ms", _count) or 0) / 1000,
        losses=read("losses", _count) or 0,
        paused_by=read("paused_by", str),
        pending=bool(read("pending", _count)),
        work=read("work", Work.model_validate_json) or Work(),
        parent=read("parent", _name),
        name=read("name", _name),
        children=read("children", _count) or 0,
        awaits=read("awaits", _count) or 0,
        shown=read("shown", str) or "",
        reported=read("reported", str) or "",
        said=read("said", _count) or 0,
        status=read("status", _count) or 0,
        events=read("events", _count) or 0,
        commands=read("commands", _count) or 0,
        handled=read("handled", _count) or 0,
        touched=read("touched", _count) or 0,
        failures=read("failures", _count) or 0,
        last=read("last", decode_notice),
    )


def _read_if_possible(fields: Mapping[bytes, bytes], name: str, convert: Callable[[str], T]) -> T | None:
    try:
        return _read(fields, name, convert)
    except InvalidMessage:
        return None


def _read(fields: Mapping[bytes, bytes], name: str, convert: Callable[[str], T]) -> T | None:
    """Read one field; None where it is missing or empty, which is how the scripts clear one."""
    value = fields.get(name.encode())
    if not value:
        return None
    try:
        return convert(value.decode())
    except ValidationError as error:
        raise InvalidMessage(f"{name}: {explain(error)}") from None
    except InvalidMessage as error:
        raise InvalidMessage(f"{name}: {error}") from None
    except (ValueError, OverflowError, OSError):
        # These quote the value, which may be anything; so neither their text nor they go along.
        raise InvalidMessage(f"{name}: cannot be read") from None


def _name(value: str) -> str:
    if not is_session(value):
        raise ValueError
    return value


def _count(value: str) -> int:
    found = count_of(value.encode())
    if found is None:
        raise InvalidMessage("not a count")
    return found


def _epoch(value: str) -> str:
    if not _EPOCH.fullmatch(value.encode()):
        raise InvalidMessage("not an epoch")
    return value


def _when(value: str) -> datetime:
    if not (value.isascii() and value.isdigit() and len(value) < 16 and int(value) < LAST_MS):
        raise InvalidMessage("not a time")
    return instant(int(value))
