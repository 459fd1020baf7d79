"""The clock of a test."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.workers.testing import Clock


async def _sleeping(clock: Clock, *waits: float, owner: str = "") -> list[asyncio.Task[None]]:
    """Begin some waits, and let each come to sleep."""
    tasks = [asyncio.create_task(clock.sleep(seconds, owner)) for seconds in waits]
    await asyncio.sleep(0)
    return tasks


async def test_a_wait_ends_when_the_clock_has_moved_by_it() -> None:
    """Not before, however often the loop turns, and whatever the steps are."""
    clock = Clock()
    (task,) = await _sleeping(clock, 30.0)
    clock.move(29.9)
    for _ in range(100):
        await asyncio.sleep(0)
    assert not task.done()
    clock.move(0.1)
    await task
    assert clock.sleepers() == ()


async def test_those_who_wait_are_woken_in_any_order_of_beginning() -> None:
    """A move ends the waits that are over by it and no others; who wakes first stands first."""
    clock = Clock()
    long, short = await _sleeping(clock, 10.0, 2.0)
    assert [clock.left_s(sleeper) for sleeper in clock.sleepers()] == [2.0, 10.0]
    clock.move(2.0)
    await short
    assert [clock.left_s(sleeper) for sleeper in clock.sleepers()] == [8.0]
    assert not long.done()
    clock.move(100.0)
    await long


async def test_waits_are_known_by_their_owner() -> None:
    """A session's waits can be told from another's."""
    clock = Clock()
    tasks = [*await _sleeping(clock, 1.0, owner="a"), *await _sleeping(clock, 2.0, owner="b")]
    assert [sleeper.seconds for sleeper in clock.sleepers("b")] == [2.0]
    assert repr(clock) == "<Clock moved by 0 s, 2 waiting>"
    clock.move(2.0)
    await asyncio.gather(*tasks)


async def test_a_cancelled_wait_is_forgotten() -> None:
    """Nobody is woken who has left, also when both happen in one turn of the loop."""
    clock = Clock()
    first, second = await _sleeping(clock, 1.0, 1.0)
    first.cancel()
    await asyncio.wait({first})
    assert len(clock.sleepers()) == 1
    second.cancel()
    clock.move(1.0)
    await asyncio.wait({second})
    assert second.cancelled()


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan])
async def test_no_wait_is_no_wait(seconds: float) -> None:
    """What is not longer than nothing ends by itself."""
    await Clock().sleep(seconds)


@pytest.mark.parametrize("seconds", [-0.1, math.nan, math.inf])
def test_a_clock_is_moved_ahead_by_a_time(seconds: float) -> None:
    """A step back, or one without an end, is refused and changes nothing."""
    clock = Clock()
    with pytest.raises(ValueError, match="moved ahead"):
        clock.move(seconds)
    assert clock.monotonic() == 0.0


def test_server_time_runs_and_jumps() -> None:
    """It never goes back, and is ahead by what the clock was moved; the time that waits go by stands still."""
    clock = Clock()
    before = clock.time()
    clock.move(3600.0)
    assert clock.time() >= before + 3600.0
    assert clock.monotonic() == 3600.0


def test_who_follows_is_called_at_each_move_and_is_governed() -> None:
    """Being told is part of the move, after the time has changed."""
    clock, subject, seen = Clock(), object(), list[float]()
    clock.follow(subject, lambda: seen.append(clock.monotonic()))
    clock.move(1.0)
    clock.move(2.0)
    assert seen == [1.0, 3.0]
    assert clock.governs(subject)
    assert not clock.governs(object())


@given(st.lists(st.floats(0.001, 1e5), min_size=1, max_size=20))
def test_moving_by_what_is_left_always_ends_a_wait(waits: list[float]) -> None:
    """Sums of floats miss by a little; nobody is left waiting by that."""

    async def skip_all() -> None:
        clock = Clock()
        tasks = await _sleeping(clock, *waits)
        for _ in waits:
            if sleepers := clock.sleepers():
                clock.move(clock.left_s(sleepers[0]))
        assert clock.sleepers() == ()
        await asyncio.gather(*tasks)

    asyncio.run(skip_all())
