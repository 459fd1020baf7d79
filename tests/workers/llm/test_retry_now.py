"""Ending waits."""

from __future__ import annotations

import asyncio

from tidings.workers.llm import RetryNow


async def test_it_wakes_all_who_wait_and_nothing_later() -> None:
    """Who begins to wait after it waits for the next one."""
    retry_now = RetryNow()
    retry_now.set()
    waiters = [asyncio.create_task(retry_now.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(waiter.done() for waiter in waiters)
    retry_now.set()
    await asyncio.gather(*waiters)
    assert not retry_now.next.is_set()


async def test_it_is_not_lost_between_decision_and_wait() -> None:
    """The event taken before it is set stays set."""
    retry_now = RetryNow()
    taken = retry_now.next
    retry_now.set()
    await taken.wait()
