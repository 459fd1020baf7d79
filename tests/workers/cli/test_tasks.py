"""Ending a task for certain."""

from __future__ import annotations

import asyncio

from tidings.workers.cli.tasks import end


async def test_a_task_that_loses_a_cancellation_is_cancelled_again() -> None:
    """As a read of redis-py may; ending what is over does nothing."""
    lost: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            lost.append("once")
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()
    assert lost == ["once"]
    await end(task)


async def test_what_it_failed_with_stays_in_it() -> None:
    """Whoever wants to know asks the task."""

    async def failing() -> None:
        raise ZeroDivisionError

    task = asyncio.create_task(failing())
    await asyncio.sleep(0)
    await end(task)
    assert isinstance(task.exception(), ZeroDivisionError)
