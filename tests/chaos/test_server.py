"""A crash takes what the durability lets it take, and nothing else."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import redis.asyncio as redis
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as LowerConnectionError

from tests.chaos.server import ChaosServer, Durability, without_half_a_transaction
from tests.servers import redis_binary, valkey_binary
from tests.waiting import eventually


@asynccontextmanager
async def running(durability: Durability) -> AsyncIterator[ChaosServer]:
    """Start a server, and end it."""
    server = ChaosServer(redis_binary() or valkey_binary(), durability, "secret")
    try:
        await server.start()
        yield server
    finally:
        await server.close()


async def crash(server: ChaosServer) -> float | None:
    """Crash it and start it again; returns up to when it has kept everything."""
    keeps = await server.crash(random.Random(1))
    await server.start()
    return keeps


async def test_always_loses_nothing() -> None:
    """What was acknowledged just before is there."""
    async with running(Durability.ALWAYS) as server:
        await server.command("SET", "k", "v")
        assert await crash(server) is None
        assert await server.command("GET", "k") == b"v"


async def test_none_loses_everything() -> None:
    """Nothing is there."""
    async with running(Durability.NONE) as server:
        await server.command("SET", "k", "v")
        assert await crash(server) == 0
        assert await server.command("GET", "k") is None


def _log(*commands: str) -> bytes:
    """An append-only file."""
    made = bytearray()
    for command in commands:
        words = command.split()
        made += b"*%d\r\n" % len(words)
        for word in words:
            made += b"$%d\r\n%b\r\n" % (len(word), word.encode())
    return bytes(made)


def test_half_a_transaction_is_taken_out_and_nothing_else() -> None:
    """Wherever the file is cut; half a command outside of one stays, because Redis takes that out itself."""
    before, single, begin = _log("MULTI", "SET a 1", "EXEC"), _log("SET b 2"), _log("MULTI")
    whole = before + single
    log = whole + _log("MULTI", "SET a 3", "SET b 4", "EXEC")
    for cut in range(len(before), len(whole) + len(begin)):
        assert without_half_a_transaction(log[:cut]) == log[:cut]
    for cut in range(len(whole) + len(begin), len(log)):
        assert without_half_a_transaction(log[:cut]) == whole
    assert without_half_a_transaction(log) == log


async def test_everysec_loses_the_last_second() -> None:
    """What was written before that is there, also after a second crash at once; what is lost is the tail."""
    async with running(Durability.EVERYSEC) as server:
        written: list[float] = []

        async def write_on() -> bool:
            """A write is older than the second that may be lost."""
            await server.command("RPUSH", "log", len(written))
            written.append(time.monotonic())
            return written[-1] - written[0] > 2.5

        await eventually(write_on)
        keeps = await crash(server)
        assert keeps is not None
        left = await server.command("LRANGE", "log", 0, -1)
        assert left == [b"%d" % number for number in range(len(left))]
        assert sum(at <= keeps for at in written) <= len(left) < len(written)
        await crash(server)
        assert await server.command("LLEN", "log") == len(left)


async def test_rdb_loses_what_came_after_the_snapshot() -> None:
    """What a snapshot has is there."""
    async with running(Durability.RDB) as server:
        began = time.monotonic()
        await server.command("SET", "k", "old")

        async def saved() -> bool:
            """A snapshot was taken since."""
            return server.saved_at > began

        await eventually(saved)
        await server.command("SET", "k", "new")
        keeps = await crash(server)
        assert keeps == server.saved_at
        assert await server.command("GET", "k") in (b"old", b"new")


async def test_what_was_flushed_does_not_come_back() -> None:
    """Not from an older snapshot either."""
    async with running(Durability.RDB) as server:
        await server.command("SET", "k", "v")
        await server.snapshot()
        await server.flush()
        await crash(server)
        assert await server.command("GET", "k") is None


async def test_a_lost_disk_keeps_it_from_writing() -> None:
    """It says so, and writes again when the disk is found."""
    async with running(Durability.RDB) as server:
        await server.lose_disk()

        async def refused() -> bool:
            """A write is refused."""
            return "MISCONF" in str(await server.command("SET", "k", "v"))

        await eventually(refused)
        await server.find_disk()
        assert await server.command("SET", "k", "v") is True


async def test_who_is_locked_out_comes_back_in() -> None:
    """The actors' user is refused and its connections are closed; ours is not."""
    async with running(Durability.NONE) as server:
        url = server.running.tcp_url.replace(":secret", server.login)
        async with redis.Redis.from_url(url) as client:
            assert await client.ping()
            await server.lock_out()
            with pytest.raises(LowerConnectionError):
                await client.ping()
            with pytest.raises(AuthenticationError):
                await client.ping()
            await server.let_in()
            assert await client.ping()
