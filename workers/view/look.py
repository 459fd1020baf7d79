"""One look tells the state of a session: a word, a sign, a colour."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tidings.bus import State


@dataclass(frozen=True, slots=True)
class Look:
    """How a state is shown; never by its colour alone."""

    word: str
    sign: str
    ascii_sign: str
    colour: str


LOOKS: Final = MappingProxyType(
    {
        State.ERROR: Look("error", "✗", "!", "bold red"),
        State.RATE_LIMITED: Look("rate limited", "◔", "%", "yellow"),
        State.RETRYING: Look("retrying", "↻", "~", "yellow"),
        State.RUNNING: Look("running", "▸", ">", "green"),
        State.QUEUED: Look("queued", "·", ".", "cyan"),
        State.AWAITING_INPUT: Look("awaiting input", "…", "?", "blue"),
        State.PAUSED: Look("paused", "‖", "=", "magenta"),
        State.FINISHED: Look("finished", "✓", "+", "dim green"),
        State.STOPPED: Look("stopped", "■", "#", "dim"),
        State.DELETED: Look("deleted", "×", "x", "dim"),
    }
)
"""The look of each state, in the order in which numbers of sessions are told."""

PARKED: Final = Look("parked", "◑", "&", "yellow")
"""Rate limited without a worker, with a time at which it goes on."""

LATER: Final = Look("retrying later", "↺", "<", "yellow")
"""Retrying without a worker: an outage is waited out, and it is tried again by itself."""

NEEDS_YOU: Final = Look("parked", "◑", "&", "bold red")
"""Without a worker and without a time: it waits for a person."""

TOLD: Final = (NEEDS_YOU, LOOKS[State.ERROR], PARKED, LATER, *(look for state, look in LOOKS.items() if state is not State.ERROR))
"""Every look, in the order in which numbers of sessions are told."""


def look_of(state: State, *, parked: bool = False, needs_you: bool = False) -> Look:
    """Return the look of a session."""
    if not parked:
        return LOOKS[state]
    if needs_you:
        return NEEDS_YOU
    return LATER if state is State.RETRYING else PARKED
