"""Serving a gateway over HTTP, by uvicorn in the caller's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import cast
from urllib.parse import quote

import uvicorn

from tidings.bus import Bus
from tidings.workers.gateway.connections import Connections
from tidings.workers.gateway.descriptors import accepted_at_once
from tidings.workers.gateway.gateway import Gateway
from tidings.workers.gateway.options import GatewayOptions, is_loopback, new_token

DRAIN_TIMEOUT_S = 5
"""How long answers that are under way may take when the gateway ends; streams end at once."""
_BACKLOG = 1024
_REACHED = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where one's own machine reaches what listens everywhere."""


class ServedGateway:
    """A gateway that listens.

    Attributes:
        gateway: what is served.
        url: its address, as in ``http://127.0.0.1:8080``.
    """

    def __init__(self, gateway: Gateway, host: str, port: int) -> None:
        self.gateway = gateway
        reached = _REACHED.get(host, host)
        self.url = f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"

    @property
    def link(self) -> str:
        """Address that lets an operator in; with it one may do everything."""
        return f"{self.url}/?token={quote(self.gateway.options.token, safe='')}"

    @property
    def token(self) -> str:
        """Token of operators."""
        return self.gateway.options.token


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin, and say so."""
        try:
            await super().startup(sockets)
            for listener in sockets or ():
                # asyncio has one number for those that it accepts at a time and for those that wait; it is the first.
                listener.listen(_BACKLOG)
        finally:
            self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the owner of this process."""
        yield


@asynccontextmanager
async def serve(
    bus: Bus, host: str = "127.0.0.1", port: int = 0, options: GatewayOptions | None = None, *, name: str | None = None
) -> AsyncIterator[ServedGateway]:
    """Serve a gateway until leaving; every stream then ends, and what is under way is finished.

    Args:
        bus: an open bus.
        host: address to listen on.
        port: port to listen on; 0: any that is free.
        options: tokens, origins and limits; by default the only token is one that is made now (``link``).
        name: how people see it among the processes.

    Raises:
        ValueError: others could reach it there, and no token was chosen.
        OSError: the address cannot be listened on.
        Unreachable: the server does not answer.
    """
    options = options or GatewayOptions(new_token(), generated=True)
    if options.generated and not is_loopback(host):
        raise ValueError(f"{host} can be reached from outside: choose a token first (TIDINGS_TOKEN)")
    listener = _listen(host, port)
    try:
        async with Gateway(bus, options, name) as gateway:
            connections = Connections(gateway.options, gateway.hub.counts)
            server = _Server(_config(gateway, connections))
            task = asyncio.create_task(server.serve([listener]), name="tidings-gateway-http")
            watch = asyncio.create_task(connections.watch(), name="tidings-gateway-connections")
            try:
                await server.listening.wait()
                if not server.started:
                    await task
                yield ServedGateway(gateway, host, listener.getsockname()[1])
            finally:
                await gateway.hub.aclose()
                server.should_exit = True
                await asyncio.wait([task])
                watch.cancel()
                await asyncio.wait([watch])
    finally:
        listener.close()


def _config(gateway: Gateway, connections: Connections) -> uvicorn.Config:
    # Our own logging takes what uvicorn has to say.
    return uvicorn.Config(
        gateway.app,
        # uvicorn asks for a class and only calls it.
        http=cast("type[asyncio.Protocol]", connections.protocol),
        lifespan="off",
        log_config=None,
        access_log=False,
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=DRAIN_TIMEOUT_S,
        backlog=accepted_at_once(),
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
