"""The table of the demo: drawn anew in its place, below the steps that scroll by above it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.text import Text

from bus import Bus, Notice
from workers.board import Board
from workers.cli.table import draw
from workers.cli.tasks import end

if TYPE_CHECKING:
    from rich.console import Console

_TICK_S = 0.5
"""How often a countdown is drawn anew; whole seconds are shown."""
_REST_S = 0.1
"""Shortest time between two drawings, however much happens."""
_FRAME_LINES = 6
"""Lines of the screen that are not rows: head of the table, caption, foot, and some of the steps."""


class LiveTable:
    """Shows all sessions, and one line below them.

    A whole screen as in `tidings watch` would hide the steps; these stay in the terminal, also when the demo is over.

    Attributes:
        foot: the line below.
    """

    def __init__(self, bus: Bus, out: Console) -> None:
        self._bus, self._out = bus, out
        self._board = Board()
        self._changed = asyncio.Event()
        self.foot = ""

    async def run(self) -> None:
        """Draw until cancelled."""
        reader = asyncio.create_task(self._read(), name="tidings-demo-reader")
        try:
            with _quiet(), Live(console=self._out, auto_refresh=False, vertical_overflow="crop") as live:
                while not reader.done():
                    live.update(self.draw(), refresh=True)
                    await self._pause()
            reader.result()
        finally:
            await end(reader)

    async def _read(self) -> None:
        async with self._bus.notices() as notices:
            async for item in notices:
                if isinstance(item, Notice):
                    self._board.apply(item)
                self._changed.set()

    async def _pause(self) -> None:
        """Wait until there is something new to draw: a change, or a second less to wait."""
        await asyncio.sleep(_REST_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TICK_S):
                await self._changed.wait()
        self._changed.clear()

    def draw(self) -> Group:
        """Return the picture of this moment."""
        width, height = self._out.size
        limit, ascii_only = max(1, height - _FRAME_LINES), self._out.options.ascii_only
        table = draw(self._board, self._bus.now(), width=width, limit=limit, ascii_only=ascii_only)
        return Group(table, Text(self.foot, "bold", no_wrap=True, overflow="ellipsis"))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let only errors be logged: lines of a log would push the table down."""
    logger = logging.getLogger("tidings")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
