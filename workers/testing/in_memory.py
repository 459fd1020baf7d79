"""A bus on a server in this process's memory whose time a clock moves."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tidings.bus import Bus
from tidings.bus.redis.context import ServerClock as Estimate
from tidings.bus.redis.memory import memory_server
from tidings.workers.testing.clock import Clock


@asynccontextmanager
async def memory_bus(clock: Clock | None = None) -> AsyncIterator[Bus]:
    """Open a bus on a server of its own in memory, and close it on leaving.

    Further buses can be connected to ``bus.url`` meanwhile; theirs see a move of the clock only when they measure the difference
    to the server anew, within 30 s.

    Args:
        clock: moves the server's time; None: it runs as usual. Keys that expire (the notices behind a channel after an hour, the
            outcome of a command after a day) do so in real time in any case.

    Raises:
        BadAddress: fakeredis or its Lua is not installed.
        RuntimeError: the fakeredis installed does not let its time be moved.
    """
    name = f"test-{secrets.token_hex(8)}"
    with memory_server(name) as server:
        told = _Time(clock) if clock is not None else None
        if told is not None:
            server.sockets = _Sockets(told)
        estimate = Estimate()
        async with Bus.connect(f"memory://{name}", clock=estimate) as bus:
            if clock is not None and told is not None:
                # Connecting asks for the time, so it is known by now whether the answer came from us.
                if not told.asked:
                    raise RuntimeError("this version of fakeredis does not let its time be moved; 2.40 is known to")
                _follow(clock, bus, estimate)
            yield bus


class _Time:
    """The answer to TIME."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.asked = False

    def __call__(self) -> list[bytes]:
        self.asked = True
        seconds, micros = divmod(round(self._clock.time() * 1_000_000), 1_000_000)
        return [str(seconds).encode(), str(micros).encode()]


class _Sockets(list[Any]):
    """The sockets of one fake server, each of which asks us for the time.

    fakeredis has no setting for it. Each of its sockets enters itself here when it is made and looks its commands up on itself,
    those of scripts too; so only this server is touched, and nothing of it outlives the server.
    """

    def __init__(self, told: _Time) -> None:
        super().__init__()
        self._told = told

    def append(self, socket: Any) -> None:
        """Enter a socket."""
        socket.time = self._told
        super().append(socket)


def _follow(clock: Clock, bus: Bus, estimate: Estimate) -> None:
    """Have the bus know of each move at once: it knows the server's time by a difference measured now and then."""

    def moved() -> None:
        ours = time.monotonic()
        estimate.set(clock.time(), ours, ours)

    clock.follow(bus, moved)
