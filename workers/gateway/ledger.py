"""The rows of all sessions in the order in which they last changed, each encoded once for all readers. Pure.

A reader keeps one number: the newest change that it has. What it has missed is the rows after that, each as it is now, so the
newest wins, a reader may be as slow as it likes, and nothing is kept for it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from tidings.bus import State
from tidings.workers.board import Row
from tidings.workers.gateway.frames import as_json, frame
from tidings.workers.gateway.views import row_view, urgency_of

GONE_KEPT = 1000
"""Sessions that are gone and still told to readers that lag behind; a reader that lags behind more of them begins anew."""
_ROW = b'event: row\ndata: {"row":'
_STATUS = b'event: status\ndata: {"row":'
_CHILD = b'event: child\ndata: {"row":'
_END = b"}\n\n"

Key = tuple[int, str, str]


class Entry:
    """One session as it is after one change; only its place moves on.

    Attributes:
        row: what is shown.
        change: the number of the change; grows by one with each of any session.
        epoch, offset: place of the newest notice that is in it.
    """

    __slots__ = ("_frame", "_status", "change", "epoch", "offset", "row")

    def __init__(self, row: Row, change: int, epoch: str | None, offset: int) -> None:
        self.row, self.change, self.epoch, self.offset = row, change, epoch, offset
        self._frame: bytes | None = None
        self._status: bytes | None = None

    @property
    def frame(self) -> bytes:
        """The frame that tells the fleet of it; encoded when the first reader asks, and shared by all."""
        if self._frame is None:
            self._frame = _ROW + as_json(row_view(self.row)) + _END
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

    @property
    def key(self) -> Key:
        """What sessions are sorted by: the most urgent first, then the one that is in its state for longest, then the name."""
        since = self.row.since
        return urgency_of(self.row), since.isoformat() if since else "", self.row.session


def gone_frame(session: str) -> bytes:
    """Return the frame that tells that there is no such session any more."""
    return frame("gone", as_json({"session": session}))


class Ledger:
    """The entries of all sessions, the one that changed last at the end."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
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
        """Return the entries of the children of a session, the most urgent first."""
        return sorted((self._entries[child] for child in self._children.get(parent, ())), key=lambda entry: entry.key)

    def names(self) -> list[str]:
        """Return the sessions, the one that changed last at the end."""
        return list(self._entries)

    def put(self, row: Row, epoch: str | None, offset: int) -> bool:
        """Take a row in; returns whether readers see anything new."""
        old = self._entries.get(row.session)
        if old is not None and old.row == row:
            old.epoch, old.offset = epoch, offset
            return False
        self._drop(row.session)
        self._gone.pop(row.session, None)
        self.change += 1
        self._entries[row.session] = Entry(row, self.change, epoch, offset)
        if row.parent:
            self._children.setdefault(row.parent, set()).add(row.session)
        self._count(row, 1)
        return True

    def remove(self, session: str) -> Row | None:
        """Forget a session; returns its last row, None where it was not known."""
        old = self._drop(session)
        if old is None:
            return None
        self.change += 1
        self._gone[session] = self.change
        if len(self._gone) > GONE_KEPT:
            self.forgotten = self._gone.pop(next(iter(self._gone)))
        return old

    def _drop(self, session: str) -> Row | None:
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

    def _count(self, row: Row, by: int) -> None:
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

    def page(self, wanted: Callable[[Row], bool], after: Key | None, limit: int) -> tuple[list[Entry], int, Key | None]:
        """Return the most urgent entries after a key, how many are wanted in all, and the key to go on from."""
        matching = [entry.key for entry in self if wanted(entry.row)]
        rest: Iterable[Key] = matching if after is None else (key for key in matching if key > after)
        found = heapq.nsmallest(limit + 1, rest)
        more = found[limit - 1] if len(found) > limit else None
        return [self._entries[session] for _, _, session in found[:limit]], len(matching), more
