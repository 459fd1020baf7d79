"""The keeper: renews the leases of a process, all in one call, and ends the work whose lease cannot be kept."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from tidings.bus.errors import AccessDenied, TidingsError, Unreachable, cause_of
from tidings.bus.worker.watchdog import BLOCKED_LIMIT_S, Watchdog

if TYPE_CHECKING:
    from tidings.bus.worker.face import WorkerFace
    from tidings.bus.worker.lease import Lease

log = logging.getLogger("tidings.lease")

RENEW_S = 1.0
"""Seconds between renewals, by default; well under half of a lease."""


class Keeper:
    """Renews leases for as long as they are entered; also, by a thread, while the event loop is blocked (`Watchdog`).

    Args:
        face: the side of the workers of a bus.
        renew_s: seconds between renewals.
        lease_s: length of the leases, in seconds.
        blocked_limit_s: how long the leases are kept while the event loop is blocked, in seconds.
        give_up: called in the thread after that, unless the loop has moved: it may end the process.
    """

    def __init__(
        self,
        face: WorkerFace,
        renew_s: float = RENEW_S,
        lease_s: float = 10.0,
        blocked_limit_s: float = BLOCKED_LIMIT_S,
        give_up: Callable[[], object] | None = None,
    ) -> None:
        self._face, self.renew_s = face, renew_s
        self._leases: dict[Lease, asyncio.Task[None]] = {}
        self._poked: set[Lease] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.watchdog = Watchdog(face, renew_s, lease_s, blocked_limit_s, give_up)

    def keeps(self, lease: Lease) -> bool:
        """Whether a lease is renewed by this."""
        return lease in self._leases

    def keep(self, lease: Lease) -> None:
        """Renew a lease from now on, and listen to what is told of its session."""
        listening = self._face.listen(lease.session, lease)
        self._leases[lease] = asyncio.create_task(listening, name=f"tidings-lease-{lease.session}")
        self.watchdog.watch(lease)
        self.poke(lease)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="tidings-leases")

    async def leave(self, lease: Lease) -> None:
        """Leave a lease alone from now on; idempotent."""
        listening = self._leases.pop(lease, None)
        if listening is None:
            return
        self.watchdog.forget(lease)
        self._poked.discard(lease)
        self._wake.set()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await self._face.forget(lease)
        if not self._leases:
            await self.aclose()

    async def aclose(self) -> None:
        """End the renewals; a lease that is entered later begins them anew. Idempotent."""
        self.watchdog.stop()
        task, self._task = self._task, None
        ending = [*self._leases.values(), *([] if task is None else [task])]
        for one in ending:
            one.cancel()
        if ending:
            await asyncio.gather(*ending, return_exceptions=True)

    def poke(self, lease: Lease) -> None:
        """Renew a lease at once: the answer says what is wanted of its worker."""
        self._poked.add(lease)
        self._wake.set()

    async def pause(self, lease: Lease) -> None:
        """Wait before the server is asked again for a lease, or until it is lost."""
        lost = asyncio.Event()
        lease.on_lost(lost.set)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(lease.margin_s / 2):
                await lost.wait()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while self._leases:
            if loop.time() >= due:
                self._poked.clear()
                due = loop.time() + await self._renew(list(self._leases))
            elif self._poked:
                poked, self._poked = [lease for lease in self._poked if lease in self._leases], set()
                due = min(due, loop.time() + await self._renew(poked))
            self._wake.clear()
            if self._poked:
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._wake.wait()

    async def _renew(self, leases: list[Lease]) -> float:
        """Renew some leases once; returns in how many seconds to do it again."""
        leases = [lease for lease in leases if lease.lost is None]
        if not leases:
            return self.renew_s
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        try:
            async with asyncio.timeout_at(min(lease.ends_at for lease in leases)):
                answers = await self._face.renew(leases)
        except (AccessDenied, Unreachable, TimeoutError) as error:
            pause_s = min(lease.margin_s for lease in leases) / 2
            for lease in leases:
                # The end is looked up anew: when the loop was blocked, the watchdog has renewed meanwhile.
                if loop.time() + pause_s >= lease.ends_at:
                    self._expire(lease, str(error), asked_at)
            return pause_s
        except Exception as error:
            # Work whose lease is not renewed must not go on.
            log.log(logging.ERROR, "lease.failed", extra={"cause": cause_of(error)}, exc_info=not isinstance(error, TidingsError))
            for lease in leases:
                lease.lose(None, f"its lease cannot be renewed: {cause_of(error)}")
            return self.renew_s
        for lease, answer in zip(leases, answers, strict=True):
            if answer.held:
                lease.renewed(asked_at, answer.retry_now)
            else:
                lease.lose(answer.state, answer.why)
        return self.renew_s

    def _expire(self, lease: Lease, told: str, asked_at: float) -> None:
        cause = told or ("the process stood still" if asked_at >= lease.ends_at else "the server does not answer")
        log.warning("lease.ends", extra={"session": lease.session, "silent_s": round(lease.silent_s, 1), "cause": cause})
        lease.lose(None, f"its lease could not be renewed for {lease.silent_s:.0f} s: {cause}")
