"""The context of a step: what an agent may tell, and what it may not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

import tidings
from tidings.bus import AgentProgress
from tidings.workers.context import Context

LLM: Any = None


async def test_progress_is_told_with_its_numbers() -> None:
    """Each call is one; what is left out is not made up."""
    told: list[AgentProgress] = []
    ctx = Context("s", (), LLM, told.append)
    await ctx.progress("compiling", 3, 8)
    await ctx.progress("linking", done=2)
    await ctx.progress("x" * 200)
    assert told == [
        AgentProgress(doing="compiling", done=3, total=8),
        AgentProgress(doing="linking", done=2),
        AgentProgress(doing="x" * 200),
    ]


async def test_a_context_can_be_made_by_hand_and_changed() -> None:
    """For a test of an agent, which needs no one who listens, and for an agent that hands its step to another."""
    ctx = tidings.Context("s", (), LLM)
    await ctx.progress("compiling")
    told: list[AgentProgress] = []
    other = replace(ctx, session="t", tell=told.append)
    await other.progress("compiling")
    assert (other.session, other.history, len(told)) == ("t", (), 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("",), "say in a few words what is done"),
        ((" \n",), "say in a few words what is done"),
        ((None,), "say in a few words what is done"),
        (("x" * 201,), "201 characters are too many for one line: cut the text to 200"),
        (("x", -1), "done is -1: give a whole number from 0"),
        (("x", 1, -8), "total is -8: give a whole number from 0"),
        (("x", 0.5), "done is of the type float: give a whole number"),
        (("x", True), "done is of the type bool: give a whole number"),
        (("x", 10**5000), "done is too large: give a whole number from 0 to 2^53 - 1"),
        (("x", 9, 8), "9 of 8 are done: give a total of at least 9"),
        (("x", None, 8), "total without done: give done as well"),
    ],
)
async def test_what_cannot_be_told_is_refused_with_what_to_give(arguments: tuple[Any, ...], words: str) -> None:
    """Nothing is told then."""
    told: list[AgentProgress] = []
    with pytest.raises(ValueError, match=r"^progress: ") as refused:
        await Context("s", (), LLM, told.append).progress(*arguments)
    assert words in str(refused.value)
    assert told == []


async def test_a_loop_that_tells_its_progress_lets_others_work() -> None:
    """Each call gives the loop a turn, and waits for nothing else."""
    turns: list[int] = []
    other = asyncio.ensure_future(_count(turns))
    for done in range(10):
        await Context("s", (), LLM).progress("counting", done, 10)
    other.cancel()
    assert len(turns) >= 9


async def _count(turns: list[int]) -> None:
    while True:
        turns.append(len(turns))
        await asyncio.sleep(0)
