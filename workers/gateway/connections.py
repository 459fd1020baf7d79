"""The connections of a gateway: how many there may be, and how long each may take over what it sends and what it is sent.

uvicorn bounds neither: a request that never ends and an answer that is never read hold a connection, and with it a descriptor,
for ever. This protocol is h11's, also where httptools is installed, so that what is taken does not depend on that.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from tidings.workers.gateway.guard import ALWAYS, is_known
from tidings.workers.gateway.heads import refusal
from tidings.workers.gateway.options import GatewayOptions
from tidings.workers.gateway.problems import Problem, later
from tidings.workers.gateway.viewers import Counts

log = logging.getLogger("tidings.gateway")

_LOOK_S: Final = 1.0
"""How often all of them are looked at; more often where a time-out is short."""
_QUIET_S: Final = 60.0
"""For how long nothing of a kind must have happened until it is told again."""
_LEAST: Final = 64 * 1024
"""Bytes that a reader takes within a time-out at least; about 1 KB/s."""
_FULL_S: Final = 5.0
_NOT_SERVED: Final = "gateway.connections_ended"


class Connections:
    """All connections of one server.

    When there are too many, those go first that have shown no token, the oldest of them first; then those with a token that ask
    nothing at the moment. Where all are in use, the new one is answered with 503. What is done to connections is counted, and
    told once for each episode of it.

    Args:
        options: the time-outs and how many there may be.
        counts: where it is counted.
    """

    def __init__(self, options: GatewayOptions, counts: Counts) -> None:
        self.options, self.counts = options, counts
        self.limit = options.most_connections
        self._strangers: dict[HttpConnection, None] = {}
        self._known: dict[HttpConnection, None] = {}
        self._told: dict[str, float] = {}

    def protocol(self, *args: Any, **kwargs: Any) -> HttpConnection:
        """Make the protocol of one connection, as uvicorn asks for it."""
        return HttpConnection(self, *args, **kwargs)

    def add(self, new: HttpConnection) -> None:
        """Take one in, and end another one or itself where there are too many."""
        self._strangers[new] = None
        self._count()
        if self.counts.connections <= self.limit:
            return
        self.tell("limit")
        other = self._stranger(new) or next((one for one in self._known if one.is_idle), None)
        if other is None:
            new.refuse(later("full", _FULL_S, "Too many connections are open on this gateway. Try again in {wait} s."))
        else:
            self.discard(other)
            other.transport.abort()

    def _stranger(self, new: HttpConnection) -> HttpConnection | None:
        """Return the oldest that has shown no token; those that have are put apart on the way."""
        for one in tuple(self._strangers):
            if one is new:
                return None
            if not one.is_known:
                return one
            del self._strangers[one]
            self._known[one] = None
        return None

    def discard(self, one: HttpConnection) -> None:
        """Forget one that is gone, or is about to be."""
        self._strangers.pop(one, None)
        self._known.pop(one, None)
        self._count()

    def _count(self) -> None:
        self.counts.connections = len(self._strangers) + len(self._known)

    def tell(self, why: str) -> None:
        """Count a connection that is ended, and log the first one of an episode."""
        self.counts.connections_ended[why] += 1
        if why not in self._told:
            log.warning(_NOT_SERVED, extra={"why": why, "open": self.counts.connections, "limit": self.limit})
        self._told[why] = asyncio.get_running_loop().time()

    async def watch(self) -> None:
        """End those that take too long, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(_LOOK_S, self.options.request_timeout_s / 4, self.options.send_timeout_s / 4))
            now = loop.time()
            for one in (*self._strangers, *self._known):
                one.look(now)
            for why in [why for why, at in self._told.items() if now - at > _QUIET_S]:
                del self._told[why]
                log.info("gateway.connections_quiet", extra={"why": why, "total": self.counts.connections_ended[why]})


class _Strict(h11.Connection):
    """Reads requests that can be read in one way only.

    Attributes:
        problem: why nothing more is read; None while all is well.
    """

    problem: Problem | None = None

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event; nothing more once there is a problem, which uvicorn would log each time."""
        if self.problem is None and self.their_state is h11.IDLE:
            self.problem = refusal(self.trailing_data[0])
        if self.problem is None:
            try:
                return super().next_event()
            except h11.RemoteProtocolError:
                # Its text quotes what was sent.
                self.problem = Problem("malformed", "This is not HTTP as RFC 9112 has it. Nothing was done.")
        return h11.PAUSED


class HttpConnection(H11Protocol):
    """One connection."""

    conn: _Strict

    def __init__(self, all: Connections, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._all, self._options = all, all.options
        self.conn = _Strict(h11.SERVER)
        # Addresses of requests hold tokens. uvicorn's own switch writes them all the same as soon as its logger has a handler.
        self.access_log = False
        self._known = False
        self._doing: tuple[str, Any] = ("", None)
        self._since = 0.0
        self._unread: asyncio.TimerHandle | None = None

    # life

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin."""
        super().connection_made(transport)
        self._all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._all.discard(self)
        self._stop(self._unread)
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Take what has arrived; what cannot be taken is answered, and nothing after it is read."""
        super().handle_events()
        if self.conn.problem is not None and not self.transport.is_closing():
            self._all.tell("malformed")
            self.refuse(self.conn.problem)

    def refuse(self, problem: Problem) -> None:
        """Say why no more is taken, unless the request has its answer already, and close."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(_written(problem))
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: a client that offers another protocol is answered in this one."""

    # callers

    @property
    def is_known(self) -> bool:
        """Whether a token came over it."""
        self._known = self._known or (self.scope is not None and is_known(self.scope))
        return self._known

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked over it at the moment."""
        return self.conn.our_state is h11.IDLE

    def on_response_complete(self) -> None:
        """Note the caller before the next request takes the place of this one; the next one is not checked by then."""
        self._known = self.is_known
        super().on_response_complete()

    # how long

    def look(self, now: float) -> None:
        """End it if it has been doing the same for too long."""
        doing = self._now()
        if doing != self._doing:
            self._doing, self._since = doing, now
            return
        what, took = doing[0], now - self._since
        if what == "closing" and took >= self._options.send_timeout_s:
            self._abandon()
        elif what in ("idle", "head", "body") and took >= self._options.request_timeout_s:
            self._all.tell(what)
            self.refuse(Problem("too-slow")) if what != "idle" else self.transport.close()

    def _now(self) -> tuple[str, Any]:
        """Return what it waits for, and of which request; ('', None) where it is our turn."""
        state = self.conn.their_state
        if self.transport.is_closing():
            return "closing", self.transport.get_write_buffer_size() // _LEAST
        if state is h11.IDLE and self.conn.trailing_data[0]:
            return "head", self.cycle
        if state is h11.IDLE and self.cycle is None:
            return "idle", None
        return ("body", self.cycle) if state is h11.SEND_BODY else ("", None)

    def pause_writing(self) -> None:
        """Wait for a reader, but not for ever: streams and all other answers alike."""
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        self._stop(self._unread)

    def _wait_for_reader(self) -> None:
        size = self.transport.get_write_buffer_size()
        self._unread = self.loop.call_later(self._options.send_timeout_s, self._check_reader, size)

    def _check_reader(self, before: int) -> None:
        if before - self.transport.get_write_buffer_size() < _LEAST:
            self._abandon()
        else:
            self._wait_for_reader()

    def _abandon(self) -> None:
        self._all.counts.stalled += 1
        self._all.tell("reader")
        self.transport.abort()

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


def _written(problem: Problem) -> bytes:
    """Return a problem as it goes over the wire where there is no request to answer."""
    answer = problem.response()
    status = HTTPStatus(answer.status_code)
    fields = [*answer.raw_headers, *ALWAYS, (b"cache-control", b"no-store"), (b"connection", b"close")]
    head = b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode())
    return head + b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n" + bytes(answer.body)
