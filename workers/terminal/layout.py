"""What stands where in the line of a session, on a terminal of any width. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from rich.cells import cell_len, set_cell_size

from tidings.bus.redaction import one_line
from tidings.workers.view import INDENT, Placed, SessionView

Piece = tuple[str, str]
"""A text and the style it is shown in."""

WIDE = 110
"""Columns from which model and worker have their own."""
ROOMY = 126
"""Columns from which these need not be cut for what is said of the state."""
AGED = 100
"""Columns from which there is one for how long a session has been in its state."""
MIDDLE = 60
"""Columns from which state and attempt have their own; below, what is said of both stands in one."""

_MARK = 2
_GAP = 2
_NARROW_GAP = 1
_LEAST_NAME = 12
_LEAST_NARROW_NAME = 8
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Moment:
    """The moment at which a line is written, and for what terminal.

    Attributes:
        now: server time, which countdowns count to.
        ascii_only: whether the terminal has no other signs.
    """

    now: datetime
    ascii_only: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table.

    Attributes:
        width: cells it takes, at all times: nothing jumps with what is in it.
        right: whether its texts end in line rather than begin.
    """

    name: str
    width: int
    show: Callable[[Placed, Moment], Piece]
    right: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns for a width."""

    columns: tuple[Column, ...]
    gap: int

    @classmethod
    def of(cls, width: int, longest_name: int) -> Layout:
        """Return the layout for so many columns of the terminal.

        Args:
            longest_name: characters of the longest name of a session.
        """
        gap = _GAP if width >= MIDDLE else _NARROW_GAP
        if width < MIDDLE:
            name = max(_LEAST_NARROW_NAME, min(longest_name, width // 4))
            fixed = [Column("session", name, _name), Column("in", 7, _countdown, right=True)]
            tail: list[Column] = []
            last = ("state and why", _all)
        else:
            name = max(_LEAST_NAME, min(longest_name, width // 4))
            fixed = [
                Column("session", name, _name),
                Column("state", 16, _state),
                Column("attempt", 7, _attempt),
                Column("in", 7, _countdown, right=True),
            ]
            model, worker = (18, 16) if width >= ROOMY else (16, 12)
            tail = [Column("model", model, _model), Column("worker", worker, _worker)] if width >= WIDE else []
            tail += [Column("for", 4, _age, right=True)] if width >= AGED else []
            last = ("why", _why)
        used = _MARK + sum(column.width + gap for column in (*fixed, *tail))
        return cls((*fixed, Column(last[0], max(1, width - used), last[1]), *tail), gap)

    def heading(self) -> str:
        """Return the line above the rows."""
        return " " * _MARK + (" " * self.gap).join(_fit(column.name, column) for column in self.columns)

    def line(self, placed: Placed, moment: Moment, *, selected: bool = False) -> list[Piece]:
        """Return the line of a row in pieces; a selected one is marked by a sign too, never by its colour alone."""
        mark = (">" if moment.ascii_only else "›") if selected else " "
        pieces = [(mark.ljust(_MARK), "bold")]
        for number, column in enumerate(self.columns):
            if number:
                pieces.append((" " * self.gap, ""))
            text, style = column.show(placed, moment)
            pieces.append((_fit(text, column), style))
        return pieces


def _fit(text: str, column: Column) -> str:
    """Make a text as wide as its column; what is cut ends in an ellipsis."""
    wide = cell_len(text)
    if wide > column.width:
        return set_cell_size(set_cell_size(text, column.width - 1).rstrip() + "…", column.width)
    blank = " " * (column.width - wide)
    return blank + text if column.right else text + blank


def _name(placed: Placed, moment: Moment) -> Piece:
    below = f"{' ' * INDENT * (placed.depth - 1)}{'`' if moment.ascii_only else '└'} " if placed.depth else ""
    return below + (one_line(placed.row.label, 100) if placed.depth else placed.row.session), "bold"


def state_piece(row: SessionView, *, ascii_only: bool = False) -> Piece:
    """Return the state of a session as people see it: a sign, a word, a colour."""
    look = row.look
    return (f"{look.ascii_sign if ascii_only else look.sign} {look.word}", look.colour) if look else (row.word, "dim")


def _state(placed: Placed, moment: Moment) -> Piece:
    return state_piece(placed.row, ascii_only=moment.ascii_only)


def _attempt(placed: Placed, moment: Moment) -> Piece:
    return placed.row.attempt, ""


def _countdown(placed: Placed, moment: Moment) -> Piece:
    return placed.row.countdown(moment.now), ""


def _why(placed: Placed, moment: Moment) -> Piece:
    row = placed.row
    return one_line(row.story(), _LONGEST), "bold red" if row.needs_you else ""


def _model(placed: Placed, moment: Moment) -> Piece:
    return one_line(placed.row.model or "", 100), "dim"


def _worker(placed: Placed, moment: Moment) -> Piece:
    return one_line(placed.row.worker or "", 100), "dim"


def _age(placed: Placed, moment: Moment) -> Piece:
    return placed.row.age(moment.now), "dim"


def _all(placed: Placed, moment: Moment) -> Piece:
    """Return state, attempt and reason in one, in the colour of the state."""
    state, colour = _state(placed, moment)
    parts = (state, placed.row.attempt.replace(" of ", "/"), one_line(placed.row.story(), _LONGEST))
    return " · ".join(part for part in parts if part), colour
