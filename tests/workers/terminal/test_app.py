"""The application as a command runs it: it ends as it is told, and a defect comes out."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.waiting import PATIENCE_S, eventually
from tests.workers.cli.stage import bring
from tidings.bus import Bus, State
from tidings.workers.cli.history import told
from tidings.workers.terminal.app import WatchApp, watch_live
from tidings.workers.terminal.feed import Feed
from tidings.workers.terminal.session import SessionScreen
from tidings.workers.terminal.table import SessionTable

Person = Callable[[Pilot[Any]], Coroutine[Any, Any, None]]


async def live(bus: Bus, person: Person, monkeypatch: pytest.MonkeyPatch) -> int:
    """Open the live view without a terminal, with somebody at the keys, and return its exit code."""
    run = WatchApp.run_async

    async def run_headless(app: WatchApp, *, mouse: bool) -> Any:
        assert mouse
        return await run(app, headless=True, size=(80, 24), auto_pilot=person)

    monkeypatch.setattr(WatchApp, "run_async", run_headless)
    return await watch_live(bus, "*", by="ann", timeout_s=5.0, tell=lambda item: list(told(item)))


def shows(pilot: Pilot[Any], text: str) -> bool:
    """Return whether a text stands on the screen."""
    return any(text in strip.text for strip in pilot.app.screen._compositor.render_strips())


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("ctrl+c", 130)])
async def test_keys_end_it(memory_bus: Bus, monkeypatch: pytest.MonkeyPatch, key: str, code: int) -> None:
    """With the code that scripts expect; Ctrl-C also while a question is open."""
    await bring(memory_bus, "demo", State.AWAITING_INPUT)

    async def person(pilot: Pilot[Any]) -> None:
        await eventually(lambda: shows(pilot, "awaiting input"))
        if key != "q":
            await pilot.press("s")
            await eventually(lambda: shows(pilot, "y/n"))
        await pilot.press(key)

    assert await live(memory_bus, person, monkeypatch) == code


async def test_a_signal_ends_it(memory_bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, and afterwards it does what it did before."""
    hang_up = signal.getsignal(signal.SIGHUP)

    async def person(pilot: Pilot[Any]) -> None:
        await eventually(lambda: shows(pilot, "no sessions so far"))
        os.kill(os.getpid(), signal.SIGTERM)
        await eventually(lambda: pilot.app.return_value is not None)

    assert await live(memory_bus, person, monkeypatch) == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGHUP) == hang_up


async def test_the_log_does_not_write_over_the_screen(memory_bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is shown nothing is logged; afterwards as before."""
    logger = logging.getLogger("tidings")
    monkeypatch.setattr(logger, "level", logging.INFO)
    seen: list[int] = []

    async def person(pilot: Pilot[Any]) -> None:
        seen.append(logger.level)
        await pilot.press("q")

    await live(memory_bus, person, monkeypatch)
    assert seen == [logging.CRITICAL]
    assert logger.level == logging.INFO


async def test_a_reader_that_fails_comes_out(memory_bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A screen that stands still would look like a fleet at rest."""

    async def broken(self: Feed) -> None:
        raise ZeroDivisionError

    async def person(pilot: Pilot[Any]) -> None:
        await eventually(lambda: pilot.app.return_value is not None)

    monkeypatch.setattr(Feed, "_read", broken)
    with pytest.raises(ZeroDivisionError):
        await live(memory_bus, person, monkeypatch)


@pytest.mark.parametrize("place", ["drawing", "reading a history"])
async def test_a_defect_comes_out_without_local_variables(
    memory_bus: Bus, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], place: str
) -> None:
    """Textual's own report would show them, and an address with its password may be one."""
    await bring(memory_bus, "demo", State.AWAITING_INPUT)

    async def broken(self: SessionScreen) -> int:
        password = "planted-Zr5vX2m"
        raise ZeroDivisionError(len(password))

    def break_drawing(self: SessionTable) -> None:
        password = "planted-Zr5vX2m"
        raise ZeroDivisionError(len(password))

    async def person(pilot: Pilot[Any]) -> None:
        await eventually(lambda: shows(pilot, "awaiting input"))
        if place == "drawing":
            monkeypatch.setattr(SessionTable, "redraw", break_drawing)
        await pilot.press("enter")
        await asyncio.wait_for(pilot.app._exception_event.wait(), PATIENCE_S)

    monkeypatch.setattr(SessionScreen, "_end", broken)
    with pytest.raises(ZeroDivisionError):
        await live(memory_bus, person, monkeypatch)
    printed = capfd.readouterr()
    assert "planted" not in printed.out + printed.err
