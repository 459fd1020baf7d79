"""Records of other versions on the same Redis: older ones are taken up, newer ones are left alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bus import Bus, Decision, NewerRecord, Picture, Release, State, Trigger
from bus.channels import Names
from bus.redis import open_connection
from bus.schema import SCHEMA
from tests import actors
from tests.fleet import Fleet
from tests.waiting import PATIENCE_S, eventually

NAMES = Names()
STORED: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parents[1] / "bus" / "records_of_schema_1.json").read_text(encoding="utf-8")
)
"""Hashes as the last version without a schema has written them."""


@asynccontextmanager
async def server(url: str) -> AsyncIterator[Any]:
    """A bare client."""
    async with open_connection(url) as connection:
        yield connection.commands


async def put_back(client: Any) -> None:
    """Write those sessions as they stood on the server of that version: records, logs, queues and the index."""
    for session, fields in STORED.items():
        await client.hset(NAMES.record(session), mapping=fields)
        await client.hset(NAMES.sessions, session, fields["state"])
        for offset in range(1, int(fields.get("events", 0)) + 1):
            event = {"id": f"e{offset}", "type": "user.message", "subject": session, "data": {"text": "hello"}}
            await client.xadd(NAMES.log("events", session), {"id": f"e{offset}", "m": json.dumps(event)}, id=f"{offset}-0")
    await client.zadd(NAMES.ready, {"queued": 1})
    await client.zadd(NAMES.due, {"held": 1, "parked": 1})


async def test_sessions_of_an_older_version_go_on(redis_url: str) -> None:
    """Queued, held by a worker that is gone, parked, and waiting for input: each ends its turn and is written as of today."""
    async with server(redis_url) as client:
        await put_back(client)
        async with Fleet(redis_url, reap_at_once=True) as fleet:
            await fleet.say("awaiting", "and now?")
            for session in STORED:
                await fleet.until(session, State.AWAITING_INPUT)
                record = await fleet.bus.status(session)
                assert record.epoch == STORED[session]["epoch"]
                assert await client.hget(NAMES.record(session), "schema") == str(SCHEMA).encode()
            assert (await fleet.said("awaiting"))[-2] == "user: and now?"


async def newer(bus: Bus, client: Any, session: str = "s") -> None:
    """Let a newer version take a session over."""
    await client.hset(NAMES.record(session), mapping={"schema": SCHEMA + 1, "state": "queued"})


async def test_nothing_of_a_newer_record_is_touched(redis_url: str) -> None:
    """Each step that would write it says that this process is to be updated."""
    async with Bus.connect(redis_url) as bus, server(redis_url) as client:
        claim = await actors.hold(bus)
        seen = await actors.snapshot(bus)
        await newer(bus, client)
        await client.zadd(NAMES.ready, {"s": 1})
        before = await client.hgetall(NAMES.record("s")), await client.zrange(NAMES.due, 0, -1, withscores=True)
        for refused in (
            bus.append(claim, [actors.answer("s")], 0),
            bus.release(claim, Release(Trigger.YIELD, read=0)),
            bus.publish(actors.retry("s")),
            bus.claim(actors.WORKER, session="s"),
            bus.decide(seen, Decision()),
            bus.snapshot("s"),
            bus.salvage("s"),
            bus.status("s"),
        ):
            with pytest.raises(NewerRecord, match="update this process"):
                await refused
        assert not (await bus.renew(claim, Picture())).held
        assert before == (await client.hgetall(NAMES.record("s")), await client.zrange(NAMES.due, 0, -1, withscores=True))
        assert await client.zscore(NAMES.ready, "s") == 1


async def test_workers_take_what_stands_behind_newer_sessions(redis_url: str) -> None:
    """However many there are: they keep their places for newer workers, and nobody waits for them."""
    async with Bus.connect(redis_url) as bus, server(redis_url) as client:
        names = [f"n{number}" for number in range(20)]
        await actors.queue(bus, *names, "s")
        for name in names:
            await newer(bus, client, name)
        claim = await bus.claim(actors.WORKER)
        assert claim is not None
        assert claim.session == "s"
        assert await bus.claim(actors.WORKER) is None
        assert await client.zcard(NAMES.ready) == 20


async def test_controllers_leave_newer_sessions_to_newer_ones(redis_url: str) -> None:
    """They come up again soon, are told of once, and hold up nobody else."""
    async with Fleet(redis_url, workers=0) as fleet, server(redis_url) as client:
        await actors.hold(fleet.bus, "n")
        await newer(fleet.bus, client, "n")
        before = await client.hgetall(NAMES.record("n"))
        await client.zadd(NAMES.due, {"n": 1})
        controller = fleet.controllers[0].part
        await eventually(lambda: controller.presence().unreadable == 1, PATIENCE_S)
        await fleet.start("s")
        assert await client.hgetall(NAMES.record("n")) == before
        assert await client.zscore(NAMES.due, "n") is not None
        assert controller.failed == 0
        [found] = [one async for one in fleet.bus.unreadable()]
        assert (found.session, found.newer) == ("n", True)
