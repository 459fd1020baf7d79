"""The rows that people see: who comes late sees what those see who were there all the time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.fleet import Fleet
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import AgentMessage, Bus, Message, Notice, Progress, SessionPause, SessionStop, State, carries
from tidings.workers.agent import ChatAgent, Next, Step, to_prompt
from tidings.workers.context import Context
from tidings.workers.errors import LlmError
from tidings.workers.view import Roster, SessionView

ALIKE = ("state", "reason", "why", "message", "action", "model", "by", "worker", "waits", "resume_at", "parent", "name", "usual")
SAYS_WHY = "it is late"


class Broken:
    """Fails by its own code, after a call that was refused and that it has caught."""

    async def step(self, ctx: Context) -> Step:
        """Fail."""
        with pytest.raises(LlmError):
            await ctx.llm.complete(to_prompt(ctx.history))
        raise KeyError("wind")


BROKEN_AT = f"tests/behaviour/test_rows.py:{Broken.step.__code__.co_firstlineno + 4} in step()"


class Done:
    """Says one thing, and has finished."""

    async def step(self, ctx: Context) -> Step:
        """Finish."""
        return Step((AgentMessage(text="done"),), Next.FINISH)


class Condenser:
    """Asks another model before its own."""

    async def step(self, ctx: Context) -> Step:
        """Ask both."""
        await ctx.llm.named("condenser", "openai/small").complete(to_prompt(ctx.history))
        said = await ctx.llm.complete(to_prompt(ctx.history))
        return Step((AgentMessage(text=said.text),), Next.AWAIT_INPUT)


class Compiling:
    """Tells what it does, and asks."""

    async def step(self, ctx: Context) -> Step:
        """Tell it again and again: the last one counts."""
        for done in range(9):
            await ctx.progress("compiling", done, 8)
        said = await ctx.llm.complete(to_prompt(ctx.history))
        return Step((AgentMessage(text=said.text),), Next.AWAIT_INPUT)


class Twice:
    """Asks again once it has its answer."""

    async def step(self, ctx: Context) -> Step:
        """Ask twice."""
        await ctx.llm.complete([{"role": "user", "content": "first"}])
        said = await ctx.llm.complete([{"role": "user", "content": "second"}])
        return Step((AgentMessage(text=said.text),), Next.AWAIT_INPUT)


class Leaving:
    """Asks two models at once, and leaves the one that waits when the other is asked again."""

    async def step(self, ctx: Context) -> Step:
        """Ask both."""
        title = asyncio.create_task(ctx.llm.named("title").complete([{"role": "user", "content": "title"}]))
        asking = asyncio.create_task(ctx.llm.complete([{"role": "user", "content": "main"}]))
        await eventually(lambda: ctx.llm.usage.attempts == 2, PATIENCE_S)
        title.cancel()
        said = await asking
        return Step((AgentMessage(text=said.text),), Next.AWAIT_INPUT)


async def _pause(fleet: Fleet) -> None:
    await fleet.send(Message.of(SessionPause(by="bob", why=SAYS_WHY), session="s"))


async def _stop(fleet: Fleet) -> None:
    await fleet.until("s", State.ERROR)
    await fleet.send(Message.of(SessionStop(by="bob", why=SAYS_WHY), session="s"))


async def _go_on(fleet: Fleet) -> None:
    await fleet.until("s", State.ERROR)
    await fleet.workers[0].end()
    await fleet.say("s", "again")


async def _drain(fleet: Fleet) -> None:
    await fleet.until_requests(1)
    await eventually(lambda: _heard(fleet, "s").waits, PATIENCE_S)
    await fleet.workers[0].end()


async def _asked_thrice(fleet: Fleet) -> None:
    await fleet.until_requests(3)


async def _nothing(fleet: Fleet) -> None:
    """Leave it."""


Act = Callable[[Fleet], Awaitable[None]]

CASES: dict[str, tuple[dict[str, Any], tuple[str, ...], Act, dict[str, Any]]] = {
    "queued": ({"workers": 0}, (), _nothing, {"word": "queued", "by": "ann", "model": None}),
    "running": ({}, ("timeout",), _nothing, {"word": "running", "worker": "w1", "model": "openai/x"}),
    "running and telling what it does": (
        {"agent": Compiling},
        ("timeout",),
        _nothing,
        {"word": "running", "doing": "compiling 8/8", "worker": "w1"},
    ),
    "waiting after telling what it does": (
        {"agent": Compiling},
        ("429:retry-after=50",),
        _nothing,
        {"word": "rate limited", "doing": "", "progress": Progress(doing="compiling", done=8, total=8)},
    ),
    "awaiting input after telling what it does": (
        {"agent": Compiling},
        (),
        _nothing,
        {"word": "awaiting input", "doing": "", "progress": None},
    ),
    "retrying": (
        {"backoff_base_s": 50.0, "backoff_cap_s": 60.0},
        ("500",),
        _nothing,
        {"word": "retrying", "worker": "w1", "attempt": "1 of 6", "model": "openai/x"},
    ),
    "rate limited": (
        {},
        ("429", "429:retry-after=50"),
        _nothing,
        {"word": "rate limited", "attempt": "2 of 6", "why": "openai/x: rate limit, attempt 2 of 6 failed", "model": "openai/x"},
    ),
    "rate limited on another path": (
        {"agent": Condenser},
        ("429:retry-after=50",),
        _nothing,
        {"word": "rate limited", "model": "openai/small", "usual": "openai/x"},
    ),
    "running after another path has waited": (
        {"agent": Condenser},
        ("429:model=openai/small", "timeout"),
        _nothing,
        {"word": "running", "model": "openai/x", "message": None, "attempt": ""},
    ),
    "asked again": (
        {},
        ("429", "timeout"),
        _nothing,
        {"word": "running", "tried": "attempt 2 of 6 under way", "why": "openai/x: attempt 2 of 6 under way", "reason": None},
    ),
    "waiting for an outage to end": (
        {"attempts": 2},
        ("503x2",),
        _nothing,
        {"word": "retrying later", "attempt": "2 of 2", "worker": None, "needs_you": False, "model": "openai/x"},
    ),
    "handed back in a wait": (
        {},
        ("429:retry-after=50",),
        _drain,
        {"word": "parked", "tried": "attempt 1 of 6 failed", "worker": None, "needs_you": False, "model": "openai/x"},
    ),
    "handed back in the wait of an outage": (
        {"backoff_base_s": 50.0, "backoff_cap_s": 60.0},
        ("500",),
        _drain,
        {"word": "retrying later", "tried": "attempt 1 of 6 failed", "worker": None, "model": "openai/x"},
    ),
    "parked": ({}, ("429:retry-after=500",), _nothing, {"word": "parked", "needs_you": False, "model": "openai/x"}),
    "parked without a time": ({}, ("quota",), _nothing, {"word": "parked", "needs_you": True, "model": "openai/x"}),
    "awaiting input": ({}, (), _nothing, {"word": "awaiting input", "model": "openai/x", "worker": None}),
    "awaiting input after a retry": ({"agent": Condenser}, ("429",), _nothing, {"word": "awaiting input", "model": "openai/x"}),
    "paused": (
        {},
        ("timeout",),
        _pause,
        {"word": "paused", "by": "bob", "why": f"paused by bob: {SAYS_WHY}", "model": "openai/x"},
    ),
    "failed": ({}, ("401",), _nothing, {"word": "error", "reason_word": "auth", "model": "openai/x", "waits": ()}),
    "failed on another path": ({"agent": Condenser}, ("401",), _nothing, {"word": "error", "model": "openai/small"}),
    "failed by the agent's own code": (
        {"agent": Broken},
        ("429", "401"),
        _nothing,
        {
            "word": "error",
            "message": None,
            "why": f"the agent's own code failed: KeyError: 'wind' ({BROKEN_AT})",
            "model": "openai/x",
        },
    ),
    "working on after a recovery": (
        {"agent": Twice, "llm_timeout_s": 4 * PATIENCE_S},
        ("429:retry-after=0.01", "timeout:contains=second"),
        _asked_thrice,
        {"word": "running", "why": "no call waits any more", "message": None, "waits": ()},
    ),
    "a call that was left": (
        {"agent": Leaving, "llm_timeout_s": 4 * PATIENCE_S},
        ("429:retry-after=50,contains=title", "429:retry-after=0.5,contains=main", "timeout:contains=main"),
        _asked_thrice,
        {"word": "running", "why": "openai/x: attempt 2 of 6 under way", "attempt": "2 of 6"},
    ),
    "queued after a failure": ({}, ("401",), _go_on, {"word": "queued", "by": "ann", "message": None, "model": "openai/x"}),
    "stopped": ({}, ("401",), _stop, {"word": "stopped", "by": "bob", "message": None, "model": "openai/x"}),
    "finished": ({"agent": Done}, (), _nothing, {"word": "finished", "model": "openai/x"}),
}


@pytest.mark.parametrize("case", CASES)
async def test_who_comes_late_sees_the_same_row(real_url: str, case: str) -> None:
    """By the record, as a gateway reads it, and by the first notice, as a terminal does (it is about the servers' scripts)."""
    given, faults, act, wanted = CASES[case]
    async with Fleet(real_url, **{"agent": ChatAgent} | given) as fleet:
        fleet.script(*faults)
        await fleet.start("s")
        if act is _pause:
            await fleet.until_requests(1)
        await act(fleet)

        async def alike() -> SessionView:
            heard, late = _heard(fleet, "s"), await _late(fleet.bus, "s")
            for name, value in wanted.items():
                assert _of(heard, name) == value, name
            for name in ALIKE:
                assert [getattr(row, name) for row in late] == [getattr(heard, name)] * len(late), name
            assert {row.story() for row in late} == {heard.story()}
            assert late[0].since == late[1].since
            return heard

        row = await eventually(alike, PATIENCE_S, case)
        assert row is not None
        if row.state is State.ERROR and "own code" not in case:
            assert row.message
            assert row.action
            assert row.to_do in row.story()


def _of(row: SessionView, name: str) -> object:
    return getattr(row, name)


def _heard(fleet: Fleet, session: str) -> SessionView:
    """Return the row of who has heard everything."""
    board = Roster()
    for notice in fleet.told:
        board.apply(notice)
    return board[session]


async def _late(bus: Bus, session: str) -> list[SessionView]:
    """Return the rows of who comes now: by the record, and by the picture that a subscription begins with."""
    async with bus.follow(session) as notices, asyncio.timeout(PATIENCE_S):
        first = await anext(notices)
    assert carries(first, Notice)
    return [SessionView.of(await bus.status(session), bus.now()), SessionView(session).apply(first)]
