"""Viewers: each waits to be woken and then takes what is new at its own pace."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


class Viewer:
    """One open stream. It costs one future while it waits; nothing is queued for it."""

    __slots__ = ("_waiter", "_woken")

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None
        self._woken = True

    def wake(self) -> None:
        """Have it look for what is new; returns at once."""
        self._woken = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Wait until woken since the last time."""
        if not self._woken:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._woken = False


@dataclass
class Counts:
    """What has happened to viewers since the gateway began; see the metrics of the same names."""

    frames: dict[str, int] = field(default_factory=lambda: {"fleet": 0, "session": 0})
    overflows: dict[str, int] = field(default_factory=lambda: {"fleet": 0, "session": 0})
    gaps: int = 0
    notices_missed: int = 0
    streams: Counter[str] = field(default_factory=Counter)
    streams_refused: Counter[str] = field(default_factory=Counter)
    stalled: int = 0
    connections: int = 0
    connections_ended: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    refused: int = 0
    commands: dict[tuple[str, str], int] = field(default_factory=dict)

    def command(self, kind: str, result: str) -> None:
        """Count a command by what became of it."""
        self.commands[kind, result] = self.commands.get((kind, result), 0) + 1


def wake_all(viewers: Iterable[Viewer]) -> None:
    """Wake several."""
    for viewer in viewers:
        viewer.wake()
