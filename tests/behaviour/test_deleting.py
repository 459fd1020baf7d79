"""Deleting sessions: nothing is left but the name, and everybody is told."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from redis.asyncio import Redis

from tests import actors
from tests.behaviour.agents import Gate, Lingering
from tests.fleet import Fleet
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import (
    Bus,
    CommandRefused,
    Cursor,
    Event,
    Gap,
    LeaseLost,
    Message,
    Notice,
    Outcome,
    Result,
    SessionDelete,
    SessionDeleted,
    SessionStart,
    SessionState,
    SessionStop,
    State,
    carries,
    read_archives,
)
from tidings.bus.channels import Names
from tidings.bus.redis import open_connection
from tidings.bus.states import FINAL

NAMES = Names()


async def delete(fleet: Fleet, session: str = "s") -> Outcome:
    """Delete a session."""
    return await fleet.send(Message.of(SessionDelete(by="ann", why="old"), session=session))


async def keys(url: str, session: str = "s") -> set[str]:
    """Return the keys of a session, without the outcomes, which expire."""
    async with open_connection(url) as connection:
        client: Redis = connection.commands
        found: Any = await client.keys(f"*.{session}")
        return {key.decode() for key in found}


async def listed(url: str) -> list[int]:
    """Return how many sessions stand in ready, due and the index."""
    async with open_connection(url) as connection:
        client: Any = connection.commands
        return [await client.zcard(NAMES.ready()), await client.zcard(NAMES.due), await client.hlen(NAMES.sessions)]


@pytest.mark.parametrize("state", [State.AWAITING_INPUT, State.STOPPED, State.PAUSED])
async def test_a_deleted_session_leaves_its_name_and_nothing_else(redis_url: str, state: State) -> None:
    """The logs are gone from the server, and of the record only who deleted it and when is left."""
    async with Fleet(redis_url) as fleet:
        await fleet.start("s")
        await fleet.until("s", State.AWAITING_INPUT)
        if state is not State.AWAITING_INPUT:
            await (fleet.stop("s") if state is State.STOPPED else fleet.pause("s"))
        outcome = await delete(fleet)
        assert (outcome.result, outcome.state) == (Result.APPLIED, State.DELETED)
        assert await keys(redis_url) == {NAMES.record("s")}
        assert await listed(redis_url) == [0, 0, 0]
        record = await fleet.bus.status("s")
        assert (record.state, record.why, record.events, record.last) == (State.DELETED, "deleted by ann: old", 2, None)
        assert [one async for one in fleet.bus.sessions()] == []


async def test_a_session_is_taken_from_its_worker_in_the_same_step(redis_url: str) -> None:
    """What is in flight cannot land, and the worker goes on with others."""
    gate = Gate()
    async with Fleet(redis_url, agent=lambda: Lingering(gate)) as fleet:
        await fleet.start("s")
        await gate.reached()
        await delete(fleet)
        worker = fleet.workers[0].part
        await eventually(lambda: worker.sessions == 0, PATIENCE_S)
        gate.open()
        await fleet.start("t")
        await fleet.until("t", State.AWAITING_INPUT)
        assert await keys(redis_url) == {NAMES.record("s")}


async def test_nothing_is_written_to_what_was_deleted(redis_url: str) -> None:
    """Neither appended nor claimed, started, published, asked or imported; each says so."""
    async with Fleet(redis_url, workers=0) as fleet:
        bus = fleet.bus
        claim = await actors.hold(bus)
        [archive] = read_archives([line async for line in bus.admin.export("s")])
        await delete(fleet)
        with pytest.raises(LeaseLost):
            await claim.append(actors.answer("s"), after=0)
        assert (await actors.renew(claim, actors.limited())).state is State.DELETED
        for refused in (
            bus.worker.claim(actors.WORKER, session="s", create=True),
            actors.publish(bus, actors.retry("s")),
            fleet.send(Message.of(SessionStart(), session="s")),
            fleet.send(Message.of(SessionStop(), session="s")),
            bus.history("s"),
            bus.admin.restore(archive),
        ):
            with pytest.raises(SessionDeleted, match="another name"):
                await refused
        assert await keys(redis_url) == {NAMES.record("s")}


async def test_deleted_twice_is_deleted_once(redis_url: str) -> None:
    """Both are applied, and the second changes nothing."""
    async with Fleet(redis_url, workers=0) as fleet:
        await fleet.start("s")
        first = await delete(fleet)
        record = await fleet.bus.status("s")
        second = await delete(fleet)
        assert (second.result, second.state, second.version) == (Result.APPLIED, State.DELETED, first.version)
        again = await fleet.bus.status("s")
        assert (again.since, again.why, again.token) == (record.since, record.why, record.token)
        assert await keys(redis_url) == {NAMES.record("s")}
        assert await listed(redis_url) == [0, 0, 0]


async def test_what_was_asked_together_with_it_gets_its_outcome(redis_url: str) -> None:
    """In the order of the asking: what came after the delete is refused."""
    async with Fleet(redis_url, workers=0, controllers=0) as fleet:
        await actors.hold(fleet.bus)
        deleting = asyncio.create_task(delete(fleet))
        await actors.waiting(fleet.bus)
        stopping = asyncio.create_task(fleet.stop("s"))
        await actors.waiting(fleet.bus, count=2)
        await fleet.add_controller()
        assert (await deleting).state is State.DELETED
        with pytest.raises(CommandRefused, match="deleted") as caught:
            await stopping
        assert caught.value.legal == ()
        assert await keys(redis_url) == {NAMES.record("s")}


async def test_who_reads_the_history_is_told_once(redis_url: str) -> None:
    """A reader that follows, one that comes later, and one with a cursor get a gap; nothing comes after it."""
    async with Fleet(redis_url, workers=0) as fleet:
        claim = await actors.hold(fleet.bus)
        [stored] = await claim.append(actors.answer("s"), after=0)
        async with fleet.bus.follow("s", Event) as events, asyncio.timeout(PATIENCE_S):
            assert await anext(events) == stored
            await delete(fleet)
            assert await anext(events) == Gap("events.s", "deleted", 2, 1)
            late: tuple[tuple[Cursor | int | None, int], ...] = ((None, 1), (stored.cursor, 2), (0, 1))
            for after, first in late:
                async with fleet.bus.follow("s", Event, after) as more:
                    assert await anext(more) == Gap("events.s", "deleted", first, 1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(events), 0.05)
            assert events.statistics().gaps == 1


async def test_who_watches_the_status_sees_the_last_state(redis_url: str) -> None:
    """On the channel of the session and on that of all; whoever comes later is told by name, and not among all."""
    async with Fleet(redis_url, workers=0) as fleet:
        await fleet.start("s")
        async with fleet.bus.follow("s") as one, fleet.bus.follow() as every, asyncio.timeout(PATIENCE_S):
            await delete(fleet)
            for notices in (one, every):
                seen = [item async for item in _until_deleted(notices)]
                assert isinstance(seen[-1].data, SessionState)
                assert (seen[-1].data.by, seen[-1].data.to) == ("ann", State.DELETED)
            async with Bus.connect(redis_url) as bus, bus.follow("s") as late, bus.follow() as all_of_them:
                first = await anext(late)
                assert carries(first, SessionState)
                assert first.data.to is State.DELETED
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(all_of_them), 0.05)


async def _until_deleted(notices: Any) -> Any:
    async for item in notices:
        yield item
        if isinstance(item.data, SessionState) and item.data.to is State.DELETED:
            return


async def test_a_lost_notice_of_it_is_made_up_for(redis_url: str) -> None:
    """Those who heard nothing find the tombstone when they look in silence, and let go of the session."""
    async with Fleet(redis_url, workers=0) as fleet:
        await fleet.start("s")
        bus = fleet.bus
        async with (
            bus.follow("s", Notice, reread_s=0.05) as one,
            bus.follow("*", Notice, reread_s=0.05) as every,
            asyncio.timeout(PATIENCE_S),
        ):
            await anext(one), await anext(every)
            for subscription in (one, every):
                subscription.receive = lambda name, payload: None  # type: ignore[method-assign] # all that is live gets lost
            await delete(fleet)
            for notices in (one, every):
                seen = [item async for item in _until_deleted(notices)]
                assert seen
            await eventually(lambda: _has_let_go(every), PATIENCE_S)


async def _has_let_go(notices: Any) -> bool:
    """Let a reader look on in silence for a moment; whether it follows no session any more."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(anext(notices), 0.1)
    return not notices._trackers


@pytest.mark.parametrize("state", sorted(FINAL - {State.DELETED}))
async def test_the_memory_of_the_server_is_freed(real_url: str, state: State) -> None:
    """A history of a megabyte leaves some hundred bytes behind. On a real server: the other one does not count its memory."""
    async with Fleet(real_url, workers=0) as fleet, open_connection(real_url) as connection:
        client: Any = connection.commands
        claim = await actors.hold(fleet.bus)
        for start in range(0, 100, 10):
            await claim.append(*[actors.answer("s", "x" * 10_000) for _ in range(10)], after=start)
        assert await client.memory_usage(NAMES.log("events", "s"), samples=0) > 1_000_000
        await (fleet.stop("s") if state is State.STOPPED else claim.release(actors.finished()))
        await delete(fleet)
        assert await client.memory_usage(NAMES.record("s")) < 1_000
        assert await client.exists(NAMES.log("events", "s"), NAMES.log("status", "s"), NAMES.log("commands", "s")) == 0
