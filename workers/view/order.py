"""The one order of sessions, with children under their parents: terminal, lists and gateway have it, and `roster.js` the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from tidings.bus import ChildState, Message, Notice, State, carries
from tidings.workers.view.session import SessionView

INDENT: Final = 2
"""Columns by which a child stands further in than its parent."""

MOST_DEPTH: Final = 8
"""How deep a session stands at most: further in there would be no room for its name."""

_NUMBER = re.compile(r"[0-9]+")

Rank = tuple[int, str, str]
"""What sessions of the same parent are sorted by."""
Place = tuple[Rank, ...]
"""What all sessions are sorted by: the ranks from the root of the family down to the session."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A session in its place.

    Attributes:
        depth: how deep it stands below its root; 0 is a root.
    """

    row: SessionView
    depth: int = 0


def rank(row: SessionView) -> Rank:
    """Return what children of the same parent are sorted by.

    Those that need a person first, then those at work, those that rest, those that are over; within these by name, so that a
    row stays where it is while its state changes between running and waiting.
    """
    return row.urgency, _natural(row.label), row.session


def places(rows: Mapping[str, SessionView]) -> dict[str, Place]:
    """Return each session with its place, in order.

    A family stands where its most urgent member would. A child whose parent is not among them counts as a root, and so does one
    whose parents run in a circle, which is a mistake.
    """
    lines = {session: _line(rows, row) for session, row in rows.items()}
    urgent = {session: row.urgency for session, row in rows.items()}
    for session, line in lines.items():
        for above in line[:-1]:
            urgent[above] = min(urgent[above], rows[session].urgency)
    ranks = {session: (urgent[session], _natural(_called(rows[session], line)), session) for session, line in lines.items()}
    found = {session: tuple([ranks[one] for one in line]) for session, line in lines.items()}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def moves(old: SessionView | None, new: SessionView) -> bool:
    """Return whether a change can move a session, or others, to another place."""
    return old is None or (old.urgency, old.parent, old.name) != (new.urgency, new.parent, new.name)


def _line(rows: Mapping[str, SessionView], row: SessionView) -> list[str]:
    """Return the sessions from the root of a family down to one of it."""
    line = [row.session]
    while row.parent and row.parent in rows:
        row = rows[row.parent]
        if row.session in line:
            return line[:1]
        line.append(row.session)
    line.reverse()
    return line


def _called(row: SessionView, line: list[str]) -> str:
    """Return what a session is called where it stands: a root by its own id, be it a child of one that is not there."""
    return row.label if len(line) > 1 else row.session


def _natural(label: str) -> str:
    """Return a name as it is sorted: without regard to case, its numbers by their value, as in ``s9``, ``s10``."""
    return _NUMBER.sub(_by_value, label.lower())


def _by_value(number: re.Match[str]) -> str:
    digits = number[0].lstrip("0")
    return f"{len(digits):02}{digits}"


class Roster:
    """All sessions as they are seen, by name, and in order."""

    def __init__(self) -> None:
        self._rows: dict[str, SessionView] = {}
        self._order: dict[str, Place] | None = None
        self._heard: set[str] = set()
        """Sessions that told something on their own channel, which is sooner there than under their parent."""
        self.widest = 0
        """Columns of the widest label so far, with its indent."""

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, session: str) -> SessionView:
        return self._rows[session]

    def __iter__(self) -> Iterator[SessionView]:
        return iter(self._rows.values())

    def get(self, session: str) -> SessionView | None:
        """Return a session, None where there is none of that name."""
        return self._rows.get(session)

    def put(self, row: SessionView) -> None:
        """Add a session, or put it in the place of what was known of it."""
        if moves(self._rows.get(row.session), row):
            self._order = None
        self._rows[row.session] = row
        depth = min(len(_line(self._rows, row)) - 1, MOST_DEPTH)
        self.widest = max(self.widest, depth * INDENT + len(row.label if depth else row.session))

    def remove(self, session: str) -> None:
        """Forget a session; nothing happens where there is none."""
        if self._rows.pop(session, None) is not None:
            self._order = None

    def apply(self, notice: Message[Notice]) -> SessionView:
        """Take a notice in and return its session as it is then; of a child that it tells of, that child."""
        if carries(notice, ChildState):
            return self._take_child(notice)
        self._heard.add(notice.session)
        return self._take(self._rows.get(notice.session, SessionView(notice.session)).apply(notice))

    def _take(self, row: SessionView) -> SessionView:
        if row.state is State.DELETED:
            self.remove(row.session)
        else:
            self.put(row)
        return row

    def _take_child(self, notice: Message[ChildState]) -> SessionView:
        """Take in what is told of a child, unless the child is heard itself."""
        row = SessionView.of_child(notice.data, notice.session)
        known = self._rows.get(row.session)
        if row.session in self._heard:
            return known or row
        same = known is not None and (known.state, known.parked) == (row.state, row.parked)
        return self._take(replace(row, since=known.since if known is not None and same else notice.time))

    def places(self) -> dict[str, Place]:
        """Return each session with its place, in order; made anew only after a change that moves one."""
        if self._order is None:
            self._order = places(self._rows)
        return self._order

    def shown(self, wanted: Callable[[SessionView], bool] | None = None) -> list[Placed]:
        """Return the sessions that are wanted, all of them without a wish, in order.

        A child stands as deep as its parents are shown.
        """
        depths: dict[str | None, int] = {None: -1}
        found: list[Placed] = []
        for session in self.places():
            row = self._rows[session]
            if wanted is None or wanted(row):
                depths[session] = depth = min(depths.get(row.parent, -1) + 1, MOST_DEPTH)
                found.append(Placed(row, depth))
        return found
