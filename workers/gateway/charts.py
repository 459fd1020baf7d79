"""How many calls were repeated and refused, minute by minute, counted from the notices as they come. Pure."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

STEP_S = 60
STEPS = 15


class Charts:
    """Counts of the last `STEPS` minutes.

    What lies before the first notice could have been seen is not known, and is None rather than 0.

    Args:
        now: since when notices are seen; the minute that it lies in is counted from there on.
    """

    def __init__(self, now: datetime) -> None:
        self._first = _minute(now)
        self._retries: Counter[int] = Counter()
        self._refused: Counter[int] = Counter()

    def retried(self, at: datetime, *, refused: bool) -> None:
        """Count a call that will be repeated.

        Args:
            at: when it was told.
            refused: whether the reason was a rate limit.
        """
        minute = _minute(at)
        self._retries[minute] += 1
        self._refused[minute] += refused
        for counts in (self._retries, self._refused):
            for old in [one for one in counts if one <= minute - 2 * STEPS]:
                del counts[old]

    def view(self, now: datetime) -> dict[str, Any]:
        """Return the minutes up to now, the present one last, as JSON."""
        last = _minute(now)
        minutes = range(last - STEPS + 1, last + 1)
        return {
            "step_s": STEP_S,
            "from": datetime.fromtimestamp(minutes.start * STEP_S, tz=UTC),
            "retries": self._counts(self._retries, minutes),
            "refused": self._counts(self._refused, minutes),
        }

    def _counts(self, counts: Counter[int], minutes: range) -> list[int | None]:
        return [counts[minute] if minute >= self._first else None for minute in minutes]


def _minute(when: datetime) -> int:
    return int(when.timestamp() // STEP_S)
