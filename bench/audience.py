"""Many viewers of server-sent events in one process: each is a socket that notes when which message came."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

MARK = b"bench-mark-"
"""What each message carries, followed by its number in six digits."""
_MARK = re.compile(MARK + rb"(\d{6})")
_AT_A_TIME = 50
_KEPT = len(MARK) + 6


@dataclass
class Tally:
    """What came to an audience.

    Attributes:
        sent: when each message was published, by number, on the monotonic clock.
        delays: seconds from there to each viewer, by number of the message.
        lost: viewers whose connection has ended.
    """

    sent: dict[int, float] = field(default_factory=dict)
    delays: dict[int, list[float]] = field(default_factory=dict)
    lost: int = 0


class _Viewer(asyncio.Protocol):
    """One connection; a message is counted once, however often its number stands in a frame."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        self._request, self._tally = request, tally
        self._rest = b""
        self._newest = -1
        self.begun = asyncio.get_running_loop().create_future()
        self.leaving = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        came_at = time.monotonic()
        if not self.begun.done():
            head = data.split(b"\r\n", 1)[0]
            if b" 200 " in head:
                self.begun.set_result(None)
            else:
                self.begun.set_exception(RuntimeError(f"a viewer was answered {head[:80]!r}"))
        for match in _MARK.finditer(self._rest + data):
            number = int(match[1])
            if number > self._newest:
                self._newest = number
                self._tally.delays.setdefault(number, []).append(came_at - self._tally.sent[number])
        self._rest = (self._rest + data)[-_KEPT:]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.leaving:
            self._tally.lost += 1
        if not self.begun.done():
            self.begun.set_exception(exc or ConnectionError("the connection ended before an answer"))


@asynccontextmanager
async def audience(port: int, path: str, token: str, viewers: int) -> AsyncIterator[Tally]:
    """Have viewers look at a stream of loopback; yields when all of them have the head of their answer.

    Args:
        token: sent as bearer token; empty: none.

    Raises:
        RuntimeError: a viewer was refused.
        OSError: a viewer could not connect.
    """
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n{bearer}\r\n".encode()
    tally, all_of_them = Tally(), list[_Viewer]()
    loop = asyncio.get_running_loop()
    try:
        while len(all_of_them) < viewers:
            count = min(_AT_A_TIME, viewers - len(all_of_them))
            made = [loop.create_connection(lambda: _Viewer(request, tally), "127.0.0.1", port) for _ in range(count)]
            some = [viewer for _, viewer in await asyncio.gather(*made)]
            all_of_them += some
            await asyncio.gather(*(viewer.begun for viewer in some))
        yield tally
    finally:
        for viewer in all_of_them:
            viewer.leaving = True
            if viewer.transport is not None:
                viewer.transport.abort()
