"""The side of those who look after an installation: its processes, queues and server, and sessions in and out of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from tidings.bus.inspection import Inspection
from tidings.bus.logs import PAGE, Logs, Unreadable
from tidings.bus.presence import Members
from tidings.bus.redis.context import RedisContext
from tidings.bus.transfer import Transfer


class AdminFace(Members, Inspection, Transfer):
    """``bus.admin``: which processes there are, what waits, what the server is like, what we may do there, and exports."""

    def __init__(self, context: RedisContext, logs: Logs) -> None:
        Members.__init__(self, context)
        self._logs = logs

    async def unreadable(self) -> AsyncIterator[Unreadable]:
        """Yield the sessions whose records cannot be read, in no order; it reads every record there is.

        Raises:
            Unreachable: the server does not answer.
        """
        batch: list[str] = []
        async for session in self._logs.names():
            batch.append(session)
            if len(batch) == PAGE:
                for one in await self._logs.unreadable(batch):
                    yield one
                batch = []
        for one in await self._logs.unreadable(batch) if batch else []:
            yield one
