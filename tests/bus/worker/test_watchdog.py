"""What keeps the leases while the event loop is blocked. The tests block their own loop, until what they wait for is so."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from tests.waiting import PATIENCE_S, eventually
from tidings.bus import (
    AgentMessage,
    Bus,
    Decision,
    Ending,
    Keeper,
    Lease,
    LeaseLost,
    Member,
    Message,
    Presence,
    Reason,
    Record,
    Role,
    SessionState,
    State,
    Trigger,
    WorkerRef,
)
from tidings.bus.worker import watchdog as module
from tidings.bus.worker.face import WorkerFace
from tidings.bus.worker.watchdog import Blocked, Watchdog

T = TypeVar("T")
WORKER = WorkerRef(name="w1")
LEASE_S, RENEW_S = 2.0, 0.1


async def held(bus: Bus, keeper: Keeper | None = None, session: str = "s") -> Lease:
    """A session of our own making, to be entered."""
    lease = await bus.worker.claim(WORKER, lease_s=LEASE_S, session=session, create=True)
    assert lease is not None
    return lease.kept_by(keeper or Keeper(bus.worker, RENEW_S, LEASE_S))


async def within(lease: Lease, work: Coroutine[Any, Any, T]) -> T:
    """Do some work under a lease."""
    async with lease:
        return await work


@asynccontextmanager
async def beside(lease: Lease) -> AsyncIterator[Lease]:
    """A session that is held by a task of its own."""
    entered, over = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with lease:
            entered.set()
            await over.wait()

    task = asyncio.create_task(hold(), context=contextvars.Context())
    await entered.wait()
    try:
        yield lease
    finally:
        over.set()
        await asyncio.gather(task, return_exceptions=True)


def block_until(condition: Callable[[], object]) -> None:
    """Let nothing else run on this thread until something is so."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.05)


def elsewhere(url: str, act: Callable[[Bus], Coroutine[Any, Any, Any]]) -> Any:
    """Do something on a bus of another thread, and wait for it without the loop."""
    made: list[Any] = []

    async def do() -> None:
        async with Bus.connect(url) as bus:
            made.append(await act(bus))

    thread = threading.Thread(target=asyncio.run, args=(do(),))
    thread.start()
    thread.join(PATIENCE_S)
    return made[0]


def status(url: str, session: str = "s") -> Record:
    """What is known of a session, asked without the loop."""
    record: Record = elsewhere(url, lambda bus: bus.status(session))
    return record


async def processes(bus: Bus) -> tuple[Member, ...]:
    """Ask which processes there are."""
    return await bus.admin.processes()


async def pause(bus: Bus) -> None:
    """Take the session from its worker, as a controller does."""
    snapshot = await bus.controller.snapshot("s")
    assert snapshot is not None
    fields = {"worker": "", "lease_until": "", "by": "ann"}
    notice = Message.of(SessionState(to=State.PAUSED, version=0), session="s")
    await bus.controller.decide(snapshot, Decision(to=State.PAUSED, revoke=True, fields=fields, state=notice))


def kept_for(url: str, claim: Lease, seconds: float) -> Callable[[], bool]:
    """Whether the lease runs until so many seconds later than it did at first."""
    return lambda: (status(url).lease_until or claim.until) >= claim.until + timedelta(seconds=seconds)


@pytest.fixture(autouse=True)
def quick_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop is said to be blocked soon."""
    monkeypatch.setattr(module, "WARN_S", 0.2)


# the leases


async def test_a_lease_is_kept_while_the_loop_is_blocked(real_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """For longer than a lease; then the work goes on as if nothing had been. The log and the reason of the end name it."""
    async with Bus.connect(real_url) as bus, await held(bus) as hold:
        claim = hold

        async def work() -> None:
            # On a busy machine the watchdog counts less than passes: it waits for both.
            kept = kept_for(real_url, claim, LEASE_S + 0.5)
            block_until(lambda: hold.blocked is not None and kept())
            await claim.append(Message.of(AgentMessage(text="done"), session="s"), after=0)

        await work()
        await eventually(lambda: "loop.moves_again" in caplog.messages)
        released = await hold.release(Ending(Trigger.YIELD, read=1, why="the turn is over"))
        assert released is State.AWAITING_INPUT
        why = (await bus.status("s")).why
        assert why.startswith("the turn is over; the event loop was blocked for ")
        assert "(tests/bus/worker/test_watchdog.py:" in why
    told = [record for record in caplog.records if record.name == "tidings.watchdog"]
    assert [record.message for record in told] == ["loop.blocked", "loop.moves_again"]
    assert told[0].__dict__["session"] == "s"
    assert "tests/bus/worker/test_watchdog.py:" in told[0].__dict__["place"]


async def test_a_lease_that_the_thread_has_renewed_counts_for_the_hold(real_url: str) -> None:
    """Its own last renewal is older than the lease when the loop moves again."""
    async with Bus.connect(real_url) as bus, await held(bus) as hold:

        async def work() -> float:
            before = hold._renewed_at
            block_until(lambda: hold._renewed_at > before + LEASE_S)
            return hold._renewed_at

        renewed_at = await work()
        await eventually(lambda: hold._renewed_at > renewed_at)
        assert hold.lost is None


async def test_a_session_that_is_paused_meanwhile_is_not_kept(real_url: str) -> None:
    """The others see the pause at once, and the work ends as soon as the loop moves."""
    async with Bus.connect(real_url) as bus:
        hold, seen = await held(bus), list[State | None]()

        async def work() -> None:
            elsewhere(real_url, pause)
            seen.append(status(real_url).state)
            block_until(lambda: hold in hold._keeper.watchdog._taken)
            await asyncio.sleep(PATIENCE_S)

        with pytest.raises(LeaseLost, match="it is paused by ann") as lost:
            await within(hold, work())
        assert (lost.value.state, seen) == (State.PAUSED, [State.PAUSED])


async def test_a_loop_that_is_not_blocked_renews_by_itself(real_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread opens no connection."""
    opened: list[Bus] = []
    another = Bus.another
    monkeypatch.setattr(Bus, "another", lambda bus: opened.append(bus) or another(bus))  # type: ignore[func-returns-value]
    async with Bus.connect(real_url) as bus, await held(bus) as hold:
        first = hold._renewed_at
        await eventually(lambda: hold._renewed_at > first + 5 * RENEW_S)
        thread = hold._keeper.watchdog._thread
        assert thread is not None
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert opened == []


async def test_in_memory_it_is_only_said(caplog: pytest.LogCaptureFixture) -> None:
    """No other thread can connect to that."""
    async with Bus.connect(f"memory://{uuid4().hex}") as bus, await held(bus):

        async def work() -> None:
            block_until(lambda: "loop.blocked" in caplog.messages)

        await work()
    assert [record.message for record in caplog.records if record.levelno > logging.WARNING] == []


async def test_it_says_that_the_process_is_there(real_url: str) -> None:
    """A worker whose loop is blocked is not taken for silent."""
    presence = Presence(role=Role.WORKER, name="w1")
    async with Bus.connect(real_url) as bus:
        keeper = Keeper(bus.worker, RENEW_S, LEASE_S)
        async with keeper.watchdog.attend_for(lambda: presence), await held(bus, keeper):

            async def work() -> None:
                block_until(
                    lambda: [one.presence.name for one in elsewhere(real_url, lambda bus: bus.admin.processes())] == ["w1"]
                )

            await work()


async def test_nothing_of_a_process_is_said_after_its_farewell(real_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the thread has begun to say is waited for: landing later, it would make the process seem lost."""
    begun, gate = threading.Event(), threading.Event()
    attend = WorkerFace.attend

    async def slowly(face: WorkerFace, presence: Presence) -> None:
        begun.set()
        await asyncio.to_thread(gate.wait, PATIENCE_S)
        await attend(face, presence)

    monkeypatch.setattr(WorkerFace, "attend", slowly)
    presence = Presence(role=Role.WORKER, name="w1")

    async def process(bus: Bus) -> None:
        keeper = Keeper(bus.worker, RENEW_S, LEASE_S)
        async with keeper.watchdog.attend_for(lambda: presence), await held(bus, keeper):

            async def work() -> None:
                block_until(begun.is_set)

            await work()
        await bus.admin.leave(presence)

    async with Bus.connect(real_url) as bus:
        ending = asyncio.create_task(process(bus))
        done, _ = await asyncio.wait({ending}, timeout=0.2)
        assert not done
        gate.set()
        await ending
        assert await bus.admin.processes() == ()


# the end


async def test_a_loop_that_does_not_come_back_is_given_up(real_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The session that it is in has an error that says so, the others are handed back, and the process may be ended."""
    given_up = threading.Event()

    async def work() -> None:
        block_until(given_up.is_set)
        await asyncio.sleep(PATIENCE_S)

    async with Bus.connect(real_url) as bus:
        keeper = Keeper(bus.worker, RENEW_S, LEASE_S, blocked_limit_s=0.5, give_up=given_up.set)
        async with beside(await held(bus, keeper, "other")) as other:
            with pytest.raises(LeaseLost, match="the event loop was blocked for 1 s in "):
                await within(await held(bus, keeper), work())
            await eventually(lambda: other.lost is not None)
            assert "the event loop was blocked" in str(other.lost)
            failed, back = await bus.status("s"), await bus.status("other")
    assert (failed.state, failed.reason, failed.losses) == (State.ERROR, Reason.UNKNOWN, 0)
    assert failed.why.startswith("the event loop was blocked for 1 s in block_until() (tests/bus/worker/test_watchdog.py:")
    assert (back.state, back.losses) == (State.QUEUED, 0)
    assert back.why.endswith("by another session of its worker")
    assert "loop.blocked_too_long" in caplog.messages


async def test_where_it_is_not_known_whose_work_it_is_the_leases_run_out(real_url: str) -> None:
    """And count as lost workers: handed back, the session that is to blame would go round without an end."""
    given_up = threading.Event()
    async with Bus.connect(real_url) as bus:
        keeper = Keeper(bus.worker, RENEW_S, LEASE_S, blocked_limit_s=0.5, give_up=given_up.set)
        async with beside(await held(bus, keeper)), beside(await held(bus, keeper, "other")):
            block_until(given_up.is_set)
            assert [(await bus.status(name)).state for name in ("s", "other")] == [State.RUNNING] * 2


async def test_a_loop_that_moves_from_work_to_work_is_not_given_up(memory_watchdog: Watchdog) -> None:
    """Many short pieces in a row keep the renewals waiting, but none of them is to blame."""
    watchdog = memory_watchdog
    watchdog._asked = 1
    handles: list[object] = [object(), object()]
    for handle in handles:
        watchdog._handle = handle
        watchdog._blocked_s, watchdog._silent_s = 100.0, 100.0
        watchdog._looked_at = time.monotonic() - 0.01
        assert watchdog._look()
        assert watchdog._blocked_s < 1
        assert watchdog._silent_s > 100


async def test_a_process_that_was_stopped_was_not_blocked(memory_watchdog: Watchdog) -> None:
    """The thread stood still as well; a look that comes late counts as two."""
    watchdog = memory_watchdog
    watchdog._asked = 1
    watchdog._looked_at = time.monotonic() - 1000
    assert watchdog._look()
    assert watchdog._silent_s <= 2 * watchdog._look_s


@pytest.fixture
async def memory_watchdog() -> AsyncIterator[Watchdog]:
    """One whose thread has not begun."""
    async with Bus.connect(f"memory://{uuid4().hex}") as bus:
        watchdog = Watchdog(bus.worker, RENEW_S, LEASE_S)
        watchdog._loop, watchdog._loop_thread = asyncio.get_running_loop(), threading.get_ident()
        yield watchdog


# whose work it is


async def test_the_work_is_known_in_tasks_and_callbacks_of_its_own(real_url: str) -> None:
    """All that an agent begins has its context."""
    async with Bus.connect(real_url) as bus:
        keeper = Keeper(bus.worker, RENEW_S, LEASE_S)
        watchdog, seen = keeper.watchdog, list[Blocked]()

        def look() -> None:
            # As the thread does, while the loop is in this very line.
            thread = threading.Thread(target=lambda: seen.append(watchdog._blocked()))
            thread.start()
            thread.join(PATIENCE_S)

        async def tool() -> None:
            look()

        async with beside(await held(bus, keeper, "other")) as other, await held(bus, keeper) as lease:
            await asyncio.gather(tool(), tool())
            asyncio.get_running_loop().call_soon(look)
            await asyncio.sleep(0)
            assert [blocked.lease for blocked in seen] == [lease] * 3
            contextvars.Context().run(asyncio.get_running_loop().call_soon, look)
            await asyncio.sleep(0)
            assert seen[-1].lease is None
            watchdog.forget(lease)
            await tool()
            assert seen[-1].lease is other


def test_it_is_said_in_a_sentence() -> None:
    """With the seconds, and the line as far as it is known."""
    assert str(Blocked(20.2, None, None)) == "the event loop was blocked for 20 s in step()"
    assert str(Blocked(0.2, None, None)) == "the event loop was blocked for 1 s in step()"


async def test_a_session_that_was_lost_costs_the_others_nothing(real_url: str) -> None:
    """One that shows a token of another is left alone from then on."""
    async with Bus.connect(real_url) as bus:
        keeper = Keeper(bus.worker, RENEW_S, LEASE_S)
        lease = await held(bus, keeper)
        async with beside(await held(bus, keeper, "other")) as other:

            async def work() -> None:
                before, lease.token = other._renewed_at, 99
                block_until(lambda: other._renewed_at > before + RENEW_S)
                await asyncio.sleep(PATIENCE_S)

            with pytest.raises(LeaseLost):
                await within(lease, work())
            assert other.lost is None
