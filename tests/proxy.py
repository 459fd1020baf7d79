"""A TCP relay in front of a server that loses what a network loses: one request, one reply, everything."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from bus.redis import scripts
from tests.servers import RunningServer

What = Literal["request", "reply"]

_CHUNK = 65536


class Proxy:
    """Relays between clients and one server on loopback.

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
        self._passing = asyncio.Event()
        self._passing.set()
        self.url = ""
        self.lost = 0

    def lose(self, what: What, needle: bytes, times: int = 1) -> None:
        """Cut the connection of the next requests that hold `needle`: before the server gets them, or when its reply is there."""
        self._what, self._needle, self._times = what, needle, times

    def lose_script(self, what: What, name: str, times: int = 1) -> None:
        """Lose the next calls of a script, which the server must know already, or their replies."""
        self.lose(what, hashlib.sha1(scripts.source(name).encode(), usedforsecurity=False).hexdigest().encode(), times)

    def freeze(self) -> None:
        """Relay nothing from now on: connections stay open, new ones are accepted, and nothing answers."""
        self._passing.clear()

    def thaw(self) -> None:
        """Relay again; what was held back goes on its way."""
        self._passing.set()

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
        self.thaw()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._passing.wait()
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
            while data := await reader.read(_CHUNK):
                await self._passing.wait()
                if cut.is_set():
                    break
                writer.write(data)
                await writer.drain()
        self._end(writer)

    def _end(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.transport.abort()


@asynccontextmanager
async def proxy_to(server: RunningServer) -> AsyncIterator[Proxy]:
    """Run a relay to a server that already knows every script."""
    for name in scripts.NAMES:
        server.command("SCRIPT", "LOAD", scripts.source(name))
    proxy = Proxy(server)
    relay = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.url = f"redis://127.0.0.1:{relay.sockets[0].getsockname()[1]}/0"
    try:
        yield proxy
    finally:
        relay.close()
        await proxy.aclose()
        await relay.wait_closed()
