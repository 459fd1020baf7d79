"""Everything that one process needs to talk to one Redis, real, embedded or in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import redis.asyncio as redis
from redis.asyncio.client import Pipeline, PubSub
from redis.exceptions import RedisError

from tidings.bus.redis import memory
from tidings.bus.redis.address import Address
from tidings.bus.redis.clients import Reads, Subscriptions, Timeouts, check_tls, command_client, subscriber_client
from tidings.bus.redis.failures import Failures, errors
from tidings.bus.redis.handshake import greet

__all__ = [
    "DEFAULT_MAX_CONNECTIONS",
    "DEFAULT_TIMEOUTS",
    "Connection",
    "Failures",
    "Timeouts",
    "errors",
    "open_connection",
]

DEFAULT_TIMEOUTS = Timeouts()
DEFAULT_MAX_CONNECTIONS = 16


class Connection:
    """An open connection to one server; `open_connection` makes it.

    Attributes:
        address: Where the server is, without credentials; safe to print.
        url: With what another process can connect, credentials included; a server in memory has no others.
        commands: The client for commands. Nothing that it does is retried, and replies are bytes.
        errors: The context to send commands in: ``with connection.errors: await connection.commands.ping()``;
            see `Failures`.
        memory: Whether the server is only in this process's memory.
        closed: Whether it was closed; a command that is sent after that would open a connection that is never closed.
    """

    def __init__(self, address: Address, commands: redis.Redis, subscriber: redis.Redis, resources: AsyncExitStack) -> None:
        self.address = address.text
        self.url = address.url
        self.commands = commands
        self.errors = Failures(address, greeted=True)
        self.memory = address.scheme == "memory"
        self.closed = False
        self._subscriber = subscriber
        self._resources = resources

    def __repr__(self) -> str:
        return f"<Connection to {self.address}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    def pubsub(self) -> PubSub:
        """Return a new PubSub on the one connection that is set aside for it.

        There can be one at a time: a second one raises at its first subscription, until the first is closed.
        Its reads are bounded by the time-out given to ``get_message`` alone. It does not reconnect.
        """
        if self.memory:
            return memory.MemoryPubSub(self._subscriber.connection_pool)
        return Subscriptions(self._subscriber.connection_pool)

    def pipeline(self, *, atomic: bool) -> Pipeline:
        """Return a pipeline; ``atomic`` where the answers must belong together."""
        return Reads(self.commands.connection_pool, self.commands.response_callbacks, atomic, None)

    async def drop_idle(self) -> None:
        """Close the connections that no command is under way on, so that the next command makes a new one."""
        await _disconnect(self.commands, in_use=False)

    async def drop_pubsub(self) -> None:
        """Close the Pub/Sub connection; its owner notices, and opens another one."""
        await _disconnect(self._subscriber, in_use=True)

    async def aclose(self) -> None:
        """Close both clients and end the embedded server, if there is one. Does nothing the second time."""
        self.closed = True
        await self._resources.aclose()


@contextlib.asynccontextmanager
async def open_connection(
    url: str,
    *,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    max_connections: int = DEFAULT_MAX_CONNECTIONS,
) -> AsyncIterator[Connection]:
    """Connect to the server at `url`, starting it first where it is an embedded one; close at the end.

    Args:
        url: An address as `tidings.bus.redis.address` describes it.
        timeouts: How long to wait for the server.
        max_connections: How many commands may be under way at the same time; further ones wait.

    Raises:
        BadAddress: The address cannot be used as written, or needs something that is not installed.
        Unreachable: No server answered within `timeouts.connect_s`, or the embedded one did not start.
        AccessDenied: The server refused the user or the password.
        UnsupportedServer: The server is a Redis before 7.0.
    """
    async with await _connect(Address.parse(url), timeouts, max_connections) as connection:
        yield connection


async def _connect(address: Address, timeouts: Timeouts, max_connections: int) -> Connection:
    resources = AsyncExitStack()
    try:
        if address.scheme == "memory":
            server = resources.enter_context(memory.memory_server(address.location))
            commands = memory.command_client(server, timeouts, max_connections)
            subscriber = memory.subscriber_client(server)
        else:
            if address.scheme == "embedded":
                address = await _start(address, resources)
            check_tls(address)
            commands = command_client(address, timeouts, max_connections)
            subscriber = subscriber_client(address, timeouts)
        for client in (commands, subscriber):
            resources.push_async_callback(_close, client)
        if address.scheme != "memory":
            await greet(commands, address, timeouts.connect_s)
    except BaseException:
        await resources.aclose()
        raise
    return Connection(address, commands, subscriber, resources)


async def _start(address: Address, resources: AsyncExitStack) -> Address:
    """Start an embedded server and return the address of its socket."""
    # Imported here: it needs fcntl, which only Unix has.
    from tidings.bus.redis.embedded import EmbeddedServer

    server = await resources.enter_async_context(EmbeddedServer(address.location or None))
    return Address.parse(server.url)


async def _disconnect(client: redis.Redis, *, in_use: bool) -> None:
    # What cannot be closed politely is closed all the same.
    with contextlib.suppress(RedisError, OSError, asyncio.TimeoutError):
        await client.connection_pool.disconnect(inuse_connections=in_use)


async def _close(client: redis.Redis) -> None:
    closing = asyncio.ensure_future(client.aclose())
    # A server that is gone cannot be taken leave of; its connections are closed all the same.
    with contextlib.suppress(RedisError, OSError, asyncio.TimeoutError):
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            # Cut short, it would leave some of them open.
            await asyncio.wait({closing})
            if not closing.cancelled():
                # Else asyncio would complain that it was lost.
                closing.exception()
            raise
