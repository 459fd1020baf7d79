"""Asking something of a session, and what became of it in one line for a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tidings.bus import (
    Bus,
    Command,
    CommandRefused,
    Outcome,
    SessionPause,
    SessionResume,
    SessionSay,
    SessionStop,
    State,
    TidingsError,
    build,
)
from tidings.bus.redaction import one_line
from tidings.workers.view import LOOKS

Wish = Literal["resume", "pause", "stop", "say"]
"""What can be asked of a session from here."""

_MODELS: dict[Wish, type[Command]] = {"resume": SessionResume, "pause": SessionPause, "stop": SessionStop, "say": SessionSay}
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a wish.

    Attributes:
        granted: whether it was applied.
        text: what a person reads; one line.
    """

    granted: bool
    text: str


async def ask(bus: Bus, wish: Wish, session: str, *, by: str, timeout_s: float, text: str = "") -> Told:
    """Send a command, wait for its outcome and return it; an error on the way is an answer too.

    Args:
        by: sender of the command, for the people who see it.
        timeout_s: how long to wait; after that the command is withdrawn and never applied.
        text: what is said, for ``say``.
    """
    try:
        command = build(SessionSay, by=by, text=text) if wish == "say" else build(_MODELS[wish], by=by)
        return _granted(wish, await bus.send(session, command, timeout_s, source="cli"))
    except CommandRefused as refusal:
        return _answer(f"{session}: {wish} refused{_while(refusal.state)}: {refusal.reason}{_instead(refusal.legal)}")
    except TidingsError as error:
        return _answer(f"{session}: {wish}: {error}")


def _granted(wish: Wish, outcome: Outcome) -> Told:
    state = LOOKS[outcome.state].word if outcome.state else "gone"
    return Told(True, f"{outcome.session}: {wish} applied, the session is {state}")


def _answer(text: str) -> Told:
    return Told(False, one_line(text, _LONGEST))


def _while(state: str) -> str:
    return f" while {LOOKS[State(state)].word}" if state else ""


def _instead(legal: tuple[str, ...]) -> str:
    names = [name.removeprefix("session.") for name in legal if name != "session.start"]
    return f"; accepted now: {', '.join(names)}" if names else ""
