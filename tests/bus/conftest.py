"""Fixtures of the bus' tests: a look past the bus at what the server holds."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tests.proxy import Proxy, proxy_to
from tests.servers import RunningServer
from tidings.bus import Bus
from tidings.bus.channels import Names
from tidings.bus.redis import open_connection


@pytest.fixture
async def raw(redis_url: str) -> AsyncIterator[Redis]:
    """A bare client on the database that `bus` uses."""
    async with open_connection(redis_url) as connection:
        yield connection.commands


@pytest.fixture
def names() -> Names:
    """The names of an installation without a prefix."""
    return Names()


@pytest.fixture
async def proxy(valkey_server: RunningServer) -> AsyncIterator[Proxy]:
    """A relay in front of an empty server, to lose things."""
    valkey_server.flush()
    async with proxy_to(valkey_server) as relay:
        yield relay


@pytest.fixture
async def lossy(proxy: Proxy) -> AsyncIterator[Bus]:
    """A bus behind that relay."""
    async with Bus.connect(proxy.url, heartbeat_s=0.2) as connected:
        yield connected
