"""The rows of all sessions: parents by name, each with its children under it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tidings.bus import ChildState, Message, Notice, State, carries
from tidings.workers.board.row import Row

INDENT = 2
"""Columns by which a child stands further in than its parent."""


class Board:
    """The rows of all sessions, by name."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._heard: set[str] = set()
        """Sessions that told something on their own channel, which is sooner there than under their parent."""
        self.widest = 0
        """Columns of the widest label so far, with its indent."""

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, session: str) -> Row:
        return self._rows[session]

    def put(self, row: Row) -> None:
        """Add a row, or put it in the place of the one for that session."""
        self._rows[row.session] = row
        depth = self.depth(row.session)
        self.widest = max(self.widest, depth * INDENT + len(row.label if depth else row.session))

    def apply(self, notice: Message[Notice]) -> Row:
        """Take a notice in and return the row of its session; of a child that it tells of, the row of that."""
        if carries(notice, ChildState):
            return self._take_child(notice)
        self._heard.add(notice.session)
        row = self._rows.get(notice.session, Row(notice.session)).apply(notice)
        if row.state is State.DELETED:
            self._rows.pop(notice.session, None)
        else:
            self.put(row)
        return row

    def _take_child(self, notice: Message[ChildState]) -> Row:
        """Take in what is told of a child, unless the child is heard itself."""
        row = Row.of_child(notice.data, notice.session)
        if row.session in self._heard:
            return self._rows.get(row.session, row)
        known = self._rows.get(row.session)
        same = known is not None and (known.state, known.parked) == (row.state, row.parked)
        row = replace(row, since=known.since if known is not None and same else notice.time)
        if row.state is State.DELETED:
            self._rows.pop(row.session, None)
        else:
            self.put(row)
        return row

    def depth(self, session: str) -> int:
        """Return how many parents stand above a row."""
        return len(list(self._ancestors(session)))

    def _ancestors(self, session: str) -> Iterator[str]:
        """Yield the parents above a session that have rows, the nearest first; a circle, which is a mistake, ends."""
        seen = {session}
        parent = self._rows[session].parent
        while parent in self._rows and parent not in seen:
            yield parent
            seen.add(parent)
            parent = self._rows[parent].parent

    def rows(self, limit: int | None = None) -> tuple[list[Row], int]:
        """Return the rows to show, and how many are left out: those that can wait longest.

        Sessions stand by name, each with its children under it; a child whose parent is not shown stands among the sessions.
        """
        rows = list(self._rows.values())
        if limit is None or len(rows) <= limit:
            return self._arranged(rows), 0
        kept = sorted(rows, key=urgency)[: max(0, limit)]
        return self._arranged(kept), len(rows) - len(kept)

    def _arranged(self, rows: Iterable[Row]) -> list[Row]:
        return sorted(rows, key=self._place)

    def _place(self, row: Row) -> tuple[tuple[str, str], ...]:
        """Return what a row is sorted by: the labels from its root down to itself."""
        path = [row.session, *self._ancestors(row.session)]
        root, *below = reversed(path)
        return ((root, ""), *((self._rows[session].label, session) for session in below))


def urgency(row: Row) -> tuple[int, str]:
    """Return what rows are sorted by to have those that need a person first."""
    return (row.look.urgency if row.look else 5, row.session)
