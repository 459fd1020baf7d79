"""Retry now: what a person's resume says to the back-offs that are under way."""

from __future__ import annotations

import asyncio


class RetryNow:
    """Ends every back-off that is under way, at once; a back-off that begins later is not touched.

    One is shared by all the paths of a session. It belongs to one event loop: call it from there.
    """

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def set(self) -> None:
        """End the waits under way."""
        over, self._next = self._next, asyncio.Event()
        over.set()

    @property
    def next(self) -> asyncio.Event:
        """The event that the next `set` sets, and that never is cleared.

        Who is about to wait takes it first: a `set` that comes between the decision to wait and the wait
        itself then counts.
        """
        return self._next

    async def wait(self) -> None:
        """Wait for the next `set` after this begins to run."""
        await self._next.wait()
