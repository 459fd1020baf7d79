"""The feed: the rows of the sessions, kept up to date from their notices."""

from __future__ import annotations

import asyncio
from datetime import datetime
from types import TracebackType
from typing import Self

from tidings.bus import Bus, Message
from tidings.workers.view import Roster, SessionView


class Feed:
    """Keeps the roster of one session or of all; an async context manager.

    Args:
        bus: where the sessions are.
        session: the one to keep; ``*`` is all of them.

    Attributes:
        changes: notices taken in so far; the view draws again when it has grown.
        reading: the task that reads; it ends only by being closed, or with what went wrong.
    """

    def __init__(self, bus: Bus, session: str = "*") -> None:
        self._bus, self._session = bus, session
        self.roster = Roster()
        self.changes = 0
        self._was_connected = False
        self._known_at: datetime | None = None

    async def __aenter__(self) -> Self:
        self.reading = asyncio.create_task(self._read(), name="tidings-watch")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # Again and again: in Python 3.11 a cancellation that meets the end of `asyncio.wait_for` is lost.
        while not self.reading.done():
            self.reading.cancel()
            await asyncio.wait([self.reading], timeout=0.1)

    async def _read(self) -> None:
        async with self._bus.follow(self._session) as notices:
            async for item in notices:
                if isinstance(item, Message):
                    self.roster.apply(item)
                self.changes += 1

    def row(self, session: str) -> SessionView | None:
        """Return the row of a session; None while nothing is known of it."""
        return self.roster.get(session)

    def lost_at(self) -> datetime | None:
        """Return since when what is known may be out of date; None while it is not.

        It is looked at now and then, so it may be as much too early as the time between two looks.
        """
        if self._bus.connected:
            self._was_connected, self._known_at = True, self._bus.now()
            return None
        return self._known_at

    @property
    def connecting(self) -> bool:
        """Whether there has been no connection so far."""
        return not (self._was_connected or self._bus.connected)
