"""How commands are run when they are cancelled."""

from __future__ import annotations

import asyncio

import pytest

from bus import Bus, WorkerRef


@pytest.mark.parametrize("reading", [False, True], ids=["script", "pipeline"])
async def test_a_cancellation_is_never_swallowed(bus: Bus, reading: bool) -> None:
    """Wherever it meets the command: before Python 3.12 redis-py would drop one of them, and the task would go on for ever."""

    async def go_on() -> None:
        while True:
            if reading:
                assert await bus.snapshot("nobody") is None
            else:
                await bus.take_due()

    await bus.claim(WorkerRef(name="w"))
    for turns in range(60):
        task = asyncio.create_task(go_on())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=5)
        assert task.cancelled(), f"cancelled after {turns} turns of the loop, and it goes on"
