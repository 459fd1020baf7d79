"""Ending waits."""

from __future__ import annotations

import asyncio

from tidings.workers.llm import Nudge


async def test_a_nudge_wakes_all_who_wait_and_nobody_later() -> None:
    """Who begins to wait after it waits for the next one."""
    nudge = Nudge()
    nudge.set()
    waiters = [asyncio.create_task(nudge.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(waiter.done() for waiter in waiters)
    nudge.set()
    await asyncio.gather(*waiters)
    assert not nudge.next.is_set()


async def test_a_nudge_is_not_lost_between_decision_and_wait() -> None:
    """The event taken before the nudge stays set."""
    nudge = Nudge()
    taken = nudge.next
    nudge.set()
    await taken.wait()
