from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
import redis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.conftest import MakeServer
from tests.proxy import What, proxy_to
from tests.servers import RunningServer, free_port
from tests.waiting import PATIENCE_S
from tidings.bus import Bus, WorkerRef
from tidings.bus.channels import Names
from tidings.bus.errors import UnexpectedReply, Unreachable
from tidings.bus.redis import open_connection
from tidings.bus.redis.context import RedisContext, ServerClock

KEY = ["{0}:due"]


@asynccontextmanager
async def linked(url: str) -> AsyncIterator[RedisContext]:
    """A context to one server."""
    async with open_connection(url) as connection:
        yield RedisContext(connection, Names())


@pytest.fixture
async def context(redis_url: str) -> AsyncIterator[RedisContext]:
    """A context over each transport in turn."""
    async with linked(redis_url) as made:
        yield made


def test_the_clock_goes_by_the_middle_of_the_measurement() -> None:
    """Server time is what it was half-way between asking and the answer, and goes on with our monotonic clock."""
    clock = ServerClock()
    clock.set(1_000_000.0, before=50.0, after=52.0)
    told = datetime.fromtimestamp(1_000_000, tz=UTC)
    assert clock.at(51.0) == told
    assert clock.at(61.5) == told + timedelta(seconds=10.5)
    assert clock.at(41.0) == told - timedelta(seconds=10)


async def test_the_clock_is_the_servers(context: RedisContext) -> None:
    """Once it is measured, however wrong our own was."""
    context.clock.set(0.0, 0.0, 0.0)
    await context.measure_clock()
    seconds, micros = await context.connection.commands.time()
    assert abs(context.clock.now().timestamp() - (seconds + micros / 1e6)) < 10


async def test_a_script_runs(context: RedisContext) -> None:
    """Its answer is what redis-py makes of it."""
    assert len(await context.run("dequeue_due", KEY, [1000, 10])) == 2


async def test_reads_that_belong_together(context: RedisContext) -> None:
    """Both kinds of pipeline answer in the order asked."""
    await context.connection.commands.set("a", "1")
    for atomic in (True, False):
        pipeline = context.pipeline(atomic=atomic)
        pipeline.get("a")
        pipeline.get("b")
        assert await context.read(pipeline) == [b"1", None]


async def test_a_read_that_got_no_connection_asks_the_same_again(context: RedisContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more and no less: redis-py keeps the commands of a pipeline that failed so early."""
    pool = context.connection.commands.connection_pool
    whole = pool.get_connection

    async def fail_once() -> object:
        monkeypatch.setattr(pool, "get_connection", whole)
        raise RedisConnectionError("no connection")

    monkeypatch.setattr(pool, "get_connection", fail_once)
    for atomic in (True, False):
        pipeline = context.pipeline(atomic=atomic)
        pipeline.get("a")
        pipeline.get("b")
        assert await context.read(pipeline) == [None, None]
        monkeypatch.setattr(pool, "get_connection", fail_once)


@pytest.mark.parametrize("what", ["request", "reply"])
async def test_a_broken_connection_is_used_once_more(valkey_server: RunningServer, what: What) -> None:
    """A read or a repeatable script that meets a lost connection is sent again at once; a script that may run once is not."""
    async with proxy_to(valkey_server) as proxy, linked(proxy.url) as context:
        proxy.lose(what, b"GET")
        pipeline = context.pipeline(atomic=False)
        pipeline.get("nothing")
        assert await context.read(pipeline) == [None]
        proxy.lose_script(what, "dequeue_due")
        assert await context.run_again("dequeue_due", KEY, [1000, 10], again=[1000, 5])
        proxy.lose_script(what, "dequeue_due")
        with pytest.raises(Unreachable):
            await context.run("dequeue_due", KEY, [1000, 10])
        assert proxy.lost == 3


async def test_a_second_loss_is_told(valkey_server: RunningServer) -> None:
    """Then the server is called unreachable; the next call may succeed."""
    async with proxy_to(valkey_server) as proxy, linked(proxy.url) as context:
        proxy.lose("reply", b"GET", times=2)
        pipeline = context.pipeline(atomic=False)
        pipeline.get("nothing")
        with pytest.raises(Unreachable):
            await context.read(pipeline)
        proxy.lose_script("reply", "dequeue_due", times=2)
        with pytest.raises(Unreachable):
            await context.run_again("dequeue_due", KEY, [1000, 10])
        assert await context.run_again("dequeue_due", KEY, [1000, 10])


async def test_a_restart_of_the_server_is_not_news(make_server: MakeServer) -> None:
    """Every connection of the pool fails once, and no caller hears of it."""
    server = make_server(appendonly=True)
    async with linked(server.url) as context:
        await context.connection.commands.set("a", "1")
        server.stop()
        with pytest.raises(Unreachable):
            await context.run_again("dequeue_due", KEY, [1000, 10])
        server.start()
        pipeline = context.pipeline(atomic=True)
        pipeline.get("a")
        assert await context.read(pipeline) == [b"1"]
        server.stop()
        server.start()
        assert await context.run_again("dequeue_due", KEY, [1000, 10])


async def test_a_restart_is_not_news_to_a_crowd(make_server: MakeServer) -> None:
    """Also with as many callers as the pool has connections, and more."""
    server = make_server()
    async with linked(server.url) as context:
        for _ in range(2):
            await asyncio.gather(*(context.run_again("dequeue_due", KEY, [1000, 10]) for _ in range(40)))
            server.stop()
            server.start()
        await asyncio.gather(*(context.run_again("dequeue_due", KEY, [1000, 10]) for _ in range(40)))


def no_replicas(server: RunningServer) -> None:
    """Have a server refuse writes because no replica follows it."""
    server.command("CONFIG", "SET", "min-replicas-to-write", 1)


def master_down(server: RunningServer) -> None:
    """Have a server follow one that is not there, and say nothing meanwhile."""
    server.command("CONFIG", "SET", "replica-serve-stale-data", "no")
    server.command("REPLICAOF", "127.0.0.1", free_port())


def read_only(server: RunningServer) -> None:
    """Have a server follow one that is not there, and go on reading."""
    server.command("REPLICAOF", "127.0.0.1", free_port())


def misconfigured(server: RunningServer) -> None:
    """Have a server fail to write its snapshot."""
    server.command("CONFIG", "SET", "save", "3600 1")
    shutil.rmtree(server.data)
    server.command("BGSAVE")
    while server.command("INFO", "persistence")["rdb_last_bgsave_status"] == "ok":
        time.sleep(0.01)


def busy(server: RunningServer) -> None:
    """Have a server run a script without an end."""
    server.command("CONFIG", "SET", "lua-time-limit", 1)
    threading.Thread(target=_run_for_ever, args=[server], daemon=True).start()
    while True:
        try:
            server.command("PING")
        except redis.ResponseError:
            return


def _run_for_ever(server: RunningServer) -> None:
    with contextlib.suppress(redis.RedisError):
        server.command("EVAL", "while true do end", 0)


@pytest.mark.parametrize("trouble", [no_replicas, master_down, read_only, misconfigured, busy])
async def test_a_server_that_cannot_serve_now_is_unreachable(
    make_server: MakeServer, trouble: Callable[[RunningServer], None]
) -> None:
    """For a script and in both kinds of pipeline, where redis-py puts words of its own before the server's."""
    server = make_server()
    async with linked(server.url) as context:
        await asyncio.to_thread(trouble, server)
        with pytest.raises(Unreachable) as by_script:
            await context.run_again("dequeue_due", KEY, [1000, 10])
        for atomic in (True, False):
            pipeline = context.pipeline(atomic=atomic)
            pipeline.set("a", "1")
            with pytest.raises(Unreachable) as by_pipeline:
                await context.read(pipeline)
            assert "of pipeline" not in str(by_pipeline.value)
            assert type(by_pipeline.value) is type(by_script.value)
    server.kill()


async def test_what_a_server_answers_otherwise_is_an_error_of_ours(context: RedisContext) -> None:
    """What a script cannot do, and a command that it does not know."""
    with pytest.raises(UnexpectedReply, match="not an integer"):
        await context.run_again("dequeue_due", KEY, [1000, "many"])
    for atomic in (True, False):
        pipeline = context.pipeline(atomic=atomic)
        pipeline.execute_command("NOSUCH", "a")
        with pytest.raises(UnexpectedReply, match="unknown command"):
            await context.read(pipeline)


async def _read_on(pubsub: PubSub) -> None:
    async with asyncio.timeout(20):
        while True:
            await pubsub.get_message(timeout=5)


async def test_a_failover_behind_one_address_is_followed_at_once(make_server: MakeServer) -> None:
    """The connections that stand lead to what is a replica now: the first refusal closes them, and the next try succeeds."""
    old, new = make_server(), make_server()
    async with proxy_to(old) as proxy, linked(proxy.url) as context:
        await asyncio.gather(*(context.run_again("dequeue_due", KEY, [1000, 10]) for _ in range(5)))
        pubsub = context.connection.pubsub()
        await pubsub.subscribe("news")
        assert await pubsub.get_message(timeout=5)
        old.command("REPLICAOF", "127.0.0.1", new.port)
        proxy.redirect(new)
        assert await context.run_again("dequeue_due", KEY, [1000, 10])
        pipeline = context.pipeline(atomic=False)
        pipeline.role()
        assert (await context.read(pipeline))[0][0] == b"master"
        with pytest.raises(redis.ConnectionError):
            await _read_on(pubsub)
        await pubsub.aclose()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("reading", [False, True], ids=["script", "pipeline"])
async def test_a_cancellation_is_never_swallowed(bus: Bus, reading: bool) -> None:
    """Wherever it meets the command: before Python 3.12 redis-py would drop one of them, and the task would go on for ever."""

    async def go_on() -> None:
        while True:
            if reading:
                assert await bus.controller.snapshot("nobody") is None
            else:
                await bus.controller.due()

    await bus.worker.claim(WorkerRef(name="w"))
    for turns in range(60):
        task = asyncio.create_task(go_on())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=PATIENCE_S)
        assert task.cancelled(), f"cancelled after {turns} turns of the loop, and it goes on"
