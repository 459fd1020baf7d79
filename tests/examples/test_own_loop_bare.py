"""The least that one's own loop needs: what it does is seen, and what it must not do is refused."""

from __future__ import annotations

import asyncio

import pytest

from bus import Bus, LeaseLost, Notice, SessionHeld, SessionPause, State
from examples.own_loop_bare import ask
from tests.waiting import eventually
from workers.controller import Controller
from workers.llm import LlmFailed
from workers.provider import Fault, Provider

QUESTION = "Why is the sea salt?"


async def _ask(bus: Bus, provider: Provider) -> str:
    return await ask(bus, "nightly", QUESTION, model="openai/test", api_base=provider.base_url)


async def test_the_answer_is_returned_and_in_the_history(bus: Bus, controller: Controller, provider: Provider) -> None:
    """One question makes one session with two events, and it ends finished."""
    assert await _ask(bus, provider) == f"You said: {QUESTION}"
    assert [event.type for event in await bus.history("nightly")] == ["user.message", "agent.message"]
    assert (await bus.status("nightly")).state is State.FINISHED
    with pytest.raises(SessionHeld):
        await _ask(bus, provider)


async def test_retries_are_told_and_seen_in_the_state(bus: Bus, controller: Controller, provider: Provider) -> None:
    """The wait is in the status while it lasts, the retry and the recovery are told before the release."""
    provider.script(Fault.parse("429:retry-after=1"))

    async def limited() -> bool:
        record = await bus.status("nightly")
        return record.state is State.RATE_LIMITED and record.wait is not None

    task = asyncio.create_task(_ask(bus, provider))
    await eventually(lambda: len(provider.requests) == 1)
    await eventually(limited)
    await task
    async with bus.notices("nightly", after=0) as notices:
        items = [await anext(notices) for _ in range((await bus.status("nightly")).status)]
    types = [item.type for item in items if isinstance(item, Notice)]
    told = [kind for kind in types if kind.startswith(("llm.", "worker."))]
    assert told == ["worker.claimed", "llm.retry", "llm.recovered", "worker.released"]


async def test_a_failure_is_raised_and_seen(bus: Bus, controller: Controller, provider: Provider) -> None:
    """What no retry helps against leaves the session in error, with the reason."""
    provider.script(Fault.parse("401"))
    with pytest.raises(LlmFailed):
        await _ask(bus, provider)
    record = await bus.status("nightly")
    assert (record.state, record.reason) == (State.ERROR, "auth")


async def test_the_answer_of_a_paused_session_is_refused(bus: Bus, controller: Controller, provider: Provider) -> None:
    """It does not hear of the pause, and its answer does not get into the history all the same."""
    provider.script(Fault.parse("429:retry-after=1"))
    task = asyncio.create_task(_ask(bus, provider))
    await eventually(lambda: len(provider.requests) == 1)
    await bus.send(SessionPause(subject="nightly"))
    with pytest.raises(LeaseLost):
        await task
    assert [event.type for event in await bus.history("nightly")] == ["user.message"]
