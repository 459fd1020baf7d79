"""A Redis inside this process, for tests: fakeredis with Lua. It has no durability, no rights and no INFO.

Servers with a name are shared by all connections of the process that are open at the same time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import redis.asyncio as redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from tidings.bus.errors import BadAddress
from tidings.bus.redis.clients import Timeouts, policy

if TYPE_CHECKING:
    from fakeredis import FakeServer
    from fakeredis.aioredis import FakeAsyncRedisConnection


@dataclass
class _Shared:
    server: FakeServer
    users: int = 0


_shared: dict[str, _Shared] = {}


@contextlib.contextmanager
def memory_server(name: str) -> Iterator[FakeServer]:
    """Hold the server of that name; it is gone when its last holder releases it.

    Args:
        name: The same name gives the same server, within this process. "" gives one of its own each time.

    Raises:
        BadAddress: fakeredis or its Lua is not installed.
    """
    if not name:
        yield _new_server()
        return
    shared = _shared[name] if name in _shared else _shared.setdefault(name, _Shared(_new_server()))
    shared.users += 1
    try:
        yield shared.server
    finally:
        shared.users -= 1
        if not shared.users:
            del _shared[name]


def _new_server() -> FakeServer:
    if find_spec("fakeredis") is None or find_spec("lupa") is None:
        raise BadAddress("memory:// needs fakeredis with Lua: pip install 'tidings[testing]'", address="memory://")
    from fakeredis import FakeServer

    return FakeServer(version=(7,))


def command_client(server: FakeServer, timeouts: Timeouts, max_connections: int) -> redis.Redis:
    """Return a client for commands to the server in memory, bounded like one to a real server."""
    pool = redis.BlockingConnectionPool(
        max_connections=max_connections,
        timeout=timeouts.reply_s,
        **_connection_options(server),
    )
    return redis.Redis.from_pool(pool)


def subscriber_client(server: FakeServer) -> redis.Redis:
    """Return a client for Pub/Sub with the server in memory."""
    pool = redis.ConnectionPool(max_connections=1, protocol=2, **_connection_options(server))
    return redis.Redis.from_pool(pool)


def _connection_options(server: FakeServer) -> dict[str, Any]:
    return {"connection_class": _connection_class(), "server": server, **policy()}


@cache
def _connection_class() -> type[FakeAsyncRedisConnection]:
    from fakeredis.aioredis import FakeAsyncRedisConnection

    class MemoryConnection(FakeAsyncRedisConnection):
        """A connection on which each command gives way to others once, as every reply of a real server does.

        fakeredis answers at once: since Python 3.12, where ``asyncio.wait_for`` begins no task, a loop of commands would let
        nothing else run, be it a time-out, a cancellation or a listener.
        """

        plain_scripts = True

        async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
            await super().send_packed_command(command, check_health)
            try:
                await asyncio.sleep(0)
            except BaseException:
                # The reply is there already, and the next user of this connection would take it for its own.
                await self.disconnect(nowait=True)
                raise

    return MemoryConnection


class MemoryPubSub(PubSub):
    """A PubSub that ends its subscriptions itself: fakeredis 2.40 does not notice a closed connection."""

    async def aclose(self) -> None:
        """Unsubscribe from everything, then close."""
        if self.connection is not None and self.subscribed:
            with contextlib.suppress(RedisError):
                await self.unsubscribe()
                await self.punsubscribe()
                await self.sunsubscribe()
        await super().aclose()  # type: ignore[no-untyped-call]
