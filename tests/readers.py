"""A writer that never tires and readers that take what they are given: for tests of delivery."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, TypeVar

from tests import actors
from tests.waiting import PATIENCE_S
from tidings.bus import Body, Bus, Gap, Lease, Message, Subscription

B = TypeVar("B", bound=Body)


async def take(subscription: Subscription[B], count: int) -> list[Message[B] | Gap]:
    """Read so many items."""
    async with asyncio.timeout(PATIENCE_S):
        return [await anext(subscription) for _ in range(count)]


async def read_to(subscription: Subscription[B], offset: int) -> list[Message[B] | Gap]:
    """Read until the message at an offset has come."""
    items: list[Message[B] | Gap] = []
    async with asyncio.timeout(PATIENCE_S):
        async for item in subscription:
            items.append(item)
            if not isinstance(item, Gap) and item.offset == offset:
                break
    return items


def offsets(items: Iterable[Message[Any] | Gap]) -> list[Any]:
    """Say where each item stands; a gap by its reason and range."""
    return [(item.why, item.first, item.last) if isinstance(item, Gap) else item.offset for item in items]


class Writer:
    """Appends one event after the other to a session that it holds.

    Attributes:
        written: events acknowledged so far, which is the offset of the newest.
    """

    def __init__(self, bus: Bus, claim: Lease) -> None:
        self._bus, self._claim = bus, claim
        self._task: asyncio.Task[None] | None = None
        self.written = 0

    def start(self) -> None:
        """Write until stopped, as quickly as the server takes it, for at most 20,000 events."""
        self._task = asyncio.create_task(self._write(20_000))

    async def stop(self) -> int:
        """End with the event under way; returns the offset of the newest."""
        task, self._task = self._task, None
        assert task is not None
        assert not task.done(), "the writer has failed or come to its bound"
        task.cancel()
        await asyncio.wait([task])
        # One that was cut short may have been stored; the next one is the newest in any case.
        await self.write()
        return self.written

    async def write(self, text: str = "") -> None:
        """Write one event; the server may be away for a while."""
        event = actors.answer(self._claim.session, text)
        [stored] = await self._claim.append(event, after=self.written, patience_s=PATIENCE_S)
        assert stored.offset is not None
        self.written = stored.offset

    async def _write(self, most: int) -> None:
        for _ in range(most):
            await self.write()
