"""What people ask of a session: resume, pause, stop, and say."""

from __future__ import annotations

import asyncio

import pytest

from tests.behaviour.agents import Gate, Lingering
from tests.fleet import Fleet
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import CommandRefused, Result, State, WorkerClaimed
from tidings.workers.provider import ProviderSettings

LONG = "429:retry-after=50"
"""A wait that a worker holds the session for, and that no test sees the end of."""


async def test_a_resume_continues_the_interrupted_step(redis_url: str) -> None:
    """It asks the provider the same again and adds no message."""
    async with Fleet(redis_url) as fleet:
        fleet.script(LONG)
        await fleet.start("s", "hello")
        await fleet.until("s", State.RATE_LIMITED)
        assert (await fleet.pause("s")).state is State.PAUSED
        assert (await fleet.resume("s")).state is State.QUEUED
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: hello", "agent: You said: hello"]
        first, second = fleet.provider.requests
        assert first.messages == second.messages


async def test_a_resume_ends_a_wait_at_once(redis_url: str) -> None:
    """The worker keeps the session and goes on; the test would not see the end of the wait."""
    async with Fleet(redis_url) as fleet:
        fleet.script(LONG)
        await fleet.start("s")
        await fleet.until("s", State.RATE_LIMITED)
        outcome = await fleet.resume("s")
        assert (outcome.result, outcome.state) == (Result.APPLIED, State.RUNNING)
        await fleet.until("s", State.AWAITING_INPUT)
        assert len(fleet.provider.requests) == 2
        assert len(fleet.of("s", WorkerClaimed)) == 1


async def test_three_resumes_are_one_run(redis_url: str) -> None:
    """All are applied, one request goes out, and one answer is there."""
    async with Fleet(redis_url, workers=2, controllers=2, max_inline_wait_s=1) as fleet:
        fleet.script("429:retry-after=3600")
        await fleet.start("s")
        await fleet.until("s", State.RATE_LIMITED)
        outcomes = await asyncio.gather(*(fleet.resume("s") for _ in range(3)), return_exceptions=True)
        # One that comes when the run is over already finds nothing that was interrupted.
        applied = [outcome for outcome in outcomes if not isinstance(outcome, CommandRefused)]
        assert applied
        await fleet.until("s", State.AWAITING_INPUT)
        assert len(fleet.provider.requests) == 2
        assert await fleet.said("s") == ["user: hello", "agent: You said: hello"]
        await fleet.until_told("s", WorkerClaimed, 2)


@pytest.mark.parametrize("verb", ["pause", "stop"])
async def test_it_takes_effect_during_a_back_off(redis_url: str, verb: str) -> None:
    """When the outcome is there the state has changed, the worker is free a moment later, and no further request goes out."""
    async with Fleet(redis_url) as fleet:
        fleet.script(LONG)
        await fleet.start("s")
        await fleet.until("s", State.RATE_LIMITED)
        outcome = await (fleet.pause("s") if verb == "pause" else fleet.stop("s"))
        wanted = State.PAUSED if verb == "pause" else State.STOPPED
        assert (outcome.result, outcome.state) == (Result.APPLIED, wanted)
        record = await fleet.bus.status("s")
        assert (record.state, record.held, record.wait) == (wanted, False, None)
        await eventually(lambda: fleet.workers[0].part.sessions == 0, PATIENCE_S)
        await fleet.start("t")
        await fleet.until("t", State.AWAITING_INPUT)
        assert len(fleet.provider.requests) == 2
        assert (await fleet.bus.status("s")).state is wanted


async def test_a_pause_beats_a_scheduled_resume(redis_url: str) -> None:
    """The time comes and goes, and the session stays with the person who holds it."""
    async with Fleet(redis_url, max_inline_wait_s=0.1) as fleet:
        fleet.script("429:retry-after=0.5")
        await fleet.start("s")
        resume_at = (await fleet.until("s", State.RATE_LIMITED)).resume_at
        record = (await fleet.pause("s")).state, (await fleet.bus.status("s")).resume_at
        assert record == (State.PAUSED, None)
        await eventually(lambda: resume_at is not None and fleet.bus.now() > resume_at, PATIENCE_S)
        # Another session goes all the way: the controller has looked at everything that is due.
        await fleet.start("t")
        await fleet.until("t", State.AWAITING_INPUT)
        assert (await fleet.bus.status("s")).state is State.PAUSED
        assert len(fleet.provider.requests) == 2
        await fleet.resume("s")
        await fleet.until("s", State.AWAITING_INPUT)


@pytest.mark.parametrize("verb", ["pause", "stop"])
async def test_it_cancels_the_request_in_flight(redis_url: str, verb: str) -> None:
    """The provider sees its client leave; nothing of the answer lands."""
    async with Fleet(redis_url, provider=ProviderSettings(latency_s=60)) as fleet:
        await fleet.start("s")
        await fleet.until_requests(1)
        await (fleet.pause("s") if verb == "pause" else fleet.stop("s"))
        await eventually(lambda: fleet.provider.requests[0].outcome == "abandoned", PATIENCE_S)
        assert await fleet.said("s") == ["user: hello"]


async def test_what_is_said_to_a_paused_session_is_answered_after_the_resume(redis_url: str) -> None:
    """Also one that had nothing to do when it was paused."""
    async with Fleet(redis_url) as fleet:
        await fleet.start("s", "one")
        await fleet.until("s", State.AWAITING_INPUT)
        await fleet.pause("s")
        await fleet.resume("s")
        assert (await fleet.bus.status("s")).state is State.AWAITING_INPUT
        await fleet.pause("s")
        assert (await fleet.say("s", "two")).state is State.PAUSED
        await fleet.resume("s")
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: one", "agent: You said: one", "user: two", "agent: You said: two"]
        assert len(fleet.provider.requests) == 2


async def test_a_pause_in_the_closing_moment_keeps_the_answer_or_the_question(redis_url: str) -> None:
    """An answer that was not stored yet is discarded, and asked for again after the resume."""
    gate = Gate()
    async with Fleet(redis_url, agent=lambda: Lingering(gate)) as fleet:
        await fleet.start("s")
        await gate.reached()
        await fleet.pause("s")
        await eventually(lambda: fleet.workers[0].part.sessions == 0, PATIENCE_S)
        assert await fleet.said("s") == ["user: hello"]
        gate.open()
        await fleet.resume("s")
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: hello", "agent: You said: hello"]


async def test_a_refusal_says_what_would_be_legal(redis_url: str) -> None:
    """And changes nothing."""
    async with Fleet(redis_url) as fleet:
        await fleet.start("s")
        await fleet.until("s", State.AWAITING_INPUT)
        with pytest.raises(CommandRefused, match="nothing was interrupted") as refused:
            await fleet.resume("s")
        assert refused.value.legal == ("session.say", "session.pause", "session.stop", "session.delete")
        await fleet.stop("s")
        with pytest.raises(CommandRefused, match="final"):
            await fleet.say("s", "are you there?")
        assert len(fleet.provider.requests) == 1
