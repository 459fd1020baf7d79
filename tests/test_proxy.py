"""The relay loses, holds back and slows down what it is told to, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis
from redis.exceptions import ConnectionError as LowerConnectionError
from redis.exceptions import TimeoutError as LowerTimeoutError

from tests.conftest import MakeServer
from tests.proxy import Proxy, Way, proxy_to
from tests.servers import RunningServer
from tests.waiting import PATIENCE_S

SHORT_S = 0.3
"""How long a reply that does not come is waited for."""


@pytest.fixture
def server(make_server: MakeServer) -> RunningServer:
    """A server behind the relay."""
    return make_server()


@pytest.fixture
async def proxy(server: RunningServer) -> AsyncIterator[Proxy]:
    """The relay."""
    async with proxy_to(server) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[redis.Redis]:
    """A client that asks once and waits shortly."""
    async with redis.Redis.from_url(proxy.url, socket_timeout=SHORT_S) as client:
        await client.ping()
        yield client


@pytest.mark.parametrize(("way", "arrives"), [("requests", False), ("replies", True)])
async def test_one_way_is_frozen_alone(proxy: Proxy, client: redis.Redis, server: RunningServer, way: Way, arrives: bool) -> None:
    """A request that is held back does not reach the server; one whose reply is held back was done."""
    proxy.freeze(way)
    with pytest.raises(LowerTimeoutError):
        await client.set("k", "v")
    assert (server.command("GET", "k") == b"v") is arrives
    proxy.thaw()
    assert await client.ping()


async def test_a_delay_holds_back_both_ways(proxy: Proxy, client: redis.Redis) -> None:
    """A question takes twice the delay, and as long as before when it is lifted."""
    proxy.delay(0.05)
    began = time.monotonic()
    await client.ping()
    assert time.monotonic() - began >= 0.1
    proxy.heal()
    assert await client.ping()


async def test_a_slow_reader_takes_its_time(proxy: Proxy, client: redis.Redis, server: RunningServer) -> None:
    """What the server sends arrives piece by piece, and at once when that is lifted."""
    server.command("SET", "k", "x" * 1000)
    proxy.slow(5000)
    began = time.monotonic()
    async with redis.Redis.from_url(proxy.url) as patient:
        assert len(await patient.get("k") or b"") == 1000
        assert time.monotonic() - began >= 0.15
        proxy.heal()
        assert await patient.ping()


async def test_what_was_lost_is_counted(proxy: Proxy, client: redis.Redis, server: RunningServer) -> None:
    """A swallowed reply leaves what was asked done, and the next question finds a way."""
    proxy.lose("reply", b"INCR")
    with pytest.raises(LowerConnectionError):
        await client.incr("n")
    assert (proxy.lost, server.command("GET", "n")) == (1, b"1")
    assert await client.incr("n") == 2


async def test_it_outlasts_its_server(proxy: Proxy, client: redis.Redis, server: RunningServer) -> None:
    """While that is away connections are closed; when it is back they are relayed again."""
    server.kill()
    with pytest.raises((LowerConnectionError, LowerTimeoutError)):
        await client.ping()
    server.start()
    async with asyncio.timeout(PATIENCE_S):
        assert await client.ping()
