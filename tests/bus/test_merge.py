"""Retained and live messages as one sequence."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tidings.bus.merge import Gap, OffsetTracker

Entry = tuple[int, str]


@dataclass
class Log:
    """What the server keeps of one channel: the newest offset, and the entries that retention has left.

    A message is the text ``<epoch>/<offset>``, so that it can be seen where it came from; after a crash, which keeps
    the epoch, ``<epoch>+<crashes>/<offset>``. It is its own id.
    """

    epoch: str
    end: int = 0
    kept: deque[Entry] = field(default_factory=deque)
    crashes: int = 0

    def publish(self) -> Entry:
        """Store the next message."""
        self.end += 1
        life = f"+{self.crashes}" if self.crashes else ""
        self.kept.append((self.end, f"{self.epoch}{life}/{self.end}"))
        return self.kept[-1]

    def trim(self, count: int) -> None:
        """Let retention take the oldest."""
        for _ in range(min(count, len(self.kept))):
            self.kept.popleft()

    def crash(self, count: int) -> None:
        """Lose the newest, which were not yet on the disk."""
        self.crashes += 1
        self.end = max(0, self.end - count)
        while self.kept and self.kept[-1][0] > self.end:
            self.kept.pop()

    def at(self, offset: int) -> str:
        """Return the message at an offset, '' where it is not kept."""
        return dict(self.kept).get(offset, "")

    def after(self, offset: int, limit: int) -> tuple[Entry, ...]:
        """Read a page."""
        return tuple(entry for entry in self.kept if entry[0] > offset)[:limit]

    @property
    def oldest(self) -> int:
        """The oldest offset that can still be read; one beyond the end where nothing can."""
        return self.kept[0][0] if self.kept else self.end + 1


def _log(epoch: str, end: int, trimmed: int = 0) -> Log:
    log = Log(epoch)
    for _ in range(end):
        log.publish()
    log.trim(trimmed)
    return log


def _read(tracker: OffsetTracker[str], log: Log | None, limit: int = 100) -> list[str | Gap]:
    """Give a tracker one page of a log, None standing for a session that is gone."""
    if log is None:
        return tracker.page(None, 0, ())
    return tracker.page(log.epoch, log.end, log.after(tracker.last, limit), log.at(tracker.last))


def _read_all(tracker: OffsetTracker[str], log: Log, limit: int = 100) -> list[str | Gap]:
    out: list[str | Gap] = []
    while tracker.stale:
        out += _read(tracker, log, limit)
    return out


def _attached(log: Log, after: int = 0) -> OffsetTracker[str]:
    tracker: OffsetTracker[str] = OffsetTracker("events.demo", log.epoch, after)
    _read_all(tracker, log)
    return tracker


# attaching


def test_a_new_reader_gets_everything_that_is_kept() -> None:
    """From the beginning, in order, page by page."""
    log = _log("e", 5)
    tracker: OffsetTracker[str] = OffsetTracker("events.demo")
    assert _read(tracker, log, 2) == ["e/1", "e/2"]
    assert tracker.stale
    assert _read_all(tracker, log, 2) == ["e/3", "e/4", "e/5"]
    assert (tracker.epoch, tracker.last) == ("e", 5)


def test_a_reader_goes_on_after_its_cursor() -> None:
    """What it has is not given again."""
    assert _read_all(OffsetTracker("events.demo", "e", 3), _log("e", 5)) == ["e/4", "e/5"]


def test_a_reader_that_has_everything_gets_nothing() -> None:
    """A cursor at the end is up to date after one look."""
    tracker: OffsetTracker[str] = OffsetTracker("events.demo", "e", 5)
    assert _read(tracker, _log("e", 5)) == []
    assert not tracker.stale


def test_what_was_trimmed_is_one_gap_of_exactly_that() -> None:
    """The hole is told in its place, with its bounds."""
    tracker: OffsetTracker[str] = OffsetTracker("status.demo", "e", 2)
    assert _read_all(tracker, _log("e", 9, trimmed=6)) == [Gap("status.demo", "trimmed", 3, 6), "e/7", "e/8", "e/9"]


def test_an_expired_ring_is_one_gap_up_to_the_end() -> None:
    """When nothing is kept at all, everything after the cursor is missing, and the reader is up to date."""
    tracker: OffsetTracker[str] = OffsetTracker("status.demo", "e", 2)
    assert _read(tracker, _log("e", 9, trimmed=9)) == [Gap("status.demo", "trimmed", 3, 9)]
    assert (tracker.last, tracker.stale) == (9, False)


def test_a_cursor_of_another_log_begins_anew() -> None:
    """The reader is told once that the log is another one, and gets it from its beginning."""
    tracker: OffsetTracker[str] = OffsetTracker("events.demo", "old", 3)
    assert _read_all(tracker, _log("new", 2)) == [Gap("events.demo", "reset", 4, 3), "new/1", "new/2"]
    assert tracker.epoch == "new"


@pytest.mark.parametrize("epoch", ["e", None])
def test_a_cursor_beyond_the_end_begins_anew(epoch: str | None) -> None:
    """A log that is shorter than what was read has lost something, also for a reader that knew only an offset."""
    tracker: OffsetTracker[str] = OffsetTracker("events.demo", epoch, 7)
    assert _read_all(tracker, _log("e", 2)) == [Gap("events.demo", "reset", 8, 7), "e/1", "e/2"]


def test_a_page_that_overlaps_is_no_double() -> None:
    """Entries that the reader has already are passed over."""
    tracker: OffsetTracker[str] = OffsetTracker("events.demo", "e", 2)
    assert tracker.page("e", 3, ((1, "e/1"), (2, "e/2"), (3, "e/3"))) == ["e/3"]


# live


def test_nothing_live_is_believed_before_the_log_was_read() -> None:
    """What arrives between the acknowledgement and the first page is in that page."""
    log = _log("e", 2)
    tracker: OffsetTracker[str] = OffsetTracker("events.demo")
    assert tracker.live("e", 2, "e/2") is None
    assert _read_all(tracker, log) == ["e/1", "e/2"]


def test_a_cursor_is_held_against_the_log_first() -> None:
    """Even what seems to be the next message is not believed before the log has confirmed the cursor."""
    tracker: OffsetTracker[str] = OffsetTracker("events.demo", "e", 3)
    assert tracker.live("e", 4, "e/4") is None
    assert _read_all(tracker, _log("e", 4)) == ["e/4"]


def test_the_next_message_is_passed_on() -> None:
    """Once attached, live messages need no look at the log."""
    tracker = _attached(_log("e", 2))
    assert tracker.live("e", 3, "e/3") == "e/3"
    assert not tracker.stale


def test_a_double_is_dropped() -> None:
    """A message that was in the page or came before is not given again."""
    tracker = _attached(_log("e", 2))
    assert [tracker.live("e", offset, "x") for offset in (1, 2)] == [None, None]
    assert not tracker.stale


@pytest.mark.parametrize(("epoch", "offset"), [("e", 4), ("other", 3), ("other", 2), ("e", None), (None, 3), (None, None)])
def test_whatever_does_not_fit_asks_for_the_log(epoch: str | None, offset: int | None) -> None:
    """A hole, another log, or a message that does not say where it stands: the log is read."""
    tracker = _attached(_log("e", 2))
    assert tracker.live(epoch, offset, "x") is None
    assert tracker.stale
    assert _read_all(tracker, _log("e", 4)) == ["e/3", "e/4"]


# a server that crashed and keeps the epoch


def _crashed(log: Log, lost: int, written: int) -> Log:
    log.crash(lost)
    for _ in range(written):
        log.publish()
    return log


@pytest.mark.parametrize("written", [2, 3, 9])
def test_a_log_that_was_lost_and_filled_again_is_told(written: int) -> None:
    """Another message lies where the reader's last one was, so that all of it is given again after a gap."""
    log = _log("e", 5)
    tracker: OffsetTracker[str] = OffsetTracker("events.demo", identify=str)
    _read_all(tracker, log)
    assert _read(tracker, _crashed(log, 2, written)) == [Gap("events.demo", "reset", 6, 5)]
    assert _read_all(tracker, log) == [message for _, message in log.kept]


def test_it_is_looked_for_on_every_page() -> None:
    """Not only where a reader begins: this one has followed for long, by pages and by live messages."""
    log = _log("e", 2)
    tracker: OffsetTracker[str] = OffsetTracker("events.demo", "e", 2, "e/2", str)
    assert _read_all(tracker, log) == []
    log.publish()
    assert tracker.live("e", 3, "e/3") == "e/3"
    assert _read(tracker, log) == []
    assert _read(tracker, _crashed(log, 1, 1)) == [Gap("events.demo", "reset", 4, 3)]


def test_what_was_lost_before_the_reader_got_it_is_no_gap() -> None:
    """Its last message is still there; it goes on with what came instead."""
    log = _log("e", 5)
    tracker: OffsetTracker[str] = OffsetTracker("events.demo", "e", 3, "e/3", str)
    assert _read_all(tracker, _crashed(log, 2, 2)) == ["e+1/4", "e+1/5"]


def test_a_cursor_with_the_id_of_another_message_begins_anew() -> None:
    """The log is not the one that the cursor was taken from."""
    tracker: OffsetTracker[str] = OffsetTracker("events.demo", "e", 2, "x", str)
    assert _read_all(tracker, _log("e", 3)) == [Gap("events.demo", "reset", 3, 2), "e/1", "e/2", "e/3"]


@pytest.mark.parametrize("ident", ["", "e/2"])
def test_a_message_that_is_not_kept_or_not_known_is_not_compared(ident: str) -> None:
    """Retention takes messages without losing any."""
    tracker: OffsetTracker[str] = OffsetTracker("status.demo", "e", 2, ident, str)
    log = _log("e", 4, trimmed=2 if ident else 0)
    assert _read_all(tracker, log) == ["e/3", "e/4"]


# sessions that come and go


def test_a_session_that_is_deleted_is_told_once() -> None:
    """With what the reader has missed of it; nothing follows."""
    tracker = _attached(_log("e", 3))
    assert tracker.bury("e", 5) == [Gap("events.demo", "deleted", 4, 5)]
    assert tracker.bury("e", 5) == []
    assert (tracker.last, tracker.stale) == (5, False)


def test_a_reader_of_a_deleted_session_is_told_at_once() -> None:
    """Whether it has anything of it or not."""
    assert OffsetTracker[str]("events.demo").bury("e", 0) == [Gap("events.demo", "deleted", 1, 0)]
    assert OffsetTracker[str]("events.demo", "old", 7).bury("e", 2) == [Gap("events.demo", "deleted", 8, 7)]


def test_a_reader_may_come_before_the_session() -> None:
    """It stays stale, hears of no gap, and gets everything once the session has begun."""
    tracker: OffsetTracker[str] = OffsetTracker("events.demo")
    assert _read(tracker, None) == []
    assert tracker.stale
    assert _read_all(tracker, _log("e", 2)) == ["e/1", "e/2"]


def test_a_session_that_goes_away_is_told_once() -> None:
    """Its reader hears of a reset, then nothing until there is a new session, which it gets whole."""
    tracker = _attached(_log("e", 3))
    assert _read(tracker, None) == [Gap("events.demo", "reset", 4, 3)]
    assert _read(tracker, None) == []
    assert _read_all(tracker, _log("f", 2)) == ["f/1", "f/2"]


def test_a_session_that_goes_away_unread_leaves_no_gap() -> None:
    """Nothing of it was delivered, so nothing is missing."""
    tracker = _attached(_log("e", 0))
    assert _read(tracker, None) == []


# any history


def _place(start: tuple[str | None, int], out: list[str | Gap]) -> tuple[str | None, int]:
    """Follow what a reader got from its cursor on, and return where it stands after it.

    Messages and trimmed gaps must follow each other without hole or double; a reset is where a log begins.
    """
    epoch, last = start
    for item in out:
        if isinstance(item, str):
            written, _, offset = item.partition("/")
            written = written.partition("+")[0]
            assert epoch in (None, written)
            assert int(offset) == last + 1
            epoch, last = written, last + 1
        elif item.why == "trimmed":
            assert item.first == last + 1 <= item.last
            last = item.last
        else:
            assert (item.first, item.last) == (last + 1, last)
            epoch, last = None, 0
    return epoch, last


class Reading(RuleBasedStateMachine):
    """A log that is written, trimmed and lost, and a reader that hears of it whatever Pub/Sub makes of it.

    Live messages wait in a buffer and are delivered from there in order, in any order, twice or never. A connection keeps
    its order; but a reader sees messages of an old connection, of a new one and of the log side by side.
    """

    def __init__(self) -> None:
        super().__init__()
        self.logs = [Log("0")]
        self.buffer: list[tuple[str, int, str]] = []
        self.out: list[str | Gap] = []
        self.start: tuple[str | None, int] = (None, 0)
        self.tracker: OffsetTracker[str] = OffsetTracker("events.demo", identify=str)
        self.crashes = 0
        self.reconnected = False
        self.trimmed = False

    @property
    def log(self) -> Log:
        """The log as it is now."""
        return self.logs[-1]

    @initialize(
        written=st.integers(0, 8),
        trimmed=st.just(0) | st.integers(0, 8),
        epoch=st.sampled_from(["0", None, "lost"]),
        cursor=st.integers(0, 10),
    )
    def attach(self, written: int, trimmed: int, epoch: str | None, cursor: int) -> None:
        """A reader comes with any cursor: of this log or of another, inside it or beyond."""
        self.logs = [_log("0", written, trimmed)]
        self.trimmed = bool(min(trimmed, written))
        self.start = (epoch, cursor)
        self.tracker = OffsetTracker("events.demo", epoch, cursor, identify=str)

    @rule(count=st.integers(1, 3))
    def publish(self, count: int) -> None:
        """Messages are stored and published."""
        for _ in range(count):
            offset, message = self.log.publish()
            self.buffer.append((self.log.epoch, offset, message))

    @rule(count=st.integers(1, 4))
    @precondition(lambda self: not self.crashes)
    def trim(self, count: int) -> None:
        """Retention takes the oldest, perhaps all. Not together with a crash: what is not kept cannot be compared."""
        self.trimmed = self.trimmed or bool(self.log.kept)
        self.log.trim(count)

    @rule(written=st.integers(0, 4))
    def lose(self, written: int) -> None:
        """The data is lost; the session begins again under another epoch."""
        self.logs.append(_log(str(len(self.logs)), written))

    @rule(lost=st.integers(1, 4), written=st.integers(0, 6))
    @precondition(lambda self: not self.trimmed)
    def crash(self, lost: int, written: int) -> None:
        """The server loses what it had not written to its disk, keeps the epoch, and is written to again.

        Every connection breaks by that: the next thing that a reader does is to look at the log.
        """
        _crashed(self.log, lost, written)
        self.buffer.clear()
        self.crashes += 1
        self.reconnected = True

    @rule()
    def vanish(self) -> None:
        """The log is looked at while there is no session; then it begins again under another epoch."""
        self.out += _read(self.tracker, None)
        self.lose(0)

    @rule(data=st.data(), again=st.booleans())
    @precondition(lambda self: self.buffer and not self.reconnected)
    def hear_one(self, data: st.DataObject, again: bool) -> None:
        """One live message arrives, perhaps not for the last time."""
        index = data.draw(st.integers(0, len(self.buffer) - 1))
        self._hear(*(self.buffer[index] if again else self.buffer.pop(index)))

    @rule()
    @precondition(lambda self: self.buffer and not self.reconnected)
    def hear_all(self) -> None:
        """Everything that waits arrives as it was published."""
        for live in self.buffer:
            self._hear(*live)
        self.buffer.clear()

    def _hear(self, epoch: str, offset: int, message: str) -> None:
        taken = self.tracker.live(epoch, offset, message)
        if taken is not None:
            self.out.append(taken)

    @rule()
    def disconnect(self) -> None:
        """What was on its way is gone."""
        self.buffer.clear()

    @rule(limit=st.integers(1, 4))
    def read(self, limit: int) -> None:
        """A page is read: at most one gap is told, and nothing is in it that could still be read."""
        items = _read(self.tracker, self.log, limit)
        self.reconnected = False
        gaps = [item for item in items if isinstance(item, Gap)]
        assert len(gaps) <= 1
        for gap in gaps:
            assert gap.why == "reset" or gap.last < self.log.oldest
        self.out += items

    @rule()
    def catch_up(self) -> None:
        """The log is read to its end: the reader has all of it, or has been told what it lacks."""
        pages = 0
        while self.tracker.stale or self.reconnected:
            self.read(3)
            pages += 1
            assert pages <= 2 + self.log.end
        if self.tracker.last == self.log.end and self.tracker.epoch == self.log.epoch:
            self._holds_what_is_kept()
            assert _place(self.start, self.out) in {(self.log.epoch, self.log.end), (None, self.log.end)}

    def _holds_what_is_kept(self) -> None:
        """Since the last reset the reader was given no other message than the one that the log has in that place."""
        resets = [index for index, item in enumerate(self.out) if isinstance(item, Gap) and item.why == "reset"]
        since = self.out[resets[-1] + 1 :] if resets else self.out
        given = {int(item.partition("/")[2]): item for item in since if isinstance(item, str)}
        assert {offset: given.get(offset, message) for offset, message in self.log.kept} == dict(self.log.kept)

    @invariant()
    def it_is_one_sequence(self) -> None:
        """No hole, no double, and no more resets than there were logs."""
        assert _place(self.start, self.out)[1] == self.tracker.last
        resets = [item for item in self.out if isinstance(item, Gap) and item.why == "reset"]
        assert len(resets) <= len(self.logs) + self.crashes

    def teardown(self) -> None:
        """Whatever happened, one look at the log in silence completes the sequence."""
        self.read(3)
        self.catch_up()
        assert (self.tracker.epoch, self.tracker.last) == (self.log.epoch, self.log.end)
        self.it_is_one_sequence()


Reading.TestCase.settings = settings(max_examples=100, stateful_step_count=30)
TestReading = Reading.TestCase
