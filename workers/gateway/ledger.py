"""The rows of all sessions in the order in which they last changed, each encoded once for all readers. Pure.

A reader keeps one number: the newest change that it has. What it has missed is the rows after that, each as it is now, so the
newest wins, a reader may be as slow as it likes, and nothing is kept for it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator

from tidings.bus import State
from tidings.workers.gateway.frames import as_json, frame
from tidings.workers.view import Roster, SessionView, rank, view_json
from tidings.workers.view.order import Place

GONE_KEPT = 1000
"""Sessions that are gone and still told to readers that lag behind; a reader that lags behind more of them begins anew."""
_ROW = b'event: row\ndata: {"row":'
_STATUS = b'event: status\ndata: {"row":'
_CHILD = b'event: child\ndata: {"row":'
_END = b"}\n\n"


class Entry:
    """One session as it is after one change; only its place moves on.

    Attributes:
        row: what is shown.
        change: the number of the change; grows by one with each of any session.
        epoch, offset: place of the newest notice that is in it.
    """

    __slots__ = ("_frame", "_status", "change", "epoch", "offset", "row")

    def __init__(self, row: SessionView, change: int, epoch: str | None, offset: int) -> None:
        self.row, self.change, self.epoch, self.offset = row, change, epoch, offset
        self._frame: bytes | None = None
        self._status: bytes | None = None

    @property
    def frame(self) -> bytes:
        """The frame that tells the fleet of it; encoded when the first reader asks, and shared by all."""
        if self._frame is None:
            self._frame = _ROW + view_json(self.row) + _END
        return self._frame

    @property
    def json(self) -> bytes:
        """The row as JSON."""
        return self.frame[len(_ROW) : -len(_END)]

    @property
    def status(self) -> bytes:
        """The frame that tells the viewers of this session of it."""
        if self._status is None:
            self._status = _STATUS + self.json + _END
        return self._status

    @property
    def child(self) -> bytes:
        """The frame that tells the viewers of its parent of it."""
        return _CHILD + self.json + _END


def gone_frame(session: str) -> bytes:
    """Return the frame that tells that there is no such session any more."""
    return frame("gone", as_json({"session": session}))


class Ledger:
    """The entries of all sessions, the one that changed last at the end."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._roster = Roster()
        self._children: dict[str, set[str]] = {}
        self._gone: dict[str, int] = {}
        self.by_state: Counter[State] = Counter()
        self.parked: Counter[State] = Counter()
        """How many of them wait without a worker."""
        self.change = 0
        """The number of the newest change."""
        self.forgotten = 0
        """A reader that has not got as far as this change cannot be told of all that are gone."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def get(self, session: str) -> Entry | None:
        """Return the entry of a session, None where there is none."""
        return self._entries.get(session)

    def children(self, parent: str) -> list[Entry]:
        """Return the entries of the children of a session, in order."""
        return sorted((self._entries[child] for child in self._children.get(parent, ())), key=lambda entry: rank(entry.row))

    def names(self) -> list[str]:
        """Return the sessions, the one that changed last at the end."""
        return list(self._entries)

    def put(self, row: SessionView, epoch: str | None, offset: int) -> bool:
        """Take a row in; returns whether readers see anything new."""
        old = self._entries.get(row.session)
        if old is not None and old.row == row:
            old.epoch, old.offset = epoch, offset
            return False
        self._drop(row.session)
        self._gone.pop(row.session, None)
        self.change += 1
        self._entries[row.session] = Entry(row, self.change, epoch, offset)
        self._roster.put(row)
        if row.parent:
            self._children.setdefault(row.parent, set()).add(row.session)
        self._count(row, 1)
        return True

    def remove(self, session: str) -> SessionView | None:
        """Forget a session; returns its last row, None where it was not known."""
        old = self._drop(session)
        if old is None:
            return None
        self.change += 1
        self._roster.remove(session)
        self._gone[session] = self.change
        if len(self._gone) > GONE_KEPT:
            self.forgotten = self._gone.pop(next(iter(self._gone)))
        return old

    def _drop(self, session: str) -> SessionView | None:
        old = self._entries.pop(session, None)
        if old is None:
            return None
        row = old.row
        self._count(row, -1)
        if row.parent:
            siblings = self._children[row.parent]
            siblings.discard(session)
            if not siblings:
                del self._children[row.parent]
        return row

    def _count(self, row: SessionView, by: int) -> None:
        if row.state is not None:
            self.by_state[row.state] += by
            self.parked[row.state] += by * row.parked

    def after(self, change: int) -> list[bytes]:
        """Return the frames of what changed after a change, in order; those that are gone come last."""
        if change >= self.change:
            return []
        frames: list[bytes] = []
        for entry in reversed(self._entries.values()):
            if entry.change <= change:
                break
            frames.append(entry.frame)
        frames.reverse()
        gone = [session for session, at in self._gone.items() if at > change]
        return frames + [gone_frame(session) for session in gone]

    def page(
        self, wanted: Callable[[SessionView], bool], after: Place | None, limit: int
    ) -> tuple[list[tuple[Place, Entry]], int]:
        """Return the entries after a place, in order and each with its place, and how many are wanted in all.

        One more than `limit` says that there are more.
        """
        matching = [place for session, place in self._roster.places().items() if wanted(self._entries[session].row)]
        begin = 0 if after is None else bisect_right(matching, after)
        return [(place, self._entries[place[-1][2]]) for place in matching[begin : begin + limit + 1]], len(matching)
