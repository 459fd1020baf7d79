"""The controller: takes the sessions that are due, decides each by the table, and hears of changes to be quick.

There is no leader; any number may run. What one does twice, or two do at once, changes nothing: a decision is written only if the
record is still what it rests on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from datetime import datetime

from tidings.bus import (
    AccessDenied,
    Bus,
    Decision,
    Presence,
    Role,
    Snapshot,
    StaleDecision,
    TidingsError,
    Unreachable,
    UnreadableRecord,
)
from tidings.bus.channels import Place
from tidings.bus.errors import cause_of
from tidings.bus.listener import Wakeup
from tidings.workers.controller.decision import Rules, decide
from tidings.workers.controller.errands import Errands
from tidings.workers.controller.error_log import Errors
from tidings.workers.controller.quarantine import Quarantine
from tidings.workers.controller.served import Served
from tidings.workers.heartbeat import Heartbeat
from tidings.workers.settings import Settings, load_settings

log = logging.getLogger("tidings.controller")

AT_ONCE = 16
"""Sessions decided at the same time by one controller; as many as the connection pool holds."""
BATCH = 100
TRIES = 5
"""How often a session is read anew when it changed while it was being decided."""

_MOST = 10_000
"""Sessions of which something is kept in mind here, because it cannot be kept in their records."""


class _Wake(Wakeup):
    """Wakes the controller, and has the sessions logged that came to be in error."""

    def __init__(self, errors: Errors) -> None:
        super().__init__()
        self._errors = errors

    def receive(self, name: str, payload: bytes) -> None:
        """Look: something happened."""
        super().receive(name, payload)
        self._errors.hear(payload)


class Controller:
    """Decides the states of all sessions of one bus.

    Args:
        bus: where the sessions are.
        settings: length of the leases, and what is said of controllers; None: those of the environment.
        name: shown as the source of its notices.
    """

    def __init__(self, bus: Bus, settings: Settings | None = None, name: str | None = None) -> None:
        settings = settings or load_settings({})
        self._bus = bus
        self.name = name or f"{socket.gethostname()}-{os.getpid()}"
        self._lease_s, self._poll_s = settings.lease_s, settings.controller_poll_s
        self._visibility_s, self._loss_limit = settings.visibility_s, settings.loss_limit
        self._errands = Errands(bus, f"controller/{self.name}")
        self._errors = Errors()
        self._wake = _Wake(self._errors)
        self._started_at: datetime | None = None
        self._stopping = False
        self._reap_at = 0.0
        self._reconnects = 0
        self._served_at: float | None = None
        self._served_s = 0.0
        """For how long the server was there for us, all in all."""
        self._overdue: dict[str, tuple[datetime, float]] = {}
        """Leases that were seen to have run out while none was reaped: their ends, and `_served_s` at the first look."""
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._quarantine = Quarantine(bus, self._errands)
        self._served = Served(bus)
        self.decided = 0
        self.failed = 0

    def stop(self) -> None:
        """Have ``run`` return after what is under way."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Decide until stopped; outlasts any absence of the server, and rights that are taken away meanwhile.

        Raises:
            AccessDenied: we may not do what a controller does, and never could.
        """
        self._hold_off()
        self._started_at = self._bus.now()
        async with Heartbeat(self._bus, self.presence):
            await self._bus.controller.on_change(self._wake)
            try:
                await self._decide_all()
            finally:
                await self._bus.forget(self._wake)

    async def _decide_all(self) -> None:
        delay, told = 0.05, None
        while not self._stopping:
            try:
                await self._round()
                delay, told = 0.05, None
            except (AccessDenied, Unreachable) as error:
                if isinstance(error, AccessDenied) and not self._served_s:
                    raise
                if type(error) is not told:
                    log.warning("controller.unreachable", extra={"cause": cause_of(error)})
                told = type(error)
                self._served_at = None
                self._hold_off()
                await self._wake.wait_at_most(delay)
                delay = min(1.0, delay * 2)

    def presence(self) -> Presence:
        """Return what it says of itself to whoever looks after the fleet."""
        return Presence(
            role=Role.CONTROLLER,
            name=self.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self._started_at,
            draining=self._stopping,
            unreadable=len(self._quarantine),
            skipped=self._bus.skipped,
        )

    def _hold_off(self) -> None:
        """Reap nothing for one lease time: while the server was away (or nobody decided) the workers could not renew.

        Where the connection is lost again and again this has no end, but `_may_reap` has.
        """
        self._reap_at = asyncio.get_running_loop().time() + self._lease_s

    async def _round(self) -> None:
        """Take what is due and decide it; sleep when nothing is."""
        self._wake.clear()
        asked_at = asyncio.get_running_loop().time()
        due = await self._bus.controller.due(BATCH, self._visibility_s)
        self._notice_absence(asked_at)
        if not due.sessions:
            await self._wake.wait_at_most(self._poll_s)
            return
        ended = await asyncio.gather(*(self._handle(session) for session in due.sessions), return_exceptions=True)
        # Raised only now: none of them is left running behind our back.
        for error in ended:
            if error is not None:
                raise error

    def _notice_absence(self, asked_at: float) -> None:
        """Hold off when the server was away meanwhile: its connection was lost, or it took long to answer."""
        now = asyncio.get_running_loop().time()
        # Between two answers more is not believed: this process or the server may have stood still.
        self._served_s += min(now - (self._served_at or asked_at), self._lease_s / 4)
        self._served_at = now
        slow = now - asked_at > self._lease_s / 4
        if slow or self._bus.reconnects != self._reconnects:
            self._reconnects = self._bus.reconnects
            self._hold_off()

    async def _handle(self, session: str) -> None:
        """Decide one session; what is wrong with it sets it aside, and does no harm to the others."""
        async with self._slots:
            try:
                await self._settle(session)
            except (AccessDenied, Unreachable):
                raise
            except Exception as error:
                self.failed += 0 if isinstance(error, UnreadableRecord) else 1
                await self._quarantine.put(session, error)

    async def _settle(self, session: str) -> None:
        reason: TidingsError | None = None
        for _ in range(TRIES):
            snapshot = await self._bus.controller.snapshot(session)
            if snapshot is None:
                await self._bus.controller.forget_due(session)
                return
            try:
                rules = self._rules(snapshot, await self._served.now() if snapshot.commands else None)
                decision = await self._errands.run(snapshot, decide(snapshot, rules))
                await self._bus.controller.decide(snapshot, decision)
            except (StaleDecision, Unreachable) as error:
                # Whether it was written is not known after a lost connection; the next snapshot shows it.
                reason = error
                continue
            self._log(snapshot, decision)
            self._quarantine.forget(session)
            return
        # It changes faster than it can be decided: it comes up again after the visibility time.
        if isinstance(reason, Unreachable):
            raise reason

    def _log(self, snapshot: Snapshot, decision: Decision) -> None:
        self.decided += 1
        if decision.state is not None:
            told, before = decision.state.data, snapshot.record.state
            self._errors.tell(decision.state)
            log.info("session.state", extra={"session": snapshot.record.session, "from": before, "to": told.to, "why": told.why})

    def _may_reap(self, snapshot: Snapshot) -> bool:
        """Whether a lease that ran out means a lost worker: nothing holds us off, or the worker had its time all the same.

        That is a whole lease in which the server was there for us, all in all, after we saw that the lease had run out. A worker
        that lives has renewed it then, however often connections break.
        """
        lease_until, session = snapshot.record.lease_until, snapshot.record.session
        if asyncio.get_running_loop().time() >= self._reap_at:
            self._overdue.clear()
            return True
        if lease_until is None or lease_until > snapshot.now:
            return False
        if len(self._overdue) >= _MOST:
            self._overdue.clear()
        seen, served_s = self._overdue.get(session, (None, 0.0))
        if seen != lease_until:
            self._overdue[session] = lease_until, self._served_s
            return False
        return self._served_s - served_s >= self._lease_s

    def _rules(self, snapshot: Snapshot, serves: Callable[[Place], bool] | None) -> Rules:
        reap = self._may_reap(snapshot)
        return Rules(f"controller/{self.name}", reap, min(1.0, self._lease_s / 4), self._loss_limit, serves)
