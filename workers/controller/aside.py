"""Sessions that a controller cannot decide, because what is stored of them cannot be read: set aside, told of once, counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from tidings.bus import Bus, SchemaMismatch, Snapshot, UnreadableRecord

log = logging.getLogger("tidings.controller")

ASIDE_S = 60.0
"""When a record that cannot be read is looked at again; a command for the session brings it up at once."""
OTHER_SCHEMA_S = 1.0
"""The same for one that another version wrote: its controllers take turns with us, and must not wait for long."""
KEEP_S = 10 * ASIDE_S
"""For how long a session counts after it was last looked at: controllers take turns, and another one may have seen its end."""
_MOST = 10_000


class Aside:
    """The sessions set aside by one controller; ``len`` counts them.

    Args:
        bus: where the sessions are.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, bus: Bus, clock: Callable[[], float] = time.monotonic) -> None:
        self._bus, self._clock = bus, clock
        self._known: dict[str, float] = {}
        """When each was looked at, the longest ago first."""
        self._lasting: set[str] = set()
        """Those of them whose records can be read: that they can be says nothing."""

    def __len__(self) -> int:
        self._forget_old()
        return len(self._known)

    def forget(self, session: str) -> None:
        """Take a session off the list: it was decided, or is gone."""
        self._known.pop(session, None)
        self._lasting.discard(session)

    def readable(self, session: str) -> None:
        """Take a session off the list whose record could not be read, and now can."""
        if session not in self._lasting:
            self.forget(session)

    async def look(self, session: str, error: UnreadableRecord) -> Snapshot | None:
        """Set a session aside, or return what can be read of it where commands wait for an answer.

        Raises:
            Unreachable: the server does not answer.
        """
        self.note(session, error.cause)
        if isinstance(error, SchemaMismatch):
            await self._bus.controller.set_aside(session, OTHER_SCHEMA_S)
            return None
        try:
            snapshot = await self._bus.controller.salvage(session)
        except UnreadableRecord:
            # A key of the session holds another type of value: there are not even commands to answer.
            await self._bus.controller.set_aside(session, ASIDE_S)
            return None
        if snapshot is not None and snapshot.basis is not None and not snapshot.commands:
            await self._bus.controller.set_aside(session, ASIDE_S, snapshot.basis[2])
            return None
        return snapshot

    async def leave(self, session: str, cause: str, touched: bytes = b"*") -> None:
        """Set a session aside that has nothing to be refused, and whose record is not what is wrong.

        Raises:
            Unreachable: the server does not answer.
        """
        self.note(session, cause, lasting=True)
        await self._bus.controller.set_aside(session, ASIDE_S, touched)

    def note(self, session: str, cause: str, *, lasting: bool = False) -> None:
        """Count a session, and tell of it the first time.

        Args:
            lasting: it counts until it was decided, though its record can be read.
        """
        self._forget_old()
        if lasting:
            self._lasting.add(session)
        if self._known.pop(session, None) is not None:
            self._known[session] = self._clock()
            return
        if len(self._known) >= _MOST:
            self.forget(next(iter(self._known)))
        self._known[session] = self._clock()
        log.warning("controller.set_aside", extra={"session": session, "cause": cause})

    def _forget_old(self) -> None:
        oldest = self._clock() - KEEP_S
        while self._known and next(iter(self._known.values())) <= oldest:
            self.forget(next(iter(self._known)))
