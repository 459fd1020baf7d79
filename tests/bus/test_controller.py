from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from tests import actors
from tests.proxy import Proxy
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import (
    Bus,
    CommandRefused,
    Decision,
    Ending,
    InvalidMessage,
    Message,
    Outcome,
    Picture,
    Result,
    SessionPause,
    SessionSay,
    SessionStart,
    SessionState,
    StaleDecision,
    State,
    Trigger,
    UnknownCommand,
    UnknownSession,
    Unreachable,
    carries,
)
from tidings.bus import controller as module
from tidings.bus.channels import Names


def ask(bus: Bus, *, ident: str = "c1", text: str = "hi", timeout_s: float = 30.0) -> asyncio.Task[Outcome]:
    """Have somebody say something and wait for the outcome."""
    return asyncio.create_task(bus.send("s", SessionSay(text=text), timeout_s, id=ident))


async def give_up(asking: asyncio.Task[Outcome]) -> None:
    """Have the asker leave."""
    asking.cancel()
    await asyncio.wait([asking])


async def test_what_is_taken_from_its_worker_enters_its_state_anew(bus: Bus, raw: Redis, names: Names) -> None:
    """Also where the state is called as before: it is parked now for what the worker waited for."""
    await actors.hold(bus)
    await bus.controller.decide(await actors.snapshot(bus), actors.settled(await actors.snapshot(bus), State.RATE_LIMITED))
    await raw.hset(names.record("s"), "since", "1000")
    seen = await actors.snapshot(bus)
    await bus.controller.decide(seen, actors.settled(seen, State.RATE_LIMITED))
    assert await raw.hget(names.record("s"), "since") == b"1000"
    await actors.revoke(bus, to=State.RATE_LIMITED)
    assert await raw.hget(names.record("s"), "since") != b"1000"


# due


async def test_a_session_taken_is_hidden_for_a_while(bus: Bus, raw: Redis, names: Names) -> None:
    """If nobody decides it, it comes up again for another controller."""
    await actors.hold(bus)
    await actors.publish(bus, actors.retry("s"))
    taken = await bus.controller.due(visibility_s=600)
    assert taken.sessions == ("s",)
    assert abs(taken.now - bus.now()) < timedelta(seconds=10)
    assert (await bus.controller.due()).sessions == ()
    score = await raw.zscore(names.due, "s")
    assert score == round(taken.now.timestamp() * 1000) + 600_000
    await raw.zadd(names.due, {"s": score - 600_000})
    assert (await bus.controller.due(visibility_s=0)).sessions == ("s",)
    assert (await bus.controller.due()).sessions == ("s",)


async def test_no_more_are_taken_than_asked_for(bus: Bus) -> None:
    """The longest due come first, and the rest stay for others."""
    for session in ("a", "b", "c"):
        await actors.hold(bus, session)
        await actors.publish(bus, actors.retry(session))
    first = await bus.controller.due(limit=2)
    second = await bus.controller.due(limit=2)
    assert (len(first.sessions), len(second.sessions)) == (2, 1)
    assert {*first.sessions, *second.sessions} == {"a", "b", "c"}


async def test_a_session_without_a_record_is_forgotten(bus: Bus, raw: Redis, names: Names) -> None:
    """It has no snapshot; one that exists is not forgotten."""
    await raw.zadd(names.due, {"gone": 1})
    assert await bus.controller.snapshot("gone") is None
    await bus.controller.forget_due("gone")
    assert (await bus.controller.due()).sessions == ()
    await actors.hold(bus)
    await actors.publish(bus, actors.retry("s"))
    await bus.controller.forget_due("s")
    assert (await bus.controller.due()).sessions == ("s",)


# reading


async def test_a_snapshot_has_what_a_decision_rests_on(bus: Bus) -> None:
    """The record, the commands in their order, which of them are withdrawn, and the server's time."""
    await actors.hold(bus)
    asking = [ask(bus, ident=f"c{index}", text=str(index)) for index in range(3)]
    seen = await actors.waiting(bus, count=3)
    assert [command.offset for command in seen.commands] == [1, 2, 3]
    assert all(isinstance(command.data, SessionSay) for command in seen.commands)
    assert (seen.resolved, seen.more) == (frozenset(), False)
    assert seen.record == await bus.status("s")
    assert abs(seen.now - bus.now()) < timedelta(seconds=10)
    for each in asking:
        await give_up(each)


async def test_what_is_left_for_another_reading_is_told(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot is bounded, and says that there is more."""
    monkeypatch.setattr(module, "_COMMANDS", 2)
    await actors.hold(bus)
    asking = [ask(bus, ident=f"c{index}") for index in range(3)]
    seen = await actors.waiting(bus, count=2)
    await eventually(lambda: _commands(bus, 3))
    assert (await actors.snapshot(bus)).more
    await bus.controller.decide(seen, actors.settled(seen))
    rest = await actors.snapshot(bus)
    assert ([command.offset for command in rest.commands], rest.more) == ([3], False)
    for each in asking:
        await give_up(each)


async def _commands(bus: Bus, count: int) -> bool:
    """So many commands have been stored."""
    return (await bus.status("s")).commands == count


@pytest.mark.parametrize(
    ("ident", "known_as"), [("c7", "c7"), ("", "unreadable-1"), ("not an id", "unreadable-1"), ("\xff", "unreadable-1")]
)
async def test_a_command_that_cannot_be_read_can_be_refused(
    bus: Bus, raw: Redis, names: Names, ident: str, known_as: str
) -> None:
    """It stands in the way of nothing, and whoever waits for it under its id hears of it."""
    await actors.hold(bus)
    log = names.log("commands", "s")
    await raw.hincrby(names.record("s"), "commands", 1)
    await raw.xadd(log, {"id": ident.encode("latin-1"), "m": b"\xff{"}, id="1-0")
    seen = await actors.snapshot(bus)
    [command] = seen.commands
    assert isinstance(command.data, UnknownCommand)
    assert (command.id, command.offset, command.session) == (known_as, 1, "s")
    refusal = Decision(handled=1, outcomes=actors.outcomes(seen, Result.REFUSED, reason="cannot be read"))
    await bus.controller.decide(seen, refusal)
    assert b'"refused"' in (await raw.get(names.outcome("s", known_as)) or b"")
    assert (await actors.snapshot(bus)).commands == ()


async def test_a_command_without_fields_can_be_refused(bus: Bus, raw: Redis, names: Names) -> None:
    """Whatever somebody put into the log by hand."""
    await actors.hold(bus)
    await raw.xadd(names.log("commands", "s"), {"x": "y"}, id="1-0")
    await raw.hset(names.record("s"), "commands", "1")
    [command] = (await actors.snapshot(bus)).commands
    assert command.id == "unreadable-1"


async def test_a_record_that_cannot_be_read_is_told(bus: Bus, raw: Redis, names: Names) -> None:
    """No decision can rest on it."""
    await actors.hold(bus)
    await raw.hset(names.record("s"), "version", "many")
    with pytest.raises(InvalidMessage, match="version"):
        await bus.controller.snapshot("s")


# deciding


async def test_a_start_makes_a_session(bus: Bus) -> None:
    """Before it is decided there is none; then it is queued with its first message."""
    asking = asyncio.create_task(bus.send("s", SessionStart(text="hi")))
    seen = await actors.waiting(bus)
    assert seen.record.state is None
    with pytest.raises(UnknownSession):
        await bus.status("s")
    message = actors.spoken("s", "hi")
    assert await bus.controller.decide(seen, actors.settled(seen, State.QUEUED, messages=(message,))) == 1
    assert (await asking).result is Result.APPLIED
    record = await bus.status("s")
    assert (record.state, record.version, record.handled, record.said) == (State.QUEUED, 1, 1, 1)
    assert [event.id for event in await bus.history("s")] == [message.id]
    assert await bus.worker.claim(actors.WORKER) is not None


async def test_a_decision_is_told_with_what_only_the_server_knows(bus: Bus) -> None:
    """From which state, and which version, whatever the notice said; what was told before comes before."""
    await actors.hold(bus)
    seen = await actors.snapshot(bus)
    wrong = SessionState(from_=State.ERROR, to=State.PAUSED, version=99, why="asked", by="me")
    decision = Decision(to=State.PAUSED, state=Message.of(wrong, session="s"), notices=(actors.retry("s", id="first"),))
    async with bus.follow("s") as notices:
        await anext(notices)
        await bus.controller.decide(seen, decision)
        told = [await anext(notices), await anext(notices)]
    assert getattr(told[0], "id", None) == "first"
    assert carries(told[1], SessionState)
    assert told[1].data == wrong.model_copy(update={"from_": State.RUNNING, "version": 2})


async def test_a_notice_of_a_state_comes_with_the_state(bus: Bus) -> None:
    """Without it the notice is a mistake, and nothing is written; a state without a notice was told by the worker."""
    await actors.hold(bus)
    seen = await actors.snapshot(bus)
    with pytest.raises(ValueError, match="has that state"):
        await bus.controller.decide(seen, Decision(state=actors.moved("s", State.PAUSED)))
    assert await bus.status("s") == seen.record
    await bus.controller.decide(seen, Decision(to=State.RETRYING))
    quiet = await bus.status("s")
    assert (quiet.state, quiet.version, quiet.status) == (State.RETRYING, seen.record.version + 1, seen.record.status)


async def test_a_session_that_moved_is_not_decided(bus: Bus) -> None:
    """Its version is another one: it was claimed meanwhile."""
    await actors.queue(bus, "s")
    seen = await actors.snapshot(bus)
    await bus.worker.claim(actors.WORKER)
    with pytest.raises(StaleDecision):
        await bus.controller.decide(seen, actors.settled(seen, State.PAUSED))
    assert (await bus.status("s")).state is State.RUNNING


async def test_one_of_many_controllers_decides(bus: Bus) -> None:
    """All have read the same; one writes, once, and the others hear that they must read again."""
    await actors.hold(bus)
    asking = ask(bus)
    seen = await actors.waiting(bus)
    decision = actors.settled(seen, messages=(actors.spoken("s", id="said"),))
    results = await asyncio.gather(*(bus.controller.decide(seen, decision) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(result, StaleDecision) for result in results) == 19
    assert [event.id for event in await bus.history("s")] == ["said"]
    await asking


async def test_a_command_withdrawn_meanwhile_is_not_applied(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The decision is refused; read again, the command is known as settled and passed over."""
    # On a busy machine the withdrawal takes longer than it may in the field.
    monkeypatch.setattr("tidings.bus.sender._WITHDRAW_S", PATIENCE_S)
    await actors.hold(bus)
    asking = ask(bus, timeout_s=0.1)
    seen = await actors.waiting(bus)
    with pytest.raises(TimeoutError):
        await asking
    with pytest.raises(StaleDecision):
        await bus.controller.decide(seen, actors.settled(seen, messages=(actors.spoken("s"),)))
    assert await bus.history("s") == ()
    again = await actors.snapshot(bus)
    assert again.resolved == {"c1"}
    await bus.controller.decide(again, actors.settled(again))
    assert (await actors.snapshot(bus)).commands == ()


async def test_a_command_whose_time_is_over_is_not_applied(bus: Bus) -> None:
    """By the server's clock, also when its asker could not withdraw it."""
    await actors.hold(bus)
    asking = ask(bus)
    seen = await actors.waiting(bus)
    [(outcome, _)] = actors.outcomes(seen)
    over = seen.now - timedelta(milliseconds=5)
    with pytest.raises(StaleDecision):
        await bus.controller.decide(seen, Decision(handled=1, outcomes=((outcome, over),), messages=(actors.spoken("s"),)))
    assert await bus.history("s") == ()
    await give_up(asking)


async def test_what_comes_while_deciding_is_looked_at_at_once(bus: Bus) -> None:
    """The next look is now, not when the decision said."""
    await actors.hold(bus)
    seen = await actors.snapshot(bus)
    later = seen.now + timedelta(hours=1)
    await actors.publish(bus, actors.retry("s"))
    await bus.controller.due(visibility_s=600)
    await bus.controller.decide(seen, Decision(due=later))
    assert (await bus.controller.due(visibility_s=600)).sessions == ("s",)
    await bus.controller.decide(await actors.snapshot(bus), Decision(due=later))
    assert (await bus.controller.due()).sessions == ()


async def test_a_command_is_handled_once_and_leaves_the_log(bus: Bus) -> None:
    """Its message is appended once; the next decision does not bring it back."""
    await actors.hold(bus)
    asking = ask(bus)
    seen = await actors.waiting(bus)
    await bus.controller.decide(seen, actors.settled(seen, messages=(actors.spoken("s", id="said"),)))
    await asking
    with pytest.raises(StaleDecision):
        await bus.controller.decide(seen, actors.settled(seen, messages=(actors.spoken("s", id="said"),)))
    after = await actors.snapshot(bus)
    assert (after.commands, after.record.handled) == ((), 1)
    await bus.controller.decide(after, Decision())
    assert (await bus.status("s")).handled == 1
    assert [event.id for event in await bus.history("s")] == ["said"]


async def test_messages_are_appended_in_order(bus: Bus) -> None:
    """And the newest is known to the release that must not overlook it."""
    claim = await actors.hold(bus)
    seen = await actors.snapshot(bus)
    await bus.controller.decide(seen, Decision(messages=(actors.spoken("s", "1"), actors.spoken("s", "2"))))
    assert [event.offset for event in await bus.history("s")] == [1, 2]
    assert (await bus.status("s")).said == 2
    assert await claim.release(Ending(Trigger.YIELD, read=1)) is State.QUEUED


async def test_a_refusal_says_what_would_be_legal(bus: Bus) -> None:
    """The asker gets the outcome as it was written."""
    await actors.hold(bus)
    asking = ask(bus)
    seen = await actors.waiting(bus)
    refusal = actors.outcomes(seen, Result.REFUSED, reason="not now", state=State.RUNNING, legal=("session.stop",))
    await bus.controller.decide(seen, Decision(handled=1, outcomes=refusal))
    with pytest.raises(CommandRefused, match="not now") as caught:
        await asking
    assert (caught.value.command_id, caught.value.state, caught.value.legal) == ("c1", "running", ("session.stop",))


async def test_data_that_was_lost_and_begun_anew_is_not_decided(bus: Bus, raw: Redis) -> None:
    """The same session id, another epoch: what was read of the old one does not count."""

    async def start() -> asyncio.Task[Outcome]:
        asking = asyncio.create_task(bus.send("s", SessionStart()))
        await actors.waiting(bus)
        return asking

    first = await start()
    seen = await actors.snapshot(bus)
    await raw.flushall()
    second = await start()
    with pytest.raises(StaleDecision):
        await bus.controller.decide(seen, actors.settled(seen, State.QUEUED))
    assert len((await actors.snapshot(bus)).commands) == 1
    await give_up(first)
    await give_up(second)


async def test_revoking_takes_the_session_from_its_worker(bus: Bus) -> None:
    """In the step that writes the state."""
    claim = await actors.hold(bus)
    asking = asyncio.create_task(bus.send("s", SessionPause()))
    seen = await actors.waiting(bus)
    await bus.controller.decide(seen, actors.settled(seen, State.PAUSED, {"worker": "", "paused_by": "me"}, revoke=True))
    await asking
    record = await bus.status("s")
    assert (record.state, record.held, record.paused_by) == (State.PAUSED, False, "me")
    assert (await actors.renew(claim, Picture())).state is State.PAUSED


@pytest.mark.parametrize("what", ["request", "reply"])
async def test_a_decision_over_a_broken_connection_happens_once(lossy: Bus, proxy: Proxy, what: str) -> None:
    """It is not repeated blindly: who decides reads again and sees what became of it."""
    await actors.hold(lossy)
    asking = ask(lossy)
    seen = await actors.waiting(lossy)
    decision = actors.settled(seen, messages=(actors.spoken("s"),))
    proxy.lose_script("reply" if what == "reply" else "request", "decide")
    with pytest.raises(Unreachable):
        await lossy.controller.decide(seen, decision)
    again = await actors.snapshot(lossy)
    if what == "reply":
        assert again.commands == ()
        with pytest.raises(StaleDecision):
            await lossy.controller.decide(seen, decision)
    else:
        await lossy.controller.decide(again, decision)
    assert (await asking).result is Result.APPLIED
    assert len(await lossy.history("s")) == 1
