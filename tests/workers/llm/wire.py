"""A server of which each byte is chosen: answers that end in the middle or never, and connections that are reset."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What is sent in answer to one request; then the connection ends, or is reset.

    Attributes:
        sent: each byte.
        reset: the connection is reset, and not closed.
        read: only when something of it has arrived, which a reset may overtake.
        endless: sent again and again after that, until the client leaves.
        pause_s: waited between two of those.
    """

    sent: bytes = b""
    reset: bool = False
    read: bool = False
    endless: bytes = b""
    pause_s: float = 0.0


def whole(body: Any, status: int = 200) -> Reply:
    """Answer with a body, all of it."""
    return Reply(_head(status, "application/json", f"Content-Length: {len(_json(body))}") + _json(body))


def sending(status: int, body: bytes = b"", *headers: str, kind: str = "application/json", endless: bytes = b"") -> Reply:
    """Answer with these bytes; the end of the connection is that of the body."""
    return Reply(_head(status, kind, "\r\n".join(("X-Test: 1", *headers))) + body, endless=endless)


def cut(body: Any, *, reset: bool = False) -> Reply:
    """Answer with half of a body."""
    head = _head(200, "application/json", f"Content-Length: {len(_json(body))}")
    return Reply(head + _json(body)[: len(_json(body)) // 2], reset)


def stream(events: str, *, ended: bool = True, reset: bool = False, read: bool = False) -> Reply:
    """Answer with a stream, which is `ended` in good order, or in the middle."""
    head = _head(200, "text/event-stream", "Transfer-Encoding: chunked")
    data = events.encode()
    sent = f"{len(data):x}\r\n".encode() + data + b"\r\n" if data else b""
    return Reply(head + sent + (b"0\r\n\r\n" if ended else b""), reset, read)


def _head(status: int, kind: str, framing: str) -> bytes:
    return f"HTTP/1.1 {status} Answer\r\nContent-Type: {kind}\r\n{framing}\r\nConnection: close\r\n\r\n".encode()


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


@dataclass
class Wire:
    """The server: it gives its replies in turn, the last again and again, and notes what was asked for."""

    replies: list[Reply]
    paths: list[str] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and close the connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"(?i)content-length: (\d+)", head)
        self.bodies.append(await reader.readexactly(int(length[1]) if length else 0))
        reply = self.replies[min(len(self.paths), len(self.replies) - 1)]
        self.paths.append(head.split(" ")[1])
        self.heads.append(head)
        try:
            writer.write(reply.sent)
            await writer.drain()
            while reply.endless:
                writer.write(reply.endless)
                await writer.drain()
                await asyncio.sleep(reply.pause_s)
        except ConnectionError:  # the client has read enough
            self.left.set()
            writer.close()
            return
        if reply.read:
            await self.arrived.wait()
        if reply.reset:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        writer.close()


@contextlib.asynccontextmanager
async def answering(*replies: Reply) -> AsyncIterator[Wire]:
    """Run it."""
    wire = Wire(list(replies))
    server = await asyncio.start_server(wire.answer, "127.0.0.1", 0)
    async with server:
        wire.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield wire
