"""A TCP relay in front of a server that loses what a network loses: one request, one reply, everything."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Literal, Self

from tests.servers import RunningServer
from tidings.bus.redis import scripts

What = Literal["request", "reply"]
Way = Literal["requests", "replies"]

_CHUNK = 65536
_TURN_S = 0.02
"""How often a slow reader reads."""


class Proxy:
    """Relays between clients and one server on loopback; an async context manager.

    Args:
        server: where it relays to. It may end and start again meanwhile: a connection that cannot be made is closed.

    Attributes:
        url: address of the relay, for a client.
        lost: how many requests or replies were lost so far.
    """

    def __init__(self, server: RunningServer) -> None:
        self._target = server.port
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._needle = b""
        self._what: What = "reply"
        self._times = 0
        self._passing: dict[Way, asyncio.Event] = {"requests": asyncio.Event(), "replies": asyncio.Event()}
        self._delay_s = 0.0
        self._bytes_per_s = 0.0
        self._relay: asyncio.Server | None = None
        self.url = ""
        self.lost = 0
        self.thaw()

    async def __aenter__(self) -> Self:
        self._relay = await asyncio.start_server(self.accept, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._relay.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._relay is not None:
            self._relay.close()
            await self.aclose()
            await self._relay.wait_closed()

    def lose(self, what: What, needle: bytes, times: int = 1) -> None:
        """Cut the connection of the next requests that hold `needle`: before the server gets them, or when its reply is there."""
        self._what, self._needle, self._times = what, needle, times

    def lose_script(self, what: What, name: str, times: int = 1) -> None:
        """Lose the next calls of a script, which the server must know already, or their replies."""
        self.lose(what, hashlib.sha1(scripts.source(name).encode(), usedforsecurity=False).hexdigest().encode(), times)

    def freeze(self, way: Way | None = None) -> None:
        """Relay nothing from now on, or nothing that goes one way: connections stay open, new ones are accepted."""
        for name, passing in self._passing.items():
            if way in (None, name):
                passing.clear()

    def thaw(self) -> None:
        """Relay again; what was held back goes on its way."""
        for passing in self._passing.values():
            passing.set()

    def delay(self, seconds: float) -> None:
        """Hold back each piece for so long from now on; 0 ends that."""
        self._delay_s = seconds

    def slow(self, bytes_per_s: float) -> None:
        """Read no more than so much of what the server sends on each connection, as a slow reader does; 0 ends that."""
        self._bytes_per_s = bytes_per_s

    def heal(self) -> None:
        """End all that was begun here."""
        self._times = 0
        self.delay(0)
        self.slow(0)
        self.thaw()

    def redirect(self, server: RunningServer) -> None:
        """Lead new connections to another server; those that stand still lead where they led."""
        self._target = server.port

    def cut(self) -> None:
        """Break every connection."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until either side ends."""
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            self._end(writer)
            return
        self._writers.add(far_writer)
        cut = asyncio.Event()
        for relay in (self._requests(reader, far_writer, cut), self._replies(far_reader, writer, cut)):
            task = asyncio.create_task(relay)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Break every connection and wait for the relays to end."""
        self.heal()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._hold_back("requests")
                if self._times and self._needle in data:
                    self._times -= 1
                    self.lost += 1
                    cut.set()
                    if self._what == "request":
                        break
                writer.write(data)
                await writer.drain()
        self._end(writer)

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(self._share()):
                await self._hold_back("replies")
                if cut.is_set():
                    break
                writer.write(data)
                await writer.drain()
                if self._bytes_per_s:
                    await asyncio.sleep(_TURN_S)
        self._end(writer)

    async def _hold_back(self, way: Way) -> None:
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        await self._passing[way].wait()

    def _share(self) -> int:
        """Bytes to read at once: what a slow reader takes in one turn."""
        return max(1, int(self._bytes_per_s * _TURN_S)) if self._bytes_per_s else _CHUNK

    def _end(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.transport.abort()


@asynccontextmanager
async def proxy_to(server: RunningServer) -> AsyncIterator[Proxy]:
    """Run a relay to a server that already knows every script."""
    for name in scripts.NAMES:
        server.command("SCRIPT", "LOAD", scripts.source(name))
    async with Proxy(server) as proxy:
        yield proxy
