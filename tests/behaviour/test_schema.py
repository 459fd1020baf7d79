"""Records of another version on the same Redis: nothing of them is touched, and the error says how to bring them over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests import actors
from tests.fleet import Fleet
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import Bus, Decision, Ending, Picture, SchemaMismatch, Trigger
from tidings.bus.channels import Names
from tidings.bus.records import SCHEMA
from tidings.bus.redis import open_connection

NAMES = Names()
OTHERS = pytest.mark.parametrize("schema", [SCHEMA - 1, SCHEMA + 1])


@asynccontextmanager
async def server(url: str) -> AsyncIterator[Any]:
    """A bare client."""
    async with open_connection(url) as connection:
        yield connection.commands


async def rewrite(client: Any, session: str = "s", schema: int = SCHEMA + 1) -> None:
    """Let another version write a record."""
    await client.hset(NAMES.record(session), mapping={"schema": schema, "state": "queued"})


@OTHERS
async def test_nothing_of_a_record_of_another_schema_is_touched(redis_url: str, schema: int) -> None:
    """Each step that would write it says which version to export it with."""
    async with Bus.connect(redis_url) as bus, server(redis_url) as client:
        claim = await actors.hold(bus)
        seen = await actors.snapshot(bus)
        await rewrite(client, schema=schema)
        await client.zadd(NAMES.ready(), {"s": 1})
        before = await client.hgetall(NAMES.record("s")), await client.zrange(NAMES.due, 0, -1, withscores=True)
        for refused in (
            claim.append(actors.answer("s"), after=0),
            claim.release(Ending(Trigger.YIELD, read=0)),
            actors.publish(bus, actors.retry("s")),
            bus.worker.claim(actors.WORKER, session="s"),
            bus.controller.decide(seen, Decision()),
            bus.controller.snapshot("s"),
            bus.admin.force_delete("s"),
            bus.status("s"),
        ):
            with pytest.raises(SchemaMismatch, match=f"with schema {schema} .* `tidings export s` with that version"):
                await refused
        assert not (await actors.renew(claim, Picture())).held
        assert before == (await client.hgetall(NAMES.record("s")), await client.zrange(NAMES.due, 0, -1, withscores=True))
        assert await client.zscore(NAMES.ready(), "s") == 1


async def test_workers_take_what_stands_behind_sessions_of_another_schema(redis_url: str) -> None:
    """All of them keep their places for workers of their version, and no other session waits for them."""
    async with Bus.connect(redis_url) as bus, server(redis_url) as client:
        names = [f"n{number}" for number in range(20)]
        await actors.queue(bus, *names, "s")
        for name in names:
            await rewrite(client, name)
        claim = await bus.worker.claim(actors.WORKER)
        assert claim is not None
        assert claim.session == "s"
        assert await bus.worker.claim(actors.WORKER) is None
        assert await client.zcard(NAMES.ready()) == 20


async def test_controllers_leave_sessions_of_another_schema_alone(redis_url: str) -> None:
    """They come up again soon, are told of once, and hold up no other session."""
    async with Fleet(redis_url, workers=0) as fleet, server(redis_url) as client:
        await actors.hold(fleet.bus, "n")
        await rewrite(client, "n")
        before = await client.hgetall(NAMES.record("n"))
        await client.zadd(NAMES.due, {"n": 1})
        controller = fleet.controllers[0].part
        await eventually(lambda: controller.presence().unreadable == 1, PATIENCE_S)
        await fleet.start("s")
        assert await client.hgetall(NAMES.record("n")) == before
        assert await client.zscore(NAMES.due, "n") is not None
        assert controller.failed == 0
        [found] = [one async for one in fleet.bus.admin.unreadable()]
        assert (found.session, found.other_schema) == ("n", True)
