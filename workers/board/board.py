"""The rows of all sessions, by name. Pure."""

from __future__ import annotations

from bus import Notice, State
from workers.board.row import Row


class Board:
    """The rows of all sessions, by name."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self.widest = 0
        """Characters of the longest name so far."""

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, session: str) -> Row:
        return self._rows[session]

    def put(self, row: Row) -> None:
        """Add a row, or put it in the place of the one for that session."""
        self._rows[row.session] = row
        self.widest = max(self.widest, len(row.session))

    def apply(self, notice: Notice) -> Row:
        """Take a notice in and return the row of its session."""
        row = self._rows.get(notice.subject, Row(notice.subject)).apply(notice)
        if row.state is State.DELETED:
            self._rows.pop(notice.subject, None)
        else:
            self.put(row)
        return row

    def rows(self, limit: int | None = None) -> tuple[list[Row], int]:
        """Return the rows to show, by name, and how many are left out: those that can wait longest."""
        rows = sorted(self._rows.values(), key=lambda row: row.session)
        if limit is None or len(rows) <= limit:
            return rows, 0
        kept = sorted(rows, key=urgency)[: max(0, limit)]
        return sorted(kept, key=lambda row: row.session), len(rows) - len(kept)


def urgency(row: Row) -> tuple[int, str]:
    """Return what rows are sorted by to have those that need a person first."""
    return (row.look.urgency if row.look else 5, row.session)
