"""The time of one test: waits pass when it is moved, and the server's time jumps along."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_ROUNDING_S = 1e-6
"""Sums of floats are off by less than this; no wait is so short."""


@dataclass(frozen=True, slots=True, eq=False)
class Sleeper:
    """A wait under way.

    Attributes:
        owner: the session that waits, '' where it was not said.
        seconds: length of the wait.
        wakes_at: the moment at which it ends, on ``Clock.monotonic``.
    """

    owner: str
    seconds: float
    wakes_at: float
    over: asyncio.Future[None] = field(repr=False)


class Clock:
    """Time that a test moves.

    There are two kinds of time. *Waits* (back-offs of an `Llm`, the windows of a provider's limits) stand still and pass only
    when the clock is moved. *Server time* (what a bus of `memory_bus` goes by: when a parked session is due, when a lease ends,
    what the instants in notices say) runs as ever, and jumps ahead when the clock is moved. It belongs to one event loop.
    """

    def __init__(self) -> None:
        self._moved_s = 0.0
        self._sleepers: list[Sleeper] = []
        self._followers: list[tuple[object, Callable[[], None]]] = []

    def __repr__(self) -> str:
        return f"<Clock moved by {self._moved_s:g} s, {len(self._sleepers)} waiting>"

    def time(self) -> float:
        """Return server time, in seconds since 1970."""
        return time.time() + self._moved_s

    def monotonic(self) -> float:
        """Return how far the clock was moved, in seconds: the time that waits go by."""
        return self._moved_s

    async def sleep(self, seconds: float, owner: str = "") -> None:
        """Wait until the clock was moved by so much; a wait of 0 or less only yields.

        Args:
            owner: the session that waits, for ``sleepers``.
        """
        if not seconds > 0:
            await asyncio.sleep(0)
            return
        over = asyncio.get_running_loop().create_future()
        sleeper = Sleeper(owner, seconds, self._moved_s + seconds, over)
        self._sleepers.append(sleeper)
        try:
            await over
        finally:
            # Cancelled, it is still in the list; woken, it is not.
            self._sleepers = [other for other in self._sleepers if other is not sleeper]

    def sleepers(self, owner: str | None = None) -> tuple[Sleeper, ...]:
        """Return the waits under way, of all owners or of one; the first to end stands first."""
        found = [sleeper for sleeper in self._sleepers if owner in (None, sleeper.owner)]
        return tuple(sorted(found, key=lambda sleeper: sleeper.wakes_at))

    def left_s(self, sleeper: Sleeper) -> float:
        """Return how far the clock must be moved until a wait ends, in seconds."""
        return max(0.0, sleeper.wakes_at - self._moved_s)

    def follow(self, subject: object, moved: Callable[[], None]) -> None:
        """Have something called after each move, in the same turn of the loop.

        Args:
            subject: the object that has its time from here, for ``governs``.
        """
        self._followers.append((subject, moved))

    def governs(self, subject: object) -> bool:
        """Whether this clock moves the time of a bus."""
        return any(other is subject for other, _ in self._followers)

    def move(self, seconds: float) -> None:
        """Move the clock ahead; waits that end by it go on at the next turn of the loop.

        A lease shorter than the move runs out, as it does when a machine has slept; `Fleet.advance` sees to that.

        Raises:
            ValueError: it is no time, or a step back.
        """
        check_move(seconds)
        self._moved_s += seconds
        for _, moved in self._followers:
            moved()
        due = [sleeper for sleeper in self._sleepers if sleeper.wakes_at <= self._moved_s + _ROUNDING_S]
        self._sleepers = [sleeper for sleeper in self._sleepers if sleeper not in due]
        for sleeper in due:
            if not sleeper.over.done():
                sleeper.over.set_result(None)


def check_move(seconds: float) -> None:
    """Refuse a time by which no clock can be moved.

    Raises:
        ValueError: it is no time, or a step back.
    """
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"a clock is moved ahead by a number of seconds, not by {seconds!r}")
