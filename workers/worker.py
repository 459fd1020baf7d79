"""The worker: claims sessions, has an agent take their turns, lets them go."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from tidings.bus import (
    AccessDenied,
    Bus,
    Ending,
    Keeper,
    Lease,
    LeaseLost,
    LlmRetry,
    OutcomeUnknown,
    Presence,
    Reason,
    Role,
    TidingsError,
    Trigger,
    Unreachable,
    WorkerRef,
)
from tidings.bus.errors import cause_of
from tidings.bus.listener import Wakeup
from tidings.bus.place import described
from tidings.bus.redaction import environment_secrets, one_line
from tidings.bus.worker.lease import ALL_READ
from tidings.workers.agent import AgentFactory, agent_for
from tidings.workers.containment import contain_exits, root_of, to_its_end
from tidings.workers.heartbeat import Heartbeat
from tidings.workers.llm import load_litellm
from tidings.workers.llm.secrets import scrub
from tidings.workers.refusals import Refusals
from tidings.workers.settings import Settings
from tidings.workers.turn import Turn

log = logging.getLogger("tidings.worker")

LOOK_S = 0.2
"""How often a worker that ends looks whether a turn under way has come to wait."""


def keeper_for(bus: Bus, settings: Settings, give_up: Callable[[], object] | None = None) -> Keeper:
    """Return what renews the leases of a process, as the settings say; see `Keeper`."""
    return Keeper(bus.worker, settings.renew_s, settings.lease_s, settings.blocked_limit_s, give_up)


class Worker:
    """Works on up to ``settings.concurrency`` sessions at a time.

    Args:
        bus: where the sessions are.
        agents: makes the agent for each run, or several by name, of which the first runs sessions that name none; the
            ``children`` of one, if it has them, make those of its children.
        settings: model, plan of the retries, leases.
        name: how people see it; made from host and process where it is not given.
        llm_options: further arguments of the `Llm` of each run, by session: its clock in tests, parameters for litellm.
        keeper: renews the leases: that of the process; else the worker has one of its own, which ends no process.
    """

    def __init__(
        self,
        bus: Bus,
        agents: AgentFactory | Mapping[str, AgentFactory],
        settings: Settings,
        name: str | None = None,
        *,
        llm_options: Callable[[str], Mapping[str, Any]] | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self._bus, self._settings = bus, settings
        self._agents: Mapping[str, AgentFactory] = agents if isinstance(agents, Mapping) else {"": agents}
        self._queues, self._names = settings.queues(), tuple(name for name in self._agents if name)
        self._llm_options, self._keeper = llm_options, keeper or keeper_for(bus, settings)
        host = socket.gethostname()
        self.ref = WorkerRef(name=name or f"{host}-{os.getpid()}-{secrets.token_hex(2)}", host=host, pid=os.getpid())
        self._wake = Wakeup()
        self._started_at: datetime | None = None
        self._draining = False
        self._away: type[Exception] | None = None
        """What was told of an absence of the server that lasts."""
        self._served = False
        """Whether the server has ever let us claim."""
        self._runs: dict[asyncio.Task[None], Lease | None] = {}
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
        async with Heartbeat(self._bus, self.presence) as heartbeat:
            await asyncio.to_thread(load_litellm)
            contain_exits(asyncio.get_running_loop())
            self._started_at = self._bus.now()
            heartbeat.renew()
            await self._bus.worker.on_ready(self._wake)
            async with self._keeper.watchdog.attend_for(self.presence):
                await self._serve()

    async def _serve(self) -> None:
        """Claim and work until drained, then hand back what is left."""
        try:
            while not self._draining:
                await self._claim_all()
                self._refusals.tell()
                await self._idle()
            await self._finish()
        finally:
            await self._hand_back(list(self._runs))
            self._refusals.tell(now=True)
            await self._bus.worker.forget(self._wake)

    def presence(self) -> Presence:
        """Return what it says of itself to whoever looks after the fleet."""
        return Presence(
            role=Role.WORKER,
            name=self.ref.name,
            host=self.ref.host,
            pid=self.ref.pid,
            started_at=self._started_at,
            sessions=tuple(lease.session for lease in self._runs.values() if lease is not None),
            concurrency=self._settings.concurrency,
            model=self._settings.model,
            queues=self._queues,
            agents=self._names,
            starting=self._started_at is None,
            draining=self._draining,
            skipped=self._bus.skipped,
        )

    def drain(self) -> None:
        """Claim no more; sessions that only wait are handed back, the others may end their turn within the drain time-out."""
        self._draining = True
        self._wake.set()

    # claiming

    async def _claim_all(self) -> None:
        """Claim until the slots are full or nothing is queued."""
        self._wake.clear()
        while not self._draining and len(self._runs) < self._settings.concurrency:
            try:
                lease = await self._claim()
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
            if lease is None:
                return
            self.claimed += 1
            task = asyncio.create_task(self._work(lease), name=f"tidings-run-{lease.session}")
            self._runs[task] = None
            task.add_done_callback(self._done)

    async def _claim(self) -> Lease | None:
        places = [(queue, agent) for queue in self._queues for agent in (None, *self._names)]
        return await self._bus.worker.claim(self.ref, lease_s=self._settings.lease_s, model=self._settings.model, places=places)

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
        self._wake.set()
        if not task.cancelled() and task.exception() is not None:
            log.error("worker.run_failed", exc_info=task.exception())

    async def _idle(self) -> None:
        """Wait for a wake-up, a slot, or the time to look again."""
        await self._wake.wait_at_most(self._settings.poll_s)

    # one session

    async def _work(self, lease: Lease) -> None:
        """Hold a claimed session for one turn. Whatever happens, the session ends up with another holder."""
        lease.on_retry = self._count
        try:
            async with lease.kept_by(self._keeper):
                task = asyncio.current_task()
                assert task is not None
                self._runs[task] = lease
                lease.ending = await self._turn(lease)
        except LeaseLost as news:
            log.info("worker.lease_lost", extra={"session": lease.session, "state": news.state, "why": news.why})
        except (TidingsError, TimeoutError) as error:
            # Whatever is to be said to people is said; who takes the session over finds the history as it is.
            log.warning("worker.run_lost", extra={"session": lease.session, "cause": cause_of(error)})
        if lease.released and lease.ending is not None:
            self._refusals.released(lease.session, lease.ending)

    def _count(self, told: LlmRetry) -> None:
        self._refusals.note(told.model, told.reason)

    async def _turn(self, lease: Lease) -> Ending:
        """Have the agent take its turn; returns how the session is to be released."""

        async def turn() -> Ending:
            options = self._llm_options(lease.session) if self._llm_options else None
            factory = self._agents.get(lease.work.agent or "") or next(iter(self._agents.values()))
            agent = agent_for(factory, lease.name)
            return await Turn(self._bus, lease, agent, self._settings, options).turn()

        try:
            return await to_its_end(turn(), lease.session)
        except (LeaseLost, OutcomeUnknown, Unreachable):
            raise
        except Exception as error:
            return self._failed(lease, error)

    def _failed(self, lease: Lease, error: Exception) -> Ending:
        """Make an ending of an error that is not the agent's, or that kept the agent from being made."""
        root = root_of(error)
        told = one_line(scrub(root, environment_secrets(os.environ)))
        log.error("worker.run_failed", extra={"session": lease.session}, exc_info=root)
        why = f"the worker failed: {described(root, told)}"
        return Ending(Trigger.FAIL, read=ALL_READ, reason=Reason.UNKNOWN, why=why)

    # the end

    async def _finish(self) -> None:
        """Let turns under way end within the drain time-out; those that only wait, or come to wait, are handed back at once."""
        end = asyncio.get_running_loop().time() + self._settings.drain_timeout_s
        while self._runs and (left := end - asyncio.get_running_loop().time()) > 0:
            await self._hand_back([task for task, lease in self._runs.items() if lease is not None and lease.waiting])
            if self._runs:
                await asyncio.wait(self._runs, timeout=min(left, LOOK_S), return_when=asyncio.FIRST_COMPLETED)

    async def _hand_back(self, runs: list[asyncio.Task[None]]) -> None:
        for task in runs:
            task.cancel()
        if runs:
            await asyncio.wait(runs)
