"""Entries that something else wrote into a log: nothing is half written, and nothing is tried without an end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests import actors
from tests.fleet import Fleet
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import (
    Bus,
    CommandRefused,
    Decision,
    Ending,
    Message,
    SchemaMismatch,
    SessionDelete,
    SessionPause,
    SessionSay,
    SpoiledLog,
    State,
    Trigger,
    read_archives,
)
from tidings.bus.channels import Names
from tidings.bus.redis import open_connection

NAMES = Names()
IDS = {"by the clock": "*", "just the next": "4-7", "the last there can be": "18446744073709551615-18446744073709551615"}
spoilt = pytest.mark.parametrize("entry", IDS.values(), ids=IDS)


@asynccontextmanager
async def server(url: str) -> AsyncIterator[Any]:
    """A bare client."""
    async with open_connection(url) as connection:
        yield connection.commands


async def spoil(client: Any, plane: str, entry: str = "*", session: str = "s") -> bytes:
    """Write rubbish into a log."""
    found: bytes = await client.xadd(NAMES.log(plane, session), {"m": "junk"}, id=entry)
    return found


async def everything(client: Any, session: str = "s") -> Any:
    """What is stored of a session."""
    return [await client.hgetall(NAMES.record(session))] + [
        await client.xrange(NAMES.log(plane, session)) for plane in ("status", "events", "commands")
    ]


async def three_events(bus: Bus) -> Any:
    """A session that is held, with a history of three."""
    claim = await actors.hold(bus)
    await claim.append(*[actors.answer("s", str(number)) for number in range(3)], after=0)
    return claim


@spoilt
async def test_nothing_is_half_written(redis_url: str, entry: str) -> None:
    """An append and a decision that would append are refused as a whole, as often as they are tried."""
    async with Bus.connect(redis_url) as bus, server(redis_url) as client:
        claim = await three_events(bus)
        await client.hset(NAMES.record("s"), "failures", 3)
        await spoil(client, "events", entry)
        seen, before = await actors.snapshot(bus), await everything(client)
        said = Decision(fields={"failures": "0"}, messages=(actors.spoken("s"),), notices=(actors.retry("s"),))
        for _ in range(2):
            with pytest.raises(SpoiledLog, match="tidings delete --force s"):
                await claim.append(actors.answer("s"), actors.answer("s"), after=3)
            with pytest.raises(SpoiledLog):
                await bus.controller.decide(seen, said)
        assert await everything(client) == before


async def test_the_history_goes_on_under_another_name(redis_url: str) -> None:
    """Also where the foreign entry is gone again: a stream does not forget its newest id."""
    async with Bus.connect(redis_url) as bus, server(redis_url) as client:
        claim = await three_events(bus)
        await client.xdel(NAMES.log("events", "s"), await spoil(client, "events"))
        with pytest.raises(SpoiledLog):
            await claim.append(actors.answer("s"), after=3)
        assert (await bus.status("s")).events == 3
        [archive] = list(read_archives([line async for line in bus.admin.export("s")]))
        await bus.admin.restore(archive, "t")
        assert [event.offset for event in await bus.history("t")] == [1, 2, 3]


@spoilt
async def test_foreign_status_is_in_nobodys_way(redis_url: str, entry: str) -> None:
    """The ring is news of an hour: it begins anew, and publish, claim and release write as ever."""
    async with Bus.connect(redis_url) as bus, server(redis_url) as client:
        claim = await actors.hold(bus)
        await spoil(client, "status", entry)
        offset = (await actors.publish(bus, actors.retry("s"))).offset
        assert [int(found[0].split(b"-")[0]) for found in await client.xrange(NAMES.log("status", "s"))] == [offset]
        assert await client.pttl(NAMES.log("status", "s")) > 0
        await spoil(client, "status", "*")
        await claim.release(Ending(Trigger.HAND_BACK, read=0))
        await spoil(client, "status", "*")
        claim = await actors.hold(bus)
        await spoil(client, "status", "*")
        await bus.controller.decide(await actors.snapshot(bus), Decision(notices=(actors.retry("s"),)))
        assert (await bus.status("s")).state is State.RUNNING
        page = await bus.page("status.s")
        assert [offset for offset, _ in page.entries] == [page.end]


async def test_readers_are_not_led_beyond_the_end(redis_url: str) -> None:
    """A foreign entry is left out and counted, and what is appended after it was taken out is not missed."""
    async with Bus.connect(redis_url) as bus, server(redis_url) as client:
        await three_events(bus)
        await spoil(client, "events")
        page = await bus.page("events.s")
        assert ([offset for offset, _ in page.entries], page.end, page.foreign) == ([1, 2, 3], 3, 1)
        assert bus.skipped == 1


@spoilt
async def test_a_history_that_takes_nothing_sets_its_session_aside(
    redis_url: str, entry: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What was said is refused at once, and what is asked next; the history can be exported, and the session deleted by force."""
    async with Fleet(redis_url, workers=0) as fleet, server(redis_url) as client:
        await three_events(fleet.bus)
        await spoil(client, "events", entry)
        controller = fleet.controllers[0].part
        for command in (SessionSay(text="hello"), SessionSay(text="hello"), SessionPause(), SessionDelete()):
            with pytest.raises(CommandRefused, match=r"^unreadable: "):
                await fleet.send(Message.of(command, session="s"))
        assert controller.presence().unreadable == 1
        [found] = [one async for one in fleet.bus.admin.unreadable()]
        assert (found.session, found.other_schema, found.spoiled) == ("s", False, True)
        lines = [json.loads(line) async for line in fleet.bus.admin.export("s")]
        assert len(lines) == 4
        assert controller.failed == 0
        await fleet.bus.admin.force_delete("s", by="ann")
        await eventually(lambda: controller.presence().unreadable == 0, PATIENCE_S)
    told = [record.getMessage() for record in caplog.records]
    assert told.count("session.quarantined") == 1


@spoilt
async def test_a_session_with_a_spoiled_history_can_be_paused_and_deleted(redis_url: str, entry: str) -> None:
    """Where nothing was said: these append nothing."""
    async with Fleet(redis_url, workers=0) as fleet, server(redis_url) as client:
        await three_events(fleet.bus)
        await spoil(client, "events", entry)
        assert (await fleet.send(Message.of(SessionPause(), session="s"))).state is State.PAUSED
        assert (await fleet.send(Message.of(SessionDelete(by="ann"), session="s"))).state is State.DELETED


async def test_no_model_is_called_for_a_history_that_takes_no_answer(redis_url: str) -> None:
    """The turn ends in error before the call, and says what to do; a resume is no different."""
    async with Fleet(redis_url, workers=0) as fleet, server(redis_url) as client:
        await fleet.start("s")
        await spoil(client, "events")
        await fleet.add_worker()
        record = await fleet.until("s", State.ERROR)
        assert record.why.startswith("the worker failed: SpoiledLog: nothing can be appended to session 's'")
        assert fleet.provider.requests == []


@spoilt
async def test_a_log_of_commands_that_something_else_wrote_into_takes_none(redis_url: str, entry: str) -> None:
    """The command is refused when it is sent, and nothing is stored; by force the session is taken away."""
    async with Bus.connect(redis_url) as bus, server(redis_url) as client:
        await actors.hold(bus, lease_s=60)
        await spoil(client, "commands", entry)
        before = await everything(client)
        for command in (SessionPause(), SessionDelete()):
            with pytest.raises(CommandRefused, match=r"^unreadable: "):
                await actors.send(bus, Message.of(command, session="s"), 5)
        assert await everything(client) == before
        await bus.admin.force_delete("s")
        assert (await bus.status("s")).state is State.DELETED


async def test_a_command_that_waits_is_decided_beside_a_foreign_one(redis_url: str) -> None:
    """What lies beyond the count is no command, and keeps none from being decided."""
    async with Bus.connect(redis_url) as bus, server(redis_url) as client:
        await actors.hold(bus, lease_s=60)
        first = Message.of(SessionPause(), session="s")
        await actors.submit(bus, first)
        await spoil(client, "commands")
        seen = await actors.snapshot(bus)
        assert [command.id for command in seen.commands] == [first.id]
        await bus.controller.decide(seen, actors.settled(seen))
        assert (await actors.snapshot(bus)).record.handled == 1


async def test_a_record_of_another_schema_takes_no_command(redis_url: str) -> None:
    """The answer comes at once and says how to bring it over; nothing is stored."""
    async with Bus.connect(redis_url) as bus, server(redis_url) as client:
        await actors.hold(bus)
        await client.hset(NAMES.record("s"), "schema", 99)
        before = await everything(client)
        for command in (Message.of(SessionPause(), session="s"), Message.of(SessionDelete(), session="s")):
            with pytest.raises(SchemaMismatch, match="`tidings export s` with that version"):
                await actors.send(bus, command, 0.5)
        assert await everything(client) == before
