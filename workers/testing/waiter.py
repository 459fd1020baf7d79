"""The waiter: sees where every session of a fleet stands, and waits for a condition."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from tidings.bus import Bus, Record
from tidings.workers.provider import Provider
from tidings.workers.testing.clock import Clock
from tidings.workers.testing.in_process import InProcess
from tidings.workers.testing.patience import stretch
from tidings.workers.testing.processes import Processes
from tidings.workers.testing.recorder import NoticeRecorder
from tidings.workers.testing.report import NotInTime, describe

T = TypeVar("T")

TIMEOUT_S = 10.0 * stretch()
"""How long a wait may last, in real time, by default."""
LOOK_S = 0.01
"""How often a wait looks again when nothing was told."""

_TOLERANCE_S = 0.002
"""Redis keeps whole milliseconds."""


class Waiter:
    """Looks at the sessions on behalf of a test.

    Args:
        bus: where they are.
        provider: what it received is part of a report.
        members: the controllers and workers; a wait ends when one of them does.
        recorder: what was told.
        clock: what waits go by; None: real time.
        timeout_s: how long a wait may last.
    """

    def __init__(
        self,
        bus: Bus,
        provider: Provider,
        members: InProcess | Processes,
        recorder: NoticeRecorder,
        clock: Clock | None,
        timeout_s: float,
    ) -> None:
        self._bus, self._provider, self._members, self._recorder = bus, provider, members, recorder
        self._clock, self._timeout_s = clock, timeout_s

    async def eventually(self, predicate: Callable[[], Awaitable[T]], what: str, timeout_s: float | None = None) -> T:
        """Wait until an async function returns something true; returns that.

        Raises:
            NotInTime: it did not in time.
            RuntimeError: a worker or the controller has ended on its own.
        """
        __tracebackhide__ = True
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        deadline = asyncio.get_running_loop().time() + limit_s
        while True:
            self._members.check()
            found = await predicate()
            if found:
                return found
            if asyncio.get_running_loop().time() >= deadline:
                raise NotInTime(await self.report(f"not within {limit_s:g} s: {what}"))
            await self._recorder.news(LOOK_S)

    async def records(self) -> list[Record]:
        """Return the records of all sessions, by name."""
        return sorted([record async for record in self._bus.sessions()], key=lambda record: record.session)

    async def held(self) -> list[Record]:
        """Return the records of the sessions that the members hold."""
        return [record for record in await self.records() if self._members.holds(record)]

    async def renewed(self, lease_s: float) -> None:
        """Wait until the members have renewed every lease since now.

        Raises:
            NotInTime: a worker did not.
        """
        wanted = self._bus.now() + timedelta(seconds=lease_s - _TOLERANCE_S)

        async def renewed() -> bool:
            return all(record.lease_until is not None and record.lease_until >= wanted for record in await self.held())

        await self.eventually(renewed, "the workers have renewed their leases")

    def has_heard(self, record: Record) -> bool:
        """Whether everything that was told of a session by the time of its record has been heard."""
        return self._recorder.offset(record.session) >= record.status

    def left_s(self, record: Record) -> float | None:
        """Return how far the clock must be moved until a session goes on.

        None where it does not wait for that, or where its record does not show it yet.
        """
        if self._clock is None:
            return None
        if record.parked:
            left = (record.resume_at - self._bus.now()).total_seconds() if record.resume_at else 0.0
            return left if left > 0 else None
        wait = record.wait
        if wait is None or record.state is not wait.state:
            return None
        # A wait that is over stays in the picture until its attempt has ended; a wait of its length must be under way as well.
        told = [other.wait_s for other in record.picture.waits.values()]
        for sleeper in self._clock.sleepers(record.session):
            if any(math.isclose(sleeper.seconds, length) for length in told):
                return self._clock.left_s(sleeper)
        return None

    async def report(self, what: str) -> str:
        """Say what was waited for, and where everything stands."""
        records = await self.records()
        left = {record.session: self.left_s(record) for record in records}
        return describe(
            what,
            records,
            now=self._bus.now(),
            left={session: seconds for session, seconds in left.items() if seconds is not None},
            states={record.session: self._recorder.states(record.session) for record in records},
            requests=self._provider.requests,
            scripted=self._provider.stats()["script"],
        )
