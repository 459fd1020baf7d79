"""The quarantine: sessions that cannot be read or written are set aside, for longer each time in a row, and told."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from tidings.bus import Bus, SchemaMismatch, TidingsError, UnreadableRecord
from tidings.bus.errors import cause_of, unreadable
from tidings.workers.controller.errands import Errands

log = logging.getLogger("tidings.controller")

KEEP_S = 60.0
"""For how long a session counts after it was to be looked at again: controllers take turns, and another one may look at it."""
_MOST = 10_000


class Quarantine:
    """The sessions that one controller has set aside; ``len`` counts them.

    How often in a row is in the record of the session, so that all controllers count together; where the record is no hash, the
    session is set aside for the longest time at once.

    Args:
        bus: where the sessions are.
        errands: tell a parent whose child is not started.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, bus: Bus, errands: Errands, clock: Callable[[], float] = time.monotonic) -> None:
        self._bus, self._errands, self._clock = bus, errands, clock
        self._until: dict[str, float] = {}
        """Until when each counts."""

    def __len__(self) -> int:
        now = self._clock()
        self._until = {session: until for session, until in self._until.items() if until > now}
        return len(self._until)

    def forget(self, session: str) -> None:
        """Take a session off the list: it was decided."""
        self._until.pop(session, None)

    async def put(self, session: str, error: Exception) -> None:
        """Set a session aside, tell of it, and refuse its commands.

        Raises:
            Unreachable: the server does not answer.
        """
        ours = isinstance(error, TidingsError)
        cause = cause_of(error) if ours else type(error).__name__
        reason = unreadable(session, cause if ours else "controllers failed to decide it, their logs say more")
        put = await self._bus.controller.quarantine(session, reason)
        foreign = isinstance(error, SchemaMismatch)
        if put.times or (foreign and session not in self._until):
            extra = {"session": session, "cause": cause, "times": put.times, "seconds": put.seconds, "refused": len(put.refused)}
            level = logging.WARNING if isinstance(error, UnreadableRecord) else logging.ERROR
            log.log(level, "session.quarantined", extra=extra, exc_info=None if ours else error)
        if put.times or foreign:
            self._note(session, put.seconds)
        for command in put.refused:
            await self._errands.refused(command, reason, self._bus.now())

    def _note(self, session: str, seconds: float) -> None:
        self.forget(session)
        if len(self._until) >= _MOST:
            self._until.pop(next(iter(self._until)))
        self._until[session] = self._clock() + seconds + KEEP_S
