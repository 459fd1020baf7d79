"""Ending a task for certain."""

from __future__ import annotations

import asyncio
from typing import Any

_AGAIN_S = 0.1


async def end(task: asyncio.Task[Any], again_s: float = _AGAIN_S) -> None:
    """Cancel a task until it is over; what it ends with is left in it.

    Once is not enough: in Python 3.11 a cancellation that meets the end of ``asyncio.wait_for`` is lost, and redis-py
    waits with that.

    Args:
        again_s: seconds after which it is cancelled once more; longer than it may take to clear up.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=again_s)
