"""How many commands each token may send: a bucket that fills up again steadily. Pure but for the clock it is given."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Final

_MINUTE_S: Final = 60.0


class TokenBucket:
    """A bucket for each of a few names.

    Args:
        per_minute: how quickly a bucket fills; it holds as much as that, and is full at first.
        clock: seconds on a steady clock.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._buckets: dict[Hashable, tuple[float, float]] = {}

    def take(self, name: Hashable) -> float:
        """Take one; returns 0, or the seconds after which there will be one."""
        now = self._clock()
        left, at = self._buckets.get(name, (float(self._per_minute), now))
        left = min(float(self._per_minute), left + (now - at) * self._per_minute / _MINUTE_S)
        if left < 1:
            return (1 - left) * _MINUTE_S / self._per_minute
        self._buckets[name] = left - 1, now
        return 0.0
