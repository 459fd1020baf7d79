"""Where people read what happens: a table that changes in place with the steps above it, or plain lines."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.text import Text

from bus import Bus, LlmRetry, Notice, SessionState
from workers.board import Board
from workers.cli.program import own_name
from workers.cli.tasks import end
from workers.demo.table import LiveTable
from workers.redaction import one_line

if TYPE_CHECKING:
    from rich.console import Console

    from workers.demo.witness import Witness

_LONGEST = 1000


class Display:
    """Tells the steps, one line each; an async context manager.

    Args:
        bus: where the sessions are; its address goes into the commands for other terminals.
        write: prints one line.
        options: what these commands need besides the address.
    """

    def __init__(self, bus: Bus, write: Callable[[str], None], options: str = "") -> None:
        self._where = f"--redis {shlex.quote(bus.url)}{options}"
        self._write = write
        self._began = time.monotonic()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return

    def step(self, text: str) -> None:
        """Say what happens, with the seconds since the beginning."""
        self._write(f"{time.monotonic() - self._began:5.1f} s  {one_line(text, _LONGEST)}")

    def ask(self, text: str) -> None:
        """Say what a person can do at the moment; '' for nothing."""

    def command(self, *words: str) -> str:
        """Return a command for another terminal, ready to be copied."""
        return f"{own_name()} {shlex.join(words)} {self._where}"


class Lines(Display):
    """Tells the steps, and between them each change of a session as a line of its own."""

    def __init__(self, bus: Bus, write: Callable[[str], None], witness: Witness, options: str = "") -> None:
        super().__init__(bus, write, options)
        self._board = Board()
        self._shown: dict[str, str] = {}
        witness.add_listener(self._change)

    def _change(self, notice: Notice) -> None:
        row = self._board.apply(notice)
        line = row.line()
        # The others come just before a change of state, which says the same.
        if isinstance(notice, SessionState | LlmRetry) and self._shown.get(row.session) != line:
            self._shown[row.session] = line
            self._write(f"{'':9}{line}")


class Table(Display):
    """Tells the steps above a live table of the sessions, and below it what a person can do.

    Args:
        out: the terminal.
    """

    def __init__(self, bus: Bus, out: Console, options: str = "") -> None:
        super().__init__(bus, lambda line: out.print(Text(line), soft_wrap=True), options)
        self._table = LiveTable(bus, out)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._table.run(), name="tidings-demo-table")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        task, self._task = self._task, None
        if task is not None:
            await end(task)
            if not task.cancelled():
                task.result()

    def ask(self, text: str) -> None:
        """Show it below the table."""
        self._table.foot = text
