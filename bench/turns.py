"""How things are compared: in turns, and by the median of the ratios. Pure but for the clock.

A machine is quicker in one second than in the next, so a figure alone says little. Here those compared run one after the other in
every round, the order turns round with each round, and the ratio is taken within the round. The median of these ratios is
stable when the machine's speed changes.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """One turn of one contestant: so many operations in so many seconds."""

    operations: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Operations a second."""
        return self.operations / self.seconds


Run = Callable[[], Awaitable[Timing]]
"""One turn; what it prepares before it starts its clock is not in the timing."""


@dataclass(frozen=True)
class Comparison:
    """Ours beside a reference, over all rounds.

    Attributes:
        ours_per_s: median of our operations a second.
        reference_per_s: median of the reference's.
        ratio: median over the rounds of ours divided by the reference's; 2 is twice as quick, 0.5 half as quick.
        ratio_low: lowest of them.
        ratio_high: highest of them.
        rounds: how many were counted.
    """

    ours_per_s: float
    reference_per_s: float
    ratio: float
    ratio_low: float
    ratio_high: float
    rounds: int


async def spread(tasks: int, operations: int, step: Callable[[int], Awaitable[object]]) -> Timing:
    """Have tasks do operations between them, each one after the other, and time it.

    Args:
        tasks: how many run at the same time.
        operations: of all together, a multiple of ``tasks``.
        step: does one operation of the task with that number.
    """

    async def work(number: int) -> None:
        for _ in range(operations // tasks):
            await step(number)

    started = time.perf_counter()
    await asyncio.gather(*(work(number) for number in range(tasks)))
    return Timing(operations // tasks * tasks, time.perf_counter() - started)


async def take_turns(
    contestants: Mapping[str, Run], rounds: int, budget_s: float, clock: Callable[[], float] = time.monotonic
) -> dict[str, list[Timing]]:
    """Run all contestants once uncounted, then in rounds.

    Args:
        rounds: at most so many.
        budget_s: seconds after which no further round begins; the first counted one always runs.

    Returns:
        The timings of each contestant, one a round.
    """
    end = clock() + budget_s
    for run in contestants.values():
        await run()
    timings: dict[str, list[Timing]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name in _in_turn(list(contestants), number):
            # So that the garbage of the contestant before does not count against this one.
            gc.collect()
            timings[name].append(await contestants[name]())
        if clock() >= end:
            break
    return timings


def _in_turn(names: list[str], number: int) -> list[str]:
    """Return the order of a round: the subject that was first is last in the next one."""
    return names if number % 2 == 0 else names[::-1]


def compare(ours: Sequence[Timing], reference: Sequence[Timing]) -> Comparison:
    """Compare the timings of the same rounds."""
    ratios = [mine.per_second / theirs.per_second for mine, theirs in zip(ours, reference, strict=True)]
    return Comparison(
        ours_per_s=statistics.median(timing.per_second for timing in ours),
        reference_per_s=statistics.median(timing.per_second for timing in reference),
        ratio=statistics.median(ratios),
        ratio_low=min(ratios),
        ratio_high=max(ratios),
        rounds=len(ratios),
    )
