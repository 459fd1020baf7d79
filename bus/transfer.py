"""Sessions out of an installation and into one: exported line by line, restored in one step."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from tidings.bus.archive import RESTORE_BYTES, RESTORE_EVENTS, Archive, Header, event_line
from tidings.bus.errors import BadArchive, PayloadTooLarge, SessionDeleted, SessionExists, UnknownSession
from tidings.bus.logs import PAGE
from tidings.bus.messages import Message, SessionState, check_session, encode_state
from tidings.bus.messages.message import LOST
from tidings.bus.publisher import RETENTION, RETENTION_S
from tidings.bus.records import epoch_of, offset_of, salvage_record
from tidings.bus.redis.context import Argument, RedisContext
from tidings.bus.states import FINAL, State
from tidings.bus.worker.face import new_epoch

_RESTING = FINAL - {State.DELETED} | {State.AWAITING_INPUT, State.PAUSED, State.ERROR}
"""States in which nothing happens by itself: a session is restored in the one that it had."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of an import.

    Attributes:
        session: its id here.
        state: its state now.
        events: events that it has.
        left_out: events that were missing from the export.
    """

    session: str
    state: State
    events: int
    left_out: int


class Transfer:
    """Exports and restores sessions of one installation."""

    def __init__(self, context: RedisContext) -> None:
        self._context = context

    async def export(self, session: str) -> AsyncIterator[bytes]:
        """Yield the lines of an export: the header, and each event that there is at this moment, byte for byte as on the wire.

        The record need not be readable. In place of an event that is not, there is a line that says so.

        Raises:
            UnknownSession: there is no such session, or its start has not been decided.
            SessionDeleted: it was deleted, also while it was being exported.
            BadArchive: its data was lost while it was being exported.
            Unreachable: the server does not answer.
        """
        header = await self._header(session)
        yield header.line()
        after = 0
        while after < header.events:
            until = min(after + PAGE, header.events)
            for line in await self._lines(header, after, until):
                yield line
            after = until

    async def _header(self, session: str) -> Header:
        pipeline = self._context.pipeline(atomic=False)
        pipeline.hgetall(self._context.names.record(session))
        fields: dict[bytes, bytes] = (await self._context.read(pipeline))[0]
        record = salvage_record(session, fields)
        if record.state is State.DELETED:
            raise SessionDeleted(session)
        if not fields or not fields.get(b"state"):
            raise UnknownSession(session, start=False)
        return Header(
            session=session,
            epoch=record.epoch or LOST,
            state=record.state,
            reason=record.reason,
            why=record.why,
            since=record.since,
            paused_by=record.paused_by,
            pending=record.pending,
            exported_at=self._context.clock.now(),
            events=await self._end(session, record.events),
            work=record.work,
        )

    async def _end(self, session: str, events: int) -> int:
        """Return the offset at which the log ends, at most that of the record, where this says one.

        A record is not believed beyond what an import takes, nor where the log does not hold what it says.
        """
        if 0 < events <= RESTORE_EVENTS:
            pipeline = self._context.pipeline(atomic=False)
            pipeline.xrange(self._context.names.log("events", session), min=f"{events}-0", max=f"{events}-0")
            if (await self._context.read(pipeline))[0]:
                return events
        newest = await self._newest(session)
        return min(newest, events) if events else newest

    async def _newest(self, session: str) -> int:
        """Return the newest offset in the log; not beyond a hole larger than an import."""
        newest, raw = 0, [()]
        while raw:
            pipeline = self._context.pipeline(atomic=False)
            pipeline.xrange(self._context.names.log("events", session), min=f"{newest + 1}-0", max="+", count=PAGE)
            raw = (await self._context.read(pipeline))[0]
            for item in raw:
                if offset_of(item) - newest > RESTORE_EVENTS:
                    return newest
                newest = offset_of(item)
        return newest

    async def _lines(self, header: Header, after: int, until: int) -> list[bytes]:
        """Return the lines of the events after an offset, up to and with another one."""
        names, session = self._context.names, header.session
        pipeline = self._context.pipeline(atomic=True)
        pipeline.hmget(names.record(session), ["epoch", "state"])
        pipeline.xrange(names.log("events", session), min=f"{after + 1}-0", max=f"{until}-0")
        (epoch, state), raw = await self._context.read(pipeline)
        if state == State.DELETED.value.encode():
            raise SessionDeleted(session)
        if (epoch_of(epoch) or LOST) != header.epoch:
            raise BadArchive(f"the data of session {session!r} was lost while it was being exported: export it again")
        found = {offset_of(item): item[1].get(b"m") for item in raw}
        return [event_line(header.session, offset, found.get(offset)) for offset in range(after + 1, until + 1)]

    async def restore(self, archive: Archive, session: str | None = None) -> Restored:
        """Make a session out of an export, record and history in one step, whole or not at all.

        The offsets are those of the export, the epoch is new. A session that rested is in the state that it had; any other is
        paused, and a person resumes it.

        Args:
            session: its name here; None: the name that it had.

        Raises:
            InvalidName: it cannot have that name.
            SessionExists: there is a session of that name.
            SessionDeleted: there was one; names are not used again.
            BadArchive: it is larger than what is restored in one step.
            PayloadTooLarge: an event is over the limit of this bus.
            Unreachable: the server does not answer.
        """
        if session is not None and check_session(session) != archive.header.session:
            archive = archive.renamed(session)
        self._check_size(archive)
        header, names = archive.header, self._context.names
        state, fields = _as_restored(archive)
        told = self._told(header, state, fields["why"])
        keys = [names.record(header.session), names.log("events", header.session), names.log("status", header.session)]
        args: list[Argument] = [header.session, new_epoch(), state.value]
        args += [
            names.channel("events", header.session),
            names.channel("status", header.session),
            RETENTION,
            int(RETENTION_S * 1000),
        ]
        args += [told.id, encode_state(told), header.events, len(fields)]
        args += [item for pair in fields.items() for item in pair]
        args += [item for event in archive.events for item in event]
        answer = await self._context.run_again("restore", [*keys, names.sessions], args)
        if answer[0] != b"ok":
            deleted = answer[1] == State.DELETED.value.encode()
            raise SessionDeleted(header.session) if deleted else SessionExists(header.session)
        return Restored(header.session, state, header.events, archive.left_out)

    def _check_size(self, archive: Archive) -> None:
        if archive.too_large:
            name, events = archive.header.session, archive.header.events
            raise BadArchive(
                f"session {name!r} has {events} events of {archive.size} bytes; at most {RESTORE_EVENTS} of {RESTORE_BYTES} are "
                "restored, in one step: keep the file as an archive, and start a new session with what matters of it"
            )
        for _, _, payload in archive.events:
            if len(payload) > self._context.payload_limit:
                raise PayloadTooLarge("an event", len(payload), self._context.payload_limit)

    def _told(self, header: Header, state: State, why: str) -> Message[SessionState]:
        data = SessionState(to=state, version=0, why=why, reason=header.reason if state is header.state else None)
        return Message.of(data, session=header.session, source="import", time=self._context.clock.now())


def _as_restored(archive: Archive) -> tuple[State, dict[str, str]]:
    """Return the state that a session is restored in, and the fields of its record."""
    header = archive.header
    fields = {"said": str(archive.said), "picture": "{}", "pending": "1", **header.work.fields()}
    if header.state not in _RESTING:
        was = f"was {header.state.replace('_', ' ')}" if header.state else "had a record that could not be read"
        why = f"imported; it {was} when it was exported: resume it to go on"
        return State.PAUSED, fields | {"why": why, "reason": "", "paused_by": "import"}
    fields |= {"why": header.why, "reason": header.reason or ""}
    if header.state is State.PAUSED:
        fields |= {"paused_by": header.paused_by or "import", "pending": str(int(header.pending))}
    elif header.state is not State.ERROR:
        fields["pending"] = "0"
    return header.state, fields
