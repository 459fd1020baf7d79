"""The table of the demo: drawn anew in its place, with a line below it."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from rich.console import Console

from bus import Bus, LlmRecovered, LlmRecoveredData, State
from tests.waiting import eventually
from tests.workers.cli.stage import bring, hold, retry
from workers.cli.tasks import end
from workers.demo.table import LiveTable


def console() -> Console:
    """Return a terminal of a test."""
    return Console(file=io.StringIO(), width=140, height=12, force_terminal=True, color_system=None)


@pytest.fixture
def live(bus: Bus) -> LiveTable:
    """A table on a terminal of a test."""
    return LiveTable(bus, console())


def drawn(table: LiveTable) -> list[str]:
    """Return the lines of the picture of this moment."""
    out = console()
    out.print(table.draw())
    assert isinstance(out.file, io.StringIO)
    return [line.rstrip() for line in out.file.getvalue().splitlines() if line.strip()]


@asynccontextmanager
async def running(table: LiveTable) -> AsyncIterator[Callable[[], list[str]]]:
    """Run the table within this block."""
    task = asyncio.create_task(table.run())
    try:
        yield lambda: drawn(table)
    finally:
        await end(task)


async def test_it_updates_its_line(bus: Bus, live: LiveTable) -> None:
    """One line a session, from running to waiting to running, with its attempt and the time left."""
    claim = await hold(bus, "demo")
    async with running(live) as lines:
        await eventually(lambda: "running" in lines()[-1])
        height = len(lines())
        await retry(bus, claim, 2)
        await eventually(lambda: "rate limited" in lines()[-1])
        for text in ("2 of 6", "slow down", "openai/x", "w1"):
            assert text in lines()[-1]
        await bus.publish(LlmRecovered(subject="demo", data=LlmRecoveredData(attempt=3)))
        await eventually(lambda: "running" in lines()[-1])
        assert len(lines()) == height


async def test_the_foot_stands_below(bus: Bus, live: LiveTable) -> None:
    """It is what a person can do at the moment."""
    await bring(bus, "demo", State.AWAITING_INPUT)
    async with running(live) as lines:
        live.foot = "r  resume [b]demo[/]"
        await eventually(lambda: "awaiting input" in lines()[-2])
        assert lines()[-1] == "r  resume [b]demo[/]"


async def test_more_sessions_than_lines_fit(bus: Bus, live: LiveTable) -> None:
    """The rest is counted below the table, which stays within the terminal."""
    for number in range(10):
        await bring(bus, f"s{number}", State.FINISHED)
    async with running(live) as lines:
        await eventually(lambda: "and 4 more" in lines()[-1])
        assert len(lines()) <= 12


async def test_a_log_does_not_push_it_down(live: LiveTable) -> None:
    """While it is drawn only errors are logged; afterwards as before."""
    logger = logging.getLogger("tidings")
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        async with running(live):
            await eventually(lambda: logger.level == logging.ERROR)
        assert logger.level == logging.INFO
    finally:
        logger.setLevel(before)


async def test_a_reader_that_fails_ends_it(live: LiveTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that stands still would look like a fleet at rest."""

    async def broken(self: LiveTable) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(LiveTable, "_read", broken)
    with pytest.raises(ZeroDivisionError):
        await live.run()
