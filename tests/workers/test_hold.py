"""A claimed session, kept while somebody works on it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.waiting import PATIENCE_S, eventually
from tidings.bus import (
    Bus,
    Claim,
    Decision,
    LeaseLost,
    LlmRecovered,
    LlmRetry,
    Message,
    Notice,
    Reason,
    Release,
    SessionState,
    State,
    Trigger,
    Unreachable,
    UnreadableRecord,
    WorkerRef,
    carries,
)
from tidings.workers import hold as module
from tidings.workers.errors import LlmRateLimited
from tidings.workers.hold import Hold, Revoked
from tidings.workers.retry import Failure

WORKER = WorkerRef(name="w1")
YIELD = Release(Trigger.YIELD, read=0, why="done")


@pytest.fixture
async def memory() -> AsyncIterator[Bus]:
    """A bus in memory."""
    async with Bus.connect(f"memory://{uuid4().hex}") as connected:
        yield connected


async def claimed(bus: Bus, lease_s: float = 10.0, session: str = "s") -> Claim:
    """A session of our own making, claimed."""
    claim = await bus.claim(WORKER, lease_s=lease_s, session=session, create=True)
    assert claim is not None
    return claim


def retry(llm: str = "agent", attempt: int = 1) -> LlmRetry:
    """What an Llm tells before it waits."""
    return LlmRetry(llm=llm, model="openai/x", reason=Reason.RATE_LIMIT, attempt=attempt, max_attempts=6, wait_s=5)


async def take_away(bus: Bus, to: State = State.PAUSED) -> None:
    """Take the session from its worker, as a controller does."""
    snapshot = await bus.snapshot("s")
    assert snapshot is not None
    notice = Message.of(SessionState(to=to, version=0), session="s")
    await bus.decide(snapshot, Decision(to=to, revoke=True, fields={"worker": "", "lease_until": ""}, state=notice))


async def nudge(bus: Bus, times: int) -> None:
    """Resume a session that a worker holds, as a controller does."""
    snapshot = await bus.snapshot("s")
    assert snapshot is not None
    await bus.decide(snapshot, Decision(fields={"nudge": str(times), "picture": "{}"}))


async def forever() -> None:
    """Work without end."""
    await asyncio.Event().wait()


# the lease


async def test_it_renews_the_lease(bus: Bus) -> None:
    """For as long as it is held."""
    claim = await claimed(bus, lease_s=2)
    async with Hold(bus, claim, renew_s=0.02):

        async def extended() -> bool:
            until = (await bus.status("s")).lease_until
            return until is not None and until > claim.lease_until

        await eventually(extended)


async def test_a_session_that_was_taken_away_ends_the_work(bus: Bus) -> None:
    """Told by its channel, so long before the next renewal is due; the error says what became of it."""
    async with Hold(bus, await claimed(bus, lease_s=600), renew_s=250) as hold:
        await eventually(lambda: bus.connected)
        work = asyncio.create_task(hold.guard(forever()))
        await asyncio.sleep(0)
        await take_away(bus)
        with pytest.raises(Revoked, match="it is paused") as revoked:
            async with asyncio.timeout(PATIENCE_S):
                await work
        assert (revoked.value.session, revoked.value.state) == ("s", State.PAUSED)


async def test_a_session_that_was_taken_away_before_the_work_began_has_none(memory: Bus) -> None:
    """The work is not even begun."""
    begun = []

    async def work() -> None:
        begun.append(True)

    async with Hold(memory, await claimed(memory), renew_s=0.02) as hold:
        await take_away(memory, State.STOPPED)
        await eventually(lambda: hold._revoked.done())
        with pytest.raises(Revoked, match="it is stopped"):
            await hold.guard(work())
    assert begun == []


@pytest.mark.parametrize("away", ["refuses", "hangs"])
async def test_a_lease_that_cannot_be_kept_ends_the_work_in_time(memory: Bus, monkeypatch: pytest.MonkeyPatch, away: str) -> None:
    """By our own clock, and before the server would give the session to another."""
    # A fifth of the lease is left when the work ends: room for a busy machine.
    claim = await claimed(memory, lease_s=3.0)
    calls = 0

    async def renew(*_: object) -> Any:
        nonlocal calls
        calls += 1
        if away == "hangs":
            await forever()
        raise Unreachable("gone")

    monkeypatch.setattr(memory, "renew", renew)
    async with Hold(memory, claim, renew_s=0.6) as hold:
        with pytest.raises(Revoked) as revoked:
            await hold.guard(forever())
        assert revoked.value.state is None
        cause = "the server does not answer" if away == "hangs" else "gone"
        assert re.fullmatch(f"session 's' was taken away: its lease could not be renewed for \\d s: {cause}", str(revoked.value))
        assert memory.now() < claim.lease_until
    assert calls == 1 if away == "hangs" else calls > 2


async def test_a_process_that_stood_still_has_lost_its_lease(memory: Bus, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is asked any more: the session may be another's by then."""
    async with Hold(memory, await claimed(memory), renew_s=5) as hold:
        await eventually(lambda: hold._renewed_at > 0)
        hold._renewed_at -= 100
        hold.acknowledged()
        with pytest.raises(Revoked, match=r"its lease could not be renewed for 1\d\d s: the process stood still"):
            await hold.guard(forever())
    (record,) = [record for record in caplog.records if record.message == "hold.lease_ends"]
    assert record.__dict__["cause"] == "the process stood still"


async def test_a_renewal_by_the_watchdog_counts(memory: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an answer and its time-out are there at the same moment, because the loop was blocked, the work goes on."""
    asked: list[float] = []

    async def renew(*_: object) -> Any:
        asked.append(asyncio.get_running_loop().time())
        if len(asked) == 1:
            # In another thread, while this one was blocked until after the end of the lease as the loop knows it.
            hold.renewed(asked[0] + 100)
            raise TimeoutError
        await forever()

    hold = Hold(memory, await claimed(memory, lease_s=1), renew_s=0.1)
    hold._renewed_at -= 100
    monkeypatch.setattr(memory, "renew", renew)
    async with hold:
        await eventually(lambda: len(asked) == 2)
        assert not hold.lost


async def test_a_lease_began_when_it_was_granted(memory: Bus) -> None:
    """Not when the answer arrived: of a claim that took most of its lease to arrive little is left."""
    claim = await claimed(memory, lease_s=10)
    loop = asyncio.get_running_loop()
    late = replace(claim, lease_until=memory.now() + timedelta(seconds=1))
    assert Hold(memory, late)._renewed_at < loop.time() - 8
    early = replace(claim, lease_until=memory.now() + timedelta(seconds=99))
    assert Hold(memory, early)._renewed_at <= loop.time()


@pytest.mark.parametrize(("error", "traced"), [(ValueError("a defect"), True), (UnreadableRecord("s", "version: -1"), False)])
async def test_a_defect_of_the_renewal_ends_the_work(
    memory: Bus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, traced: bool
) -> None:
    """Work that nobody holds the session for must not go on; the log says why, in one line where the error is one of ours."""

    async def renew(*_: object) -> Any:
        raise error

    monkeypatch.setattr(memory, "renew", renew)
    async with Hold(memory, await claimed(memory)) as hold:
        with pytest.raises(Revoked):
            await hold.guard(forever())
    assert [(record.message, record.exc_info is not None) for record in caplog.records] == [("hold.failed", traced)]


# the work


async def test_work_gives_back_what_it_made(memory: Bus) -> None:
    """Or raises what it raised."""

    async def fine() -> int:
        return 7

    async def broken() -> None:
        raise KeyError("x")

    async with Hold(memory, await claimed(memory)) as hold:
        assert await hold.guard(fine()) == 7
        with pytest.raises(KeyError):
            await hold.guard(broken())


async def test_whoever_waits_for_the_work_may_be_cancelled(memory: Bus) -> None:
    """The work is cancelled with it, and ends first."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await forever()
        finally:
            ended.set()

    async with Hold(memory, await claimed(memory)) as hold:
        guard = asyncio.create_task(hold.guard(work()))
        await begun.wait()
        guard.cancel()
        with pytest.raises(asyncio.CancelledError):
            await guard
        assert ended.is_set()


async def test_work_that_does_not_end_is_left_behind(
    memory: Bus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After a while, with an error in the log: its writes are refused in any case, and what it tells goes nowhere."""
    monkeypatch.setattr(module, "CANCEL_S", 0.05)
    begun, enough = asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        begun.set()
        while not enough.is_set():
            try:
                await enough.wait()
            except asyncio.CancelledError:
                continue

    async with Hold(memory, await claimed(memory), renew_s=0.02) as hold:
        work = asyncio.create_task(hold.guard(stubborn()))
        await begun.wait()
        await take_away(memory)
        with pytest.raises(Revoked):
            await work
    assert "hold.work_does_not_end" in [record.message for record in caplog.records]
    hold.tell(retry())
    enough.set()


async def test_what_cancelled_work_raises_is_nobodys_news(memory: Bus) -> None:
    """It is not logged as an exception that was never looked at."""
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await forever()
        except asyncio.CancelledError:
            raise KeyError("on the way out") from None

    async with Hold(memory, await claimed(memory), renew_s=0.02) as hold:
        guard = asyncio.create_task(hold.guard(work()))
        await begun.wait()
        await take_away(memory)
        with pytest.raises(Revoked):
            await guard


# what people are told


async def test_a_retry_is_told_and_seen(bus: Bus) -> None:
    """As a notice, and in the picture of the record; a recovery ends it."""
    async with bus.follow("s") as notices, Hold(bus, await claimed(bus), renew_s=0.02) as hold:
        hold.tell(retry())
        hold.tell(retry("condenser", attempt=2))
        assert hold.waiting
        told = await _next(notices, LlmRetry)
        assert told.source == "worker/w1"
        assert told.data == retry()

        async def both() -> bool:
            return set((await bus.status("s")).picture.waits) == {"agent", "condenser"}

        async def none() -> bool:
            picture = (await bus.status("s")).picture
            return picture.waits == {} and picture.model == "openai/x"

        await eventually(both)
        hold.tell(LlmRecovered(llm="agent", model="openai/x", attempt=2))
        hold.clear("condenser")
        hold.clear("nobody")
        assert not hold.waiting
        await eventually(none)


async def test_a_call_that_was_left_is_remembered_until_its_path_is_told_of_again(memory: Bus) -> None:
    """No notice has said that its wait is over; one that was never told of leaves nothing behind."""
    async with Hold(memory, await claimed(memory)) as hold:
        hold.tell(retry())
        hold.clear("nobody")
        assert not hold.picture.unsaid
        hold.clear("agent")
        hold.tell(retry("condenser"))
        assert hold.picture.unsaid
        assert not hold.picture.kept().unsaid
        hold.tell(retry())
        assert not hold.picture.unsaid


async def test_a_call_that_gives_up_parks_for_the_waits_beside_it_too(memory: Bus) -> None:
    """A task group leaves the other call in its wait: nothing is asked before its instant either, unless a person resumes."""
    async with Hold(memory, await claimed(memory), renew_s=0.02) as hold:
        told_at = memory.now() + timedelta(seconds=45)
        hold.tell(retry("title").model_copy(update={"retry_at": told_at}))
        hold.tell(retry())
        for llm in ("agent", "title"):
            hold.clear(llm)
        failure = Failure(Reason.RATE_LIMIT, True, 429, None, "slow down", 5.0, "Wait.")
        error = LlmRateLimited("slow down", failure=failure, attempt=6, max_attempts=6, model="openai/x", resume_in_s=5.0)
        parked = hold.ending(error, 0)
        assert parked.resume_at is not None
        assert parked.resume_at >= told_at
        await nudge(memory, 1)

        def sooner() -> bool:
            parked = hold.ending(error, 0)
            return parked.resume_at is not None and parked.resume_at < told_at

        await eventually(sooner)


async def test_an_attempt_in_flight_is_no_wait(memory: Bus) -> None:
    """The picture shows the wait until the call has succeeded; a worker that ends lets the attempt go on."""
    async with Hold(memory, await claimed(memory)) as hold:
        hold.tell(retry().model_copy(update={"retry_at": memory.now() - timedelta(seconds=1)}))
        assert set(hold.picture.waits) == {"agent"}
        assert not hold.waiting
        hold.tell(retry().model_copy(update={"retry_at": memory.now() + timedelta(seconds=60)}))
        assert hold.waiting


async def _next(notices: Any, kind: type[Notice]) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        async for notice in notices:
            if carries(notice, kind):
                return notice
    raise AssertionError


async def test_a_nudge_ends_the_waits(bus: Bus) -> None:
    """Once for each; in the picture they are over from then on, also where the worker had not heard of it yet."""
    async with Hold(bus, await claimed(bus), renew_s=0.02) as hold:
        for times in (1, 2):
            hold.tell(retry())
            over = hold.nudge.next
            await nudge(bus, times)
            async with asyncio.timeout(PATIENCE_S):
                await over.wait()
            assert not hold.waiting

            async def none() -> bool:
                return (await bus.status("s")).picture.wait_at(bus.now()) is None

            await eventually(none)


# letting go


async def test_a_release_ends_the_hold(bus: Bus) -> None:
    """After the notices that were on their way, in the order in which they were told."""
    async with bus.follow("s") as notices, Hold(bus, await claimed(bus)) as hold:
        hold.tell(retry())
        released = await hold.release(YIELD)
        assert released.state is State.AWAITING_INPUT
        await _next(notices, LlmRetry)
        while (await _next(notices, SessionState)).data.to is not State.AWAITING_INPUT:
            pass
        assert (await bus.status("s")).held is False


async def test_a_release_tries_again_while_the_server_is_away(memory: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that is over is not taken for a lost worker because of a restart."""
    release, away = memory.release, 3

    async def shaky(claim: Claim, how: Release) -> Any:
        nonlocal away
        away -= 1
        if away > 0:
            raise Unreachable("gone")
        return await release(claim, how)

    monkeypatch.setattr(memory, "release", shaky)
    async with Hold(memory, await claimed(memory), renew_s=0.05) as hold:
        assert (await hold.release(YIELD)).state is State.AWAITING_INPUT
    assert away == 0


async def test_a_release_gives_up_when_the_lease_has_ended(memory: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else looks after the session then."""

    async def gone(*_: object) -> Any:
        raise Unreachable("gone")

    monkeypatch.setattr(memory, "release", gone)
    monkeypatch.setattr(memory, "renew", gone)
    async with Hold(memory, await claimed(memory, lease_s=0.3), renew_s=0.05) as hold:
        with pytest.raises(Unreachable):
            await hold.release(YIELD)


async def test_a_release_of_what_was_taken_away_is_refused(bus: Bus) -> None:
    """Nothing is written."""
    async with Hold(bus, await claimed(bus), renew_s=5) as hold:
        await take_away(bus)
        with pytest.raises(LeaseLost):
            await hold.release(YIELD)
        assert (await bus.status("s")).state is State.PAUSED


async def test_a_hold_leaves_nothing_behind(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    """No task, no subscription, no outbox: a worker holds thousands of sessions in its life."""
    caplog.set_level(logging.ERROR)
    async with Hold(bus, await claimed(bus, session="first")) as hold:
        await hold.release(YIELD)
    tasks = len(asyncio.all_tasks())
    for number in range(30):
        async with Hold(bus, await claimed(bus, session=f"s{number}")) as hold:
            hold.tell(retry())
            if number % 2:
                await hold.release(YIELD)
    assert len(asyncio.all_tasks()) <= tasks
    assert bus._listener._exact == {}
    assert len(bus._outboxes) <= 1
    assert caplog.records == []
