"""The worker: claims sessions, has an agent take their turns, lets them go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import datetime
from typing import Any

from tidings.bus import (
    AccessDenied,
    Bus,
    Claim,
    LeaseLost,
    LlmRetry,
    OutcomeUnknown,
    Presence,
    Reason,
    Release,
    Role,
    TidingsError,
    Trigger,
    Unreachable,
    WorkerRef,
)
from tidings.bus.errors import cause_of
from tidings.bus.lease import ALL_READ
from tidings.workers.agent import AgentFactory, agent_for
from tidings.workers.attendance import Attendance
from tidings.workers.containment import contain_exits, root_of
from tidings.workers.hold import Hold, Revoked
from tidings.workers.llm import load_litellm
from tidings.workers.llm.secrets import scrub
from tidings.workers.place import described
from tidings.workers.redaction import environment_secrets, one_line
from tidings.workers.refusals import Refusals
from tidings.workers.run import Run
from tidings.workers.settings import Settings
from tidings.workers.watchdog import Watchdog

log = logging.getLogger("tidings.worker")

HAND_BACK_S = 5.0
"""How long a worker tries to let a session go; after that its lease runs out."""
LOOK_S = 0.2
"""How often a worker that ends looks whether a turn under way has come to wait."""


def watchdog_for(bus: Bus, settings: Settings, give_up: Callable[[], object] | None = None) -> Watchdog:
    """Return what keeps the leases of a process while its event loop is blocked, as the settings say; see `Watchdog`."""
    return Watchdog(bus, settings.renew_s, settings.lease_s, settings.blocked_limit_s, give_up)


class _Wake:
    """Hears that a session wants a worker."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def acknowledged(self) -> None:
        """Look: something may have been missed."""
        self.event.set()

    def receive(self, name: str, payload: bytes) -> None:
        """Look."""
        self.event.set()


class Worker:
    """Works on up to ``settings.concurrency`` sessions at a time.

    Args:
        bus: where the sessions are.
        agent_factory: makes the agent for each run; its ``children``, if it has them, make those of its children.
        settings: model, plan of the retries, leases.
        name: how people see it; made from host and process where it is not given.
        llm_options: further arguments of the `Llm` of each run, by session: its clock in tests, parameters for litellm.
        watchdog: keeps the leases while the event loop is blocked: that of the process; else the worker has one of its own, which
            ends no process.
    """

    def __init__(
        self,
        bus: Bus,
        agent_factory: AgentFactory,
        settings: Settings,
        name: str | None = None,
        *,
        llm_options: Callable[[str], Mapping[str, Any]] | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._bus, self._agent_factory, self._settings = bus, agent_factory, settings
        self._llm_options, self._watchdog = llm_options, watchdog
        host = socket.gethostname()
        self.ref = WorkerRef(name=name or f"{host}-{os.getpid()}-{secrets.token_hex(2)}", host=host, pid=os.getpid())
        self._wake = _Wake()
        self._started_at: datetime | None = None
        self._draining = False
        self._away: type[Exception] | None = None
        """What was told of an absence of the server that lasts."""
        self._served = False
        """Whether the server has ever let us claim."""
        self._runs: dict[asyncio.Task[None], Hold | None] = {}
        self._refusals = Refusals()
        self.claimed = 0
        """Sessions claimed so far."""

    @property
    def name(self) -> str:
        """How people see it."""
        return self.ref.name

    @property
    def sessions(self) -> int:
        """Sessions held right now."""
        return len(self._runs)

    async def run(self) -> None:
        """Work until drained; outlasts any absence of the server, and rights that are taken away meanwhile.

        litellm takes seconds to import, so it is imported before the first claim: a lease does not wait for it. Meanwhile the
        worker says that it is starting.

        Raises:
            AccessDenied: we may not claim, and never could.
        """
        async with Attendance(self._bus, self.presence) as attendance:
            await asyncio.to_thread(load_litellm)
            contain_exits(asyncio.get_running_loop())
            self._started_at = self._bus.now()
            attendance.renew()
            await self._bus.on_ready(self._wake)
            with nullcontext(self._watchdog) if self._watchdog else watchdog_for(self._bus, self._settings) as watchdog:
                async with watchdog.attend_for(self.presence):
                    await self._serve(watchdog)

    async def _serve(self, watchdog: Watchdog) -> None:
        """Claim and work until drained, then hand back what is left."""
        try:
            while not self._draining:
                await self._claim_all(watchdog)
                self._refusals.tell()
                await self._idle()
            await self._finish()
        finally:
            await self._hand_back(list(self._runs))
            self._refusals.tell(now=True)
            await self._bus.forget(self._wake)

    def presence(self) -> Presence:
        """Return what it says of itself to whoever looks after the fleet."""
        return Presence(
            role=Role.WORKER,
            name=self.ref.name,
            host=self.ref.host,
            pid=self.ref.pid,
            started_at=self._started_at,
            sessions=tuple(hold.claim.session for hold in self._runs.values() if hold is not None),
            concurrency=self._settings.concurrency,
            model=self._settings.model,
            starting=self._started_at is None,
            draining=self._draining,
            skipped=self._bus.skipped,
        )

    def drain(self) -> None:
        """Claim no more; sessions that only wait are handed back, the others get the grace time to end their turn."""
        self._draining = True
        self._wake.event.set()

    # claiming

    async def _claim_all(self, watchdog: Watchdog) -> None:
        """Claim until the slots are full or nothing is queued."""
        self._wake.event.clear()
        while not self._draining and len(self._runs) < self._settings.concurrency:
            try:
                claim = await self._bus.claim(self.ref, lease_s=self._settings.lease_s, model=self._settings.model)
            except (AccessDenied, Unreachable) as error:
                if isinstance(error, AccessDenied) and not self._served:
                    raise
                if type(error) is not self._away:
                    log.warning("worker.unreachable", extra={"cause": cause_of(error)})
                self._away = type(error)
                return
            self._away = None
            if not self._served:
                self._served = True
                self._say_started()
            if claim is None:
                return
            self.claimed += 1
            task = asyncio.create_task(self._work(claim, watchdog), name=f"tidings-run-{claim.session}")
            self._runs[task] = None
            task.add_done_callback(self._done)

    def _say_started(self) -> None:
        """Say that sessions may come: litellm is loaded, and the server has let us claim."""
        log.info(
            "worker.started",
            extra={
                "worker": self.name,
                "redis": self._bus.address,
                "model": self._settings.model,
                "concurrency": self._settings.concurrency,
            },
        )

    def _done(self, task: asyncio.Task[None]) -> None:
        self._runs.pop(task, None)
        self._wake.event.set()
        if not task.cancelled() and task.exception() is not None:
            log.error("worker.run_failed", exc_info=task.exception())

    async def _idle(self) -> None:
        """Wait for a wake-up, a slot, or the time to look again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.poll_s):
                await self._wake.event.wait()

    # one session

    async def _work(self, claim: Claim, watchdog: Watchdog) -> None:
        """Hold a claimed session for one turn. Whatever happens, the session ends up with another holder."""
        async with Hold(self._bus, claim, self._settings.renew_s, watchdog, on_retry=self._count) as hold:
            task = asyncio.current_task()
            assert task is not None
            self._runs[task] = hold
            try:
                release = await hold.guard(self._turn(hold))
            except Revoked as news:
                log.info("worker.revoked", extra={"session": claim.session, "state": news.state, "why": news.why})
                return
            except asyncio.CancelledError:
                await self._let_go(hold, Release(Trigger.HAND_BACK, read=ALL_READ, why="its worker ends"))
                raise
            except (LeaseLost, OutcomeUnknown, Unreachable) as error:
                # Nothing to say to anybody: who takes the session over finds the history as it is.
                log.warning("worker.run_lost", extra={"session": claim.session, "cause": cause_of(error)})
                return
            except Exception as error:
                release = self._failed(claim, error)
            await self._let_go(hold, release)

    def _count(self, data: LlmRetry) -> None:
        self._refusals.note(data.model, data.reason)

    async def _turn(self, hold: Hold) -> Release:
        options = self._llm_options(hold.claim.session) if self._llm_options else None
        agent = agent_for(self._agent_factory, hold.claim.name)
        return await Run(self._bus, hold, agent, self._settings, options).turn()

    def _failed(self, claim: Claim, error: Exception) -> Release:
        """Make a release of an error that is not the agent's, or that kept the agent from being made."""
        root = root_of(error)
        told = one_line(scrub(root, environment_secrets(os.environ)))
        log.error("worker.run_failed", extra={"session": claim.session}, exc_info=root)
        why = f"the worker failed: {described(root, told)}"
        return Release(Trigger.FAIL, read=ALL_READ, reason=Reason.UNKNOWN, why=why)

    async def _let_go(self, hold: Hold, release: Release) -> None:
        """Release the session. A worker that is cancelled meanwhile first ends that."""
        releasing = asyncio.ensure_future(self._release(hold, release))
        try:
            await asyncio.shield(releasing)
        except asyncio.CancelledError:
            await asyncio.wait({releasing})
            raise

    async def _release(self, hold: Hold, release: Release) -> None:
        """Release the session if it is still ours and the server lets us; else its lease runs out, or it has been taken."""
        try:
            async with asyncio.timeout(HAND_BACK_S):
                await hold.release(release)
            self._refusals.released(hold.claim.session, release)
        except (TidingsError, TimeoutError) as error:
            log.warning("worker.release_failed", extra={"session": hold.claim.session, "cause": cause_of(error)})

    # the end

    async def _finish(self) -> None:
        """Give turns under way the grace time to end; those that only wait, or come to wait, are handed back at once."""
        end = asyncio.get_running_loop().time() + self._settings.grace_s
        while self._runs and (left := end - asyncio.get_running_loop().time()) > 0:
            await self._hand_back([task for task, hold in self._runs.items() if hold is not None and hold.waiting])
            if self._runs:
                await asyncio.wait(self._runs, timeout=min(left, LOOK_S), return_when=asyncio.FIRST_COMPLETED)

    async def _hand_back(self, runs: list[asyncio.Task[None]]) -> None:
        for task in runs:
            task.cancel()
        if runs:
            await asyncio.wait(runs)
