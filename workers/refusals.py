"""Log what providers refuse: each session that a worker parks, and once a minute how many calls have failed."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

from tidings.bus import Ending, Reason, Trigger, Wait
from tidings.bus.messages import most_telling
from tidings.bus.redaction import one_line

log = logging.getLogger("tidings.worker")

EVERY_S = 60.0
"""Seconds from one line with counts to the next, at least."""
MOST_MODELS = 20
"""Models that are counted by their names; agents name them, so they may be any number."""

OTHERS = "others"
_TEXT = 300


class Refusals:
    """Counts the attempts that failed, by model and reason, and tells them now and then.

    Args:
        clock: seconds, for the time between two lines.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: Counter[tuple[str, str]] = Counter()
        self._models: set[str] = set()
        self._told_at = clock()

    def note(self, model: str | None, reason: Reason) -> None:
        """Count an attempt that failed."""
        name = model or "unknown"
        if name not in self._models and len(self._models) >= MOST_MODELS:
            name = OTHERS
        self._models.add(name)
        self._counts[name, reason.value] += 1

    def tell(self, *, now: bool = False) -> None:
        """Write a line with the counts since the last one, where there are any and the time has come.

        Args:
            now: whether to write it however little time has passed: nothing more will be counted.
        """
        passed = self._clock() - self._told_at
        if not now and passed < EVERY_S:
            return
        self._told_at = self._clock()
        if not self._counts:
            return
        counts, self._counts, self._models = self._counts, Counter(), set()
        by_model: dict[str, dict[str, int]] = {}
        for (model, reason), count in sorted(counts.items()):
            by_model.setdefault(model, {})[reason] = count
        log.warning("worker.refusals", extra={"seconds": round(passed), "count": counts.total(), "by_model": by_model})

    def released(self, session: str, ending: Ending) -> None:
        """Count the call that a turn has ended with, if it did, and write a line where the session was parked for it."""
        call = most_telling(ending.waits.values())
        if call is not None and ending.trigger is not Trigger.HAND_BACK:
            self.note(call.model, call.reason)
        if ending.trigger in (Trigger.PARK, Trigger.OUTAGE):
            # Where a time is known it goes on by itself.
            level = logging.INFO if ending.resume_at else logging.WARNING
            log.log(level, "worker.parked", extra={"session": session, **_park(ending, call)})


def _park(ending: Ending, call: Wait | None) -> dict[str, str | None]:
    resume_at = ending.resume_at
    return {
        "model": call.model if call else None,
        "reason": ending.reason.value if ending.reason else None,
        "resume_at": resume_at.isoformat(timespec="seconds") if resume_at else None,
        "action": one_line(call.action if call else "", _TEXT),
    }
