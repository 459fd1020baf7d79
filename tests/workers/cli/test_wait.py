"""Waiting for a state: it always ends, and says how."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

import pytest

from tests.conftest import MakeServer
from tests.waiting import eventually
from tests.workers.cli.conftest import Tidings
from tests.workers.cli.stage import WORKER, bring, hold, park, waiting
from tidings.bus import Bus, Decision, Ending, Message, Picture, Reason, Record, SessionState, State, Trigger
from tidings.workers.cli.wait import Waiting, judge

Controlled = Callable[[Bus], AbstractAsyncContextManager[None]]
ENDS = frozenset({State.FINISHED, State.AWAITING_INPUT})


def record(state: State, **more: object) -> Record:
    """Return a record in a state."""
    return Record(session="demo", state=state, epoch="e", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", State)
def test_being_there_is_reached(state: State) -> None:
    """Whatever the state is: whoever waits for an error is content with one."""
    verdict = judge(record(state), frozenset({state}))
    assert verdict is not None
    assert (verdict.code, verdict.text) == (0, "")


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (record(State.QUEUED), None),
        (record(State.RUNNING, worker=WORKER), None),
        (record(State.RETRYING, worker=WORKER), None),
        (record(State.RATE_LIMITED, worker=WORKER), None),
        (record(State.AWAITING_INPUT), None),
        (record(State.STOPPED), 3),
        (record(State.ERROR, why="bad key"), 3),
        (record(State.PAUSED, paused_by="ann"), 3),
        (record(State.RATE_LIMITED, reason=Reason.QUOTA_EXHAUSTED, why="parked"), 3),
        (record(State.RETRYING, reason=Reason.SERVER_ERROR, resume_at=datetime(2026, 11, 22, tzinfo=UTC)), None),
    ],
    ids=lambda value: str(value.state) if isinstance(value, Record) else str(value),
)
def test_what_goes_on_without_a_person_is_waited_for(found: Record, code: int | None) -> None:
    """And what does not is told at once, with the reason."""
    verdict = judge(found, frozenset({State.FINISHED}))
    assert (verdict.code if verdict else None) == code
    if verdict:
        assert verdict.text.startswith("demo ")


def test_a_turn_that_waits_for_children_is_not_over() -> None:
    """They report, and it goes on by itself."""
    found = Record("s", State.AWAITING_INPUT, "e", awaits=1)
    assert judge(found, frozenset({State.AWAITING_INPUT})) is None


async def test_parked_with_a_time_is_waited_for(bus: Bus) -> None:
    """A controller will resume it; without a time nobody will, and the text says what to do."""
    await park(bus, "later", resume_in_s=60)
    await park(bus, "never", resume_in_s=None, action="Pay the bill.")
    assert judge(await bus.status("later"), ENDS) is None
    verdict = judge(await bus.status("never"), ENDS)
    assert verdict is not None
    assert (verdict.code, verdict.text.rpartition(": ")[2]) == (3, "Pay the bill.")


async def test_it_ends_when_the_state_comes(bus: Bus) -> None:
    """However long after the beginning."""
    claim = await hold(bus, "demo")
    waiting_ = Waiting(bus, "demo", ENDS)
    task = asyncio.create_task(waiting_.run(30))
    await eventually(lambda: waiting_.record is not None)
    await claim.release(Ending(Trigger.YIELD, read=0))
    verdict = await task
    assert verdict.code == 0
    assert waiting_.record is not None
    assert waiting_.record.state is State.AWAITING_INPUT


async def test_a_missed_wake_up_does_not_hang_it(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing rests on Pub/Sub alone: the record is read now and then."""
    claim = await hold(bus, "demo")
    waiting_ = Waiting(bus, "demo", ENDS)
    monkeypatch.setattr(waiting_._changed, "receive", lambda name, payload: None)
    task = asyncio.create_task(waiting_.run(30))
    await eventually(lambda: waiting_.record is not None)
    await claim.release(Ending(Trigger.FINISH, read=0))
    assert (await task).code == 0


async def test_time_that_is_up_is_4(bus: Bus) -> None:
    """The text says what the session is still doing."""
    await hold(bus, "demo")
    verdict = await Waiting(bus, "demo", ENDS).run(0.2)
    assert verdict.code == 4
    assert "demo is still running" in verdict.text


async def test_what_is_still_parked_says_when_it_goes_on_and_what_helps(bus: Bus) -> None:
    """Whoever has waited long enough knows what to do."""
    await park(bus, "demo", resume_in_s=60, action="Fewer workers help.")
    verdict = await Waiting(bus, "demo", ENDS).run(0)
    assert verdict.code == 4
    assert "demo is still parked, and goes on at " in verdict.text
    assert verdict.text.endswith(": Fewer workers help.")


async def test_no_time_at_all_is_one_look(bus: Bus) -> None:
    """A script can ask without waiting."""
    await bring(bus, "there", State.FINISHED)
    await hold(bus, "demo")
    assert (await Waiting(bus, "there", ENDS).run(0)).code == 0
    assert (await Waiting(bus, "demo", ENDS).run(0)).code == 4


async def test_a_session_that_vanishes_is_3(bus: Bus) -> None:
    """As one that never was."""
    assert (await Waiting(bus, "nope", ENDS).run(30)).code == 3


async def test_a_session_that_is_paused_meanwhile_is_3(bus: Bus) -> None:
    """A person holds it: nothing will come by itself."""
    await hold(bus, "demo")
    waiting_ = Waiting(bus, "demo", ENDS)
    task = asyncio.create_task(waiting_.run(30))
    await eventually(lambda: waiting_.record is not None)
    snapshot = await bus.controller.snapshot("demo")
    assert snapshot is not None
    state = Message.of(SessionState(to=State.PAUSED, version=0), session="demo")
    fields = {"paused_by": "ann", "worker": ""}
    await bus.controller.decide(snapshot, Decision(to=State.PAUSED, revoke=True, fields=fields, state=state))
    verdict = await task
    assert (verdict.code, "paused by ann" in verdict.text) == (3, True)


async def test_a_server_that_goes_away_is_1(make_server: MakeServer) -> None:
    """Not at the first broken connection, but before the time is up."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        await hold(bus, "demo")
        waiting_ = Waiting(bus, "demo", ENDS, patience_s=0.1)
        task = asyncio.create_task(waiting_.run(30))
        await eventually(lambda: waiting_.record is not None)
        server.kill()
        verdict = await task
    assert verdict.code == 1
    assert waiting_.record is not None


async def test_a_server_that_is_away_when_the_time_is_up_is_1(make_server: MakeServer) -> None:
    """It cannot be known whether the state was reached."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        await hold(bus, "demo")
        server.kill()
        assert (await Waiting(bus, "demo", ENDS).run(0.3)).code == 1


async def test_a_server_that_freezes_hangs_nobody(make_server: MakeServer) -> None:
    """The time runs out as it would otherwise."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        await hold(bus, "demo")
        server.freeze()
        verdict = await Waiting(bus, "demo", ENDS).run(0.3)
        server.thaw()
    assert (verdict.code, verdict.text) == (4, "the server did not answer within 0.3 s")


async def test_a_server_that_comes_back_is_waited_for(make_server: MakeServer) -> None:
    """A restart shorter than our patience is not the end."""
    server = make_server(appendonly=True)
    async with Bus.connect(server.url) as bus:
        await bring(bus, "demo", State.QUEUED)
        waiting_ = Waiting(bus, "demo", ENDS, patience_s=30)
        task = asyncio.create_task(waiting_.run(60))
        await eventually(lambda: waiting_.record is not None)
        server.kill()
        await eventually(lambda: waiting_.away)
        server.start()
        claim = await eventually(lambda: _claim(bus))
        await claim.release(Ending(Trigger.FINISH, read=0))
        assert (await task).code == 0


async def _claim(bus: Bus):  # type: ignore[no-untyped-def]
    from tidings.bus import Unreachable

    try:
        return await bus.worker.claim(WORKER)
    except Unreachable:
        return None


async def test_the_final_state_is_printed(server_bus: Bus, controlled: Controlled, tidings: Tidings) -> None:
    """As status prints it, whether it was reached or not; the reason goes to stderr."""
    await bring(server_bus, "demo", State.AWAITING_INPUT)
    done = await tidings("wait", "demo", "--json")
    assert (done.code, done.stderr) == (0, "")
    assert json.loads(done.stdout)["state"] == "awaiting_input"
    assert done.stdout == (await tidings("status", "demo", "--json")).stdout
    late = await tidings("wait", "demo", "--until", "finished", "--timeout", "0.1", "--json")
    assert late.code == 4
    assert json.loads(late.stdout)["state"] == "awaiting_input"
    assert late.stderr == "tidings: after 0.1 s demo is still awaiting input\n"
    await park(server_bus, "never", resume_in_s=None, action="Pay the bill.")
    parked = await tidings("wait", "never")
    assert parked.code == 3
    assert "parked" in parked.stdout
    assert "nothing will resume it: Pay the bill." in parked.stderr


async def test_states_that_are_none_are_2(tidings: Tidings) -> None:
    """Before anything is connected to."""
    assert (await tidings("wait", "demo", "--until", "done")).code == 2
    assert (await tidings("wait", "a b")).code == 2


def test_a_wait_under_way_is_no_reason_to_give_up() -> None:
    """A held session with a wait goes on when that is over."""
    from datetime import UTC, datetime

    picture = Picture(waits={"agent": waiting(datetime.now(UTC))})
    assert judge(record(State.RETRYING, worker=WORKER, picture=picture), ENDS) is None
