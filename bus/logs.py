"""Reading what is retained: records, and the streams behind the channels."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from bus.errors import InvalidMessage, UnknownSession
from bus.messages import Message, decode
from bus.records import Record, parse_record
from bus.redis.link import Link
from bus.states import State

log = logging.getLogger("tidings.logs")

PAGE = 500
"""Entries read at a time. Replay in pages of 1,000 is no quicker, and a page of large messages must fit in memory."""
_SCAN = 200


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of a log, read in one step with what the record says of it.

    Attributes:
        epoch: identity of the log; None: there is no such session.
        end: newest offset of the plane.
        entries: (offset, message) in order; None in place of a message that cannot be read.
        id_before: id of the entry at the offset asked from; '' where it is not retained.
    """

    epoch: str | None
    end: int
    entries: tuple[tuple[int, Message | None], ...]
    id_before: str = ""


class Logs:
    """Reads records and logs of one installation."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def record(self, session: str) -> Record:
        """Return the record of a session.

        Raises:
            UnknownSession: there is none, or its start has not been decided.
            InvalidMessage: the record cannot be read.
            Unreachable: the server does not answer.
        """
        record = await self.find(session)
        if record is None or record.state is None:
            raise UnknownSession(session)
        return record

    async def find(self, session: str) -> Record | None:
        """Return the record of a session, None where there is none.

        Raises:
            InvalidMessage: the record cannot be read.
            Unreachable: the server does not answer.
        """
        return parse_record(session, (await self._hashes([session]))[0])

    async def records(self, sessions: list[str]) -> list[Record | None]:
        """Return the records of several sessions, in the order asked; None for one that is not there or cannot be read.

        Raises:
            Unreachable: the server does not answer.
        """
        return [_readable(session, fields) for session, fields in zip(sessions, await self._hashes(sessions), strict=True)]

    async def _hashes(self, sessions: list[str]) -> list[dict[bytes, bytes]]:
        pipeline = self._link.pipeline(atomic=False)
        for session in sessions:
            pipeline.hgetall(self._link.names.record(session))
        return await self._link.read(pipeline)

    async def page(self, plane: str, session: str, after: int, limit: int = PAGE) -> Page:
        """Read up to ``limit`` entries after an offset, together with epoch and end of the log."""
        names = self._link.names
        pipeline = self._link.pipeline(atomic=True)
        pipeline.hmget(names.record(session), ["epoch", plane])
        pipeline.xrange(names.log(plane, session), min=f"{after}-0", max="+", count=limit + 1)
        (epoch, end), raw = await self._link.read(pipeline)
        entries = [_entry(plane, item) for item in raw]
        id_before = ""
        if entries and entries[0][0] == after:
            id_before = raw[0][1].get(b"id", b"").decode()
            entries = entries[1:]
        return Page(epoch.decode() if epoch else None, int(end or 0), tuple(entries[:limit]), id_before)

    async def ends(self, plane: str, sessions: list[str]) -> list[tuple[str, int]]:
        """Return (epoch, newest offset) of a plane for several sessions; ('', 0) where there is none."""
        pipeline = self._link.pipeline(atomic=False)
        for session in sessions:
            pipeline.hmget(self._link.names.record(session), ["epoch", plane])
        answers = await self._link.read(pipeline)
        return [((epoch or b"").decode(), int(end or 0)) for epoch, end in answers]

    async def scan(self, cursor: int) -> tuple[int, dict[str, str]]:
        """Return the next cursor and the state of each of some sessions, from a cursor on: 0 begins, and 0 is the end.

        A session may come up twice. One that appears or changes during the scan may be missed or come up with its old state.

        Raises:
            Unreachable: the server does not answer.
        """
        pipeline = self._link.pipeline(atomic=False)
        pipeline.hscan(self._link.names.sessions, cursor, count=_SCAN)
        following, found = (await self._link.read(pipeline))[0]
        return int(following), {name.decode(): state.decode() for name, state in found.items()}

    async def sessions(self, state: State | None = None) -> AsyncIterator[str]:
        """Yield the ids of all sessions, or of those in one state; each once, in no order.

        Raises:
            Unreachable: the server does not answer.
        """
        cursor, seen = 0, set[str]()
        while True:
            cursor, found = await self.scan(cursor)
            for session, current in found.items():
                if session not in seen and (state is None or current == state):
                    seen.add(session)
                    yield session
            if cursor == 0:
                return


def _readable(session: str, fields: dict[bytes, bytes]) -> Record | None:
    try:
        return parse_record(session, fields)
    except InvalidMessage as error:
        log.warning("record.unreadable", extra={"session": session, "cause": str(error)})
        return None


def _entry(plane: str, item: Any) -> tuple[int, Message | None]:
    offset = int(item[0].split(b"-")[0])
    try:
        message = decode(plane, item[1][b"m"])
    except (InvalidMessage, KeyError):
        return offset, None
    return offset, _placed(message, offset)


def _placed(message: Message, offset: int) -> Message:
    """Return the message; the entry's id says where it stands, also when the JSON was tampered with."""
    return message if message.offset == offset else message.model_copy(update={"offset": offset})
