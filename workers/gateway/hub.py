"""The hub: one subscription to the status of all sessions, one look at the processes, and the viewers that both are for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from tidings.bus import Bus, Gap, LlmRetry, Member, Message, Notice, Record, SessionState, State, TidingsError, UnknownSession
from tidings.bus.errors import cause_of
from tidings.bus.records import DRAWN
from tidings.workers.gateway.charts import Charts
from tidings.workers.gateway.frames import as_json, frame
from tidings.workers.gateway.ledger import Ledger
from tidings.workers.gateway.session_feed import Feeds
from tidings.workers.gateway.viewers import Counts, Viewer, wake_all
from tidings.workers.gateway.views import Json, fleet_view
from tidings.workers.view import SessionView

log = logging.getLogger("tidings.gateway")

HEARTBEAT_S = 10.0
"""How often a stream says that it is alive; a page that hears nothing for three of those has lost it."""
LOOK_S = 0.5
"""How often the connection is looked at."""
FLEET_S = 2.0
"""How often the processes are looked at; the strip above the fleet is sent no more often."""
RENEW_S = 10.0
"""How often the strip is sent though only times in it have changed."""
_SLICE = 50
"""Viewers that are woken at a time for what is not urgent, so that a thousand of them do not hold up a change of state."""


class Hub:
    """Knows the state of the fleet, and wakes viewers when it changes.

    Attributes:
        ledger: the rows.
        feeds: the sessions that have viewers.
        fleet_viewers: the streams of the whole fleet that are open.
        fleet: the newest strip as a frame, and its number.
        tick: the newest sign of life as a frame, and its number.
        closing: whether every stream is to end.
    """

    def __init__(self, bus: Bus, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self.bus, self.heartbeat_s = bus, heartbeat_s
        self.ledger, self.feeds, self.counts = Ledger(), Feeds(bus), Counts()
        self.charts = Charts(bus.now())
        self.roll: tuple[Member, ...] = ()
        self.fleet_viewers: set[Viewer] = set()
        self.session_viewers: set[Viewer] = set()
        self.fleet: tuple[bytes, int] = (b"", 0)
        self.tick: tuple[bytes, int] = (b"", 0)
        self.closing = False
        self._strip: Json = {}
        self._strip_at = float("-inf")
        self._dirty: set[str] = set()
        self._unread: set[str] = set()
        self._connected = False
        self._tasks: list[asyncio.Task[None]] = []

    # life

    async def start(self) -> None:
        """Learn what there is, and begin to follow it.

        Raises:
            Unreachable: the server does not answer.
            AccessDenied: the user may not do that.
        """
        # Asked first: a subscription waits for a server that is away, and this says so.
        self.roll = await self.bus.admin.processes()
        ready = asyncio.get_running_loop().create_future()
        reader = asyncio.create_task(self._follow(ready), name="tidings-gateway-notices")
        self._tasks = [reader]
        await ready
        self._connected = self.bus.connected
        self._refresh_strip()
        self._beat()
        self._tasks.append(asyncio.create_task(self._watch_connection(), name="tidings-gateway-beat"))
        self._tasks.append(asyncio.create_task(self._watch_processes(), name="tidings-gateway-roll"))

    async def aclose(self) -> None:
        """Let every stream end, and follow nothing more; idempotent."""
        self.closing = True
        self._wake_everybody()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self.feeds.aclose()

    # what is asked of it

    def learn(self, record: Record) -> SessionView:
        """Take in a session as its record has it, unless its notices have told as much already; returns its row."""
        entry = self.ledger.get(record.session)
        if entry is not None and entry.epoch == record.epoch and entry.offset >= record.status:
            # A worker's notice says what its controller will decide in a moment; the record does not.
            return entry.row
        row = SessionView.of(record, self.bus.now())
        self._put(row, record.epoch, record.status)
        return row

    def fleet_now(self) -> Json:
        """Return the fleet as it is now."""
        now = self.bus.now()
        return fleet_view(now, self.ledger.by_state, self.roll, self.charts.view(now))

    # notices

    async def _follow(self, ready: asyncio.Future[None]) -> None:
        """Keep the rows right until the bus is closed; ``ready`` is done when they are there."""
        while True:
            try:
                async with self.bus.follow() as notices:
                    async for record in self.bus.sessions():
                        self.learn(record)
                    if not ready.done():
                        ready.set_result(None)
                    async for item in notices:
                        await self._take(item)
                    return
            except TidingsError as error:
                if not ready.done():
                    ready.set_exception(error)
                    return
                log.warning("gateway.lost", extra={"cause": cause_of(error)})
                await asyncio.sleep(LOOK_S)

    async def _take(self, item: Message[Notice] | Gap) -> None:
        try:
            if isinstance(item, Gap):
                await self._read(item.channel.partition(".")[2])
                return
            entry = self.ledger.get(item.session)
            if entry and entry.epoch == item.epoch and (item.offset or 0) <= entry.offset:
                return
            if item.source == DRAWN:
                # A picture, drawn after something was missed: the record says more.
                await self._read(item.session)
            else:
                self._apply(item, entry.row if entry else SessionView(item.session))
        except Exception:
            log.exception("gateway.notice_failed")

    async def _read(self, session: str) -> None:
        """Take a session in as its record has it, now or when the server is back."""
        self._unread.discard(session)
        try:
            self.learn(await self.bus.status(session))
        except UnknownSession:
            self._remove(session)
        except TidingsError as error:
            self._unread.add(session)
            log.debug("gateway.not_read", extra={"session": session, "cause": cause_of(error)})

    def _apply(self, notice: Message[Notice], row: SessionView) -> None:
        if isinstance(notice.data, LlmRetry):
            refused = notice.data.reason.is_rate_limit
            self.charts.retried(notice.time, refused=refused)
            self.counts.retries += 1
            self.counts.refused += refused
        self._put(row.apply(notice), notice.epoch, notice.offset or 0)
        feed = self.feeds.get(notice.session)
        if feed is not None and not isinstance(notice.data, SessionState):
            feed.notice(notice)

    def _put(self, row: SessionView, epoch: str | None, offset: int) -> None:
        if row.state is State.DELETED:
            self._remove(row.session)
        elif self.ledger.put(row, epoch, offset):
            self._changed(row)

    def _remove(self, session: str) -> None:
        row = self.ledger.remove(session)
        if row is not None:
            self._changed(row)

    def _changed(self, row: SessionView) -> None:
        """Wake the viewers that it concerns, once for all that happens in one turn of the loop."""
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self._fan_out)
        self._dirty |= {row.session, row.parent or row.session}

    def _fan_out(self) -> None:
        dirty, self._dirty = self._dirty, set()
        for session in dirty:
            feed = self.feeds.get(session)
            if feed is not None:
                wake_all(feed.viewers)
        wake_all(self.fleet_viewers)

    def _wake_everybody(self) -> None:
        wake_all(self.fleet_viewers)
        wake_all(self.session_viewers)

    # what changes by itself

    def _beat(self) -> None:
        data = as_json({"now": self.bus.now(), "connected": self._connected})
        self.tick = frame("tick", data), self.tick[1] + 1

    async def _watch_connection(self) -> None:
        """Send a sign of life now and then, and at once when the connection is lost or back."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self.heartbeat_s
        while True:
            await asyncio.sleep(min(LOOK_S, max(0.0, due - loop.time())))
            if self.bus.connected != self._connected:
                self._connected = self.bus.connected
                self._beat()
                self._wake_everybody()
            elif loop.time() >= due:
                self._beat()
                await _wake_gently([*self.fleet_viewers, *self.session_viewers])
            else:
                continue
            due = loop.time() + self.heartbeat_s

    async def _watch_processes(self) -> None:
        while True:
            await asyncio.sleep(FLEET_S)
            try:
                self.roll = await self.bus.admin.processes()
            except TidingsError:
                # What was last known stays; the sign of life says that the connection is lost.
                continue
            for session in tuple(self._unread):
                await self._read(session)
            if self._refresh_strip():
                await _wake_gently(self.fleet_viewers)

    def _refresh_strip(self) -> bool:
        """Make the strip anew if something in it has changed; returns whether it has."""
        fleet, now = self.fleet_now(), asyncio.get_running_loop().time()
        strip = _without_times(fleet)
        if strip == self._strip and now - self._strip_at < RENEW_S:
            return False
        self._strip, self._strip_at = strip, now
        self.fleet = frame("fleet", as_json(fleet)), self.fleet[1] + 1
        return True


async def _wake_gently(viewers: Iterable[Viewer]) -> None:
    """Wake several, a few in each turn of the loop."""
    woken = tuple(viewers)
    for at in range(0, len(woken), _SLICE):
        wake_all(woken[at : at + _SLICE])
        await asyncio.sleep(0)


def _without_times(fleet: Json) -> Json:
    """Return what of the fleet is news: that a second has passed is none."""
    processes = {
        role: [{name: value for name, value in one.items() if name != "seen_at"} for one in fleet[role]]
        for role in ("workers", "controllers", "gateways")
    }
    return {**fleet, **processes, "now": None}
