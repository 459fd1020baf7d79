"""How far the clock must be moved until a session goes on."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tidings.bus import Bus, Picture, Reason, Record, State, Wait, WorkerRef
from tidings.workers.agent import ChatAgent
from tidings.workers.provider import Provider
from tidings.workers.testing import Clock
from tidings.workers.testing.in_process import InProcess, fleet_settings
from tidings.workers.testing.recorder import NoticeRecorder
from tidings.workers.testing.waiter import Waiter


@pytest.fixture
def waiter(tidings_bus: Bus, tidings_provider: Provider, tidings_clock: Clock) -> Waiter:
    """A waiter over a members that is not at work."""
    members = InProcess(tidings_bus, ChatAgent, fleet_settings({}), tidings_clock, workers=1)
    return Waiter(tidings_bus, tidings_provider, members, NoticeRecorder(), tidings_clock, timeout_s=5.0)


def _held(state: State, *waits: Wait) -> Record:
    picture = Picture(waits={wait.llm: wait for wait in waits})
    return Record(session="s", state=state, epoch="e", worker=WorkerRef(name="w1"), picture=picture)


def _wait(wait_s: float, reason: Reason = Reason.RATE_LIMIT, llm: str = "agent") -> Wait:
    return Wait(llm=llm, reason=reason, wait_s=wait_s)


async def _sleeping(clock: Clock, seconds: float, owner: str = "s") -> asyncio.Task[None]:
    task = asyncio.create_task(clock.sleep(seconds, owner))
    await asyncio.sleep(0)
    return task


async def test_a_wait_counts_once_its_record_shows_it_and_its_owner_sleeps(waiter: Waiter, tidings_clock: Clock) -> None:
    """Neither is enough: a picture outlives the wait in it, and a sleeper is there before its state was decided."""
    waiting = _held(State.RATE_LIMITED, _wait(31.0))
    assert waiter.left_s(waiting) is None
    task = await _sleeping(tidings_clock, 31.0)
    assert waiter.left_s(waiting) == 31.0
    assert waiter.left_s(_held(State.RUNNING, _wait(31.0))) is None
    assert waiter.left_s(_held(State.RETRYING, _wait(31.0))) is None
    assert waiter.left_s(_held(State.RATE_LIMITED, _wait(31.0, Reason.OVERLOADED))) is None
    assert waiter.left_s(_held(State.RATE_LIMITED, _wait(2.0))) is None
    tidings_clock.move(30.0)
    assert waiter.left_s(waiting) == 1.0
    tidings_clock.move(1.0)
    await task
    assert waiter.left_s(waiting) is None


async def test_the_wait_that_ends_first_counts(waiter: Waiter, tidings_clock: Clock) -> None:
    """A session with several paths goes on when one of them does; another session's sleep is not its own."""
    tasks = [await _sleeping(tidings_clock, seconds, owner) for seconds, owner in ((31.0, "s"), (4.0, "s"), (1.0, "t"))]
    both = _held(State.RATE_LIMITED, _wait(31.0), _wait(4.0, Reason.OVERLOADED, "condenser"))
    assert waiter.left_s(both) == 4.0
    tidings_clock.move(31.0)
    await asyncio.gather(*tasks)


async def test_a_parked_session_goes_on_at_its_time(waiter: Waiter, tidings_bus: Bus, tidings_clock: Clock) -> None:
    """By the server's time, which is what controllers go by; one that only a person resumes does not wait for a time."""

    def parked(**fields: Any) -> Record:
        return Record(session="s", state=State.RATE_LIMITED, epoch="e", **fields)

    record = parked(resume_at=tidings_bus.now() + timedelta(seconds=1000))
    left = waiter.left_s(record)
    assert left is not None
    assert 900 < left <= 1000
    tidings_clock.move(1001.0)
    assert waiter.left_s(record) is None
    assert waiter.left_s(parked()) is None


async def test_without_a_clock_nothing_is_moved(tidings_bus: Bus, tidings_provider: Provider) -> None:
    """What waits then goes on by itself."""
    members = InProcess(tidings_bus, ChatAgent, fleet_settings({}), None, workers=1)
    waiter = Waiter(tidings_bus, tidings_provider, members, NoticeRecorder(), None, timeout_s=5.0)
    assert waiter.left_s(_held(State.RATE_LIMITED, _wait(31.0))) is None
