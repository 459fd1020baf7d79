"""The story goes on whoever resumes, and says which step did not come about."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bus import Bus, Release, SessionStart, StartData, State, Trigger, WorkerRef
from tests.waiting import eventually
from workers.controller import Controller
from workers.demo import story as module
from workers.demo.cast import PARKED
from workers.demo.display import Display
from workers.demo.stage import Stage
from workers.demo.story import Pace, Story
from workers.demo.witness import NotInTime, Witness
from workers.provider import Provider
from workers.settings import Settings

PATIENCE_S = 5.0


class Asking(Display):
    """Keeps what a person was told and asked."""

    def __init__(self, bus: Bus) -> None:
        self.steps: list[str] = []
        self.asked: list[str] = []
        super().__init__(bus, self.steps.append)

    def ask(self, text: str) -> None:
        self.asked.append(text)


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    """A bus with a controller on it, in memory: processes and servers are the concern of other tests."""
    async with Bus.connect("memory://story") as connected:
        controller = Controller(connected, Settings(controller_poll_s=0.05))
        task = asyncio.create_task(controller.run())
        yield connected
        controller.stop()
        await task


@pytest.fixture
async def witness(bus: Bus) -> AsyncIterator[Witness]:
    """A witness that hears from the beginning."""
    async with Witness(bus) as listening:
        yield listening


def story_of(bus: Bus, witness: Witness, pace: Pace | None = None) -> tuple[Story, Asking]:
    """Return a story on an empty stage, and what people are told of it."""
    display = Asking(bus)
    return Story(bus, Provider(), Stage({}), witness, display, pace or Pace()), display


async def begin(bus: Bus, release: Release) -> None:
    """Start the session and have a worker let it go."""
    await bus.send(SessionStart(subject=PARKED, data=StartData(text="Hello")))
    claim = await bus.claim(WorkerRef(name="w1"), session=PARKED)
    assert claim is not None
    await bus.release(claim, release)


async def park(bus: Bus) -> None:
    """Park the session for ten minutes."""
    await begin(bus, Release(Trigger.PARK, read=1, parks=1, resume_at=bus.now() + timedelta(minutes=10)))


async def test_the_demo_resumes_when_nobody_does(bus: Bus, witness: Witness) -> None:
    """The offer ends, and the demo does it."""
    await park(bus)
    story, display = story_of(bus, witness, Pace(offer_s=0.05))
    await story._resume()
    assert any("resumed by demo" in step for step in display.steps)
    assert display.asked[0].startswith(f"r  resume {PARKED}")
    assert display.asked[-1] == ""


async def test_the_key_resumes_at_once(bus: Bus, witness: Witness) -> None:
    """Who presses it does not wait for the end of the offer, and is named."""
    await park(bus)
    story, display = story_of(bus, witness, Pace(offer_s=60.0))
    task = asyncio.create_task(story._resume())
    await eventually(lambda: display.asked)
    story.resume_now.set()
    async with asyncio.timeout(PATIENCE_S):
        await task
    assert any("resumed by you" in step for step in display.steps)
    assert (await bus.status(PARKED)).state is State.QUEUED


async def test_somebody_else_may_be_quicker(bus: Bus, witness: Witness) -> None:
    """A refusal of the demo's own resume is no failure: nothing is parked any more."""
    await begin(bus, Release(Trigger.YIELD, read=1))
    story, _ = story_of(bus, witness)
    await story._send_resume()
    assert (await bus.status(PARKED)).state is State.AWAITING_INPUT


async def test_a_step_that_does_not_come_about_is_named(bus: Bus, witness: Witness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which condition was not met, and of which session."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    story, _ = story_of(bus, witness)
    with pytest.raises(NotInTime, match=f"{PARKED} is parked"):
        await story._park()
    monkeypatch.setattr(module, "SESSIONS", (PARKED,))
    with contextlib.suppress(NotInTime):
        await story._all_answered("all have their answer")
    with pytest.raises(NotInTime, match=rf"still waiting for {PARKED} \(None\)"):
        await story._all_answered("all have their answer")
