"""Controllers: they decide what is due, outlast what goes wrong, and may be any number."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
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
    Outcome,
    SessionSay,
    SessionStart,
    StaleDecision,
    State,
    Unreachable,
    WorkerRef,
)
from tidings.workers.controller import TRIES, Controller
from tidings.workers.controller import controller as module
from tidings.workers.controller.decision import decide
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
    assert (line["session"], line["from"], line["to"], line["why"]) == ("s", None, State.QUEUED, "started by unknown")


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
    """Its commands are refused after five failures, and then it goes on if it can."""
    broken = True

    def shaky(snapshot: Any, rules: Any) -> Any:
        if broken and snapshot.record.session == "bad":
            raise KeyError("a defect")
        return decide(snapshot, rules)

    monkeypatch.setattr(module, "decide", shaky)
    async with controlled(memory) as controller:
        with pytest.raises(CommandRefused, match="internal"):
            await start(memory, "bad")
        assert controller.failed == TRIES
        assert messages(caplog) == ["controller.failed"] * TRIES
        await start(memory, "good")
        broken = False
        await start(memory, "bad")
        assert (await memory.status("bad")).failures == 0


async def test_a_command_that_cannot_be_handled_takes_no_other_with_it(caplog: pytest.LogCaptureFixture) -> None:
    """A word whose event is larger than its command was is refused, and those before and behind it are applied."""
    async with Bus.connect(f"memory://{uuid4().hex}", payload_limit=2048) as memory:
        async with controlled(memory):
            await start(memory)

        async def waiting() -> int:
            found = await memory.controller.snapshot("s")
            return len(found.commands) if found else 0

        sent: list[asyncio.Task[Outcome]] = []
        for text in ("before", "x" * 1700, "behind"):
            sent.append(asyncio.create_task(actors.send(memory, said("s", text), PATIENCE_S)))
            await eventually(lambda: _equals(waiting, len(sent)), PATIENCE_S)
        async with controlled(memory, name="c" * 150):
            before, large, behind = await asyncio.gather(*sent, return_exceptions=True)
        assert isinstance(before, Outcome)
        assert isinstance(large, CommandRefused)
        assert isinstance(behind, Outcome)
    assert set(messages(caplog)) == {"controller.failed"}


async def _equals(count: Callable[[], Awaitable[int]], wanted: int) -> bool:
    return await count() == wanted


async def test_a_failure_that_cannot_be_noted_harms_nobody(
    memory: Bus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The session comes up again after the visibility time."""
    fails = [True]

    def broken(*_: object) -> Any:
        if fails:
            raise KeyError("a defect")
        return decide(*_)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "decide", broken)
    monkeypatch.setattr(Controller, "_once_more", broken)
    async with controlled(memory):
        asking = asyncio.create_task(start(memory))
        await eventually(lambda: "controller.failure_not_noted" in messages(caplog), PATIENCE_S)
        fails.clear()
        await asking
    assert (await memory.status("s")).state is State.QUEUED


async def test_a_session_that_asks_for_nothing_is_not_tried_without_an_end(
    memory: Bus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After five failures it is looked at once a minute, and counted; that it was decided again ends it."""
    broken = [True]

    def shaky(snapshot: Any, rules: Any) -> Any:
        if broken:
            raise KeyError("a defect")
        return decide(snapshot, rules)

    redis: Any = memory._context.connection.commands
    await actors.hold(memory, lease_s=60)
    monkeypatch.setattr(module, "decide", shaky)
    async with controlled(memory) as controller:
        await redis.zadd(memory._context.names.due, {"s": 1})
        await eventually(lambda: controller.presence().unreadable == 1, PATIENCE_S)

        async def aside() -> bool:
            score = await redis.zscore(memory._context.names.due, "s")
            return bool(score / 1000 - memory.now().timestamp() > 30)

        await eventually(aside, PATIENCE_S)
        assert (controller.failed, (await memory.status("s")).failures) == (TRIES, TRIES)
        broken.clear()
        await redis.zadd(memory._context.names.due, {"s": 1})
        await eventually(lambda: controller.presence().unreadable == 0, PATIENCE_S)
        assert (await memory.status("s")).failures == 0


async def test_what_can_neither_be_decided_nor_noted_is_set_aside(
    memory: Bus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After five times it is looked at once a minute."""
    redis: Any = memory._context.connection.commands
    await actors.hold(memory, lease_s=60)

    async def broken(*_: object) -> int:
        raise RuntimeError("no decision can be written")

    monkeypatch.setattr(memory.controller, "decide", broken)
    async with controlled(memory) as controller:
        await redis.zadd(memory._context.names.due, {"s": 1})
        await eventually(lambda: controller.presence().unreadable == 1, PATIENCE_S)
    assert messages(caplog).count("controller.failure_not_noted") == TRIES


async def test_a_log_that_is_none_is_set_aside_at_once(memory: Bus, caplog: pytest.LogCaptureFixture) -> None:
    """There are no commands to be answered, and nothing fails because of it."""
    redis: Any = memory._context.connection.commands
    await actors.hold(memory, lease_s=60)
    await redis.set(memory._context.names.log("commands", "s"), "text")
    async with controlled(memory) as controller:
        await redis.zadd(memory._context.names.due, {"s": 1})
        await eventually(lambda: controller.presence().unreadable == 1, PATIENCE_S)
        assert controller.failed == 0
    assert messages(caplog) == ["controller.set_aside"]


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
        await eventually(lambda: "controller.set_aside" in messages(caplog), PATIENCE_S)
        await start(memory, "good")
    assert "secret words" not in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_session_that_vanishes_while_it_fails_is_left(memory: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to note it in."""
    controller = Controller(memory, QUICK, "c1")
    await controller._note_failure("nobody")
    assert await memory.controller.snapshot("nobody") is None


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
