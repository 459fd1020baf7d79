"""The table of sessions: one row a session that changes in place."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rich import box
from rich.table import Table
from rich.text import Text

from bus import Notice
from workers.cli.row import Row
from workers.redaction import one_line

_NARROW = 100
"""Columns below which model and worker are left out: state, countdown and reason matter more."""
_SESSION_WIDTH = 12
"""Columns for the name of a session, at least; for a longer one up to a third of the terminal."""


class Board:
    """The rows of all sessions, by name."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._widest = _SESSION_WIDTH

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, row: Row) -> None:
        """Add a row, or put it in the place of the one for that session."""
        self._rows[row.session] = row
        self._widest = max(self._widest, len(row.session))

    def apply(self, notice: Notice) -> Row:
        """Take a notice in and return the row of its session."""
        row = self._rows.get(notice.subject, Row(notice.subject)).apply(notice)
        self.put(row)
        return row

    def rows(self, limit: int | None = None) -> tuple[list[Row], int]:
        """Return the rows to show, by name, and how many are left out: those that can wait longest."""
        rows = sorted(self._rows.values(), key=lambda row: row.session)
        if limit is None or len(rows) <= limit:
            return rows, 0
        kept = sorted(rows, key=_urgency)[: max(0, limit)]
        return sorted(kept, key=lambda row: row.session), len(rows) - len(kept)

    def table(self, now: datetime, *, width: int, limit: int | None = None, ascii_only: bool = False) -> Table:
        """Draw the table as it is at a moment of server time.

        Args:
            width: columns of the terminal. The columns of the table depend on it and on the longest name, not
                on what else is in them, so nothing jumps.
            limit: most rows to draw.
            ascii_only: whether the terminal has no other signs.
        """
        rows, left_out = self.rows(limit)
        table = _frame(max(_SESSION_WIDTH, min(self._widest, width // 3)), wide=width >= _NARROW)
        for row in rows:
            table.add_row(*_cells(row, now, wide=width >= _NARROW, ascii_only=ascii_only))
        if left_out:
            table.caption = f"and {left_out} more that need less attention"
        return table


def _frame(session_width: int, *, wide: bool) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        expand=True,
        pad_edge=False,
        header_style="dim",
        caption_style="dim",
        caption_justify="left",
    )
    for name, columns in (("session", session_width), ("state", 16)):
        table.add_column(name, width=columns, no_wrap=True, overflow="ellipsis")
    table.add_column("attempt", width=10, no_wrap=True)
    table.add_column("in", width=7, no_wrap=True, justify="right")
    table.add_column("why", ratio=1, no_wrap=True, overflow="ellipsis")
    if wide:
        for name in ("model", "worker"):
            table.add_column(name, width=18, no_wrap=True, overflow="ellipsis")
    return table


def _cells(row: Row, now: datetime, *, wide: bool, ascii_only: bool) -> Iterable[Text]:
    urgent = "bold red" if row.needs_you else ""
    cells = [
        Text(row.session, "bold"),
        row.state_text(ascii_only=ascii_only),
        Text(row.attempt),
        Text(row.countdown(now)),
        Text(row.story(), urgent),
    ]
    if wide:
        cells += [Text(one_line(name, 100) if name else "", "dim") for name in (row.model, row.worker)]
    return cells


def _urgency(row: Row) -> tuple[int, str]:
    return (row.look.urgency if row.look else 5, row.session)
