"""The feed keeps the rows up to date."""

from __future__ import annotations

import pytest

from tests.waiting import eventually
from tests.workers.cli.stage import bring, hold, retry
from tidings.bus import Bus, State
from tidings.workers.terminal.feed import Feed


async def test_it_begins_with_what_is_and_goes_on_with_what_happens(bus: Bus) -> None:
    """Each change is counted, so that nobody draws for nothing."""
    claim = await hold(bus, "demo")
    async with Feed(bus) as feed:
        assert feed.row("demo") is None
        await eventually(lambda: feed.row("demo"))
        before = feed.changes
        await retry(bus, claim, 2)
        await eventually(lambda: (row := feed.row("demo")) and row.attempt == "2 of 6")
        assert feed.changes > before


async def test_one_session_is_one_row(bus: Bus) -> None:
    """The others are not asked for."""
    await bring(bus, "a", State.ERROR)
    await bring(bus, "b", State.ERROR)
    async with Feed(bus, "b") as feed:
        await eventually(lambda: feed.row("b"))
        assert feed.row("a") is None


async def test_it_knows_since_when_it_may_be_out_of_date(memory_bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the last look at which the connection stood; before the first connection there is nothing to be out of date."""
    async with Feed(memory_bus) as feed:
        assert feed.connecting
        await eventually(lambda: memory_bus.connected)
        assert feed.lost_at() is None
        assert not feed.connecting
        monkeypatch.setattr(Bus, "connected", False)
        lost_at = feed.lost_at()
        assert lost_at is not None
        assert lost_at <= memory_bus.now()
        assert not feed.connecting
