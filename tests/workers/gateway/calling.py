"""A program that uses a gateway over HTTP, and a reader of its streams that splits frames as a browser does."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.waiting import PATIENCE_S, eventually
from tidings.bus import Bus
from tidings.workers.gateway import GatewayOptions, ServedGateway, serve

OPERATOR = "operator-token-0123456789"
VIEWER = "viewer-token-0123456789"


def options(**changes: Any) -> GatewayOptions:
    """Return options with two known tokens and quick signs of life."""
    known: dict[str, Any] = {"token": OPERATOR, "viewer_token": VIEWER, "heartbeat_s": 0.2, "command_rate": 1000}
    return GatewayOptions(**known | changes)


@dataclass(frozen=True)
class Frame:
    """One frame of a stream."""

    event: str
    data: Any
    id: str


class Following:
    """Reads a stream in the background.

    Attributes:
        frames: what has arrived.
        status: of the answer.
        ended: whether the server has ended the stream.
    """

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.ended = False

    def of(self, event: str) -> list[Any]:
        """Return the data of the frames of one type."""
        return [frame.data for frame in self.frames if frame.event == event]

    @property
    def offsets(self) -> list[int]:
        """Where the events stand that have arrived, in their order."""
        return [data["offset"] for data in self.of("event")]

    @property
    def last_id(self) -> str:
        """What a browser would send as Last-Event-ID."""
        return next((frame.id for frame in reversed(self.frames) if frame.id), "")

    async def until(self, event: str, wanted: Callable[[Any], bool] = lambda data: True, count: int = 1) -> list[Any]:
        """Wait until so many frames of a type have arrived that are wanted; returns them."""

        def arrived() -> list[Any]:
            found = [data for data in self.of(event) if wanted(data)]
            assert len(found) >= count, f"{len(found)} of {count} {event}; the last ones: {self.of(event)[-3:]}"
            return found

        return await eventually(arrived, PATIENCE_S, f"{count} frames {event}")

    async def read(self, response: httpx.Response) -> None:
        """Read until the stream ends."""
        rest = b""
        async for chunk in response.aiter_raw():
            *whole, rest = (rest + chunk).split(b"\n\n")
            self.frames += [parsed(one) for one in whole]
        assert rest == b""
        self.ended = True


def parsed(block: bytes) -> Frame:
    """Read one frame as the standard says: a line is a field, and only CR and LF end one."""
    fields: dict[str, str] = {}
    assert b"\r" not in block
    for line in block.split(b"\n"):
        name, _, value = line.decode().partition(": ")
        assert name in ("event", "data", "id", "retry"), line
        assert name not in fields
        fields[name] = value
    return Frame(fields["event"], json.loads(fields["data"]), fields.get("id", ""))


class Caller:
    """Somebody with a token.

    Attributes:
        http: a client with that token.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def get(self, path: str, **more: Any) -> httpx.Response:
        """Get something."""
        return await self.http.get(path, **more)

    async def json(self, path: str) -> Any:
        """Get something that is there."""
        answer = await self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """Post JSON; headers with _ in place of -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(path, json=body, headers=named)

    @asynccontextmanager
    async def follow(self, path: str, last: str = "") -> AsyncIterator[Following]:
        """Open a stream, and cut it on leaving."""
        following = Following()
        headers = {"Last-Event-ID": last} if last else {}
        async with self.http.stream("GET", path, headers=headers) as response:
            following.status, following.headers = response.status_code, dict(response.headers)
            assert response.status_code == 200, (await response.aread()).decode()
            reading = asyncio.create_task(following.read(response))
            try:
                yield following
            finally:
                reading.cancel()
                await asyncio.wait([reading])
                if not reading.cancelled():
                    reading.result()


async def open_wire(served: ServedGateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection to say on it what no client would; the system keeps little of what is not read from it."""
    plug = socket.socket()
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plug.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plug, ("127.0.0.1", int(served.url.rpartition(":")[2])))
    return await asyncio.open_connection(sock=plug)


async def wire(served: ServedGateway, sent: bytes) -> tuple[int, Any]:
    """Send bytes, and read until the gateway closes; returns the status (0 for no answer) and the problem."""
    reader, writer = await open_wire(served)
    writer.write(sent)
    answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split()[1]), json.loads(body)) if answer else (0, None)


@asynccontextmanager
async def calling(url: str, token: str | None = OPERATOR) -> AsyncIterator[Caller]:
    """Be somebody with a token, or with none."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = httpx.Timeout(PATIENCE_S, read=None)
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout, trust_env=False) as http:
        yield Caller(http)


@asynccontextmanager
async def gateway_and_caller(bus: Bus, **changes: Any) -> AsyncIterator[tuple[ServedGateway, Caller]]:
    """Serve a gateway on a bus, and be its operator."""
    async with serve(bus, options=options(**changes), name="g1") as served, calling(served.url) as caller:
        yield served, caller
