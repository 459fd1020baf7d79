"""Sessions set aside by a controller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from tests import actors
from tests.waiting import eventually
from tidings.bus import Bus, SchemaMismatch, SessionStop, UnreadableRecord
from tidings.workers.controller.aside import ASIDE_S, KEEP_S, Aside

BAD = UnreadableRecord("s", "version: ValueError")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
async def memory() -> AsyncIterator[Bus]:
    """A bus in memory."""
    async with Bus.connect(f"memory://{uuid4().hex}") as connected:
        yield connected


@pytest.fixture
async def redis(memory: Bus) -> Any:
    """A bare client, with a session that cannot be read and is due."""
    await actors.hold(memory)
    client: Any = memory._context.connection.commands
    await client.hset(memory._context.names.record("s"), "version", "many")
    await client.zadd(memory._context.names.due, {"s": 1})
    return client


async def due_in(bus: Bus, redis: Any) -> float:
    """Return in how many seconds the session is due."""
    return float(await redis.zscore(bus._context.names.due, "s")) / 1000 - bus.now().timestamp()


async def test_what_nobody_asks_for_is_set_aside(memory: Bus, redis: Any) -> None:
    """It comes up again after a minute."""
    aside = Aside(memory)
    assert await aside.look("s", BAD) is None
    assert abs(await due_in(memory, redis) - ASIDE_S) < 5
    assert len(aside) == 1


async def test_what_another_version_wrote_comes_up_soon(memory: Bus, redis: Any) -> None:
    """The controllers of that version take turns with us."""
    assert await Aside(memory).look("s", SchemaMismatch("s", 99)) is None
    assert 0 < await due_in(memory, redis) <= 1


async def test_what_was_asked_meanwhile_is_not_set_aside(memory: Bus, redis: Any) -> None:
    """It is looked at again at once, so that the command has its outcome."""
    await redis.hset(memory._context.names.record("s"), "touched", 8)
    await memory.controller.set_aside("s", 60.0, b"7")
    assert await due_in(memory, redis) <= 0


async def test_what_is_not_due_any_more_stays_so(memory: Bus, redis: Any) -> None:
    """Another controller has decided it: nothing is put back."""
    await redis.zrem(memory._context.names.due, "s")
    await memory.controller.set_aside("s", 60.0)
    assert await redis.zscore(memory._context.names.due, "s") is None


async def test_a_record_of_another_kind_is_set_aside_too(memory: Bus, redis: Any) -> None:
    """Whatever somebody wrote under its name."""
    await redis.set(memory._context.names.record("x"), "text")
    await redis.zadd(memory._context.names.due, {"x": 1})
    await memory.controller.set_aside("x", 60.0)
    assert await redis.zscore(memory._context.names.due, "x") > 10**12


async def test_commands_get_what_can_be_read(memory: Bus, redis: Any) -> None:
    """So that they can be refused, or the session deleted."""
    asking = asyncio.create_task(memory.send("s", SessionStop(), 30))

    async def asked() -> bool:
        return bool(await redis.exists(memory._context.names.log("commands", "s")))

    await eventually(asked)
    snapshot = await Aside(memory).look("s", BAD)
    assert snapshot is not None
    assert (snapshot.problem, len(snapshot.commands)) == ("version: not a count", 1)
    asking.cancel()


async def test_each_is_told_once_and_forgotten_in_time(memory: Bus, redis: Any, caplog: pytest.LogCaptureFixture) -> None:
    """As long as it is looked at now and then, it is known; one that another controller deleted stops counting."""
    clock = Clock()
    aside = Aside(memory, clock)
    for _ in range(3):
        await aside.look("s", BAD)
        clock.now += KEEP_S - 1
    assert len(aside) == 1
    assert len(caplog.records) == 1
    clock.now += 1
    assert len(aside) == 0
    await aside.look("s", BAD)
    assert len(caplog.records) == 2
    aside.forget("s")
    assert len(aside) == 0


async def test_as_many_are_remembered_as_there_is_room_for(memory: Bus, redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand of them must not fill a controller."""
    monkeypatch.setattr("tidings.workers.controller.aside._MOST", 2)
    aside = Aside(memory)
    for session in ("a", "b", "c"):
        await aside.look(session, UnreadableRecord(session, "x"))
    assert len(aside) == 2
