"""One look tells the state of a session: a word, a sign, a colour. And how times are written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from tidings.bus import Progress, State, Wait
from tidings.bus.messages.notices import LONGEST_DOING
from tidings.bus.redaction import one_line


@dataclass(frozen=True, slots=True)
class Look:
    """How a state is shown; never by its colour alone.

    Attributes:
        urgency: which sessions are shown first when not all fit; 0 is the most urgent.
    """

    word: str
    sign: str
    ascii_sign: str
    colour: str
    urgency: int


LOOKS: Final = MappingProxyType(
    {
        State.QUEUED: Look("queued", "·", ".", "cyan", 4),
        State.RUNNING: Look("running", "▸", ">", "green", 5),
        State.RETRYING: Look("retrying", "↻", "~", "yellow", 3),
        State.RATE_LIMITED: Look("rate limited", "◔", "%", "yellow", 2),
        State.AWAITING_INPUT: Look("awaiting input", "…", "?", "blue", 6),
        State.PAUSED: Look("paused", "‖", "=", "magenta", 7),
        State.ERROR: Look("error", "✗", "!", "bold red", 1),
        State.STOPPED: Look("stopped", "■", "#", "dim", 9),
        State.FINISHED: Look("finished", "✓", "+", "dim green", 8),
        State.DELETED: Look("deleted", "×", "x", "dim", 10),
    }
)
"""The look of each state."""

PARKED: Final = Look("parked", "◑", "&", "yellow", 2)
"""Rate limited without a worker, with a time at which it goes on."""

LATER: Final = Look("retrying later", "↺", "<", "yellow", 2)
"""Retrying without a worker: an outage is waited out, and it is tried again by itself."""

NEEDS_YOU: Final = Look("parked", "◑", "&", "bold red", 0)
"""Without a worker and without a time: it waits for a person."""


def look_of(state: State, *, parked: bool = False, needs_you: bool = False) -> Look:
    """Return the look of a session."""
    if not parked:
        return LOOKS[state]
    if needs_you:
        return NEEDS_YOU
    return LATER if state is State.RETRYING else PARKED


def duration(seconds: float) -> str:
    """Write a duration in whole seconds, rounded up, so that a countdown never shows 0 too early.

    At most seven characters: ``8s``, ``1m 05s``, ``2h 03m``, ``3d 04h``.
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


def waiting(wait: Wait | None) -> str:
    """Say what a worker waits for, or which attempt is under way."""
    if wait is None:
        return "no call waits any more"
    if wait.asked_at is not None:
        return f"{wait.model or 'the model'}: attempt {wait.attempt + 1} of {wait.max_attempts} under way"
    reason = wait.reason.value.replace("_", " ")
    return f"{wait.model or 'the model'}: {reason}, attempt {wait.attempt} of {wait.max_attempts} failed"


def doing(progress: Progress) -> str:
    """Say what an agent does in one line, as in ``compiling 3/8``."""
    done = "" if progress.done is None else str(progress.done)
    numbers = f"{done}/{progress.total}" if done and progress.total is not None else done
    return f"{one_line(progress.doing, LONGEST_DOING)} {numbers}".strip()


def clock(when: datetime) -> str:
    """Write the time of day of an instant, on the clock of this machine's time zone."""
    return when.astimezone().strftime("%H:%M:%S")


def day_and_clock(when: datetime, now: datetime) -> str:
    """Write an instant: the time of day, with the date where it is not today."""
    here, today = when.astimezone(), now.astimezone().date()
    return clock(when) if here.date() == today else here.strftime("%Y-%m-%d %H:%M:%S")
