"""Watching: a table that updates in place, lines where something changes, or the envelopes themselves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from bus import Bus, Channel, ChildState, Gap, LlmRecovered, LlmRetry, Notice, SessionState
from workers.board import Board, clock
from workers.cli.connection import on_bus
from workers.cli.exits import Exit
from workers.cli.history import print_item
from workers.cli.output import complain, print_json, screen
from workers.cli.table import draw
from workers.cli.tasks import end
from workers.cli.view import wire_line
from workers.settings import Settings

_TICK_S = 0.5
"""How often a countdown is drawn anew; whole seconds are shown."""
_REST_S = 0.1
"""Shortest time between two drawings, however much happens."""
_FRAME_LINES = 6
"""Lines of the screen that are not rows: heading, head of the table, caption, and one to spare."""


def watch(settings: Settings, channel: str, *, as_json: bool) -> int:
    """Show what happens on a channel until stopped; returns the exit code.

    The status plane begins with the current picture, the other planes with the oldest message retained.

    Raises:
        InvalidName: there is no such channel.
    """
    Channel.parse(channel)
    return on_bus(settings, lambda bus: show(bus, channel, as_json=as_json))


async def show(bus: Bus, channel: str, *, as_json: bool) -> int:
    """Show what happens on a channel of a bus that is open already; see ``watch``."""
    parsed, out = Channel.parse(channel), screen()
    if as_json or parsed.plane != "status":
        await _print_messages(bus, channel, as_json=as_json)
    elif out.is_terminal and not out.is_dumb_terminal:
        await LiveTable(bus, parsed.session, screen(fold=True)).run()
    else:
        await _print_changes(bus, parsed.session, out)
    return Exit.DONE


async def _print_messages(bus: Bus, channel: str, *, as_json: bool) -> None:
    async with bus.subscribe(channel) as messages:
        async for item in messages:
            if as_json:
                print_json(wire_line(item))
            else:
                print_item(item, as_json=False)


async def _print_changes(bus: Bus, session: str, out: Console) -> None:
    """Print one line whenever something changes for a session; what only counts down does not."""
    shown: dict[str, str] = {}
    board = Board()
    async with bus.notices(session) as notices, _told_when_lost(bus):
        async for item in notices:
            if isinstance(item, Gap):
                continue
            row = board.apply(item)
            line = row.line()
            # The other notices lead up to a change of state that follows at once.
            news = isinstance(item, SessionState | ChildState | LlmRetry | LlmRecovered)
            if news and shown.get(row.session) != line:
                shown[row.session] = line
                out.print(Text(f"{clock(item.time)}  {line}"))


@asynccontextmanager
async def _told_when_lost(bus: Bus) -> AsyncIterator[None]:
    """Say on stderr when the connection is lost and when it is back."""

    async def look() -> None:
        connected = bus.connected
        while True:
            await asyncio.sleep(_TICK_S)
            if bus.connected != connected:
                connected = bus.connected
                complain("the connection is back" if connected else "the connection is lost, trying again")

    task = asyncio.create_task(look(), name="tidings-watch-connection")
    try:
        yield
    finally:
        await end(task)


class LiveTable:
    """A table on the terminal that is drawn anew in its place.

    Args:
        session: the session to show; ``*`` is all of them.
    """

    def __init__(self, bus: Bus, session: str, out: Console) -> None:
        self._bus, self._session, self._out = bus, session, out
        self._board = Board()
        self._changed = asyncio.Event()
        self._was_connected = False

    async def run(self) -> None:
        """Draw until cancelled."""
        reader = asyncio.create_task(self._read(), name="tidings-watch")
        try:
            # Lines of a log would push the table down; its heading tells of the connection.
            with _quiet(), Live(console=self._out, auto_refresh=False, vertical_overflow="crop") as live:
                while not reader.done():
                    live.update(self.draw(), refresh=True)
                    await self._pause()
            reader.result()
        finally:
            await end(reader)

    async def _read(self) -> None:
        async with self._bus.notices(self._session) as notices:
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
        now = self._bus.now()
        table = draw(
            self._board,
            now,
            width=width,
            limit=max(1, height - _FRAME_LINES),
            ascii_only=self._out.options.ascii_only,
        )
        return Group(self._heading(), table)

    def _heading(self) -> Text:
        bus, count = self._bus, len(self._board)
        self._was_connected = self._was_connected or bus.connected
        if bus.connected:
            state = ("connected", "green")
        elif self._was_connected:
            state = ("connection lost, trying again", "bold red")
        else:
            state = ("connecting", "yellow")
        lost = f"  lost {bus.reconnects} times so far" if bus.reconnects else ""
        heading = Text.assemble(
            (f"status.{self._session}", "bold"),
            f"  {bus.address}  ",
            state,
            (f"{lost}  {count} session{'' if count == 1 else 's'}  {clock(bus.now())}", "dim"),
        )
        heading.no_wrap, heading.overflow = True, "ellipsis"
        return heading


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("tidings")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
