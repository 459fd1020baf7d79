"""Reading what is retained: records, and the streams behind the channels."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from tidings.bus.errors import InvalidMessage, SchemaMismatch, SpoiledLog, TidingsError, UnknownSession, UnreadableRecord
from tidings.bus.messages import Message, decode, is_session
from tidings.bus.records import Record, count_of, epoch_of, offset_of, parse_record
from tidings.bus.redis.context import RedisContext
from tidings.bus.states import State

log = logging.getLogger("tidings.logs")

Fields = dict[bytes, bytes] | TidingsError
"""The hash of a session, or why there is none to read."""
PAGE = 500
"""Entries read at a time. Replay in pages of 1,000 is no quicker, and a page of large messages must fit in memory."""
_SCAN = 200
_SHOWN = 80
"""Characters that are shown of a name that is none."""
_TOLD = 1000
"""Of so many channels and records is remembered that it was told what cannot be read of them."""


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of a log, read in one step with what the record says of it.

    Attributes:
        epoch: identity of the log; None: there is no such session.
        end: newest offset of the plane.
        entries: (offset, message) in order; None in place of a message that cannot be read.
        id_before: id of the entry at the offset asked from; '' where it is not retained.
        deleted: whether the session was deleted, so that there is no log any more.
        foreign: entries read that lie beyond the end: something else wrote them, and they are left out.
    """

    epoch: str | None
    end: int
    entries: tuple[tuple[int, Message[Any] | None], ...]
    id_before: str = ""
    deleted: bool = False
    foreign: int = 0


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A session whose record cannot be read, or whose events log does not fit it.

    Attributes:
        session: its id.
        cause: which field, and what is wrong with it.
        other_schema: whether it is in order, and was written by another version.
        spoiled: whether it is in order, and something else wrote into the events log.
        advice: what to do, where it is something else than to export and delete the session.
    """

    session: str
    cause: str
    other_schema: bool
    spoiled: bool = False
    advice: str = ""


class Logs:
    """Reads records and logs of one installation.

    Attributes:
        skipped: stored messages that could not be read and were left out; each counts as often as it was met.
    """

    def __init__(self, context: RedisContext) -> None:
        self._context = context
        self._told: dict[str, None] = {}
        self.skipped = 0

    async def record(self, session: str) -> Record:
        """Return the record of a session.

        Raises:
            UnknownSession: there is none, or its start has not been decided.
            UnreadableRecord: the record cannot be read.
            Unreachable: the server does not answer.
        """
        record = await self.find(session)
        if record is None or record.state is None:
            raise UnknownSession(session)
        return record

    async def find(self, session: str) -> Record | None:
        """Return the record of a session, None where there is none.

        Raises:
            UnreadableRecord: the record cannot be read.
            Unreachable: the server does not answer.
        """
        return _parsed(session, (await self._hashes([session]))[0])

    async def records(self, sessions: list[str]) -> list[Record | None]:
        """Return the records of several sessions, in the order asked; None for one that is not there or cannot be read.

        Raises:
            Unreachable: the server does not answer.
        """
        return [self._readable(session, fields) for session, fields in zip(sessions, await self._hashes(sessions), strict=True)]

    async def unreadable(self, sessions: list[str]) -> list[Unreadable]:
        """Return those of several names that are no sessions, whose records cannot be read, or whose logs of events do not fit.

        Raises:
            Unreachable: the server does not answer.
        """
        found = [self._strange(name) for name in sessions if not is_session(name)]
        sessions = [name for name in sessions if is_session(name)]
        known: dict[str, int] = {}
        for session, fields in zip(sessions, await self._hashes(sessions), strict=True):
            try:
                record = _parsed(session, fields)
            except UnreadableRecord as error:
                found.append(Unreadable(session, error.cause, isinstance(error, SchemaMismatch), advice=error.advice))
            else:
                known |= {session: record.events} if record is not None else {}
        return found + await self._spoiled(known)

    def _strange(self, name: str) -> Unreadable:
        """Tell of a name in the list of sessions that is none."""
        advice = f"take it out of the list of sessions (redis-cli: HDEL {self._context.names.sessions} NAME)"
        return Unreadable(ascii(name)[:_SHOWN], "no session can be called that", other_schema=False, advice=advice)

    async def _spoiled(self, ends: dict[str, int]) -> list[Unreadable]:
        """Return which of several sessions have no log under its key, or an entry in it beyond what the record counts."""
        pipeline = self._context.pipeline(atomic=True)
        for session, end in ends.items():
            pipeline.xrange(self._context.names.log("events", session), min=f"({end}-0", max="+", count=1)
            # What was appended since the record was read is counted there now.
            pipeline.hmget(self._context.names.record(session), ["events"])
        answers = await self._context.read_each(pipeline) if ends else []
        found: list[Unreadable] = []
        for session, raw, end in zip(ends, answers[::2], answers[1::2], strict=True):
            if isinstance(raw, UnreadableRecord):
                found.append(Unreadable(session, raw.cause, other_schema=False, advice=raw.advice))
            elif raw and not isinstance(end, UnreadableRecord) and offset_of(raw[0]) > _number(end[0]):
                found.append(Unreadable(session, SpoiledLog(session).cause, other_schema=False, spoiled=True))
        return found

    def _readable(self, session: str, fields: Fields) -> Record | None:
        try:
            return _parsed(session, fields)
        except UnreadableRecord as error:
            if self._first_time(f"session.{session}"):
                log.warning("record.unreadable", extra={"session": session, "cause": error.cause})
            return None

    def _first_time(self, what: str) -> bool:
        """Whether this was not told before, as far as is remembered."""
        if what in self._told:
            return False
        if len(self._told) >= _TOLD:
            del self._told[next(iter(self._told))]
        self._told[what] = None
        return True

    async def _hashes(self, sessions: list[str]) -> list[Fields]:
        pipeline = self._context.pipeline(atomic=False)
        for session in sessions:
            pipeline.hgetall(self._context.names.record(session))
        return await self._context.read_each(pipeline)

    async def page(self, plane: str, session: str, after: int, limit: int = PAGE) -> Page:
        """Read up to ``limit`` entries after an offset, together with epoch and end of the log."""
        names = self._context.names
        pipeline = self._context.pipeline(atomic=True)
        pipeline.hmget(names.record(session), ["epoch", plane, "state"])
        pipeline.xrange(names.log(plane, session), min=f"{after}-0", max="+", count=limit + 1)
        (epoch, end, state), raw = await self._context.read(pipeline)
        entries = [_entry(plane, session, epoch_of(epoch), item) for item in raw]
        id_before = ""
        if entries and entries[0][0] == after:
            id_before = raw[0][1].get(b"id", b"").decode(errors="replace")
            entries = entries[1:]
        entries = entries[:limit]
        ours = [entry for entry in entries if _known(end, entry[0])]
        foreign: list[tuple[int, Message[Any] | None]] = [(offset, None) for offset, _ in entries[len(ours) :]]
        self._count(f"{plane}.{session}", ours + foreign)
        deleted = state == State.DELETED.value.encode()
        return Page(epoch_of(epoch), _number(end), tuple(ours), id_before, deleted, len(foreign))

    def _count(self, channel: str, entries: list[tuple[int, Message[Any] | None]]) -> None:
        """Count what could not be read, and say so once for each channel."""
        missing = [offset for offset, message in entries if message is None or message.refused]
        self.skipped += len(missing)
        if missing and self._first_time(channel):
            log.warning("message.unreadable", extra={"channel": channel, "offset": missing[0]})

    async def ends(self, plane: str, sessions: list[str]) -> list[tuple[str, int]]:
        """Return (epoch, newest offset) of a plane for several sessions; ('', 0) where there is none."""
        pipeline = self._context.pipeline(atomic=False)
        for session in sessions:
            pipeline.hmget(self._context.names.record(session), ["epoch", plane])
        answers = await self._context.read_each(pipeline)
        # What cannot be read has not moved.
        return [("", 0) if isinstance(one, UnreadableRecord) else (epoch_of(one[0]) or "", _number(one[1])) for one in answers]

    async def scan(self, cursor: int) -> tuple[int, dict[str, str]]:
        """Return the next cursor and the state of each of some sessions, from a cursor on: 0 begins, and 0 is the end.

        A session may come up twice. One that appears or changes during the scan may be missed or come up with its old state.

        Raises:
            Unreachable: the server does not answer.
        """
        pipeline = self._context.pipeline(atomic=False)
        pipeline.hscan(self._context.names.sessions, cursor, count=_SCAN)
        following, found = (await self._context.read(pipeline))[0]
        return int(following), {name.decode(errors="replace"): state.decode(errors="replace") for name, state in found.items()}

    async def sessions(self, state: State | None = None) -> AsyncIterator[str]:
        """Yield the ids of all sessions, or of those in one state; each once, in no order.

        Raises:
            Unreachable: the server does not answer.
        """
        async for name in self.names(state):
            if is_session(name):
                yield name

    async def names(self, state: State | None = None) -> AsyncIterator[str]:
        """Yield what stands in the list of sessions, also what no session can be called; see ``sessions``."""
        cursor, seen = 0, set[str]()
        while True:
            cursor, found = await self.scan(cursor)
            for name, current in found.items():
                if name not in seen and (state is None or current == state):
                    seen.add(name)
                    yield name
            if cursor == 0:
                return


def _parsed(session: str, fields: Fields) -> Record | None:
    if isinstance(fields, TidingsError):
        raise fields
    return parse_record(session, fields)


def _number(value: bytes | None) -> int:
    """Return a count of a record; one that cannot be read is 0: the log is then read from what it holds."""
    return count_of(value) or 0


def _known(end: bytes | None, offset: int) -> bool:
    """Whether the record knows of an entry; a reader that took what lies beyond the end would miss what comes next."""
    return count_of(end) is None or offset <= _number(end)


def _entry(plane: str, session: str, epoch: str | None, item: Any) -> tuple[int, Message[Any] | None]:
    offset = offset_of(item)
    try:
        message = decode(plane, item[1][b"m"])
    except (InvalidMessage, KeyError):
        return offset, None
    return offset, _placed(message, offset, epoch) if message.session == session else None


def _placed(message: Message[Any], offset: int, epoch: str | None) -> Message[Any]:
    """Return the message; the entry's id and the record say where it stands, also when the JSON was tampered with."""
    right = message.offset == offset and message.epoch == epoch
    return message if right else message.model_copy(update={"offset": offset, "epoch": epoch})
