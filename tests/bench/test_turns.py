"""How the benchmark compares."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import pytest

from bench.turns import Run, Timing, compare, spread, take_turns


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the garbage of other tests alone, which would take longer than all of these."""
    monkeypatch.setattr(gc, "collect", lambda: 0)


def contestant(name: str, log: list[str], seconds: float = 1.0) -> Run:
    """Make a contestant that notes its turns."""

    async def run() -> Timing:
        log.append(name)
        return Timing(1, seconds)

    return run


def clock(*readings: float) -> Callable[[], float]:
    """Make a clock that shows these readings one after the other, and the last of them for ever."""
    left = list(readings)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


async def test_all_run_once_uncounted_and_the_order_turns_round() -> None:
    """Nobody is always first, and what the first run has to prepare is nobody's time."""
    log: list[str] = []
    timings = await take_turns({name: contestant(name, log) for name in "ab"}, rounds=3, budget_s=60)
    assert "".join(log) == "ab" + "ab" + "ba" + "ab"
    assert {name: len(found) for name, found in timings.items()} == {"a": 3, "b": 3}


async def test_no_round_begins_after_the_budget() -> None:
    """A slow machine measures fewer rounds, not for longer."""
    log: list[str] = []
    timings = await take_turns({"a": contestant("a", log)}, 9, 5.0, clock(0.0, 3.0, 6.0))
    assert len(timings["a"]) == 2


async def test_one_round_counts_whatever_the_budget() -> None:
    """There is always something to compare."""
    log: list[str] = []
    timings = await take_turns({"a": contestant("a", log)}, 9, 0.0, clock(0.0))
    assert len(timings["a"]) == 1


def test_the_ratio_is_taken_within_each_round() -> None:
    """A round in which the whole machine was slow changes no ratio."""
    ours = [Timing(10, 1.0), Timing(10, 10.0), Timing(10, 2.0)]
    theirs = [Timing(10, 2.0), Timing(10, 20.0), Timing(10, 8.0)]
    found = compare(ours, theirs)
    assert (found.ratio, found.ratio_low, found.ratio_high) == (2.0, 2.0, 4.0)
    assert (found.ours_per_s, found.reference_per_s, found.rounds) == (5.0, 1.25, 3)


def test_rounds_of_different_number_are_not_compared() -> None:
    """A ratio of two different rounds would say nothing."""
    with pytest.raises(ValueError, match="shorter"):
        compare([Timing(1, 1.0)] * 2, [Timing(1, 1.0)])


async def test_tasks_share_the_operations() -> None:
    """Each task does its part, all at the same time, and only what was done is counted."""
    done, together = [0, 0, 0], asyncio.Barrier(3)

    async def step(task: int) -> None:
        done[task] += 1
        await together.wait()

    timing = await spread(3, 7, step)
    assert done == [2, 2, 2]
    assert timing.operations == 6
    assert timing.seconds > 0
    assert timing.per_second == 6 / timing.seconds
