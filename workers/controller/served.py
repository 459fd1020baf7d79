"""Which queues and agents live workers serve, as they say themselves."""

from __future__ import annotations

import time
from collections.abc import Callable

from tidings.bus import Bus, Role
from tidings.bus.channels import Place

KEEP_S = 2.0
"""For how long an answer is kept: workers say every two seconds that they are there."""


class Served:
    """Knows which queues and agents live workers serve; asks the server at most every `KEEP_S` seconds.

    Args:
        bus: where the workers are.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, bus: Bus, clock: Callable[[], float] = time.monotonic) -> None:
        self._bus, self._clock = bus, clock
        self._asked_at = float("-inf")
        self._serves: Callable[[Place], bool] = lambda _: False

    async def now(self) -> Callable[[Place], bool]:
        """Return whether a live worker takes sessions of a queue that want an agent.

        Raises:
            Unreachable: the server does not answer.
        """
        if self._clock() - self._asked_at >= KEEP_S:
            self._asked_at = self._clock()
            members = await self._bus.admin.processes()
            workers = [one.presence for one in members if one.live and one.presence.role is Role.WORKER]
            self._serves = lambda place: any(worker.serves(place) for worker in workers)
        return self._serves
