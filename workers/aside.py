"""Sessions that a controller cannot decide, because their records cannot be read: set aside, told of once, counted."""

from __future__ import annotations

import logging

from bus import Bus, NewerRecord, Snapshot, UnreadableRecord

log = logging.getLogger("tidings.controller")

ASIDE_S = 60.0
"""When a record that cannot be read is looked at again; a command for the session brings it up at once."""
NEWER_S = 1.0
"""The same for one that a newer version wrote: newer controllers take turns with us, and must not wait for long."""
_MOST = 10_000


class Aside:
    """The sessions set aside by one controller; ``len`` counts them.

    Args:
        bus: where the sessions are.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._known)

    def forget(self, session: str) -> None:
        """Take a session off the list: it can be read, or is gone."""
        self._known.pop(session, None)

    async def look(self, session: str, error: UnreadableRecord) -> Snapshot | None:
        """Set a session aside, or return what can be read of it where commands wait for an answer.

        Raises:
            Unreachable: the server does not answer.
        """
        self._note(session, error)
        if isinstance(error, NewerRecord):
            await self._bus.set_aside(session, NEWER_S)
            return None
        snapshot = await self._bus.salvage(session)
        if snapshot is not None and snapshot.basis is not None and not snapshot.commands:
            await self._bus.set_aside(session, ASIDE_S, snapshot.basis[2])
            return None
        return snapshot

    def _note(self, session: str, error: UnreadableRecord) -> None:
        if session in self._known:
            return
        if len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[session] = None
        log.warning("controller.set_aside", extra={"session": session, "cause": error.cause})
