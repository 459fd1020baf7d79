"""Controllers: they decide what is due, outlast what goes wrong, and may be any number."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from tests import actors
from tests.conftest import MakeServer
from tests.fleet import Fleet
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import (
    Bus,
    CommandExpired,
    CommandRefused,
    Message,
    PayloadTooLarge,
    SessionPause,
    SessionSay,
    SessionStart,
    StaleDecision,
    State,
    Unreachable,
    UnreadableRecord,
    WorkerRef,
)
from tidings.workers.controller import TRIES, Controller
from tidings.workers.controller import controller as module
from tidings.workers.controller.decision import decide
from tidings.workers.controller.errands import Errands
from tidings.workers.controller.quarantine import Quarantine
from tidings.workers.settings import Settings

QUICK = Settings(lease_s=0.4, renew_s=0.1, controller_poll_s=0.02, visibility_s=0.2)


@pytest.fixture
async def memory() -> AsyncIterator[Bus]:
    """A bus in memory."""
    async with Bus.connect(f"memory://{uuid4().hex}") as connected:
        yield connected


@asynccontextmanager
async def controlled(bus: Bus, settings: Settings = QUICK, name: str = "c1") -> AsyncIterator[Controller]:
    """A controller that runs, and is told to stop at the end."""
    controller = Controller(bus, settings, name)
    task = asyncio.create_task(controller.run())
    try:
        yield controller
    finally:
        controller.stop()
        async with asyncio.timeout(PATIENCE_S):
            await task


async def start(bus: Bus, session: str = "s") -> None:
    """Start a session."""
    await bus.send(session, SessionStart(text="hello"), PATIENCE_S)


def said(session: str, text: str) -> Message[SessionSay]:
    """Something to say."""
    return Message.of(SessionSay(text=text), session=session)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged from warning on."""
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


async def due(bus: Bus) -> set[str]:
    """The sessions that want a controller, now or later."""
    redis: Any = bus._context.connection.commands
    return {name.decode() for name in await redis.zrange(bus._context.names.due, 0, -1)}


async def test_it_decides_and_stops_when_told(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    """One line in the log for each change of a state."""
    caplog.set_level(logging.INFO, "tidings.controller")
    async with controlled(bus) as controller:
        await start(bus)
        assert (await bus.status("s")).state is State.QUEUED
        assert controller.decided > 0
    (line,) = [record.__dict__ for record in caplog.records if record.message == "session.state"]
    assert (line["session"], line["from"], line["to"], line["why"]) == (
        "s",
        None,
        State.QUEUED,
        "started by unknown; no live worker serves queue 'default'",
    )


async def test_it_is_woken(memory: Bus) -> None:
    """A command does not wait for the next look."""
    async with controlled(memory, QUICK.model_copy(update={"controller_poll_s": 60.0})):
        await eventually(lambda: memory.connected, PATIENCE_S)
        await start(memory)


async def test_it_has_a_name(memory: Bus) -> None:
    """Made from host and process where none is given."""
    assert Controller(memory, QUICK, "c").name == "c"
    assert Controller(memory, QUICK).name


async def test_any_number_may_run(redis_url: str) -> None:
    """Of many commands at once each gets one outcome, and each word is in the history once."""
    async with Fleet(redis_url, workers=0, controllers=3) as fleet:
        for session in ("a", "b"):
            await fleet.start(session, "0")
        words = [(session, str(number)) for session in ("a", "b") for number in range(1, 16)]
        outcomes = await asyncio.gather(*(fleet.say(session, text) for session, text in words))
        assert len({outcome.command_id for outcome in outcomes}) == len(words)
        for session in ("a", "b"):
            texts = await fleet.said(session)
            assert sorted(texts) == sorted(f"user: {number}" for number in range(16))
            assert (await fleet.bus.status(session)).version == 1


async def test_a_session_without_a_record_is_forgotten(memory: Bus) -> None:
    """It may stand in ``due`` after its record has expired."""
    redis: Any = memory._context.connection.commands
    await redis.zadd(memory._context.names.due, {"nobody": 1})
    async with controlled(memory):

        async def gone() -> bool:
            return await due(memory) == set()

        await eventually(gone, PATIENCE_S)


# what goes wrong


async def test_a_session_that_cannot_be_decided_harms_no_other(
    memory: Bus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its commands are refused at once, then it is set aside, and takes none; a decision ends that."""
    broken = True

    def shaky(snapshot: Any, rules: Any) -> Any:
        if broken and snapshot.record.session == "bad":
            raise KeyError("a defect")
        return decide(snapshot, rules)

    monkeypatch.setattr(module, "decide", shaky)
    async with controlled(memory) as controller:
        with pytest.raises(CommandRefused, match="unreadable: controllers failed to decide it"):
            await start(memory, "bad")
        with pytest.raises(CommandRefused, match=r"unreadable: .* set it aside"):
            await start(memory, "bad")
        assert (controller.failed, controller.presence().unreadable) == (1, 1)
        assert messages(caplog) == ["session.quarantined"]
        await start(memory, "good")
        broken = False
        await look_again(memory, "bad")
        await eventually(lambda: controller.presence().unreadable == 0, PATIENCE_S)
        await start(memory, "bad")
        assert (await memory.status("bad")).failures == 0


async def look_again(bus: Bus, session: str) -> None:
    """Have the controllers look at a session now."""
    redis: Any = bus._context.connection.commands
    await redis.zadd(bus._context.names.due, {session: 1})


async def test_what_was_said_is_stored_only_where_its_event_fits_too(memory: Bus) -> None:
    """The event that a controller makes of it is a little larger than the command."""
    async with Bus.connect(f"memory://{uuid4().hex}", payload_limit=2048) as bus, controlled(bus, name="c" * 150):
        await start(bus)
        with pytest.raises(PayloadTooLarge):
            await actors.send(bus, said("s", "x" * 1700), PATIENCE_S)
        longest = 2048
        while longest := longest - 1:
            try:
                await actors.send(bus, said("s", "x" * longest), PATIENCE_S)
            except PayloadTooLarge:
                continue
            break
        assert longest > 1000


async def test_the_quarantine_grows_from_a_minute_to_a_quarter_of_an_hour(
    memory: Bus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each time is told; all controllers count together, for the count is in the record."""
    failing = [True]

    def shaky(snapshot: Any, rules: Any) -> Any:
        if failing:
            raise KeyError("a defect")
        return decide(snapshot, rules)

    redis: Any = memory._context.connection.commands
    await actors.hold(memory, lease_s=3600)
    monkeypatch.setattr(module, "decide", shaky)
    async with controlled(memory) as one, controlled(memory) as two:
        for times, seconds in enumerate((60, 120, 240, 480, 900, 900), 1):
            await look_again(memory, "s")

            async def counted(times: int = times) -> bool:
                return (await memory.status("s")).failures == times

            await eventually(counted, PATIENCE_S)
            score = await redis.zscore(memory._context.names.due, "s")
            assert abs(score / 1000 - memory.now().timestamp() - seconds) < PATIENCE_S
        assert one.failed + two.failed == 6
        failing.clear()
        await look_again(memory, "s")

        async def decided() -> bool:
            return (await memory.status("s")).failures == 0

        await eventually(decided, PATIENCE_S)
    assert messages(caplog) == ["session.quarantined"] * 6


async def test_a_decision_that_cannot_be_written_sets_the_session_aside(
    memory: Bus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, not again and again."""
    await actors.hold(memory, lease_s=60)

    async def broken(*_: object) -> int:
        raise RuntimeError("no decision can be written")

    monkeypatch.setattr(memory.controller, "decide", broken)
    async with controlled(memory) as controller:
        await look_again(memory, "s")
        await eventually(lambda: controller.presence().unreadable == 1, PATIENCE_S)
    assert messages(caplog) == ["session.quarantined"]


async def test_what_is_asked_while_it_is_set_aside_brings_it_up_at_once(memory: Bus) -> None:
    """It is read anew, and nothing of it is refused unread."""
    redis: Any = memory._context.connection.commands
    await actors.hold(memory, lease_s=60)
    await redis.zadd(memory._context.names.due, {"s": 1})
    waiting = memory.controller._waiting

    async def overtaken(session: str) -> Any:
        found = await waiting(session)
        await memory.submit("s", SessionPause())
        return found

    memory.controller._waiting = overtaken  # type: ignore[method-assign]
    put = await memory.controller.quarantine("s", "unreadable")
    assert (put.times, put.seconds, put.refused) == (0, 0.0, ())
    assert await redis.zscore(memory._context.names.due, "s") / 1000 <= memory.now().timestamp() + 1
    assert (await memory.status("s")).failures == 0


async def test_as_many_are_remembered_as_there_is_room_for(memory: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand of them must not fill a controller; and what another controller decided stops counting."""
    monkeypatch.setattr("tidings.workers.controller.quarantine._MOST", 2)
    now = [0.0]
    quarantine = Quarantine(memory, Errands(memory, "c"), lambda: now[0])
    await actors.queue(memory, "a", "b", "c")
    for session in ("a", "b", "c"):
        await quarantine.put(session, UnreadableRecord(session, "x"))
    assert len(quarantine) == 2
    now[0] = 119.0
    assert len(quarantine) == 2
    now[0] = 120.0
    assert len(quarantine) == 0


async def test_a_log_that_is_none_is_set_aside_at_once(memory: Bus, caplog: pytest.LogCaptureFixture) -> None:
    """There are no commands to be answered, and nothing fails because of it."""
    redis: Any = memory._context.connection.commands
    await actors.hold(memory, lease_s=60)
    await redis.set(memory._context.names.log("commands", "s"), "text")
    async with controlled(memory) as controller:
        await redis.zadd(memory._context.names.due, {"s": 1})
        await eventually(lambda: controller.presence().unreadable == 1, PATIENCE_S)
        assert controller.failed == 0
    assert messages(caplog) == ["session.quarantined"]


async def test_a_count_below_nothing_is_set_aside(memory: Bus, caplog: pytest.LogCaptureFixture) -> None:
    """It reads like a number and is none to count with; nothing fails because of it."""
    redis: Any = memory._context.connection.commands
    await actors.hold(memory, lease_s=0.1)
    await redis.hset(memory._context.names.record("s"), "status", "-1")
    async with controlled(memory) as controller:
        await eventually(lambda: controller.presence().unreadable == 1, PATIENCE_S)
        assert controller.failed == 0


async def test_a_record_that_cannot_be_read_harms_nobody(memory: Bus, caplog: pytest.LogCaptureFixture) -> None:
    """It is told in the log, without a traceback and without its content."""
    async with controlled(memory):
        await start(memory, "bad")
        redis: Any = memory._context.connection.commands
        await redis.hset(memory._context.names.record("bad"), "token", "secret words")
        await redis.zadd(memory._context.names.due, {"bad": 1})
        await eventually(lambda: "session.quarantined" in messages(caplog), PATIENCE_S)
        await start(memory, "good")
    assert "secret words" not in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_stale_decision_is_made_anew(
    memory: Bus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And so is one whose answer was lost; when it never succeeds, the session comes up again later."""
    write, trouble = memory.controller.decide, [StaleDecision("s"), Unreachable("gone"), StaleDecision("s")]

    async def shaky(*args: Any) -> int:
        if trouble:
            raise trouble.pop()
        return await write(*args)

    monkeypatch.setattr(memory.controller, "decide", shaky)
    async with controlled(memory) as controller:
        await start(memory)
        assert (trouble, messages(caplog)) == ([], [])
        trouble += [StaleDecision("s")] * TRIES
        await actors.send(memory, said("s", "more"), PATIENCE_S)
        assert controller.failed == 0


async def test_an_absence_of_the_server_is_outlasted(
    memory: Bus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once, wherever it was noticed."""
    write, take, away = memory.controller.decide, memory.controller.due, [True]

    async def gone(*_: object) -> Any:
        raise Unreachable("gone")

    async def no_take(*args: Any) -> Any:
        return await (gone() if away else take(*args))

    monkeypatch.setattr(memory.controller, "decide", gone)
    async with controlled(memory):
        asking = asyncio.create_task(start(memory))
        await eventually(lambda: "controller.unreachable" in messages(caplog), PATIENCE_S)
        monkeypatch.setattr(memory.controller, "decide", write)
        await asking
        told = len(messages(caplog))
        monkeypatch.setattr(memory.controller, "due", no_take)
        await eventually(lambda: len(messages(caplog)) > told, PATIENCE_S)
        away.clear()
    assert set(messages(caplog)) == {"controller.unreachable"}
    assert len(messages(caplog)) < 8


# lost workers


async def test_nothing_is_reaped_before_the_workers_could_renew(memory: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """For one lease time after the start, after a lost connection, and after an answer that took long."""
    controller = Controller(memory, QUICK.model_copy(update={"lease_s": 60.0}), "c1")
    await actors.hold(memory)
    seen = await actors.snapshot(memory)
    now = asyncio.get_running_loop().time()
    assert controller._may_reap(seen)
    controller._hold_off()
    assert not controller._may_reap(seen)
    controller._reap_at = now
    controller._notice_absence(now)
    assert controller._may_reap(seen)
    controller._notice_absence(now - 16)
    assert not controller._may_reap(seen)
    controller._reap_at = now
    monkeypatch.setattr(memory._listener, "reconnects", 1)
    controller._notice_absence(asyncio.get_running_loop().time())
    assert not controller._may_reap(seen)


async def test_only_time_in_which_the_server_was_there_counts(memory: Bus) -> None:
    """Held off without an end, a lease that was seen to have run out is reaped after one lease of such time."""
    controller = Controller(memory, QUICK.model_copy(update={"lease_s": 60.0}), "c1")
    await actors.hold(memory, lease_s=0.0)
    lost = await actors.snapshot(memory)
    controller._hold_off()
    assert not controller._may_reap(lost)
    for answers in range(4):
        assert not controller._may_reap(lost), answers
        # An hour between two answers: nothing is known of it, so no more than a quarter of a lease counts.
        controller._served_at = asyncio.get_running_loop().time() - 3600
        controller._notice_absence(asyncio.get_running_loop().time())
    controller._hold_off()
    assert controller._may_reap(lost)
    renewed = replace(lost, record=replace(lost.record, lease_until=lost.now))
    assert not controller._may_reap(renewed)


async def test_a_connection_that_breaks_again_and_again_keeps_no_lost_worker(make_server: MakeServer) -> None:
    """The Pub/Sub connections are cut more often than once a lease, and its session is queued all the same."""
    server = make_server()
    async with Bus.connect(server.url) as bus, controlled(bus):
        await eventually(lambda: bus.connected, PATIENCE_S)
        await actors.hold(bus, lease_s=QUICK.lease_s)

        async def queued() -> bool:
            await asyncio.to_thread(server.command, "CLIENT", "KILL", "TYPE", "pubsub")
            return (await bus.status("s")).state is State.QUEUED

        await eventually(queued, PATIENCE_S)
        assert bus.reconnects > 1


async def test_a_lost_worker_is_noticed_without_anybody_s_help(redis_url: str) -> None:
    """When its lease has run out, and not before."""
    async with Fleet(redis_url, workers=0, lease_s=0.4, renew_s=0.1) as fleet:
        await fleet.start("s")
        claim = await fleet.bus.worker.claim(WorkerRef(name="w"), lease_s=0.4)
        assert claim is not None
        record = await fleet.until("s", State.QUEUED)
        assert fleet.bus.now() >= claim.until
        assert (record.losses, record.why) == (1, "w stopped renewing its lease")


async def test_a_command_without_a_controller_is_never_applied(bus: Bus) -> None:
    """Its asker has left; a controller that comes later finds it expired."""
    with pytest.raises(CommandExpired):
        await bus.send("s", SessionStart(text="hello"), 0.1)
    async with controlled(bus):

        async def settled() -> bool:
            found = await bus.controller.snapshot("s")
            return found is not None and found.record.state is None and found.commands == ()

        await eventually(settled, PATIENCE_S)
