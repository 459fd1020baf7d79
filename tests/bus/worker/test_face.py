from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from redis.asyncio import Redis

from tests import actors, strategies
from tests.conftest import MakeServer
from tests.proxy import Proxy, What
from tests.waiting import eventually
from tidings.bus import (
    Bus,
    Ending,
    Lease,
    LeaseLost,
    OutcomeUnknown,
    PayloadTooLarge,
    Picture,
    Reason,
    SessionHeld,
    SessionPause,
    SessionState,
    State,
    Trigger,
    UnknownSession,
    Unreachable,
    WorkerClaimed,
    WorkerRef,
    carries,
)
from tidings.bus import messages as m
from tidings.bus.channels import Names
from tidings.bus.publisher import publish_notice
from tidings.bus.redis.context import RedisContext
from tidings.bus.worker.face import Renewed
from tidings.bus.worker.lease import ALL_READ

pytestmark = pytest.mark.contract


async def history(bus: Bus, session: str = "s") -> list[str]:
    """Return the ids of all events, in order."""
    return [event.id for event in await bus.history(session)]


async def say(bus: Bus, text: str = "more", session: str = "s") -> None:
    """Have a user message appended, as a controller does."""
    seen = await actors.snapshot(bus, session)
    await bus.controller.decide(seen, actors.settled(seen, messages=(actors.spoken(session, text),)))


# claiming


async def test_the_session_queued_longest_is_claimed_first(bus: Bus, raw: Redis, names: Names) -> None:
    """And when nothing is queued there is nothing to claim."""
    await actors.queue(bus, "a", "b", "c")
    # Time is counted in milliseconds, and these may have been queued in the same one.
    await raw.zadd(names.ready(), {"c": 1, "a": 2, "b": 3})
    claims = [await bus.worker.claim(actors.WORKER) for _ in range(4)]
    assert [claim and claim.session for claim in claims] == ["c", "a", "b", None]


async def test_a_claim_says_all_that_its_holder_needs(bus: Bus) -> None:
    """Token and epoch for its writes, and the lease by the server's clock."""
    before = bus.now()
    await actors.queue(bus, "s")
    claim = await bus.worker.claim(actors.WORKER, lease_s=5)
    assert claim is not None
    record = await bus.status("s")
    assert (claim.session, claim.worker, claim.parks, claim.lease_s) == ("s", actors.WORKER, 0, 5)
    assert (claim.token, claim.epoch, claim.version) == (record.token, record.epoch, record.version)
    assert claim.until == record.lease_until
    assert timedelta(seconds=4) < claim.until - before < timedelta(seconds=6)
    assert (record.state, record.worker, record.held) == (State.RUNNING, actors.WORKER, True)


async def test_twenty_workers_and_one_session(bus: Bus) -> None:
    """One of them gets it, the others get nothing."""
    await actors.queue(bus, "s")
    claims = await asyncio.gather(*(bus.worker.claim(actors.worker(f"w{index}")) for index in range(20)))
    [claim] = filter(None, claims)
    assert (await bus.status("s")).worker == claim.worker


async def test_as_many_workers_as_sessions(bus: Bus) -> None:
    """Nobody goes empty-handed because others were quicker at the first candidates."""
    sessions = [f"s{index}" for index in range(24)]
    await actors.queue(bus, *sessions)
    claims = await asyncio.gather(*(bus.worker.claim(actors.worker(f"w{index}")) for index in range(24)))
    assert sorted(claim.session for claim in claims if claim) == sorted(sessions)


async def test_a_crowd_does_not_try_the_same_session_all_together(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has lost chooses among more; in step with the others and by age alone, each session would be tried a dozen times."""
    sessions = [f"s{index:03}" for index in range(96)]
    await actors.queue(bus, *sessions)
    tries, run = 0, RedisContext.run

    async def counted(context: RedisContext, name: str, *rest: Any) -> Any:
        nonlocal tries
        tries += name == "claim"
        return await run(context, name, *rest)

    monkeypatch.setattr(RedisContext, "run", counted)

    async def take() -> list[str]:
        return [claim.session for _ in range(6) if (claim := await bus.worker.claim(actors.WORKER))]

    taken = await asyncio.gather(*(take() for _ in range(16)))
    assert sorted(session for some in taken for session in some) == sessions
    assert tries < 5 * len(sessions)


async def test_a_named_session_that_cannot_be_claimed(bus: Bus) -> None:
    """There is none, or it is held."""
    with pytest.raises(UnknownSession):
        await bus.worker.claim(actors.WORKER, session="s")
    await actors.hold(bus)
    with pytest.raises(SessionHeld) as caught:
        await bus.worker.claim(actors.worker("w2"), session="s", create=True)
    assert (caught.value.session, caught.value.state) == ("s", "running")


async def test_a_session_is_made_by_claiming_it(bus: Bus) -> None:
    """For a loop of one's own; a second time it is claimed as it is."""
    first = await actors.hold(bus)
    assert (first.version, first.token) == (1, 1)
    await first.append(actors.answer("s"), after=0)
    await first.release(Ending(Trigger.HAND_BACK, read=1))
    second = await actors.hold(bus)
    assert second.epoch == first.epoch
    assert len(await bus.history("s")) == 1


async def test_a_claim_is_told_with_its_token(bus: Bus) -> None:
    """The worker's name, whatever it is, does not get in the way."""
    name = '"token":0}} {"data":{'
    async with bus.follow() as notices:
        claim = await actors.hold(bus, who=actors.worker(name))
        told = [await anext(notices), await anext(notices)]
    assert carries(told[0], WorkerClaimed)
    assert (told[0].data.token, told[0].data.worker.name) == (claim.token, name)
    assert carries(told[1], SessionState)
    assert (told[1].data.from_, told[1].data.to, told[1].data.version) == (None, State.RUNNING, claim.version)


# keeping


async def test_a_renewal_carries_the_picture(bus: Bus) -> None:
    """Whoever looks sees what the worker waits for, once a controller has said so."""
    claim = await actors.hold(bus)
    assert await actors.renew(claim, actors.limited()) == Renewed(held=True, retry_now=0)
    assert (await bus.status("s")).picture == actors.limited()
    seen = await actors.snapshot(bus)
    await bus.controller.decide(seen, actors.settled(seen, State.RATE_LIMITED))
    assert (await bus.status("s")).wait == actors.LIMITED


async def test_a_renewal_answers_what_is_wanted(bus: Bus) -> None:
    """A nudge, by its number; a session that was taken away, by its state; one that is gone, by nothing."""
    claim = await actors.hold(bus)
    seen = await actors.snapshot(bus)
    await bus.controller.decide(seen, actors.settled(seen, fields={"nudge": "1", "picture": "{}"}))
    assert await actors.renew(claim, actors.limited(), 0) == Renewed(held=True, retry_now=1)
    assert (await bus.status("s")).picture == Picture()
    assert await actors.renew(claim, actors.limited(), 1) == Renewed(held=True, retry_now=1)
    assert (await bus.status("s")).picture == actors.limited()
    await actors.revoke(bus)
    assert await actors.renew(claim, Picture()) == Renewed(held=False, state=State.PAUSED, why="it is paused")


async def test_a_renewal_of_what_was_lost(bus: Bus, raw: Redis) -> None:
    """The data is gone, and so is the session."""
    claim = await actors.hold(bus)
    await raw.flushall()
    assert await actors.renew(claim, Picture()) == Renewed(held=False, state=None, why="it is gone")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"state": "paused", "by": "ann", "worker": ""}, "it is paused by ann"),
        ({"state": "queued", "why": "worker w1 was lost", "worker": ""}, "it is queued: worker w1 was lost"),
        ({"token": "9", "lease": "another"}, "its lease expired, and a worker has claimed it since"),
        ({"epoch": "other"}, "it was made anew"),
        ({"state": "stopped", "by": "an\x1bn", "worker": ""}, "it is stopped by an n"),
    ],
)
async def test_a_lost_lease_says_why(bus: Bus, raw: Redis, names: Names, fields: dict[Any, Any], why: str) -> None:
    """In the answer to a renewal, and in the error of a write."""
    claim = await actors.hold(bus)
    await raw.hset(names.record("s"), mapping={"token": "9"} | fields)
    assert (await actors.renew(claim, Picture())).why == why
    with pytest.raises(LeaseLost) as lost:
        await claim.append(actors.answer("s"), after=0)
    assert lost.value.why == why
    assert f"no longer held by this worker ({why}): discard the work" in str(lost.value)


async def _append(bus: Bus, claim: Lease) -> None:
    await claim.append(actors.answer(claim.session), after=0)


async def _release(bus: Bus, claim: Lease) -> None:
    await claim.release(Ending(Trigger.YIELD, read=ALL_READ))


async def _publish(bus: Bus, claim: Lease) -> None:
    await publish_notice(bus._context, actors.retry(claim.session), actors.proof(claim, actors.limited()))


async def _append_after_3(bus: Bus, claim: Lease) -> None:
    await claim.append(actors.answer("s"), after=3)


async def _release_after_3(bus: Bus, claim: Lease) -> None:
    await claim.release(Ending(Trigger.YIELD, read=3))


@pytest.mark.parametrize("write", [_append, _release, _publish])
async def test_a_stale_worker_writes_nothing(bus: Bus, write: Callable[[Bus, Lease], Awaitable[None]]) -> None:
    """Not after a revoke, and not after another worker has taken over."""
    stale = await actors.hold(bus)
    await actors.revoke(bus, to=State.QUEUED)
    before = await bus.status("s")
    with pytest.raises(LeaseLost):
        await write(bus, stale)
    assert await bus.status("s") == before
    heir = await bus.worker.claim(actors.worker("w2"))
    assert heir is not None
    before = await bus.status("s")
    with pytest.raises(LeaseLost):
        await write(bus, stale)
    assert await bus.status("s") == before
    await write(bus, heir)
    assert await bus.status("s") != before


@pytest.mark.parametrize("write", [_append_after_3, _release_after_3])
async def test_nothing_is_added_to_a_log_that_lost_what_was_read(
    bus: Bus, raw: Redis, names: Names, write: Callable[[Bus, Lease], Awaitable[object]]
) -> None:
    """A server that lost its last writes may have kept the lease: the worker's work rests on what is in no history any more."""
    claim = await actors.hold(bus)
    await claim.append(*[actors.answer("s", id=f"e{number}") for number in (1, 2, 3)], after=0)
    kept: Any = await raw.xrange(names.log("events", "s"), count=1)
    await raw.delete(names.log("events", "s"))
    await raw.xadd(names.log("events", "s"), kept[0][1], id=kept[0][0])
    await raw.hset(names.record("s"), "events", 1)
    before = await bus.status("s")
    with pytest.raises(LeaseLost):
        await write(bus, claim)
    assert await bus.status("s") == before
    assert await claim.release(Ending(Trigger.HAND_BACK, read=ALL_READ)) is State.QUEUED


# appending


async def test_a_step_is_appended_in_order(bus: Bus) -> None:
    """The answer is the events as they stand in the history."""
    claim = await actors.hold(bus)
    first = await claim.append(actors.answer("s", "1"), actors.answer("s", "2"), after=0)
    second = await claim.append(actors.answer("s", "3"), after=2)
    assert [event.offset for event in (*first, *second)] == [1, 2, 3]
    assert await bus.history("s") == (*first, *second)
    assert await claim.append(after=3) == ()


async def test_the_same_events_are_stored_once(bus: Bus) -> None:
    """Also with a user message in between, which is no conflict, whenever the next step is appended."""
    claim = await actors.hold(bus)
    step = [actors.answer("s", "1"), actors.answer("s", "2")]
    stored = await claim.append(*step, after=0)
    await say(bus)
    assert await claim.append(*step, after=0) == stored
    later = await claim.append(actors.answer("s", "4"), after=2)
    assert [event.offset for event in await bus.history("s")] == [1, 2, 3, 4]
    assert later[0].offset == 4


async def test_all_of_a_step_or_nothing(bus: Bus) -> None:
    """One event that is too large, and none of them is stored."""
    claim = await actors.hold(bus)
    with pytest.raises(PayloadTooLarge):
        await claim.append(actors.answer("s"), actors.answer("s", "x" * m.PAYLOAD_LIMIT), after=0)
    assert await bus.history("s") == ()


async def test_only_events_of_that_session_enter_its_history(bus: Bus) -> None:
    """A notice is a type error; another session's event, or one id twice, a value error."""
    claim = await actors.hold(bus)
    with pytest.raises(TypeError, match="LlmRetry"):
        await claim.append(actors.answer("s"), actors.retry("s"), after=0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'other'"):
        await claim.append(actors.answer("s"), actors.answer("other"), after=0)
    with pytest.raises(ValueError, match="same id"):
        await claim.append(actors.answer("s", id="x"), actors.answer("s", id="x"), after=0)
    assert await bus.history("s") == ()


@pytest.mark.parametrize("what", ["request", "reply"])
async def test_an_append_that_met_a_broken_connection_is_stored_once(lossy: Bus, proxy: Proxy, what: What) -> None:
    """It is tried again under the same ids."""
    claim = await actors.hold(lossy)
    proxy.lose_script(what, "append", times=3)
    stored = await claim.append(actors.answer("s", "1"), actors.answer("s", "2"), after=0)
    assert proxy.lost == 3
    assert await lossy.history("s") == stored


async def test_an_append_whose_fate_is_unknown_can_be_sent_again(lossy: Bus, proxy: Proxy) -> None:
    """It was stored, nobody said so, and a second time tells without storing another copy."""
    claim = await actors.hold(lossy)
    step = [actors.answer("s", id="one"), actors.answer("s", id="two")]
    proxy.lose_script("reply", "append", times=100)
    with pytest.raises(OutcomeUnknown) as caught:
        await claim.append(*step, after=0, patience_s=0.1)
    assert caught.value.ids == ("one", "two")
    proxy.lose_script("reply", "append", times=0)
    await claim.append(*step, after=0)
    assert await history(lossy) == ["one", "two"]


async def test_an_append_waits_for_the_server(make_server: MakeServer) -> None:
    """It is away and comes back within the worker's patience, with what it knew."""
    server = make_server(appendonly=True)
    async with Bus.connect(server.url) as bus:
        claim = await actors.hold(bus)
        await claim.append(actors.answer("s", id="one"), after=0)
        server.stop()
        appending = asyncio.create_task(claim.append(actors.answer("s", id="two"), after=1))
        with pytest.raises(Unreachable):
            await bus.status("s")
        server.start()
        await appending
        assert await history(bus) == ["one", "two"]


# letting go


@pytest.mark.parametrize(
    ("trigger", "state", "pending"),
    [
        (Trigger.YIELD, State.AWAITING_INPUT, False),
        (Trigger.FINISH, State.FINISHED, False),
        (Trigger.FAIL, State.ERROR, True),
        (Trigger.PARK, State.RATE_LIMITED, True),
        (Trigger.HAND_BACK, State.QUEUED, True),
    ],
)
async def test_each_way_of_letting_go(bus: Bus, trigger: Trigger, state: State, pending: bool) -> None:
    """The state that follows, without a worker; what was interrupted is known as such."""
    claim = await actors.hold(bus)
    claim.parks = 2
    released = await claim.release(Ending(trigger, read=0, why="because", parks=2))
    record = await bus.status("s")
    assert (released, claim.version) == (state, record.version)
    assert (record.state, record.held, record.pending, record.why, record.parks) == (state, False, pending, "because", 2)
    assert [found.session async for found in bus.sessions(state)] == ["s"]
    assert (await bus.worker.claim(actors.WORKER) is not None) == (state is State.QUEUED)


@pytest.mark.parametrize("trigger", sorted(set(Trigger) - {"yield", "finish", "fail", "park", "outage", "hand_back"}))
async def test_nothing_else_lets_go(bus: Bus, trigger: Trigger) -> None:
    """A worker cannot pause, stop or nudge itself out of a session."""
    claim = await actors.hold(bus)
    with pytest.raises(ValueError, match="not a way to release"):
        await claim.release(Ending(trigger, read=0))
    assert (await actors.renew(claim, Picture())).held


async def test_a_release_tells_its_notices_before_the_state(bus: Bus) -> None:
    """The worker's own, that it left, then the new state with what is known of it."""
    claim = await actors.hold(bus)
    resume_at = bus.now() + timedelta(seconds=60)
    release = Ending(
        Trigger.PARK,
        read=0,
        resume_at=resume_at,
        waits={"agent": actors.LIMITED},
        reason=Reason.RATE_LIMIT,
        notices=(actors.retry("s", id="mine"),),
    )
    async with bus.follow("s") as notices:
        await anext(notices)
        await claim.release(release)
        told = [await anext(notices) for _ in range(3)]
    assert carries(told[0], m.LlmRetry)
    assert carries(told[1], m.WorkerReleased)
    assert carries(told[2], SessionState)
    assert (told[1].data.why, told[1].data.worker) == ("park", actors.WORKER)
    data = told[2].data
    assert (data.from_, data.to, data.reason, data.wait, data.worker) == (
        State.RUNNING,
        State.RATE_LIMITED,
        Reason.RATE_LIMIT,
        actors.LIMITED,
        None,
    )
    assert data.resume_at == resume_at


async def test_a_release_publishes_notices_of_its_session_only(bus: Bus) -> None:
    """Anything else is a mistake, and nothing is written."""
    claim = await actors.hold(bus)
    with pytest.raises(TypeError):
        await claim.release(Ending(Trigger.YIELD, read=0, notices=(actors.answer("s"),)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'other'"):
        await claim.release(Ending(Trigger.YIELD, read=0, notices=(actors.retry("other"),)))
    assert (await actors.renew(claim, Picture())).held


@pytest.mark.parametrize("trigger", [Trigger.YIELD, Trigger.FINISH, Trigger.FAIL])
async def test_what_is_said_in_the_closing_moment_is_answered(bus: Bus, trigger: Trigger) -> None:
    """The session is queued again, and says why."""
    claim = await actors.hold(bus)
    await say(bus)
    released = await claim.release(Ending(trigger, read=0, reason=Reason.UNKNOWN, why="the turn is over"))
    record = await bus.status("s")
    assert (released, record.state, record.pending, record.reason) == (State.QUEUED, State.QUEUED, True, None)
    assert "was said while" in record.why
    assert carries(record.last, SessionState)
    assert (record.last.data.to, record.last.data.why) == (State.QUEUED, record.why)
    again = await bus.worker.claim(actors.WORKER)
    assert again is not None
    assert await again.release(Ending(trigger, read=1)) is not State.QUEUED


async def test_who_has_read_all_is_not_asked_again(bus: Bus) -> None:
    """A worker that fails on a message says so, else it would get it for ever."""
    claim = await actors.hold(bus)
    await say(bus)
    assert await claim.release(Ending(Trigger.FAIL, read=ALL_READ)) is State.ERROR


async def test_a_parked_session_is_due_at_its_time(bus: Bus, raw: Redis, names: Names) -> None:
    """Not before; its wait can be seen meanwhile."""
    claim = await actors.hold(bus)
    resume_at = bus.now() + timedelta(seconds=600)
    await claim.release(
        Ending(Trigger.PARK, read=0, resume_at=resume_at, waits={"agent": actors.LIMITED}, reason=Reason.RATE_LIMIT)
    )
    record = await bus.status("s")
    assert (record.parked, record.wait, record.reason) == (True, actors.LIMITED, Reason.RATE_LIMIT)
    assert record.resume_at is not None
    assert abs(record.resume_at - resume_at) < timedelta(milliseconds=1)
    assert await raw.zscore(names.due, "s") == round(resume_at.timestamp() * 1000)
    assert (await bus.controller.due()).sessions == ()
    await raw.zadd(names.due, {"s": 1})
    assert (await bus.controller.due()).sessions == ("s",)


async def test_a_park_outlives_the_server(make_server: MakeServer) -> None:
    """With an append-only file the deadline is still there after a crash."""
    server = make_server(appendonly=True)
    async with Bus.connect(server.url) as bus:
        claim = await actors.hold(bus)
        resume_at = bus.now() + timedelta(seconds=0.2)
        await claim.release(Ending(Trigger.PARK, read=0, resume_at=resume_at, waits={"agent": actors.LIMITED}))
        before = await bus.status("s")
        server.kill()
        server.start()
        assert await bus.status("s") == before
        await eventually(lambda: _due(bus))


async def _due(bus: Bus) -> bool:
    """The session is due."""
    return "s" in (await bus.controller.due()).sessions


async def test_a_pause_that_waits_is_decided_at_once(bus: Bus) -> None:
    """A release does not hide commands that nobody has handled."""
    claim = await actors.hold(bus)
    asking = asyncio.create_task(bus.send("s", SessionPause()))
    await actors.waiting(bus)
    await bus.controller.due(visibility_s=60)
    await claim.release(Ending(Trigger.PARK, read=0, resume_at=bus.now() + timedelta(hours=1)))
    assert (await bus.controller.due()).sessions == ("s",)
    seen = await actors.snapshot(bus)
    await bus.controller.decide(seen, actors.settled(seen, State.PAUSED))
    assert (await asking).command_id == seen.commands[0].id
    assert (await bus.status("s")).state is State.PAUSED


@pytest.mark.parametrize("what", ["request", "reply"])
async def test_a_release_and_a_renewal_over_a_broken_connection_happen_once(lossy: Bus, proxy: Proxy, what: What) -> None:
    """A renewal can be repeated; a release that is repeated finds that it has happened."""
    claim = await actors.hold(lossy)
    proxy.lose_script(what, "renew")
    assert (await actors.renew(claim, actors.limited())).held
    record = await lossy.status("s")
    assert (record.touched, record.picture) == (1, actors.limited())
    proxy.lose_script(what, "release")
    released = await claim.release(Ending(Trigger.YIELD, read=0))
    after = await lossy.status("s")
    assert proxy.lost == 2
    assert (released, claim.version) == (State.AWAITING_INPUT, 2)
    assert (after.version, after.token, after.status) == (2, claim.token + 1, record.status + 2)


async def again(bus: Bus, who: WorkerRef) -> Lease:
    """Lease the session when the server is there again."""

    async def claim() -> Lease | None:
        """The session is claimed."""
        try:
            return await actors.hold(bus, who=who)
        except Unreachable:
            return None

    claimed = await eventually(claim)
    assert claimed is not None
    return claimed


async def test_a_token_that_a_server_gives_twice_serves_one_worker(make_server: MakeServer) -> None:
    """A server that has lost its last writes gives the number again: the first worker may neither renew nor write with it."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        await actors.queue(bus, "s")
        server.command("SAVE")
        first = await actors.hold(bus, who=actors.worker("w1"))
        server.kill()
        server.start()
        second = await again(bus, actors.worker("w2"))
        assert (second.token, second.epoch) == (first.token, first.epoch)
        assert not (await actors.renew(first, Picture())).held
        for refused in (
            first.append(actors.answer("s", "of the first"), after=0),
            publish_notice(bus._context, actors.retry("s"), actors.proof(first)),
            first.release(actors.finished()),
        ):
            with pytest.raises(LeaseLost):
                await refused
        assert (await actors.renew(second, Picture())).held
        await second.append(actors.answer("s", "of the second"), after=0)
        assert [event.data.text for event in await bus.history("s") if isinstance(event.data, m.AgentMessage)] == [
            "of the second"
        ]


async def test_a_worker_from_before_everything_was_lost_steers_no_other_session(make_server: MakeServer) -> None:
    """A session of the same name that another worker holds is another one, whatever its token says."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        first = await actors.hold(bus, who=actors.worker("w1"))
        server.flush()
        second = await actors.hold(bus, who=actors.worker("w2"))
        assert second.token == first.token
        renewal = await actors.renew(first, actors.limited())
        assert (renewal.held, renewal.state) == (False, None)
        with pytest.raises(LeaseLost):
            await first.release(actors.finished())
        record = await bus.status("s")
        assert (record.worker, record.picture) == (second.worker, Picture())


async def test_a_server_that_is_gone_is_told(make_server: MakeServer) -> None:
    """Claims, renewals and releases raise; the lease runs out by itself."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        claim = await actors.hold(bus)
        server.stop()
        with pytest.raises(Unreachable):
            await bus.worker.claim(actors.WORKER)
        with pytest.raises(Unreachable):
            await actors.renew(claim, Picture())
        with pytest.raises(Unreachable):
            await claim.release(Ending(Trigger.YIELD, read=0))


# what a script adds to a notice


@given(strategies.of(SessionState), strategies.states, strategies.counts)
def test_the_script_adds_what_only_it_knows(notice: m.Message[Any], before: State, version: int) -> None:
    """From, to, version, parent and name come last, whatever the notice says and whatever it holds."""
    assert carries(notice, SessionState)
    added = b',"from":"%s","to":"%s","version":%d,"parent":"p","name":"n"}}' % (before.encode(), notice.data.to.encode(), version)
    whole = m.decode_notice(m.encode_state(notice)[:-2] + added)
    known = {"from_": before, "version": version, "parent": "p", "name": "n"}
    assert whole == notice.model_copy(update={"data": notice.data.model_copy(update=known)})


async def test_a_lease_that_waits_says_so_once_and_one_that_is_over_at_once(
    bus: Bus, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that stands still must not do so in silence."""
    monkeypatch.setattr("tidings.bus.worker.face._POLL_S", 0.01)
    other = await actors.hold(bus, lease_s=60)
    await other.release(Ending(Trigger.YIELD, read=0))
    asked, claim = [0], bus.worker.claim

    async def counted(*args: Any, **given: Any) -> Any:
        asked[0] += 1
        return await claim(*args, **given)

    monkeypatch.setattr(bus.worker, "claim", counted)

    async def work() -> None:
        async with bus.worker.lease("s"):
            pass

    waiting = asyncio.create_task(work())
    await eventually(lambda: asked[0] > 2)
    seen = await actors.snapshot(bus)
    await bus.controller.decide(seen, actors.settled(seen, State.FINISHED))
    with pytest.raises(SessionHeld, match="session 's' is finished, and that is final: take another name"):
        await waiting
    [told] = [record for record in caplog.records if record.getMessage() == "lease.waits"]
    assert (told.__dict__["session"], told.__dict__["state"]) == ("s", "awaiting_input")
