from __future__ import annotations

import asyncio
import json
import random

import pytest
from redis.asyncio import Redis

from tests import actors
from tests.conftest import MakeServer
from tests.proxy import Proxy, What
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import (
    Bus,
    Command,
    CommandExpired,
    CommandRefused,
    Decision,
    IdempotencyConflict,
    Message,
    Outcome,
    PayloadTooLarge,
    Result,
    SessionResume,
    SessionSay,
    SessionStart,
    StaleDecision,
    State,
    UnknownSession,
    Unreachable,
    carries,
)
from tidings.bus import messages as m
from tidings.bus import sender as module
from tidings.bus.channels import Names


def saying(ident: str = "c1", text: str = "hi") -> Message[SessionSay]:
    """Return a command that a controller would apply."""
    return Message.of(SessionSay(text=text, by="me", why="because"), id=ident, session="s")


async def decide_all(bus: Bus) -> None:
    """Apply what waits, as a controller does, until it is written."""
    while True:
        seen = await actors.snapshot(bus)
        fresh = [command for command in seen.commands if command.id not in seen.resolved]
        messages = tuple(
            actors.spoken("s", command.data.text, id=command.id) for command in fresh if isinstance(command.data, SessionSay)
        )
        try:
            await bus.controller.decide(seen, actors.settled(seen, messages=messages))
        except StaleDecision:
            continue
        return


async def test_the_outcome_comes_to_the_asker(bus: Bus) -> None:
    """After the state has changed, with state and version as the controller wrote them."""
    await actors.hold(bus)
    asking = asyncio.create_task(bus.send("s", SessionResume(), id="c1"))
    seen = await actors.waiting(bus)
    outcomes = actors.outcomes(seen, state=State.RUNNING, version=5)
    await bus.controller.decide(seen, Decision(handled=1, outcomes=outcomes))
    assert await asking == Outcome(command_id="c1", session="s", result=Result.APPLIED, state=State.RUNNING, version=5)


async def test_controllers_hear_what_was_asked(bus: Bus) -> None:
    """Who, why, and until when; on the channel of the session's commands."""
    await actors.hold(bus)
    async with bus.follow("s", Command) as commands:
        asking = asyncio.create_task(actors.send(bus, saying(), timeout_s=30))
        heard = await anext(commands)
        assert carries(heard, SessionSay)
        assert (heard.id, heard.offset, heard.data.by, heard.data.why) == ("c1", 1, "me", "because")
        assert heard.data.expires_at is not None
        assert 0 < (heard.data.expires_at - bus.now()).total_seconds() <= 30
        await decide_all(bus)
        await asking


async def test_what_nobody_answers_is_never_applied(bus: Bus, raw: Redis, names: Names) -> None:
    """The asker hears that it expired; that is its one outcome from then on."""
    await actors.hold(bus)
    with pytest.raises(CommandExpired) as caught:
        await actors.send(bus, saying(), timeout_s=0.05)
    assert caught.value.command_id == "c1"
    assert json.loads(await raw.get(names.outcome("s", "c1")) or b"")["result"] == "expired"
    await decide_all(bus)
    assert await bus.history("s") == ()
    with pytest.raises(CommandExpired):
        await actors.send(bus, saying())


async def test_applied_and_expired_exclude_each_other(bus: Bus) -> None:
    """A controller and the end of the asker's patience meet at the same moment, over and over."""
    await actors.hold(bus)
    rng = random.Random(7)
    applied = []

    async def ask(ident: str) -> None:
        try:
            await actors.send(bus, saying(ident), timeout_s=0.02)
        except CommandExpired:
            return
        applied.append(ident)

    for turn in range(15):
        asking = asyncio.gather(*(ask(f"c{turn}-{index}") for index in range(3)))
        await asyncio.sleep(0.02 * rng.uniform(0.7, 1.1))
        await decide_all(bus)
        await asking
    await decide_all(bus)
    assert sorted(event.id for event in await bus.history("s")) == sorted(applied)


async def test_the_same_command_has_one_outcome(bus: Bus) -> None:
    """Sent twice at the same time, and once more afterwards, it is applied once."""
    await actors.hold(bus)
    asking = [asyncio.create_task(actors.send(bus, saying())) for _ in range(2)]
    await actors.waiting(bus)
    await eventually(lambda: bus.connected)
    await decide_all(bus)
    first, second = await asyncio.gather(*asking)
    assert first == second == await actors.send(bus, saying())
    assert [event.id for event in await bus.history("s")] == ["c1"]
    assert (await bus.status("s")).commands == 1


async def test_a_key_is_one_command_of_a_session(bus: Bus) -> None:
    """Another command under it is stored by nobody, while the first waits and after its outcome; the first is still found."""
    await actors.hold(bus)
    assert await actors.submit(bus, saying("c1"), key="two words ü") is None
    for asking in (actors.submit(bus, saying("c2"), key="two words ü"), actors.send(bus, saying("c2"), key="two words ü")):
        with pytest.raises(IdempotencyConflict):
            await asking
    assert await actors.submit(bus, saying("c1"), key="two words ü") is None
    await decide_all(bus)
    with pytest.raises(IdempotencyConflict):
        await actors.send(bus, saying("c2"), key="two words ü")
    assert (await actors.send(bus, saying("c1"), key="two words ü")).command_id == "c1"
    assert await actors.submit(bus, saying("c3"), key="another") is None
    await decide_all(bus)
    assert [event.id for event in await bus.history("s")] == ["c1", "c3"]


async def test_a_key_is_taken_by_what_was_stored(bus: Bus, raw: Redis, names: Names) -> None:
    """A command that could not be stored leaves it free, and it is free again after a day."""
    with pytest.raises(UnknownSession):
        await actors.submit(bus, saying("c1"), key="k")
    await actors.hold(bus)
    assert await actors.submit(bus, saying("c2"), key="k") is None
    (key,) = await raw.keys(names.key("s", "*"))
    assert 0 < await raw.ttl(key) <= 24 * 3600


async def test_the_outcome_is_found_where_it_was_not_heard(
    bus: Bus, raw: Redis, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pub/Sub promises nothing, so the asker looks now and then."""
    monkeypatch.setattr(module, "_LOOK_S", 0.02)
    await actors.hold(bus)
    asking = asyncio.create_task(actors.send(bus, saying()))
    await actors.waiting(bus)
    outcome = Outcome(command_id="c1", session="s", result=Result.APPLIED)
    await raw.set(names.outcome("s", "c1"), outcome.model_dump_json())
    assert await asking == outcome


async def test_a_session_that_does_not_exist(bus: Bus, raw: Redis, names: Names) -> None:
    """It is told at once, and nothing is written."""
    with pytest.raises(UnknownSession):
        await actors.send(bus, saying())
    assert await raw.keys("*") == []


async def test_a_start_needs_no_session(bus: Bus) -> None:
    """Nobody answers, and there is still none."""
    with pytest.raises(CommandExpired):
        await bus.send("s", SessionStart(), timeout_s=0.05)
    with pytest.raises(UnknownSession):
        await bus.status("s")
    assert [record async for record in bus.sessions()] == []


async def test_too_many_commands_are_refused(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queues are bounded, and who asks in vain hears of it."""
    monkeypatch.setattr(module, "_WAITING", 2)
    await actors.hold(bus)
    for ident in ("c1", "c2"):
        with pytest.raises(CommandExpired):
            await actors.send(bus, saying(ident), timeout_s=0.05)
    with pytest.raises(CommandRefused, match="wait in this session"):
        await actors.send(bus, saying("c3"))
    await decide_all(bus)
    asking = asyncio.create_task(actors.send(bus, saying("c4")))
    await actors.waiting(bus)
    await decide_all(bus)
    await asking


@pytest.mark.parametrize(
    "wrong", [Message.unknown("commands", "session.dance", session="s"), actors.retry("s"), actors.answer("s")]
)
async def test_only_known_commands_are_sent(bus: Bus, raw: Redis, wrong: Message[Command]) -> None:
    """Anything else is a mistake of the caller."""
    with pytest.raises(TypeError):
        await actors.send(bus, wrong)
    assert await raw.keys("*") == []


async def test_a_command_has_a_limit(bus: Bus) -> None:
    """As every message."""
    await actors.hold(bus)
    with pytest.raises(PayloadTooLarge):
        await actors.send(bus, saying(text="x" * m.PAYLOAD_LIMIT))


@pytest.mark.parametrize("what", ["request", "reply"])
async def test_a_command_over_a_broken_connection_is_stored_once(lossy: Bus, proxy: Proxy, what: What) -> None:
    """It is sent a second time under the same id."""
    await actors.hold(lossy)
    proxy.lose_script(what, "command")
    asking = asyncio.create_task(actors.send(lossy, saying()))
    await actors.waiting(lossy)
    await decide_all(lossy)
    assert (await asking).result is Result.APPLIED
    assert (proxy.lost, (await lossy.status("s")).commands) == (1, 1)


@pytest.mark.parametrize("what", ["request", "reply"])
async def test_a_command_that_did_not_seem_to_get_through_can_be_sent_again(lossy: Bus, proxy: Proxy, what: What) -> None:
    """Its asker heard only that the server could not be reached; it is stored once all the same."""
    await actors.hold(lossy)
    proxy.lose_script(what, "command", times=2)
    with pytest.raises(Unreachable):
        await actors.send(lossy, saying())
    again = asyncio.create_task(actors.send(lossy, saying()))
    await actors.waiting(lossy)
    await decide_all(lossy)
    assert (await again).result is Result.APPLIED
    assert (proxy.lost, (await lossy.status("s")).commands) == (2, 1)


async def test_an_asker_outlasts_a_broken_connection(lossy: Bus, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it waits, neither the loss of Pub/Sub nor that of a look is its concern."""
    monkeypatch.setattr(module, "_LOOK_S", 0.02)
    await actors.hold(lossy)
    asking = asyncio.create_task(actors.send(lossy, saying()))
    await actors.waiting(lossy)
    proxy.lose("reply", b"outcome.s.c1", times=4)
    await eventually(lambda: proxy.lost == 4)
    proxy.cut()
    await decide_all(lossy)
    assert (await asking).result is Result.APPLIED


async def test_a_server_that_is_away_is_told_at_once(make_server: MakeServer) -> None:
    """Nothing was asked, so nothing is waited for."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        await actors.hold(bus)
        server.stop()
        with pytest.raises(Unreachable):
            await actors.send(bus, saying())


async def test_a_server_that_does_not_answer_is_told(lossy: Bus, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The asker cannot withdraw; the command expires by its own time, and by then it says so."""
    monkeypatch.setattr(module, "_WITHDRAW_S", 0.05)
    await actors.hold(lossy)
    proxy.freeze()
    with pytest.raises(Unreachable):
        await actors.send(lossy, saying(), timeout_s=0.05)
    proxy.thaw()


async def test_an_asker_that_leaves_leaves_nothing_behind(bus: Bus) -> None:
    """Cancelled, it listens no more; what it asked stays until it expires."""
    await actors.hold(bus)
    asking = asyncio.create_task(actors.send(bus, saying()))
    await actors.waiting(bus)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert len((await actors.snapshot(bus)).commands) == 1
    await decide_all(bus)


async def test_a_cancellation_of_sending_is_never_swallowed(bus: Bus) -> None:
    """Wherever it meets the command: who stops waiting does not wait on, and nor does the end of its time."""
    await actors.hold(bus)
    for turns in range(60):
        task = asyncio.create_task(actors.send(bus, saying(f"c{turns}"), timeout_s=60))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=PATIENCE_S)
        assert task.cancelled(), f"cancelled after {turns} turns of the loop, and it goes on"
    for microseconds in range(0, 2000, 100):
        with pytest.raises(CommandExpired):
            await asyncio.wait_for(actors.send(bus, saying(f"e{microseconds}"), timeout_s=microseconds / 1e6), PATIENCE_S)
