"""Asking something of a session: whatever becomes of it is an answer in one line."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from tests.workers.cli.stage import bring
from tidings.bus import Bus, State
from tidings.workers.terminal.asking import Told, ask

Controlled = Callable[[Bus], AbstractAsyncContextManager[None]]


async def test_what_is_applied_says_the_state(bus: Bus, controlled: Controlled) -> None:
    """The one that the session is in by then; and who asked is kept."""
    await bring(bus, "demo", State.AWAITING_INPUT)
    async with controlled(bus):
        paused = await ask(bus, "pause", "demo", by="ann", timeout_s=10)
        assert paused == Told(True, "demo: pause applied, the session is paused")
        assert (await bus.status("demo")).paused_by == "ann"
        said = await ask(bus, "say", "demo", by="ann", timeout_s=10, text="hello")
        assert said == Told(True, "demo: say applied, the session is paused")


async def test_what_is_refused_says_why_and_what_instead(bus: Bus, controlled: Controlled) -> None:
    """In words, with what would be accepted now."""
    await bring(bus, "demo", State.AWAITING_INPUT)
    async with controlled(bus):
        answer = await ask(bus, "resume", "demo", by="ann", timeout_s=10)
    assert not answer.granted
    assert answer.text.startswith("demo: resume refused while awaiting input: ")
    assert answer.text.endswith("; accepted now: say, pause, stop, delete")


async def test_whatever_goes_wrong_is_an_answer(bus: Bus) -> None:
    """An unknown session, a text that cannot be sent, nobody who answers."""
    await bring(bus, "demo", State.AWAITING_INPUT)
    unknown = await ask(bus, "pause", "nobody", by="ann", timeout_s=10)
    assert (unknown.granted, "nobody" in unknown.text) == (False, True)
    empty = await ask(bus, "say", "demo", by="ann", timeout_s=10, text="")
    assert (empty.granted, "text" in empty.text) == (False, True)
    late = await ask(bus, "pause", "demo", by="ann", timeout_s=0.05)
    assert (late.granted, "withdrawn" in late.text) == (False, True)
    assert "\n" not in unknown.text + empty.text + late.text
