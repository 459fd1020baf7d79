from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import util

import pytest

from tidings.bus.errors import BadAddress
from tidings.bus.redis import memory, open_connection
from tidings.bus.redis.memory import memory_server


async def test_the_same_name_is_the_same_server() -> None:
    """Connections with one name see each other's data, those with another name do not."""
    async with (
        open_connection("memory://shared") as one,
        open_connection("memory://shared") as other,
        open_connection("memory://another") as stranger,
    ):
        await one.commands.set("a", "b")
        assert await other.commands.get("a") == b"b"
        assert await stranger.commands.get("a") is None


async def test_without_a_name_each_connection_has_its_own_server() -> None:
    """Two connections to bare memory share nothing."""
    async with open_connection("memory://") as one, open_connection("memory://") as other:
        await one.commands.set("a", "b")
        assert await other.commands.get("a") is None


async def test_a_name_is_forgotten_when_the_last_connection_closes() -> None:
    """The data live as long as at least one connection does."""
    async with open_connection("memory://brief") as first:
        await first.commands.set("a", "b")
        async with open_connection("memory://brief") as second:
            await second.commands.set("c", "d")
        assert await first.commands.get("c") == b"d"
    async with open_connection("memory://brief") as later:
        assert await later.commands.dbsize() == 0


async def test_every_command_lets_others_run() -> None:
    """As with a real server: who sends one command after the other does not hold up the rest of the program."""
    turns = 0

    async def beside() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with open_connection("memory://") as connection:
        other = asyncio.create_task(beside())
        for sent in range(1, 101):
            await connection.commands.get("a")
            assert turns >= sent
        other.cancel()


async def test_a_cancelled_command_leaves_its_reply_to_nobody() -> None:
    """The next command on the same connection gets its own, wherever the cancellation met the one before."""
    # One connection for all: a pool looks for left-over replies before it hands one out again.
    async with open_connection("memory://") as connection, connection.commands.client() as client:
        await client.set("a", "b")

        async def other() -> None:
            await client.ping()

        for turns in range(10):
            task = asyncio.create_task(other())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            assert await client.get("a") == b"b"


def test_a_server_is_held_by_count() -> None:
    """Whoever leaves in whatever order, the server is there until all have left."""
    first, second = memory_server("counted"), memory_server("counted")
    server = first.__enter__()
    assert second.__enter__() is server
    first.__exit__(None, None, None)
    with memory_server("counted") as third:
        assert third is server
    second.__exit__(None, None, None)
    with memory_server("counted") as anew:
        assert anew is not server


async def test_scripts_run_in_memory() -> None:
    """Lua, XADD and PUBLISH in one script work without a server."""
    script = "redis.call('PUBLISH', 'news', 'x') return redis.call('XADD', KEYS[1], ARGV[1], 'm', 'x')"
    async with open_connection("memory://") as connection:
        assert await connection.commands.eval(script, 1, "log", "1-0") == b"1-0"


async def test_a_closed_pubsub_hears_nothing_more() -> None:
    """Channels, patterns and shard channels are given up at closing; a second closing is harmless."""
    async with open_connection("memory://") as connection:
        pubsub = connection.pubsub()
        await pubsub.subscribe("news")
        await pubsub.psubscribe("ne*")
        await pubsub.ssubscribe("shard")
        assert await connection.commands.publish("news", "x") == 2
        await pubsub.aclose()  # type: ignore[no-untyped-call]
        assert await connection.commands.publish("news", "x") == 0
        assert await connection.commands.spublish("shard", "x") == 0
        await pubsub.aclose()  # type: ignore[no-untyped-call]
        await connection.pubsub().aclose()  # type: ignore[no-untyped-call]


async def test_a_pubsub_closes_though_its_server_is_cut_off() -> None:
    """Closing raises nothing when the server in memory plays dead."""
    with memory_server("cut-off") as server:
        async with open_connection("memory://cut-off") as connection:
            pubsub = connection.pubsub()
            await pubsub.subscribe("news")
            server.connected = False
            await pubsub.aclose()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("missing", ["fakeredis", "lupa"])
async def test_what_is_missing_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Without fakeredis, or without its Lua, the address cannot be used, and the error says what to do."""
    find: Callable[[str], object] = util.find_spec
    monkeypatch.setattr(memory, "find_spec", lambda name: None if name == missing else find(name))
    with pytest.raises(BadAddress, match=r"pip install 'tidings\[testing\]'"):
        async with open_connection("memory://"):
            pass
