"""The loop of one's own: it works, and it obeys."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from examples.own_loop import run
from tests.processes import environment
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import (
    Bus,
    LlmFailed,
    LlmRateLimited,
    LlmRetry,
    Notice,
    SessionPause,
    SessionResume,
    SessionSay,
    SessionStop,
    State,
    carries,
)
from tidings.workers.controller import Controller
from tidings.workers.provider import Fault, Provider

TASK = "Write a poem."
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@asynccontextmanager
async def _running(bus: Bus, provider: Provider) -> AsyncIterator[asyncio.Task[State | None]]:
    """Run the loop beside the test; it does not outlive it."""
    task = asyncio.create_task(run(bus, "poem", TASK, model="openai/test", api_base=provider.base_url))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _is(bus: Bus, state: State) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return (await bus.status("poem")).state is state

    return check


async def _types(bus: Bus) -> list[str]:
    return [event.type for event in await bus.history("poem")]


async def test_three_drafts_are_written(bus: Bus, controller: Controller, provider: Provider) -> None:
    """The history has the task and three drafts, and each prompt had the drafts before it."""
    async with _running(bus, provider) as task:
        assert await asyncio.wait_for(task, PATIENCE_S) is State.FINISHED
    assert await _types(bus) == ["user.message", *["agent.message"] * 3]
    assert [len(request.messages) for request in provider.requests] == [2, 3, 4]


async def test_a_retry_is_told(bus: Bus, controller: Controller, provider: Provider) -> None:
    """People see the wait while it lasts."""
    provider.script(Fault.parse("429:retry-after=30"))
    async with bus.follow("poem", Notice, after=0) as notices, _running(bus, provider):
        async with asyncio.timeout(PATIENCE_S):
            retry = await anext(notice async for notice in notices if carries(notice, LlmRetry))
        assert (retry.data.attempt, retry.data.reason) == (1, "rate_limit")
        await eventually(_is(bus, State.RATE_LIMITED))


async def test_pause_cancels_and_resume_goes_on(bus: Bus, controller: Controller, provider: Provider) -> None:
    """A pause in the middle of a wait is obeyed, and a resume adds nothing to the history."""
    provider.script(Fault.parse("429:retry-after=30"))
    async with _running(bus, provider) as task:
        # A loop whose session does not exist yet cannot be asked for its state.
        await eventually(lambda: len(provider.requests) == 1)
        await eventually(_is(bus, State.RATE_LIMITED))
        await bus.send("poem", SessionPause())
        assert (await bus.status("poem")).state is State.PAUSED
        await bus.send("poem", SessionResume())
        assert await asyncio.wait_for(task, PATIENCE_S) is State.FINISHED
    assert await _types(bus) == ["user.message", *["agent.message"] * 3]
    assert len(provider.requests) == 4


async def test_stop_ends_it(bus: Bus, controller: Controller, provider: Provider) -> None:
    """A stop in the middle of a wait ends the loop."""
    provider.script(Fault.parse("429:retry-after=30"))
    async with _running(bus, provider) as task:
        await eventually(lambda: len(provider.requests) == 1)
        await bus.send("poem", SessionStop())
        assert await asyncio.wait_for(task, PATIENCE_S) is State.STOPPED
    assert await _types(bus) == ["user.message"]


@pytest.mark.parametrize(
    ("fault", "state"),
    [("429:retry-after=120", State.RATE_LIMITED), ("quota", State.RATE_LIMITED), ("401", State.ERROR)],
)
async def test_what_it_cannot_wait_for_frees_the_session(
    bus: Bus, controller: Controller, provider: Provider, fault: str, state: State
) -> None:
    """A long limit and a used-up quota park the session, a refused key fails it; a resume goes on with the same step.

    It is told, and stands in the record, as with a worker.
    """
    provider.script(Fault.parse(fault))

    async def let_go() -> bool:
        record = await bus.status("poem")
        return record.state is state and not record.held

    async with _running(bus, provider) as task:
        await eventually(lambda: len(provider.requests) == 1)
        await eventually(let_go)
        record = await bus.status("poem")
        assert (record.resume_at is not None) is (fault == "429:retry-after=120")
        call = record.wait or record.failure
        assert call is not None
        assert call.action
        async with bus.follow("poem", Notice, after=0) as notices:
            kind = LlmFailed if state is State.ERROR else LlmRateLimited
            told = await anext(notice async for notice in notices if carries(notice, kind))
        assert isinstance(told.data, LlmFailed | LlmRateLimited)
        assert told.data.action == call.action
        await bus.send("poem", SessionResume())
        assert await asyncio.wait_for(task, PATIENCE_S) is State.FINISHED
    assert len(provider.requests) == 4


async def test_what_is_said_meanwhile_is_answered(bus: Bus, controller: Controller, provider: Provider) -> None:
    """Who speaks while a draft is being written gets three more."""
    provider.script(Fault.parse("429:retry-after=30"))
    async with _running(bus, provider) as task:
        await eventually(lambda: len(provider.requests) == 1)
        await eventually(_is(bus, State.RATE_LIMITED))
        await bus.send("poem", SessionSay(by="me", text="Make it rhyme."))
        await bus.send("poem", SessionResume())
        assert await asyncio.wait_for(task, PATIENCE_S) is State.FINISHED
    assert await _types(bus) == ["user.message", "user.message", *["agent.message"] * 4]
    said = [message["content"] for message in provider.requests[-1].messages if message["role"] == "user"]
    assert said == [TASK, "Make it rhyme."]


async def test_a_session_that_is_over_is_not_begun_again(bus: Bus, controller: Controller, provider: Provider) -> None:
    """Started a second time, the loop says how it ended and asks no model."""
    for _ in range(2):
        async with _running(bus, provider) as task:
            assert await asyncio.wait_for(task, PATIENCE_S) is State.FINISHED
    assert len(provider.requests) == 3


@pytest.mark.full
@pytest.mark.process
async def test_it_runs_as_its_page_says(url: str, controller: Controller, provider: Provider) -> None:
    """The command of its docstring prints the drafts."""
    arguments = ["poem", TASK, "--redis", url, "--model", "openai/test", "--api-base", provider.base_url]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / "own_loop.py"),
        *arguments,
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 0, printed.decode()
    assert printed.decode() == "poem is finished\n" + 3 * f"\nYou said: {TASK}\n"
