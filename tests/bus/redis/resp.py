"""A stranger on a socket that speaks the protocol of Redis, and answers what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

OK = b"+OK\r\n"
PONG = b"+PONG\r\n"

Answer = Callable[[list[bytes]], bytes | None]
"""The words of one command -> what is sent back. None closes the connection; b"" says nothing."""


@dataclass
class Stranger:
    """A running server of that kind: its port, and every command that it was sent."""

    port: int = 0
    commands: list[list[bytes]] = field(default_factory=list)

    def url(self, userinfo: str = "", path: str = "/0") -> str:
        """Return its address; `userinfo` ends with an @."""
        return f"redis://{userinfo}127.0.0.1:{self.port}{path}"

    def count(self, name: bytes) -> int:
        """Return how often that command came."""
        return sum(1 for words in self.commands if words[0].upper() == name)


@asynccontextmanager
async def stranger(answer: Answer, socket: Path | None = None) -> AsyncIterator[Stranger]:
    """Listen on loopback, or on a Unix socket, and answer every command with what `answer` says."""
    this = Stranger()
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            while words := await _read_command(reader):
                this.commands.append(words)
                reply = answer(words)
                if reply is None:
                    break
                writer.write(reply)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writers.discard(writer)
            writer.close()

    if socket is None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        this.port = server.sockets[0].getsockname()[1]
    else:
        server = await asyncio.start_unix_server(serve, socket)
    try:
        yield this
    finally:
        server.close()
        for writer in list(writers):
            writer.close()
        await server.wait_closed()


def bulk(text: str) -> bytes:
    """Return one bulk string as it stands on the wire."""
    data = text.encode()
    return b"$%d\r\n%s\r\n" % (len(data), data)


def redis_that_says(info: str) -> Answer:
    """Return the answers of a server whose INFO is `info`."""

    def answer(words: list[bytes]) -> bytes:
        return {b"PING": PONG, b"INFO": bulk(info)}.get(words[0].upper(), OK)

    return answer


async def _read_command(reader: asyncio.StreamReader) -> list[bytes]:
    """Return the words of the next command; [] at the end, or where it is not one (a TLS greeting, say)."""
    head = await reader.readline()
    if not head.startswith(b"*"):
        return []
    words = []
    for _ in range(int(head[1:])):
        size = int((await reader.readline())[1:])
        words.append((await reader.readexactly(size + 2))[:-2])
    return words
