"""Records and messages that cannot be read: set aside, told, counted, and in no other session's way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests import actors
from tests.fleet import Fleet
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import (
    Bus,
    ChildResult,
    CommandRefused,
    Ending,
    LeaseLost,
    Message,
    SessionDelete,
    SessionDeleted,
    SessionPause,
    SessionStart,
    State,
    Trigger,
    UnknownSession,
)
from tidings.bus.channels import Names
from tidings.bus.redis import open_connection

NAMES = Names()
POISON = {
    "a count": {"version": "many"},
    "several counts": {"token": "x", "touched": "?", "commands": "-", "handled": "1.5", "status": "", "events": "many"},
    "an epoch": {"epoch": 'a"b'},
    "more events than can be": {"events": str(9 * 10**17)},
    "a state": {"state": "dreaming"},
    "a worker": {"worker": "{"},
    "the schema": {"schema": "new"},
}


async def spoil(fleet: Fleet, session: str, poison: dict[str, str]) -> None:
    """Write rubbish into a record, and have the controllers look at it."""
    async with open_connection(fleet.bus.url) as connection:
        client: Any = connection.commands
        await client.hset(NAMES.record(session), mapping=poison)
        await client.zadd(NAMES.due, {session: 1})


async def due_in(fleet: Fleet, session: str) -> float:
    """Return in how many seconds a controller looks at a session."""
    async with open_connection(fleet.bus.url) as connection:
        client: Any = connection.commands
        score = await client.zscore(NAMES.due, session)
    return (score or 0.0) / 1000 - fleet.bus.now().timestamp()


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
async def test_a_record_that_cannot_be_read_is_set_aside(
    redis_url: str, poison: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """For a minute, told, counted in the presence of the controller; the others are decided as ever."""
    async with Fleet(redis_url) as fleet:
        await actors.hold(fleet.bus, "bad", lease_s=60)
        await spoil(fleet, "bad", poison)
        controller = fleet.controllers[0].part
        await eventually(lambda: controller.presence().unreadable == 1, PATIENCE_S)

        async def aside() -> bool:
            return await due_in(fleet, "bad") > 30

        await eventually(aside, PATIENCE_S, "it is set aside")
        await fleet.start("good")
        await fleet.until("good", State.AWAITING_INPUT)
        [found] = [one async for one in fleet.bus.admin.unreadable()]
        assert (found.session, found.other_schema) == ("bad", False)
        assert controller.failed == 0
    assert [record.getMessage() for record in caplog.records].count("session.quarantined") == 1


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
async def test_its_commands_are_refused_at_once_and_it_is_deleted_by_force(redis_url: str, poison: dict[str, str]) -> None:
    """The commands that wait, those that come, and a deletion too; by force it is taken away, and its name with it."""
    async with Fleet(redis_url, controllers=0) as fleet:
        claim = await actors.hold(fleet.bus, "bad", lease_s=60)
        await claim.append(actors.answer("bad"), after=0)
        waiting = asyncio.create_task(fleet.stop("bad"))
        async with open_connection(fleet.bus.url) as connection:
            client: Any = connection.commands

            async def sent() -> bool:
                return bool(await client.xlen(NAMES.log("commands", "bad")))

            await eventually(sent, PATIENCE_S)
        await spoil(fleet, "bad", poison)
        await fleet.add_controller()
        with pytest.raises(CommandRefused, match=r"^unreadable: "):
            await waiting
        for command in (SessionPause(), SessionDelete()):
            with pytest.raises(CommandRefused, match=r"^unreadable: .*`tidings delete --force bad` takes it away"):
                await fleet.send(Message.of(command, session="bad"))
        await fleet.bus.admin.force_delete("bad", by="ann")
        await fleet.bus.admin.force_delete("bad", by="bob")
        record = await fleet.bus.status("bad")
        assert (record.state, record.why, record.held) == (State.DELETED, "deleted by force by ann", False)
        assert [one async for one in fleet.bus.admin.unreadable()] == []
        with pytest.raises(LeaseLost):
            await claim.append(actors.answer("bad"), after=1)
        with pytest.raises(SessionDeleted):
            await fleet.start("bad")
        await eventually(lambda: fleet.controllers[0].part.presence().unreadable == 0, PATIENCE_S)


async def test_what_is_mended_is_decided_again(redis_url: str) -> None:
    """A person puts the field right: the next look ends the quarantine, and commands are taken as before."""
    async with Fleet(redis_url, workers=0) as fleet:
        await fleet.start("s")
        version = (await fleet.bus.status("s")).version
        await spoil(fleet, "s", {"version": "many"})
        controller = fleet.controllers[0].part
        await eventually(lambda: controller.presence().unreadable == 1, PATIENCE_S)
        await spoil(fleet, "s", {"version": str(version)})
        await eventually(lambda: controller.presence().unreadable == 0, PATIENCE_S)
        assert (await fleet.send(Message.of(SessionPause(), session="s"))).state is State.PAUSED


async def test_what_its_worker_tells_does_not_bring_it_up(redis_url: str) -> None:
    """A worker may tell much; when it lets the session go, controllers look again."""
    async with Fleet(redis_url, workers=0) as fleet:
        claim = await actors.hold(fleet.bus, "s", lease_s=60)
        await spoil(fleet, "s", {"worker": "{"})
        await eventually(lambda: fleet.controllers[0].part.presence().unreadable == 1, PATIENCE_S)
        await actors.publish(fleet.bus, actors.retry("s"))
        assert (await actors.renew(claim, actors.limited())).held
        assert await due_in(fleet, "s") > 30
        await claim.release(Ending(Trigger.YIELD, read=0))
        await eventually(lambda: fleet.controllers[0].part.presence().unreadable == 0, PATIENCE_S)
        assert (await fleet.send(Message.of(SessionPause(), session="s"))).state is State.PAUSED


async def test_a_child_that_cannot_be_read_keeps_no_parent_waiting(redis_url: str) -> None:
    """Its start is refused, and the parent is told so as if a controller had refused it."""
    async with Fleet(redis_url, workers=0, controllers=0) as fleet:
        bus = fleet.bus
        await actors.hold(bus, "p", lease_s=60)
        await bus.submit("c", SessionStart(text="go", parent="p", name="helper"), id="c1")
        await spoil(fleet, "c", {"touched": "?"})
        await fleet.add_controller()

        async def told() -> bool:
            return any(isinstance(event.data, ChildResult) for event in await bus.history("p"))

        await eventually(told, PATIENCE_S)
        [result] = [event.data for event in await bus.history("p") if isinstance(event.data, ChildResult)]
        assert result.name == "helper"
        assert result.why.startswith("it was not started: unreadable: ")


@pytest.mark.parametrize("what", ["record", "events", "status", "commands", "children"])
async def test_force_takes_away_what_is_no_key_of_ours(redis_url: str, what: str) -> None:
    """Text under one of its keys; what is not there is told, and no other session is touched."""
    async with Bus.connect(redis_url) as bus:
        await actors.hold(bus, "bad", lease_s=60)
        await actors.hold(bus, "good", lease_s=60)
        key = {"record": NAMES.record("bad"), "children": NAMES.children("bad")}.get(what) or NAMES.log(what, "bad")
        async with open_connection(bus.url) as connection:
            client: Any = connection.commands
            await client.set(key, "text")
        await bus.admin.force_delete("bad")
        assert (await bus.status("bad")).state is State.DELETED
        assert [record.session async for record in bus.sessions()] == ["good"]
        with pytest.raises(UnknownSession):
            await bus.admin.force_delete("nothing")


async def test_force_leaves_the_children_to_the_controllers(redis_url: str) -> None:
    """They are stopped, as after any deletion, and the parent of what was deleted hears of it."""
    async with Fleet(redis_url, workers=0) as fleet:
        await fleet.start("p")
        await fleet.bus.send("c", SessionStart(text="go", parent="p", name="helper"), PATIENCE_S)
        await spoil(fleet, "p", {"picture": "{"})
        await eventually(lambda: fleet.controllers[0].part.presence().unreadable == 1, PATIENCE_S)
        await fleet.bus.admin.force_delete("p")
        await fleet.until("c", State.STOPPED)


@pytest.mark.parametrize("field", ["token", "version", "parks", "status"])
async def test_a_queued_session_that_cannot_be_claimed_stops_no_worker(redis_url: str, field: str) -> None:
    """It is handed to the controllers, which tell of it; workers go on with the next."""
    async with Fleet(redis_url, workers=0) as fleet:
        await actors.queue(fleet.bus, "bad")
        async with open_connection(fleet.bus.url) as connection:
            client: Any = connection.commands
            await client.hset(NAMES.record("bad"), field, "many")
        await fleet.add_worker()
        await fleet.start("good")
        await fleet.until("good", State.AWAITING_INPUT)
        await eventually(lambda: fleet.controllers[0].part.presence().unreadable == 1, PATIENCE_S)
        assert (await fleet.bus.admin.queues()).ready.length == 0


async def test_events_that_cannot_be_read_are_counted(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """They are left out of the history; the log says so once, the presence of the worker how many."""
    async with Fleet(redis_url) as fleet:
        claim = await actors.hold(fleet.bus)
        async with open_connection(fleet.bus.url) as connection:
            client: Any = connection.commands
            await client.xadd(NAMES.log("events", "s"), {"id": "x", "m": b"\xff{"}, id="1-0")
            await client.hset(NAMES.record("s"), "events", 1)
        await claim.append(actors.spoken("s", "hello"), after=1)
        for count in (1, 2):
            assert [event.offset for event in await fleet.bus.history("s")] == [2]
            assert fleet.bus.skipped == count
        assert [record.getMessage() for record in caplog.records].count("message.unreadable") == 1
        await claim.release(Ending(Trigger.HAND_BACK, read=2))
        await fleet.until("s", State.AWAITING_INPUT)
        worker = fleet.workers[0].part
        await eventually(lambda: worker.presence().skipped > 0, PATIENCE_S)
