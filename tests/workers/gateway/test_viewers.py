"""Those who look, and wait to be woken."""

from __future__ import annotations

import asyncio

import pytest

from tests.waiting import PATIENCE_S
from tidings.workers.gateway.viewers import Counts, Viewer, wake_all


async def test_a_viewer_looks_first_and_then_waits() -> None:
    """The first time it does not wait; after that until it is woken, however often."""
    viewer = Viewer()
    await viewer.wait()
    waiting = asyncio.create_task(viewer.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    wake_all([viewer, viewer])
    await waiting
    again = asyncio.create_task(viewer.wait())
    await asyncio.sleep(0)
    assert not again.done()
    viewer.wake()
    await again


async def test_what_happens_while_it_is_busy_is_not_missed() -> None:
    """A viewer that was woken while it was sending looks once more."""
    viewer = Viewer()
    await viewer.wait()
    viewer.wake()
    await asyncio.wait_for(viewer.wait(), PATIENCE_S)


async def test_a_viewer_that_is_cancelled_can_still_be_woken() -> None:
    """Nobody who wakes it fails by that."""
    viewer = Viewer()
    await viewer.wait()
    waiting = asyncio.create_task(viewer.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    viewer.wake()
    await viewer.wait()


def test_commands_are_counted_by_what_became_of_them() -> None:
    """By type and result."""
    counts = Counts()
    counts.command("session.pause", "applied")
    counts.command("session.pause", "applied")
    counts.command("session.pause", "refused")
    assert counts.commands == {("session.pause", "applied"): 2, ("session.pause", "refused"): 1}
