"""The throttle of what an agent tells: only the newest counts, and it is told at most so often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Timer(Protocol):
    """Something that is to happen."""

    def cancel(self) -> object:
        """Have it not happen."""
        ...


class Loop(Protocol):
    """What is needed of an event loop."""

    def time(self) -> float:
        """Return the time in seconds."""
        ...

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer:
        """Have something called at a time."""
        ...


class Throttle(Generic[T]):
    """Passes the newest value on: at once, or as soon as the last one is long enough ago. What came in between is left out.

    Args:
        rest_s: shortest time between two, in seconds.
        pass_on: called with each that is passed on.
        loop: the event loop.
    """

    def __init__(self, rest_s: float, pass_on: Callable[[T], object], loop: Loop) -> None:
        self._rest_s, self._pass_on, self._loop = rest_s, pass_on, loop
        self._newest: list[T] = []
        """The one that waits; there is at most one."""
        self._timer: Timer | None = None
        self._free_at = float("-inf")

    def put(self, value: T) -> None:
        """Take a value in, in place of one that waits; returns at once."""
        self._newest = [value]
        if self._loop.time() >= self._free_at:
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_at(self._free_at, self.flush)

    def flush(self) -> None:
        """Pass on what waits, now."""
        newest = self._newest
        self.drop()
        for value in newest:
            self._free_at = self._loop.time() + self._rest_s
            self._pass_on(value)

    def drop(self) -> None:
        """Forget what waits."""
        self._newest = []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
