"""The display tells the steps, and the sessions between or below them."""

from __future__ import annotations

import io

from rich.console import Console

from bus import Bus
from tests.waiting import eventually
from tests.workers.demo.evidence_of import orphan_notices
from workers.demo.display import Display, Lines, Table
from workers.demo.witness import Witness


async def test_a_step_is_one_line_with_its_time(bus: Bus) -> None:
    """What others wrote cannot move the cursor or begin a line."""
    lines: list[str] = []
    async with Display(bus, lines.append) as display:
        display.step("the limit is hit\x1b[2J\nnot a line")
        display.ask("nobody is asked here")
    (line,) = lines
    assert "\n" not in line
    assert "\x1b" not in line
    assert line.lstrip()[0].isdigit()


async def test_commands_can_be_copied(bus: Bus) -> None:
    """They name the address and what else is needed, quoted for a shell."""
    display = Display(bus, print, " --prefix demo:")
    command = display.command("say", "berlin", "And the day after?")
    assert " say berlin 'And the day after?' --redis " in command
    assert command.endswith(" --prefix demo:")
    assert bus.url in command


async def test_lines_tell_each_change_once(bus: Bus) -> None:
    """A notice that changes nothing to be seen makes no line."""
    lines: list[str] = []
    witness = Witness(bus)
    async with Lines(bus, lines.append, witness):
        for notice in orphan_notices():
            for listener in witness._listeners:
                listener(notice)
                listener(notice)
    assert "queued" in lines[0]
    assert "attempt 1 of 6" in lines[1]
    assert "awaiting input" in lines[-1]
    assert len(lines) == 4


async def test_the_table_stands_below_the_steps(bus: Bus) -> None:
    """Steps scroll by above it, and what a person can do stands at its foot."""
    shown = io.StringIO()
    out = Console(file=shown, force_terminal=True, width=120, height=30, color_system=None)
    async with Table(bus, out) as table:
        table.step("eight sessions begin")
        table.ask("r  resume berlin")
        await eventually(lambda: "r  resume berlin" in shown.getvalue())
    assert "eight sessions begin" in shown.getvalue()
    assert "session" in shown.getvalue()


async def test_a_table_that_was_not_begun_ends(bus: Bus) -> None:
    """Leaving it twice is no error."""
    table = Table(bus, Console(file=io.StringIO()))
    await table.__aexit__(None, None, None)
