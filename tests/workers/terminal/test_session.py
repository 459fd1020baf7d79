"""One session on the screen: its history, and apart from it its status."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.conftest import MakeServer
from tests.fleet import Fleet
from tests.waiting import eventually
from tests.workers.cli.stage import bring, hold, park, retry
from tests.workers.terminal.conftest import Watching, watch
from tidings.bus import AgentMessage, Bus, Lease, LlmRecovered, LlmRetry, Message, State, Unreachable, UserMessage
from tidings.workers.terminal import session as module
from tidings.workers.terminal.session import SessionScreen

Controlled = Callable[[Bus], AbstractAsyncContextManager[None]]


async def say(bus: Bus, claim: Lease, *texts: str, after: int = 0) -> None:
    """Append what an agent says."""
    events = [Message.of(AgentMessage(text=text), session=claim.session) for text in texts]
    await claim.append(*events, after=after)


async def open_session(view: Watching) -> None:
    """Open the session that is selected."""
    await view.press("enter")
    await eventually(lambda: isinstance(view.app.screen, SessionScreen))


async def test_the_history_and_the_status_stand_apart(bus: Bus) -> None:
    """What is said appears by itself; what the system does changes the lines below, and adds nothing above."""
    claim = await hold(bus, "demo")
    asked = Message.of(UserMessage(text="Why is the sea salt?", by="ann"), session="demo")
    await claim.append(asked, after=0)
    async with watch(bus) as view:
        await view.sees("▸ running")
        await open_session(view)
        await view.sees("#1", "user (ann)", "    Why is the sea salt?", "▸ running")
        conversation = view.lines[1:18]
        await retry(bus, claim, 3)
        await view.sees("◔ rate limited   attempt 3 of 6 failed   next try in 8s", "rate limit · slow down", "openai/x   on w1")
        await view.sees("next try in 6s")
        assert view.lines[1:18] == conversation
        await bus.publish("demo", LlmRecovered(attempt=4))
        await say(bus, claim, "Because of the rivers.", after=1)
        await view.sees("    Because of the rivers.", "▸ running", without="attempt 3")


async def test_one_session_is_shown_by_itself(bus: Bus) -> None:
    """`tidings watch status.SESSION` begins with it, and q ends it."""
    await park(bus, "demo", resume_in_s=600)
    await bring(bus, "other", State.ERROR)
    async with watch(bus, "demo") as view:
        await view.sees("demo  connected", "◑ parked", "goes on in 9m", "q quit")
        await view.press("q")
    assert view.app.return_value == 0


async def test_a_session_that_is_not_there_yet_appears(memory_bus: Bus) -> None:
    """Whoever is early sees it begin."""
    async with watch(memory_bus, "demo") as view:
        await view.sees("nothing is known of demo so far", "connected")
        claim = await hold(memory_bus, "demo")
        await say(memory_bus, claim, "here I am")
        await view.sees("here I am", "▸ running")


async def test_it_is_steered_like_in_the_fleet(memory_bus: Bus, controlled: Controlled) -> None:
    """The keys are the same, and what became of them stands below the status."""
    await bring(memory_bus, "demo", State.AWAITING_INPUT)
    async with controlled(memory_bus), watch(memory_bus) as view:
        await view.sees("… awaiting input")
        await open_session(view)
        await view.press("p")
        await view.sees("demo: pause applied, the session is paused", "‖ paused", "paused by ann@here")
        await view.press("m")
        await view.type("good morning")
        await view.press("enter")
        await view.sees("demo: say applied", "    good morning")
        await view.press("s")
        await view.sees("stop demo for good?")
        await view.press("y")
        await view.sees("■ stopped")
        await view.press("r")
        await view.sees("demo: resume refused while stopped")


@pytest.mark.parametrize("key", ["q", "escape"])
async def test_leaving_goes_back_to_the_fleet(memory_bus: Bus, key: str) -> None:
    """Which shows what has changed meanwhile."""
    await bring(memory_bus, "demo", State.AWAITING_INPUT)
    async with watch(memory_bus) as view:
        await view.sees("1 session")
        await open_session(view)
        await view.sees("q back")
        await bring(memory_bus, "other", State.FINISHED)
        await view.press(key)
        await view.sees("2 sessions", "✓ finished", "/ filter")


async def test_who_leaves_still_hears_what_became_of_a_command(memory_bus: Bus, controlled: Controlled) -> None:
    """It is said on the screen that is there by then."""
    await bring(memory_bus, "demo", State.AWAITING_INPUT)
    async with watch(memory_bus, timeout_s=20.0) as view:
        await view.sees("1 session")
        await open_session(view)
        await view.press("p")
        await view.sees("demo: pause …")
        await view.press("q")
        await view.sees("/ filter")
        async with controlled(memory_bus):
            await view.sees("demo: pause applied, the session is paused", "/ filter")


async def test_it_stays_at_the_end_unless_somebody_scrolls_up(memory_bus: Bus) -> None:
    """And a line that is too long goes on in the next, at any width."""
    claim = await hold(memory_bus, "demo")
    await say(memory_bus, claim, *(f"line {number}" for number in range(40)))
    async with watch(memory_bus, "demo") as view:
        await view.sees("line 39", without="line 1\n")
        await say(memory_bus, claim, "word " * 60 + "end", after=40)
        await view.sees("word end")
        await view.press("g")
        await view.sees("    line 0", without="word end")
        height = view.app.screen.query_one("Conversation").virtual_size.height
        await say(memory_bus, claim, "later", after=41)
        await eventually(lambda: view.app.screen.query_one("Conversation").virtual_size.height > height)
        assert "    line 0" in view.text
        await view.pilot.resize_terminal(60, 20)
        await view.press("G")
        await view.sees("    later")
        assert all(len(line) <= 60 for line in view.lines)


async def test_markup_and_control_characters_are_text(memory_bus: Bus) -> None:
    """What models and people write is shown, and never obeyed."""
    claim = await hold(memory_bus, "demo")
    await say(memory_bus, claim, "[red]not red[/] \x1b[2J\x07 \u202egnp", "x" * 30_000)
    async with watch(memory_bus, "demo") as view:
        await view.sees("… (10004 more")
        await view.press("g")
        await view.sees("[red]not red[/] \ufffd[2J\ufffd \ufffdgnp")


async def test_a_long_history_begins_with_its_newest_part(memory_bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says where the rest is."""
    monkeypatch.setattr(module, "ITEMS", 5)
    claim = await hold(memory_bus, "demo")
    await say(memory_bus, claim, *(f"line {number}" for number in range(12)))
    async with watch(memory_bus, "demo") as view:
        await view.sees("    line 11")
        await view.press("home")
        await view.sees("-- 7 earlier events: tidings history demo", "#8", "    line 7", without="line 6")


async def test_the_history_waits_for_a_server_that_is_away(make_server: MakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read when the server is back, each event once."""
    monkeypatch.setattr(module, "_AGAIN_S", 0.02)
    server = make_server(appendonly=True)
    async with Bus.connect(server.url, heartbeat_s=0.5) as bus:
        claim = await hold(bus, "demo")
        await say(bus, claim, "before")
        async with watch(bus) as view:
            await view.sees("▸ running")
            server.kill()
            await view.sees("connection lost")
            await open_session(view)
            with pytest.raises(Unreachable):
                await bus.status("demo")
            server.start()
            await view.sees("    before", "connected")
            await say(bus, claim, "after", after=1)
            await view.sees("    after")
            assert view.text.count("    before") == 1


async def test_with_a_real_fleet(redis_url: str) -> None:
    """The status counts the failures, and the history has the answer and no word of them."""
    async with Fleet(redis_url, backoff_base_s=0.3, backoff_cap_s=0.5) as fleet, watch(fleet.bus, "demo") as view:
        fleet.script("500x2")
        await fleet.start("demo", "hello")
        await fleet.until_told("demo", LlmRetry, 2)
        await view.sees("You said: hello", "… awaiting input", without="failed")
        said: Any = await fleet.said("demo")
        assert said == ["user: hello", "agent: You said: hello"]
