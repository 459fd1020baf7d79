"""The table of sessions: one row a session that changes in place."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rich import box
from rich.table import Table
from rich.text import Text

from tidings.bus.redaction import one_line
from tidings.workers.view import INDENT, Placed, Roster, SessionView

_NARROW = 120
"""Columns below which model and worker are left out: state, countdown and reason matter more."""
_AGED = 100
"""Columns from which there is one for how long a session has been in its state."""
_SESSION_WIDTH = 12
"""Columns for the name of a session, at least; for a longer one up to a third of the terminal."""


def draw(roster: Roster, now: datetime, *, width: int, ascii_only: bool = False) -> Table:
    """Draw sessions as a table, as it is at a moment of server time.

    Args:
        width: columns of the terminal. The columns of the table depend on it and on the longest name, not
            on what else is in them, so nothing jumps.
        ascii_only: whether the terminal has no other signs.
    """
    table = _frame(max(_SESSION_WIDTH, min(roster.widest, width // 3)), width)
    for placed in roster.shown():
        table.add_row(*_cells(placed, now, width, ascii_only=ascii_only))
    return table


def state_text(row: SessionView, *, ascii_only: bool = False) -> Text:
    """Return the state of a session as people see it: a sign, a word, a colour."""
    look = row.look
    if look is None:
        return Text(row.word, "dim")
    return Text(f"{look.ascii_sign if ascii_only else look.sign} {look.word}", look.colour)


def _frame(session_width: int, width: int) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        expand=True,
        pad_edge=False,
        header_style="dim",
    )
    for name, columns in (("session", session_width), ("state", 16)):
        table.add_column(name, width=columns, no_wrap=True, overflow="ellipsis")
    table.add_column("attempt", width=10, no_wrap=True)
    table.add_column("in", width=7, no_wrap=True, justify="right")
    table.add_column("why", ratio=1, no_wrap=True, overflow="ellipsis")
    if width >= _NARROW:
        for name in ("model", "worker"):
            table.add_column(name, width=18, no_wrap=True, overflow="ellipsis")
    if width >= _AGED:
        table.add_column("for", width=4, no_wrap=True, justify="right")
    return table


def _cells(placed: Placed, now: datetime, width: int, *, ascii_only: bool) -> Iterable[Text]:
    row, indent = placed.row, " " * INDENT * placed.depth
    urgent = "bold red" if row.needs_you else ""
    cells = [
        Text(indent + (row.label if indent else row.session), "bold"),
        state_text(row, ascii_only=ascii_only),
        Text(row.attempt),
        Text(row.countdown(now)),
        Text(row.story(), urgent),
    ]
    if width >= _NARROW:
        cells += [Text(one_line(name, 100) if name else "", "dim") for name in (row.model, row.worker)]
    if width >= _AGED:
        cells.append(Text(row.age(now), "dim"))
    return cells
