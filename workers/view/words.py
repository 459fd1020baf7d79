"""How times, waits and reasons are written: one notation on every screen; the page's is held equal by a test."""

from __future__ import annotations

import math
from datetime import datetime

from tidings.bus import Progress, Wait
from tidings.bus.messages.notices import LONGEST_DOING
from tidings.bus.redaction import one_line


def duration(seconds: float) -> str:
    """Write a duration in whole seconds, rounded up, so that a countdown never shows 0 too early.

    At most eight characters: ``8s``, ``1m 05s``, ``2h 03m``, ``3d 04h``.
    """
    left = max(0, math.ceil(seconds))
    if left < 60:
        return f"{left}s"
    if left < 3600:
        return f"{left // 60}m {left % 60:02}s"
    if left < 86_400:
        return f"{left // 3600}h {left % 3600 // 60:02}m"
    return f"{min(left // 86_400, 999)}d {left % 86_400 // 3600:02}h"


def age(seconds: float) -> str:
    """Write how long ago something was, in at most four characters: ``8s``, ``5m``, ``2h``, ``3d``; it is read in passing."""
    gone = max(0, math.floor(seconds))
    if gone < 60:
        return f"{gone}s"
    if gone < 3600:
        return f"{gone // 60}m"
    if gone < 86_400:
        return f"{gone // 3600}h"
    return f"{min(gone // 86_400, 999)}d"


def clock(when: datetime) -> str:
    """Write the time of day of an instant, on the clock of this machine's time zone."""
    return when.astimezone().strftime("%H:%M:%S")


def day_and_clock(when: datetime, now: datetime) -> str:
    """Write an instant: the time of day, with the date where it is not today."""
    here, today = when.astimezone(), now.astimezone().date()
    return clock(when) if here.date() == today else here.strftime("%Y-%m-%d %H:%M:%S")


def in_words(name: str) -> str:
    """Write a word of the wire for people: ``rate_limit`` becomes ``rate limit``."""
    return name.replace("_", " ")


def waiting(wait: Wait | None) -> str:
    """Say what a worker waits for, or which attempt is under way."""
    if wait is None:
        return "no call waits any more"
    if wait.asked_at is not None:
        return f"{wait.model or 'the model'}: attempt {wait.attempt + 1} of {wait.max_attempts} under way"
    return f"{wait.model or 'the model'}: {in_words(wait.reason)}, attempt {wait.attempt} of {wait.max_attempts} failed"


def doing(progress: Progress) -> str:
    """Say what an agent does in one line, as in ``compiling 3/8``."""
    done = "" if progress.done is None else str(progress.done)
    numbers = f"{done}/{progress.total}" if done and progress.total is not None else done
    return f"{one_line(progress.doing, LONGEST_DOING)} {numbers}".strip()
