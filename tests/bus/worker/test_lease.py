"""A claimed session, kept while somebody works on it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import re
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from tests.hands import Hands
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import (
    AgentMessage,
    AgentProgress,
    Bus,
    Decision,
    Ending,
    Keeper,
    Lease,
    LeaseLost,
    LlmRecovered,
    LlmRetry,
    Message,
    Notice,
    OutcomeUnknown,
    Progress,
    Reason,
    SessionState,
    State,
    Trigger,
    Unreachable,
    UnreadableRecord,
    UserMessage,
    WorkerRef,
    carries,
)
from tidings.bus.redis.context import RedisContext
from tidings.bus.worker.lease import PROGRESS_S, TAKEN_UP
from tidings.bus.worker.throttle import Throttle

T = TypeVar("T")
WORKER = WorkerRef(name="w1")
YIELD = Ending(Trigger.YIELD, read=0, why="done")


@pytest.fixture
async def memory() -> AsyncIterator[Bus]:
    """A bus in memory."""
    async with Bus.connect(f"memory://{uuid4().hex}") as connected:
        yield connected


async def claimed(bus: Bus, lease_s: float = 10.0, session: str = "s") -> Lease:
    """A session of our own making, claimed."""
    claim = await bus.worker.claim(WORKER, lease_s=lease_s, session=session, create=True)
    assert claim is not None
    return claim


def retry(llm: str = "agent", attempt: int = 1) -> LlmRetry:
    """What an Llm tells before it waits."""
    return LlmRetry(llm=llm, model="openai/x", reason=Reason.RATE_LIMIT, attempt=attempt, max_attempts=6, wait_s=5)


async def take_away(bus: Bus, to: State = State.PAUSED, session: str = "s") -> None:
    """Take the session from its worker, as a controller does."""
    snapshot = await bus.controller.snapshot(session)
    assert snapshot is not None
    notice = Message.of(SessionState(to=to, version=0), session=session)
    await bus.controller.decide(snapshot, Decision(to=to, revoke=True, fields={"worker": "", "lease_until": ""}, state=notice))


async def nudge(bus: Bus, times: int) -> None:
    """Resume a session that a worker holds, as a controller does."""
    snapshot = await bus.controller.snapshot("s")
    assert snapshot is not None
    await bus.controller.decide(snapshot, Decision(fields={"nudge": str(times), "picture": "{}"}))


COMPILING = AgentProgress(doing="compiling", done=3, total=8)


def kept(bus: Bus, lease: Lease, renew_s: float) -> Lease:
    """A lease that is renewed so often."""
    return lease.kept_by(Keeper(bus.worker, renew_s, lease.lease_s))


async def within(lease: Lease, work: Awaitable[T]) -> T:
    """Do some work under a lease."""
    async with lease:
        return await work


async def forever() -> None:
    """Work without end."""
    await asyncio.Event().wait()


# the lease


async def test_it_renews_the_lease(bus: Bus) -> None:
    """For as long as it is held."""
    claim = await claimed(bus, lease_s=2)
    async with kept(bus, claim, 0.02):

        async def extended() -> bool:
            until = (await bus.status("s")).lease_until
            return until is not None and until > claim.until

        await eventually(extended)


async def test_a_session_that_was_taken_away_ends_the_work(bus: Bus) -> None:
    """RetryNotice by its channel, so long before the next renewal is due; the error says what became of it."""
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await forever()

    working = asyncio.create_task(within(kept(bus, await claimed(bus, lease_s=600), 250), work()))
    await begun.wait()
    await eventually(lambda: bus.connected)
    await take_away(bus)
    with pytest.raises(LeaseLost, match="it is paused") as lost:
        async with asyncio.timeout(PATIENCE_S):
            await working
    assert (lost.value.session, lost.value.state) == ("s", State.PAUSED)


async def test_the_body_is_cancelled_as_a_timeout_does_it(memory: Bus) -> None:
    """The task goes on after the block as if it had never been cancelled; another cancellation at the same moment counts."""

    async def work() -> None:
        await take_away(memory)
        await forever()

    with pytest.raises(LeaseLost):
        await within(kept(memory, await claimed(memory), 0.02), work())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)

    async def twice() -> None:
        async with kept(memory, await claimed(memory, session="two"), 5) as lease:
            both = asyncio.current_task()
            assert both is not None
            asyncio.get_running_loop().call_soon(lease.lose, None, "its lease has ended")
            asyncio.get_running_loop().call_soon(both.cancel)
            await forever()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(twice())


async def test_a_session_that_was_lost_before_the_block_has_no_work(memory: Bus) -> None:
    """The block is not even entered."""
    lease, work = await claimed(memory), forever()
    lease.lose(State.STOPPED, "it is stopped")
    with pytest.raises(LeaseLost, match="it is stopped"):
        await within(lease, work)
    work.close()


async def test_work_that_ends_as_the_session_is_lost_is_lost(memory: Bus) -> None:
    """Whoever takes it for done would be wrong: nothing was released."""
    with pytest.raises(LeaseLost, match="it is paused"):
        async with kept(memory, await claimed(memory), 5) as lease:
            lease.lose(State.PAUSED, "it is paused")

    async def broken(lease: Lease) -> None:
        lease.lose(State.PAUSED, "it is paused")
        raise KeyError("of the body")

    lease = kept(memory, await claimed(memory, session="two"), 5)
    with pytest.raises(KeyError):
        await within(lease, broken(lease))


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

    monkeypatch.setattr(memory.worker, "renew", renew)
    with pytest.raises(LeaseLost) as lost:
        await within(kept(memory, claim, 0.6), forever())
    assert lost.value.state is None
    cause = "the server does not answer" if away == "hangs" else "gone"
    assert re.fullmatch(f"its lease could not be renewed for \\d s: {cause}", lost.value.why)
    assert memory.now() < claim.until
    assert calls == 1 if away == "hangs" else calls > 2


async def test_a_process_that_stood_still_has_lost_its_lease(memory: Bus, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is asked any more: the session may be another's by then."""
    lease = kept(memory, await claimed(memory), 5)
    lease._renewed_at -= 100
    with pytest.raises(LeaseLost, match=r"its lease could not be renewed for 1\d\d s: the process stood still"):
        await within(lease, forever())
    (record,) = [record for record in caplog.records if record.message == "lease.ends"]
    assert record.__dict__["cause"] == "the process stood still"


async def test_a_renewal_by_the_watchdog_counts(memory: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an answer and its time-out are there at the same moment, because the loop was blocked, the work goes on."""
    asked: list[float] = []
    lease = kept(memory, await claimed(memory, lease_s=1), 0.1)
    lease._renewed_at -= 100

    async def renew(*_: object) -> Any:
        asked.append(asyncio.get_running_loop().time())
        if len(asked) == 1:
            # In another thread, while this one was blocked until after the end of the lease as the loop knows it.
            lease.renewed(asked[0] + 100)
            raise TimeoutError
        await forever()

    monkeypatch.setattr(memory.worker, "renew", renew)
    async with lease:
        await eventually(lambda: len(asked) == 2)
        assert lease.lost is None


async def test_a_lease_began_when_it_was_granted(memory: Bus) -> None:
    """Not when the answer arrived: of a claim that took most of its lease to arrive little is left."""
    loop = asyncio.get_running_loop()

    def granted(seconds: float) -> Lease:
        until = memory.now() + timedelta(seconds=seconds)
        return Lease(memory.worker, "s", WORKER, token=1, key="k", epoch="e", version=1, lease_s=10, until=until)

    assert granted(1)._renewed_at < loop.time() - 8
    assert granted(99)._renewed_at <= loop.time()


@pytest.mark.parametrize(("error", "traced"), [(ValueError("a defect"), True), (UnreadableRecord("s", "version: -1"), False)])
async def test_a_defect_of_the_renewal_ends_the_work(
    memory: Bus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, traced: bool
) -> None:
    """Work whose lease is not kept must not go on; the log says why, in one line where the error is one of ours."""

    async def renew(*_: object) -> Any:
        raise error

    monkeypatch.setattr(memory.worker, "renew", renew)
    with pytest.raises(LeaseLost):
        await within(await claimed(memory), forever())
    assert [(record.message, bool(record.exc_info)) for record in caplog.records] == [("lease.failed", traced)]


async def test_all_leases_are_renewed_in_one_call(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many; one whose record was spoiled, or that was taken away, costs the others nothing."""
    calls: list[int] = []
    run_again = RedisContext.run_again

    async def counted(context: RedisContext, name: str, keys: Any, *args: Any) -> Any:
        if name == "renew":
            calls.append(len(keys) - 1)
        return await run_again(context, name, keys, *args)

    leases = [await claimed(bus, session=f"s{number}") for number in range(120)]
    await take_away(bus, session="s7")
    raw: Any = bus._context.connection.commands
    await raw.hset(bus._context.names.record("s8"), mapping={"touched": "many", "picture": "other"})
    await raw.delete(bus._context.names.record("s9"))
    await raw.set(bus._context.names.record("s9"), "no hash")
    monkeypatch.setattr(RedisContext, "run_again", counted)
    answers = await bus.worker.renew(leases)
    assert calls == [100, 20]
    assert [lease.session for lease, answer in zip(leases, answers, strict=True) if not answer.held] == ["s7", "s8", "s9"]
    keeper = Keeper(bus.worker, 0.05)
    calls.clear()
    async with contextlib.AsyncExitStack() as stack:
        for lease in leases[10:40]:
            await stack.enter_async_context(lease.kept_by(keeper))
        await eventually(lambda: calls.count(30) >= 2)
        assert len(keeper._leases) == 30
        for lease in leases[10:40]:
            await lease.release(YIELD)


# the work


async def test_a_block_that_ends_is_a_turn_that_is_over(memory: Bus) -> None:
    """A person speaks next; what was said after the history was read queues the session again."""
    async with await claimed(memory) as lease:
        assert list(await lease.history()) == []
        await lease.append(AgentMessage(text="hi"))
    assert lease.released
    record = await memory.status("s")
    assert (record.state, record.why, record.version) == (State.AWAITING_INPUT, "the turn is over", lease.version)


async def test_a_block_can_say_how_it_ends(memory: Bus) -> None:
    """For good, or as anything else."""
    async with await claimed(memory) as lease:
        lease.finish("two lines are written")
    assert ((await memory.status("s")).state, (await memory.status("s")).why) == (State.FINISHED, "two lines are written")
    async with await claimed(memory, session="two") as lease:
        lease.ending = Ending(Trigger.PARK, reason=Reason.RATE_LIMIT, why="later")
    assert (await memory.status("two")).state is State.RATE_LIMITED


async def test_an_error_says_how_the_session_ends(memory: Bus) -> None:
    """One with an ending as it says, any other with its text, without secrets; each leaves the block."""

    class Enough(Exception):
        def ending(self, lease: Lease) -> Ending:
            return Ending(Trigger.OUTAGE, reason=Reason.OVERLOADED, why=f"enough of {lease.session}")

    with pytest.raises(Enough):
        async with await claimed(memory):
            raise Enough
    assert ((await memory.status("s")).state, (await memory.status("s")).why) == (State.RETRYING, "enough of s")
    with pytest.raises(KeyError):
        async with await claimed(memory, session="two"):
            raise KeyError("sk-abcdefghijklmnopqrstuvwx")
    failed = await memory.status("two")
    assert (failed.state, failed.reason) == (State.ERROR, Reason.UNKNOWN)
    assert failed.why.startswith("the loop failed: KeyError: '[redacted]' (tests/bus/worker/test_lease.py:")


async def test_a_body_that_is_cancelled_gives_the_session_back(memory: Bus) -> None:
    """Another worker goes on with it; the cancellation goes on too, after the session was released."""
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await forever()

    task = asyncio.create_task(within(await claimed(memory), work()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ((await memory.status("s")).state, (await memory.status("s")).why) == (State.QUEUED, "its worker ends")


async def test_a_release_that_fails_while_its_body_is_cancelled_is_told(
    memory: Bus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Found by a fault run: asyncio said that an exception was never retrieved, with a traceback."""
    releasing, go_on = asyncio.Event(), asyncio.Event()
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    async def lost(lease: Lease, ending: Ending) -> tuple[State, int]:
        releasing.set()
        await go_on.wait()
        raise LeaseLost(lease.session, "a worker has claimed it since")

    lease = await claimed(memory)
    monkeypatch.setattr(memory.worker, "release", lost)
    task = asyncio.create_task(within(lease, asyncio.sleep(0)))
    await releasing.wait()
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    gc.collect()
    assert complaints == []
    assert [record.getMessage() for record in caplog.records] == ["lease.release_failed"]


@pytest.mark.parametrize(
    "error", [OutcomeUnknown(("e1",)), Unreachable("gone"), LeaseLost("s")], ids=lambda error: type(error).__name__
)
async def test_where_the_server_is_away_nothing_is_blamed_on_the_loop(memory: Bus, error: Exception) -> None:
    """The lease expires: whoever takes the session over finds the history as it is, and not at once the same trouble."""
    with pytest.raises(type(error)):
        async with await claimed(memory):
            raise error
    assert (await memory.status("s")).state is State.RUNNING


async def test_what_append_returned_is_history(memory: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read again; what a person said meanwhile is, in its place."""
    pages: list[int] = []
    page = memory.worker.events_after

    async def counted(session: str, after: int) -> Any:
        pages.append(after)
        return await page(session, after)

    monkeypatch.setattr(memory.worker, "events_after", counted)
    async with await claimed(memory) as lease:
        first = await lease.append(UserMessage(text="one"), AgentMessage(text="two"))
        assert list(await lease.history()) == list(first)
        assert (pages, lease.read) == ([2], 2)
        snapshot = await memory.controller.snapshot("s")
        assert snapshot is not None
        await memory.controller.decide(snapshot, Decision(messages=(Message.of(UserMessage(text="three"), session="s"),)))
        await lease.append(AgentMessage(text="four"))
        assert [getattr(event.data, "text", "") for event in await lease.history()] == ["one", "two", "three", "four"]
        assert lease.read == 4


# what people are told


async def test_a_retry_is_told_and_seen(bus: Bus) -> None:
    """As a notice, and in the picture of the record; a recovery ends it."""
    async with bus.follow("s") as notices, kept(bus, await claimed(bus), 0.02) as lease:
        lease.tell(retry())
        lease.tell(retry("condenser", attempt=2))
        assert lease.waiting
        told = await _next(notices, LlmRetry)
        assert told.source == "worker/w1"
        assert told.data == retry()

        async def both() -> bool:
            return set((await bus.status("s")).picture.waits) == {"agent", "condenser"}

        async def none() -> bool:
            picture = (await bus.status("s")).picture
            return picture.waits == {} and picture.model == "openai/x"

        await eventually(both)
        lease.tell(LlmRecovered(llm="agent", model="openai/x", attempt=2))
        lease.clear("condenser")
        lease.clear("nobody")
        assert not lease.waiting
        await eventually(none)


async def test_why_a_claimed_session_runs_is_known(bus: Bus) -> None:
    """The script that claims and those that decide have the same words for it."""
    await claimed(bus)
    assert (await bus.status("s")).why == TAKEN_UP


async def test_progress_is_told_and_seen(bus: Bus) -> None:
    """As a notice, and by those who come later, until the turn is over."""
    async with bus.follow("s") as notices, kept(bus, await claimed(bus), 0.02) as lease:
        lease.tell(COMPILING)
        told = await _next(notices, AgentProgress)
        assert (told.source, told.data) == ("worker/w1", COMPILING)
        assert (await bus.status("s")).progress == COMPILING.progress()
        async with bus.follow("s") as late:
            assert (await _next(late, SessionState)).data.progress == COMPILING.progress()
    assert (await bus.status("s")).picture.progress is None
    async with bus.follow("s") as later:
        assert (await _next(later, SessionState)).data.progress is None


@pytest.mark.parametrize("ending", [Trigger.YIELD, Trigger.FINISH, Trigger.FAIL, Trigger.PARK, Trigger.OUTAGE, Trigger.HAND_BACK])
async def test_progress_is_over_however_the_turn_ends(memory: Bus, ending: Trigger) -> None:
    """Neither the record nor the next worker's picture has it."""
    async with await claimed(memory) as lease:
        lease.tell(COMPILING)
        lease.tell(retry())
        waits = dict(lease.picture.waits)
        await lease.release(Ending(ending, read=0, waits=waits, reason=Reason.RATE_LIMIT))
    assert (await memory.status("s")).picture.progress is None


async def test_progress_is_over_when_the_session_is_taken_away(memory: Bus) -> None:
    """What is told after that does not land."""
    lease = await claimed(memory)

    async def work() -> None:
        lease.tell(COMPILING)
        assert await lease._queue.drain(PATIENCE_S)
        assert (await memory.status("s")).progress == COMPILING.progress()
        await take_away(memory)
        await forever()

    with pytest.raises(LeaseLost):
        await within(lease, work())
    lease.tell(COMPILING)
    assert (await memory.status("s")).progress is None


async def test_progress_in_a_loop_is_no_flood(memory: Bus) -> None:
    """One notice in 0.1 s; the picture has the newest at once, and the last one is told as well."""
    hands = Hands()
    async with memory.follow("s") as told, await claimed(memory) as lease:
        lease._throttle = Throttle(PROGRESS_S, lease._put, hands)
        for done in range(500):
            lease.tell(AgentProgress(doing="counting", done=done))
            assert lease.picture.progress == Progress(doing="counting", done=done)
        assert await lease._queue.drain(PATIENCE_S)
        assert lease._queue.published == 1
        hands.move(PROGRESS_S)
        assert await lease._queue.drain(PATIENCE_S)
        assert lease._queue.published == 2
        seen = [(await _next(told, AgentProgress)).data.done for _ in range(2)]
        assert seen == [0, 499]


async def test_the_last_progress_is_told_before_the_session_is_let_go(memory: Bus) -> None:
    """Who reads the notices later sees how far it came."""
    async with memory.follow("s") as told, await claimed(memory) as lease:
        lease.tell(AgentProgress(doing="counting", done=0))
        lease.tell(AgentProgress(doing="counting", done=1))
        await lease.release()
        seen = [(await _next(told, AgentProgress)).data.done for _ in range(2)]
        assert seen == [0, 1]


async def test_a_call_that_was_left_is_remembered_until_its_path_is_told_of_again(memory: Bus) -> None:
    """No notice has said that its wait is over; one that was never told of leaves nothing behind."""
    async with await claimed(memory) as lease:
        lease.tell(retry())
        lease.clear("nobody")
        assert not lease.picture.unsaid
        lease.clear("agent")
        lease.tell(retry("condenser"))
        assert lease.picture.unsaid
        assert not lease.picture.kept().unsaid
        lease.tell(retry())
        assert not lease.picture.unsaid


async def test_the_waits_of_other_calls_are_known(memory: Bus) -> None:
    """A task group leaves them in their waits: nothing is asked before those instants either, unless a person resumes."""
    async with kept(memory, await claimed(memory), 0.02) as lease:
        told_at = memory.now() + timedelta(seconds=45)
        lease.tell(retry("title").model_copy(update={"retry_at": told_at}))
        lease.tell(retry())
        for llm in ("agent", "title"):
            lease.clear(llm)
        until = lease.waits_until("agent")
        assert until is not None
        assert told_at - until < timedelta(milliseconds=1)
        await nudge(memory, 1)

        def sooner() -> bool:
            until = lease.waits_until("agent")
            return until is not None and until < told_at - timedelta(seconds=1)

        await eventually(sooner)


async def test_a_call_that_is_cut_short_with_the_work_is_not_over(memory: Bus) -> None:
    """Whoever takes the session up goes on with its wait; of one that the work itself gave up nothing is left."""
    begun = asyncio.Event()

    async def work(lease: Lease) -> None:
        until = memory.now() + timedelta(seconds=60)
        for llm in ("agent", "title"):
            lease.tell(retry(llm).model_copy(update={"retry_at": until}))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                try:
                    await forever()
                finally:
                    lease.clear("title")
        begun.set()
        try:
            await forever()
        finally:
            lease.clear("agent")

    lease = await claimed(memory)
    task = asyncio.create_task(within(lease, work(lease)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    record = await memory.status("s")
    assert (record.state, set(record.picture.waits)) == (State.RATE_LIMITED, {"agent"})


async def test_an_attempt_in_flight_is_no_wait(memory: Bus) -> None:
    """The picture shows the wait until the call has succeeded; a worker that ends lets the attempt go on."""
    async with await claimed(memory) as lease:
        lease.tell(retry().model_copy(update={"retry_at": memory.now() - timedelta(seconds=1)}))
        assert set(lease.picture.waits) == {"agent"}
        assert not lease.waiting
        lease.tell(retry().model_copy(update={"retry_at": memory.now() + timedelta(seconds=60)}))
        assert lease.waiting


async def _next(notices: Any, kind: type[Notice]) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        async for notice in notices:
            if carries(notice, kind):
                return notice
    raise AssertionError


async def test_a_nudge_ends_the_waits(bus: Bus) -> None:
    """Once for each; in the picture they are over from then on, also where the worker had not heard of it yet."""
    async with kept(bus, await claimed(bus), 0.02) as lease:
        over = asyncio.Event()
        lease.on_retry_now(over.set)
        for times in (1, 2):
            lease.tell(retry())
            over.clear()
            await nudge(bus, times)
            async with asyncio.timeout(PATIENCE_S):
                await over.wait()
            assert not lease.waiting

            async def none() -> bool:
                return (await bus.status("s")).picture.wait_at(bus.now()) is None

            await eventually(none)


# letting go


async def test_a_release_ends_the_lease(bus: Bus) -> None:
    """After the notices that were on their way, in the order in which they were told."""
    async with bus.follow("s") as notices, await claimed(bus) as lease:
        lease.tell(retry())
        released = await lease.release(YIELD)
        assert released is State.AWAITING_INPUT
        await _next(notices, LlmRetry)
        while (await _next(notices, SessionState)).data.to is not State.AWAITING_INPUT:
            pass
        assert (await bus.status("s")).held is False


async def test_a_release_tries_again_while_the_server_is_away(memory: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that is over is not taken for a lost worker because of a restart."""
    release, away = memory.worker.release, 3

    async def shaky(lease: Lease, how: Ending) -> Any:
        nonlocal away
        away -= 1
        if away > 0:
            raise Unreachable("gone")
        return await release(lease, how)

    monkeypatch.setattr(memory.worker, "release", shaky)
    async with kept(memory, await claimed(memory), 0.05) as lease:
        assert await lease.release(YIELD) is State.AWAITING_INPUT
    assert away == 0


async def test_a_release_gives_up_when_the_lease_has_ended(memory: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else looks after the session then."""

    async def gone(*_: object) -> Any:
        raise Unreachable("gone")

    monkeypatch.setattr(memory.worker, "release", gone)
    monkeypatch.setattr(memory.worker, "renew", gone)
    lease = kept(memory, await claimed(memory, lease_s=0.3), 0.05)
    with pytest.raises(LeaseLost):
        await within(lease, asyncio.shield(lease.release(YIELD)))


async def test_a_release_of_what_was_taken_away_is_refused(bus: Bus) -> None:
    """Nothing is written."""
    lease = await claimed(bus)
    await take_away(bus)
    with pytest.raises(LeaseLost):
        await lease.release(YIELD)
    assert (await bus.status("s")).state is State.PAUSED


async def test_a_lease_leaves_nothing_behind(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    """No task, no subscription, no queue: a worker holds thousands of sessions in its life."""
    caplog.set_level(logging.ERROR)
    async with await claimed(bus, session="first") as lease:
        await lease.release(YIELD)
    tasks = len(asyncio.all_tasks())
    for number in range(30):
        async with await claimed(bus, session=f"s{number}") as lease:
            lease.tell(retry())
            if number % 2:
                await lease.release(YIELD)
    assert len(asyncio.all_tasks()) <= tasks
    assert bus._listener._exact == {}
    assert all(queue.closed for queue in bus.worker._queues[:-1])
    assert caplog.records == []
