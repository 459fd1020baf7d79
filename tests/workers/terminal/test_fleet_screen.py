"""The fleet on the screen: what is seen there, and what keys do to the session that is selected."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from textual.color import Color

from tests.conftest import MakeServer
from tests.fleet import Fleet
from tests.waiting import eventually
from tests.workers.cli.stage import bring, hold, park, retry
from tests.workers.terminal.conftest import watch
from tidings.bus import AgentMessage, AgentProgress, Bus, LlmRecovered, LlmRetry, Message, SessionStart, State
from tidings.workers.terminal.table import SessionTable
from tidings.workers.view import SessionView

Controlled = Callable[[Bus], AbstractAsyncContextManager[None]]


async def test_a_row_changes_in_its_place(bus: Bus) -> None:
    """From running to waiting to running, with the attempt, the time left, the reason, the model and the worker."""
    claim = await hold(bus, "demo")
    async with watch(bus) as view:
        await view.sees("▸ running", "1 session", "connected")
        await retry(bus, claim, 2)
        await view.sees("◔ rate limited", "2 of 6", "rate limit · slow down", "openai/x", "w1")
        await view.sees("6s")
        await bus.publish("demo", LlmRecovered(attempt=3))
        await view.sees("▸ running", without="2 of 6")


async def test_what_the_agent_does_is_on_its_row(bus: Bus) -> None:
    """For who watches and for who comes later; the next one takes its place."""
    claim = await hold(bus, "demo")
    async with claim, watch(bus) as view:
        claim.tell(AgentProgress(doing="compiling [b]\x1b[2J", done=3, total=8))
        await view.sees("▸ running", "compiling [b] 3/8")
        async with watch(bus) as late:
            await late.sees("▸ running", "compiling [b] 3/8")
        claim.tell(AgentProgress(doing="linking"))
        await view.sees("linking", without="compiling")


async def test_what_needs_a_person_is_on_top(memory_bus: Bus) -> None:
    """Marked by words, and said in the numbers too; the rest stands by name."""
    await bring(memory_bus, "athens", State.AWAITING_INPUT)
    await bring(memory_bus, "berlin", State.FINISHED)
    await park(memory_bus, "cairo", resume_in_s=None, action="Pay the bill.")
    async with watch(memory_bus) as view:
        await view.sees("3 sessions", "1 parked needs you")
        names = [line[2:].split()[0] for line in view.lines[3:6]]
        assert names == ["cairo", "athens", "berlin"]
        assert "needs you: Pay the bill." in view.line("cairo")


async def test_keys_act_on_the_session_that_is_selected(memory_bus: Bus, controlled: Controlled) -> None:
    """What the screen then shows is what became of it."""
    await bring(memory_bus, "athens", State.AWAITING_INPUT)
    await bring(memory_bus, "berlin", State.AWAITING_INPUT)
    async with controlled(memory_bus), watch(memory_bus) as view:
        await view.sees("2 awaiting input")
        await view.press("j", "p")
        await view.sees("berlin: pause applied, the session is paused", "1 paused")
        assert "‖ paused" in view.line("berlin")
        assert "… awaiting input" in view.line("athens")
        await view.press("r")
        await view.sees("berlin: resume applied, the session is awaiting input", "2 awaiting input")
        await view.press("up", "p")
        await view.sees("athens: pause applied")
        assert (await memory_bus.status("athens")).paused_by == "ann@here"


async def test_a_refusal_says_why(memory_bus: Bus, controlled: Controlled) -> None:
    """And which keys would have been accepted; the answer stays until the next."""
    await bring(memory_bus, "demo", State.FINISHED)
    async with controlled(memory_bus), watch(memory_bus) as view:
        await view.sees("✓ finished")
        await view.press("p")
        await view.sees("demo: pause refused while finished: ")


async def test_nobody_answering_is_said_too(memory_bus: Bus) -> None:
    """Without a controller a command is withdrawn in the end; the screen goes on meanwhile."""
    claim = await hold(memory_bus, "demo")
    async with watch(memory_bus, timeout_s=1.0) as view:
        await view.sees("▸ running")
        await view.press("r")
        await retry(memory_bus, claim, 1)
        await view.sees("demo: resume …", "rate limited")
        await view.sees("demo: resume: no controller answered in time, and the command was withdrawn")


async def test_stopping_asks_first(memory_bus: Bus, controlled: Controlled) -> None:
    """Only y is a yes, and every other key does nothing else."""
    await bring(memory_bus, "demo", State.AWAITING_INPUT)
    async with controlled(memory_bus), watch(memory_bus) as view:
        await view.sees("… awaiting input")
        await view.press("s")
        await view.sees("stop demo for good?  y/n")
        await view.press("p")
        await view.sees("awaiting input", without="y/n")
        assert (await memory_bus.status("demo")).state is State.AWAITING_INPUT
        await view.press("s")
        await view.sees("stop demo for good?  y/n")
        await view.press("y")
        await view.sees("demo: stop applied, the session is stopped", "■ stopped")


async def test_something_is_said(memory_bus: Bus, controlled: Controlled) -> None:
    """Letters that are keys elsewhere are letters while one types; Escape says nothing."""
    await bring(memory_bus, "demo", State.AWAITING_INPUT)
    async with controlled(memory_bus), watch(memory_bus) as view:
        await view.sees("… awaiting input")
        await view.press("m")
        await view.type("spqr [b]")
        await view.sees("say to demo: spqr [b]")
        await view.press("escape")
        await view.sees("demo", without="say to demo")
        assert await memory_bus.history("demo") == ()
        await view.press("m")
        await view.type("spqr [b]")
        await view.press("enter")
        await view.sees("demo: say applied, the session is queued", "· queued")
        (event,) = await memory_bus.history("demo")
        data: Any = event.data
        assert (data.text, data.by) == ("spqr [b]", "ann@here")


async def test_a_filter_leaves_what_matches(memory_bus: Bus) -> None:
    """While one types; Enter keeps it, Escape ends it."""
    for name in ("athens", "berlin", "cairo"):
        await bring(memory_bus, name, State.AWAITING_INPUT)
    async with watch(memory_bus) as view:
        await view.sees("3 sessions")
        await view.press("slash")
        await view.type("ber")
        await view.sees("1 of 3 sessions with “ber”", "berlin", without="cairo")
        await view.press("enter", "j")
        await view.sees("1 of 3 sessions", "berlin", without="filter:")
        await view.press("escape")
        await view.sees("cairo", "athens", without="1 of 3")
        await view.press("slash")
        await view.type("nonsense")
        await view.sees("nothing matches the filter")
        await view.press("escape")
        await view.sees("3 sessions", "cairo")


async def test_the_selection_stays_with_its_session(memory_bus: Bus) -> None:
    """Also when others come to stand above it."""
    await bring(memory_bus, "berlin", State.AWAITING_INPUT)
    await bring(memory_bus, "cairo", State.AWAITING_INPUT)
    async with watch(memory_bus) as view:
        await view.sees("2 sessions")
        await view.press("down")
        await eventually(lambda: view.line("cairo").startswith("›"))
        await park(memory_bus, "zagreb", resume_in_s=None)
        await bring(memory_bus, "athens", State.AWAITING_INPUT)
        await view.sees("4 sessions")
        assert view.line("cairo").startswith("›")
        assert [line[0] for line in view.lines[3:7]].count("›") == 1


async def test_a_child_stands_below_its_parent(memory_bus: Bus, controlled: Controlled) -> None:
    """By the name that the parent gave it, and it is steered like any other session."""
    async with controlled(memory_bus), watch(memory_bus) as view:
        for name in ("athens", "berlin"):
            await memory_bus.send(name, SessionStart(text="hello"))
        child = SessionStart(text="look it up", parent="athens", name="reader")
        await memory_bus.send("zz9", child)
        await view.sees("3 sessions", "└ reader")
        assert [line[2:].split("  ")[0].rstrip() for line in view.lines[3:6]] == ["athens", "└ reader", "berlin"]
        await view.press("j", "p")
        await view.sees("zz9: pause applied, the session is paused")
        await eventually(lambda: "‖ paused" in view.line("reader"))


async def test_the_mouse_selects_and_opens(memory_bus: Bus) -> None:
    """One click selects, two open."""
    await bring(memory_bus, "athens", State.AWAITING_INPUT)
    await bring(memory_bus, "berlin", State.AWAITING_INPUT)
    async with watch(memory_bus) as view:
        await view.sees("2 sessions")
        await view.pilot.click("SessionTable", offset=(5, 1))
        await eventually(lambda: view.line("berlin").startswith("›"))
        await view.pilot.click("SessionTable", offset=(5, 10))
        assert view.line("berlin").startswith("›")
        await view.pilot.double_click("SessionTable", offset=(5, 0))
        await view.sees("q back")
        await eventually(lambda: view.lines[0].startswith("athens"))


async def test_markup_and_control_characters_are_text(memory_bus: Bus) -> None:
    """What others write is shown, and never obeyed: not by the terminal, not by rich, not by textual."""
    wicked = "[bold red]not red[/] [@click=app.bell]x[/]\x1b[2J\x07\u202egnp"
    await park(memory_bus, "demo", resume_in_s=None, action=wicked)
    async with watch(memory_bus, size=(160, 24)) as view:
        await view.sees("[bold red]not red[/] [@click=app.bell]x[/]")
        assert not {"\x1b", "\x07", "\u202e"} & set(view.text)


@pytest.mark.parametrize("size", [(80, 24), (40, 16)], ids=str)
async def test_a_small_terminal_keeps_what_matters(memory_bus: Bus, size: tuple[int, int]) -> None:
    """The state and the time left stand in the line, and the reason of the selected session below."""
    claim = await hold(memory_bus, "demo")
    async with watch(memory_bus, size=size) as view:
        await retry(memory_bus, claim, 2)
        await view.sees("◔", "8s", "rate limit")
        assert all(len(line) <= size[0] for line in view.lines)


async def test_without_colours_the_words_and_signs_stay(memory_bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR is heeded, on both screens."""
    monkeypatch.setenv("NO_COLOR", "1")
    claim = await hold(memory_bus, "demo")
    said = Message.of(AgentMessage(text="hello\n  there"), session="demo")
    await claim.append(said, after=0)
    async with watch(memory_bus) as view:
        await retry(memory_bus, claim, 2)
        await view.sees("› demo", "◔ rate limited", "2 of 6")
        await view.press("enter")
        await view.sees("    hello", "◔ rate limited   attempt 2 of 6 failed")
        for strip in view.app.screen._compositor.render_strips():
            for _, style, _ in strip.apply_filter(view.app._filters[-1], Color(0, 0, 0)):
                assert style is None or style.color is None or style.color.is_default


@pytest.mark.parametrize("count", [500, pytest.param(5000, marks=pytest.mark.full)])
async def test_thousands_of_sessions_stay_usable(memory_bus: Bus, count: int) -> None:
    """Of them only those in sight are drawn, and the last is a key away."""
    last = f"› s{count - 1:04}"
    async with watch(memory_bus) as view:
        for number in range(count):
            view.feed.roster.put(SessionView(f"s{number:04}", state=State.AWAITING_INPUT))
        view.feed.changes += 1
        await view.sees(f"{count} sessions", "s0000")
        await view.press("end")
        await view.sees(last)
        await view.press("pageup")
        await view.sees(f"s{count - 10:04}", without=last)
        await view.press("home", "pagedown")
        await view.sees("s0010")


async def test_the_end_is_in_sight_however_early_it_is_asked_for(memory_bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while the table has no scrollbar yet: it gets one when the screen is laid out for the rows that came."""
    monkeypatch.setattr(SessionTable, "allow_vertical_scroll", False)
    async with watch(memory_bus) as view:
        for number in range(50):
            view.feed.roster.put(SessionView(f"s{number:04}", state=State.AWAITING_INPUT))
        view.feed.changes += 1
        await view.sees("50 sessions", "s0000")
        await view.press("end")
        await view.sees("› s0049")


async def test_a_lost_connection_is_said_and_repairs_itself(make_server: MakeServer) -> None:
    """What was known stays on the screen, and is said to be old; then it is up to date again."""
    server = make_server(appendonly=True)
    async with Bus.connect(server.url, heartbeat_s=0.5) as bus:
        await bring(bus, "demo", State.AWAITING_INPUT)
        async with watch(bus) as view:
            await view.sees("connected", "… awaiting input")
            server.kill()
            await view.sees("connection lost, trying again; what is shown is what was known at ", "… awaiting input")
            await view.press("r")
            await view.sees("demo: resume: ")
            server.start()
            await view.sees("  connected  lost ", "demo")
            await bring(bus, "later", State.FINISHED)
            await view.sees("later", "✓ finished")


async def test_before_the_first_connection_it_says_so(memory_bus: Bus) -> None:
    """And without sessions, how to begin one."""
    async with watch(memory_bus) as view:
        await view.sees("no sessions so far: tidings start NAME --message TEXT", "0 sessions")
        for key in ("r", "enter", "j"):
            await view.press(key)
        await view.press("q")
    assert view.app.return_value == 0


async def test_with_a_real_fleet(redis_url: str) -> None:
    """A call is refused and waits; r ends the wait, the answer comes, and nothing was added to the history by it."""
    async with Fleet(redis_url, backoff_cap_s=30.0, max_inline_wait_s=60.0) as fleet, watch(fleet.bus) as view:
        fleet.script("429:retry-after=30")
        await fleet.start("demo", "hello")
        await fleet.until_told("demo", LlmRetry)
        await view.sees("◔ rate limited", "1 of 6", "rate limit", "openai/x")
        await view.press("r")
        await view.sees("demo: resume applied", "… awaiting input", without="1 of 6")
        assert await fleet.said("demo") == ["user: hello", "agent: You said: hello"]


async def test_a_defect_ends_it_and_is_not_hidden(memory_bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading that fails does not leave a screen that stands still."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with watch(memory_bus) as view:
        monkeypatch.setattr(view.feed.roster, "apply", broken)
        await bring(memory_bus, "demo", State.FINISHED)
        await eventually(lambda: view.feed.reading.done())
        await eventually(lambda: view.app.return_value == 1)
        with pytest.raises(ZeroDivisionError):
            view.feed.reading.result()
