"""Histories: what was acknowledged is there once, in order and whole; what is there was written; what was lost is one tail."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator

from tests.chaos.record import AppendBegun, Delivered, Entry, Final, Text
from tests.chaos.trail import Trail, Violation, Write, Written, data_of


def check_histories(trail: Trail) -> Iterator[Violation]:
    """Check the history of each session at the end, and that no acknowledgement contradicts another."""
    for session, final in trail.finals.items():
        if final.state == "deleted":
            if final.history:
                yield Violation("history.deleted", session, "nothing left of a deleted session", "its log is there", (final,))
            continue
        history = _History(trail, final)
        yield from history.log()
        yield from history.read()
        yield from history.written()
        yield from history.kept()
        yield from history.order()
        yield from history.steps()
    yield from _places(trail)
    yield from _notices(trail)


class _History:
    """One log of events at the end, beside what was written into it."""

    def __init__(self, trail: Trail, final: Final) -> None:
        self._trail, self._final, self._session = trail, final, final.session
        self._written = {id_: one for (session, id_), one in trail.written.items() if session == final.session}
        self._at = {text.id: text.offset for text in final.history}

    def log(self) -> Iterator[Violation]:
        """Offsets are 1, 2, 3, … under the epoch of the record, as many as it counts, and no id is there twice."""
        final = self._final
        offsets = [text.offset for text in final.history]
        if offsets != list(range(1, final.events + 1)):
            holes = sorted(set(range(1, final.events + 1)) ^ set(offsets))
            seen = f"{len(offsets)} events, offsets missing or beyond: {holes[:10]}"
            yield self._violation("history.contiguous", f"the offsets 1 to {final.events}", seen, final)
        for text in final.history:
            if text.epoch != final.epoch:
                yield self._violation("history.contiguous", f"events of epoch {final.epoch}", f"one of another: {text}", final)
        for id_, count in Counter(text.id for text in final.history).items():
            if count > 1:
                places = [text.offset for text in final.history if text.id == id_]
                yield self._violation("history.once", f"event {id_} once", f"it lies at {places}", *self._of(id_))

    def read(self) -> Iterator[Violation]:
        """No answer has read what lies at its own place or beyond it: that was another log."""
        for text in self._final.history:
            read = data_of(text).get("read") if text.type == "agent.message" else None
            if isinstance(read, int) and read >= text.offset:
                yield self._violation(
                    "history.read", f"an answer to what lies before offset {text.offset}", f"{text}", *self._of(text.id)
                )

    def written(self) -> Iterator[Violation]:
        """Nothing is in the history that was not written, and it says what was written."""
        for text in self._final.history:
            one = self._written.get(text.id)
            if one is None:
                yield self._violation("history.written", "only what was written", f"an event that was not: {text}")
            elif one.type != text.type or not _says(one, text):
                yield self._violation("history.written", f"{one.type} {one.text}", f"{text}", *one.entries)

    def kept(self) -> Iterator[Violation]:
        """What was acknowledged is there at its place, unless a fault may have taken it; then as one tail."""
        for write in self._trail.writes.get(self._session, ()):
            if write.done is not None:
                for event, offset in zip(write.begun.events, write.done.offsets, strict=True):
                    yield from self._one_kept(write, event, offset)

    def _one_kept(self, write: Write, event: Text, offset: int) -> Iterator[Violation]:
        begun, done = write.begun, write.done
        assert done is not None
        same = begun.epoch == self._final.epoch
        if same and self._at.get(event.id) == offset:
            return
        takers = list(self._trail.takers(begun.at, done.at))
        expected = f"event {event.id}, acknowledged at offset {offset} of epoch {begun.epoch}"
        if not takers:
            where = f"it lies at {self._at[event.id]}" if event.id in self._at else "it is not there"
            epoch = "" if same else f", and the epoch is {self._final.epoch or 'none'}"
            rule = "history.place" if event.id in self._at and same else "history.kept"
            yield self._violation(rule, expected, where + epoch, begun, done)
        elif same and not any(self._stored_since(offset) > fault.at for fault in takers):
            after = [text for text in self._final.history if text.offset >= offset]
            seen = f"it was lost, and what was acknowledged before any fault that could take it stands there: {after[:3]}"
            yield self._violation("history.tail", f"{expected}, or all from there on lost with it", seen, begun, done, *takers)

    def _stored_since(self, offset: int) -> float:
        """Return the earliest acknowledgement of what lies at an offset or beyond it."""
        acks = [self._acked(text) for text in self._final.history if text.offset >= offset]
        return min(acks, default=math.inf)

    def order(self) -> Iterator[Violation]:
        """What was acknowledged before the writing of something else began lies before it."""
        latest: tuple[float, Text | None] = -math.inf, None
        for text in self._final.history:
            one = self._written.get(text.id)
            if one is None:
                continue
            began, before = latest
            acked = self._trail.acked(one)
            if before is not None and acked < began:
                expected = f"{text.id} before {before.id}: it was acknowledged before that was asked for"
                seen = f"offsets {text.offset} and {before.offset}"
                yield self._violation("history.order", expected, seen, *one.entries, *self._of(before.id))
            if one.began > began:
                latest = one.began, text

    def steps(self) -> Iterator[Violation]:
        """The events of one step are there together, in their order, or none of them."""
        for write in self._trail.writes.get(self._session, ()):
            places = [self._at.get(event.id) for event in write.begun.events]
            first = places[0] if places else None
            whole = all(place is None for place in places) if first is None else places == list(_from(first, len(places)))
            if not whole:
                yield self._violation(
                    "history.step", "all events of a step, one after another, or none", f"{places}", write.begun
                )

    def _acked(self, text: Text) -> float:
        one = self._written.get(text.id)
        return self._trail.acked(one) if one else math.inf

    def _of(self, id_: str) -> tuple[Entry, ...]:
        one = self._written.get(id_)
        return tuple(one.entries) if one else ()

    def _violation(self, rule: str, expected: str, seen: str, *entries: Entry) -> Violation:
        return Violation(rule, self._session, expected, seen, entries)


def _from(first: int, count: int) -> range:
    return range(first, first + count)


def _says(one: Written, text: Text) -> bool:
    """Return whether an event says what was written: all of it where a worker wrote it, the words where a person said them."""
    by_worker = isinstance(one.entries[0], AppendBegun)
    return one.text == (text.body if by_worker else data_of(text).get("text"))


def _places(trail: Trail) -> Iterator[Violation]:
    """No two events were acknowledged at one place, unless the first may have been lost in between."""
    for session, writes in trail.writes.items():
        taken: dict[tuple[str, int], tuple[str, Write]] = {}
        for write in writes:
            if write.done is None:
                continue
            for event, offset in zip(write.begun.events, write.done.offsets, strict=True):
                id_, other = taken.get((write.begun.epoch, offset), (event.id, write))
                assert other.done is not None
                span = sorted([other.begun.at, other.done.at, write.begun.at, write.done.at])
                if id_ != event.id and not trail.parted(span[0], span[-1]):
                    seen = f"{id_} and {event.id} at offset {offset}"
                    entries = (other.begun, other.done, write.begun, write.done)
                    yield Violation("history.place", session, "one event at each offset", seen, entries)
                taken[write.begun.epoch, offset] = event.id, write


def _notices(trail: Trail) -> Iterator[Violation]:
    """No text of a notice is in an event, as it is stored or as a reader is given it."""
    marker = trail.run.marker
    if not marker:
        return
    stored = ((final.session, text, final) for final in trail.finals.values() for text in final.history)
    events = (item for item in trail.all(Delivered) if trail.plane(item) == "events")
    given = ((item.session, item.message, item) for item in events)
    for session, text, entry in itertools.chain(stored, given):
        if marker in text.body:
            yield Violation("history.notice", session, "no text of a notice in an event", f"{text}", (entry,))
