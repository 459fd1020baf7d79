"""Records and messages that cannot be read: told once, counted, and in nobody's way."""

from __future__ import annotations

from typing import Any

import pytest

from tests import actors
from tests.fleet import Fleet
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import CommandRefused, Ending, Message, SessionDelete, State, Trigger
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
    """For a minute, told once, counted in the presence of the controller; the others are decided as ever."""
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
    assert [record.getMessage() for record in caplog.records].count("controller.set_aside") == 1


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
async def test_it_can_be_deleted_and_nothing_else(redis_url: str, poison: dict[str, str]) -> None:
    """Every command gets its outcome, and the one that takes it away is applied."""
    async with Fleet(redis_url) as fleet:
        claim = await actors.hold(fleet.bus, "bad", lease_s=60)
        await claim.append(actors.answer("bad"), after=0)
        await spoil(fleet, "bad", poison)
        with pytest.raises(CommandRefused, match="cannot be read") as caught:
            await fleet.stop("bad")
        assert caught.value.legal == ("session.delete",)
        outcome = await fleet.send(Message.of(SessionDelete(by="ann"), session="bad"))
        assert outcome.state is State.DELETED
        record = await fleet.bus.status("bad")
        assert (record.state, record.why) == (State.DELETED, "deleted by ann")
        assert [one async for one in fleet.bus.admin.unreadable()] == []
        await eventually(lambda: fleet.controllers[0].part.presence().unreadable == 0, PATIENCE_S)


async def test_a_record_without_its_epoch_can_be_deleted(redis_url: str) -> None:
    """The logs have lost their identity, and the name is still a name."""
    async with Fleet(redis_url, workers=0) as fleet:
        await actors.hold(fleet.bus, "bad", lease_s=60)
        async with open_connection(fleet.bus.url) as connection:
            client: Any = connection.commands
            await client.hdel(NAMES.record("bad"), "epoch", "commands")
        assert (await fleet.send(Message.of(SessionDelete(), session="bad"))).state is State.DELETED


@pytest.mark.parametrize("field", ["token", "version", "parks", "status"])
async def test_a_queued_session_that_cannot_be_claimed_stops_no_worker(redis_url: str, field: str) -> None:
    """It is handed to the controllers, who tell of it; workers go on with the next."""
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
