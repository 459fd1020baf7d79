"""The context: what an agent is given for one step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidings.bus import AgentProgress, Event, Message
from tidings.bus.messages.notices import LONGEST_DOING
from tidings.bus.messages.values import MAX_COUNT

if TYPE_CHECKING:
    from tidings.workers.llm import Llm

__all__ = ["Context"]


def _tell_none(progress: AgentProgress) -> None:
    """Tell it to no one."""


@dataclass(frozen=True, slots=True)
class Context:
    """What an agent is given for one step.

    The worker makes it. A test makes one by hand, ``Context("s", history, llm)``, and an agent that hands its step to another one
    may change it: ``dataclasses.replace(ctx, history=shorter)``.

    Attributes:
        session: session id.
        history: all events of the session, oldest first.
        llm: makes the calls; its errors may pass through the step, the worker knows what to do with them.
        tell: takes the progress; the worker's tells it to people. By default it is told to no one.
    """

    session: str
    history: Sequence[Message[Event]]
    llm: Llm
    tell: Callable[[AgentProgress], object] = _tell_none

    async def progress(self, doing: str, done: int | None = None, total: int | None = None) -> None:
        """Tell people what the step does, as in ``await ctx.progress("compiling", 3, 8)``; no model reads it.

        It stands on the session's line, as ``compiling 3/8``, until the next one or the end of the turn. It never waits for the
        server. The newest counts: it is told every 0.5 s at most, and what came in between is left out.

        Args:
            doing: what is done, 1 to 200 characters.
            done: how much of it is done, 0 or more.
            total: how much there is to do, at least ``done``.

        Raises:
            ValueError: an argument is not that; the text says what to give.
        """
        _check_doing(doing)
        _check_numbers(done, total)
        self.tell(AgentProgress(doing=doing, done=done, total=total))
        # In a loop without another await this is where the rest of the worker has its turn.
        await asyncio.sleep(0)


def _check_doing(doing: str) -> None:
    if not isinstance(doing, str) or not doing.strip():
        raise ValueError('progress: say in a few words what is done, as in ctx.progress("compiling", 3, 8)')
    if len(doing) > LONGEST_DOING:
        raise ValueError(f"progress: {len(doing)} characters are too many for one line: cut the text to {LONGEST_DOING}")


def _check_numbers(done: int | None, total: int | None) -> None:
    for name, number in (("done", done), ("total", total)):
        if number is not None and (type(number) is not int or not 0 <= number <= MAX_COUNT):
            raise ValueError(f"progress: {name} is {_shown(number)}: give a whole number from 0 to 2^53 - 1, or leave it out")
    if total is not None and done is None:
        raise ValueError("progress: total without done: give done as well, 0 to begin with")
    if total is not None and done is not None and done > total:
        raise ValueError(f"progress: {done} of {total} are done: give a total of at least {done}, or leave it out")


def _shown(value: object) -> str:
    """Return a number as far as it can be read; anything else by its kind."""
    if type(value) is int and abs(value) <= MAX_COUNT:
        return str(value)
    return f"of the type {type(value).__name__}" if type(value) is not int else "too large"
