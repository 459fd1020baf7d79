"""Deliveries: what readers were given is every message in its order, or a gap that was told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.chaos.record import Delivered, Entry, Final, Gap, Text
from tests.chaos.trail import Reader, Trail, Violation, data_of


def check_deliveries(trail: Trail) -> Iterator[Violation]:
    """Check each reader by itself, then what they and the logs say of one place."""
    for reader in trail.readers.values():
        for session, items in reader.by_session().items():
            place = _Place(reader, session)
            for item in items:
                yield from place.take(item)
            yield from _spliced(trail, place)
            if reader.ended:
                yield from _at_end(trail, place)
    yield from _contents(trail)


@dataclass(slots=True)
class _Place:
    """Where a reader stands in one channel.

    Attributes:
        epoch, last: of the newest that it was given; last is None where anything may come next.
        run: what it was given since it was told of a reset, or drawn a picture.
        cursor: the message that it began after, if the run still is the one that began there; the id may be ''.
        gap: the newest item, if that was a gap.
        offsets: where the messages lay that it was given since it was told of a reset, by their ids.
        before: the newest item.
        runs: what it was given in its earlier runs.
    """

    reader: Reader
    session: str
    epoch: str = ""
    last: int | None = None
    run: list[Delivered] = field(default_factory=list)
    cursor: Text | None = None
    gap: Gap | None = None
    offsets: dict[str, int] = field(default_factory=dict)
    before: Delivered | Gap | None = None
    runs: list[list[Text]] = field(default_factory=list)

    def __post_init__(self) -> None:
        begun = self.reader.begun
        if begun.offset:
            self.epoch, self.last = begun.epoch, begun.offset
            # The id of a picture is made of its epoch; it is the id of no message.
            known = "" if begun.epoch and begun.id.startswith(f"{begun.epoch}.") else begun.id
            self.cursor = Text(id=known, type="", body="", offset=begun.offset, epoch=begun.epoch)
        elif self.reader.plane == "events":
            self.last = 0

    @property
    def given(self) -> list[Text]:
        """What it was given in its present run, and before that the message that it began after, where that is known."""
        begun = [self.cursor] if self.cursor is not None and self.cursor.id else []
        return begun + [item.message for item in self.run]

    def take(self, item: Delivered | Gap) -> Iterator[Violation]:
        """Take the next item, and say what is wrong with it here."""
        if self.gap is not None and self.gap.why == "deleted":
            yield self._violation("reader.deleted", "nothing after the gap that tells of the end", f"{item}", self.gap, item)
        yield from self._take_gap(item) if isinstance(item, Gap) else self._take_message(item)
        self.before = item

    def _take_gap(self, gap: Gap) -> Iterator[Violation]:
        if gap.why == "reset":
            self.runs.append(self.given)
            self.epoch, self.last, self.run, self.cursor = "", 0, [], None
            self.offsets.clear()
        elif gap.why == "trimmed":
            if self.reader.plane == "events":
                yield self._violation("reader.trimmed", "a history of which nothing is trimmed", f"{gap}", gap)
            if gap.first != (self.last or 0) + 1 or gap.last < gap.first:
                yield self._violation("reader.gap", f"a gap from {(self.last or 0) + 1} on", f"{gap}", gap)
            self.last = gap.last
        self.gap = gap

    def _take_message(self, item: Delivered) -> Iterator[Violation]:
        message = item.message
        if item.picture:
            yield from self._take_picture(item)
        else:
            expected = None if self.last is None else self.last + 1
            if expected is None and message.offset != 1:
                yield self._violation("reader.hole", "a picture, a gap or offset 1 to begin with", f"{message}", item)
            elif expected is not None:
                yield from self._next(expected, item)
            other = self.offsets.setdefault(message.id, message.offset)
            if other != message.offset:
                yield self._violation("reader.twice", f"{message.id} once, at offset {other}", f"{message}", item)
            self.run.append(item)
        self.epoch, self.last, self.gap = message.epoch, message.offset, None

    def _take_picture(self, item: Delivered) -> Iterator[Violation]:
        """A picture begins a channel, also anew after a gap, and ends it where the session was deleted."""
        begins = self.last is None or self.gap is not None or data_of(item.message).get("to") == "deleted"
        reset = self.gap is not None and self.gap.why == "reset"
        if not begins:
            yield self._violation("reader.hole", "a gap before another picture", f"{item.message}", item)
        elif not reset and self.last is not None and item.message.offset < self.last and item.message.epoch == self.epoch:
            yield self._violation("reader.twice", f"an offset of {self.last} or more", f"{item.message}", item)
        self.run, self.cursor = [], None

    def _next(self, expected: int, item: Delivered) -> Iterator[Violation]:
        message = item.message
        if self.epoch and message.epoch != self.epoch:
            yield self._violation("reader.epoch", f"a gap (reset) after epoch {self.epoch}", f"{message}", item)
        elif message.offset < expected:
            yield self._violation("reader.twice", f"offset {expected} next", f"{message}", item)
        elif message.offset > expected:
            yield self._violation("reader.hole", f"offset {expected} next, or a gap", f"{message}", item)

    def _violation(self, rule: str, expected: str, seen: str, *entries: Entry) -> Violation:
        where = f"{self.reader.begun.channel}, reader {self.reader.begun.reader}"
        before = (self.before,) if self.before is not None and self.before not in entries else ()
        return Violation(rule, self.session, f"{expected} ({where})", seen, (self.reader.begun, *before, *entries))


def _at_end(trail: Trail, place: _Place) -> Iterator[Violation]:
    """A reader that had the time has reached the end, and holds no message that is not in the log unless it was told."""
    final = trail.finals.get(place.session)
    if final is None:
        return
    plane = place.reader.plane
    if final.state == "deleted":
        if plane == "events" and (place.gap is None or place.gap.why != "deleted"):
            yield _untold(place, final, "a gap that tells that the session was deleted")
        return
    log = final.history if plane == "events" else final.ring
    yield from _untold_loss(place, final, log)
    end = final.events if plane == "events" else final.status
    # Of status nothing need be told where nothing is retained, and after the record was read some more may be said.
    reached = place.last == end if plane == "events" else place.last is None or place.last >= end
    if not reached:
        yield _untold(place, final, f"the end of {place.reader.begun.channel} at {end}; it stands at {place.last}")


def _untold_loss(place: _Place, final: Final, log: tuple[Text, ...]) -> Iterator[Violation]:
    """What a reader was given since it was last told of a reset is in the log, and what it began after too."""
    at = {text.offset: text for text in log}
    retained = min(at, default=final.status + 1) if place.reader.plane == "status" else 1
    for message in place.given:
        there = at.get(message.offset)
        if message.offset < retained and message.epoch == final.epoch:
            continue
        if there is None or (there.id, final.epoch) != (message.id, message.epoch):
            what = f"a gap (reset): it was given {message.id} at {message.epoch} {message.offset}, there is {there and there.id}"
            yield _untold(place, final, what)
            return


def _spliced(trail: Trail, place: _Place) -> Iterator[Violation]:
    """What was given before an entry of the final log is in that log too: a loss in between is told by a reset."""
    final = trail.finals.get(place.session)
    if final is None or place.reader.plane != "events":
        return
    at = {(text.epoch, text.offset): text.id for text in final.history}
    for run in (*place.runs, place.given):
        there = [at.get((message.epoch, message.offset)) == message.id for message in run]
        kept = [index for index, found in enumerate(there) if found and not _again(trail, place.session, run[index])]
        if kept and not all(there[: kept[-1]]):
            gone = run[there.index(False)]
            yield _untold(place, final, f"a gap (reset) between {gone}, which was lost, and {run[kept[-1]]}")


def _again(trail: Trail, session: str, message: Text) -> bool:
    """Return whether a message may have been written once more, so that it lay at its place in a log that was lost as well."""
    written = trail.written.get((session, message.id))
    return written is None or written.tries != 1


def _untold(place: _Place, final: Final, expected: str) -> Violation:
    entries = [entry for entry in (place.reader.begun, place.before, place.reader.ceased, final) if entry is not None]
    newest = f"it was given {len(place.run)} messages in its present run, and stands at {place.epoch} {place.last}"
    return Violation("reader.end", place.session, f"{expected} (reader {place.reader.begun.reader})", newest, tuple(entries))


def _contents(trail: Trail) -> Iterator[Violation]:
    """At one place of a log there is one message, whoever is given it, unless data may have been lost in between."""
    seen: dict[tuple[str, str, str, int], tuple[Text, Entry]] = {}
    told: set[tuple[str, str, str, int]] = set()
    for plane, session, text, entry in _messages(trail):
        place = plane, session, text.epoch, text.offset
        first, other = seen.setdefault(place, (text, entry))
        differs = (first.id, first.type, first.body) != (text.id, text.type, text.body)
        # What a reader is given late may have been stored before a loss that came before the other was stored.
        times = (_made(first, other), _made(text, entry), other.at, entry.at)
        if differs and place not in told and not trail.parted(min(times), max(times)):
            told.add(place)
            expected = f"one message at offset {text.offset} of {plane}"
            yield Violation("reader.contents", session, expected, f"{first} and {text}", (other, entry))


def _messages(trail: Trail) -> Iterator[tuple[str, str, Text, Entry]]:
    """Yield every message of a log that was given or found, with its plane and session."""
    for item in trail.all(Delivered):
        if not item.picture:
            yield trail.plane(item), item.session, item.message, item
    for final in trail.finals.values():
        for text in final.history:
            yield "events", final.session, text, final
        for text in final.ring:
            yield "status", final.session, text, final


def _made(text: Text, entry: Entry) -> float:
    """Return the monotonic time at which a message was made."""
    return text.made - entry.wall + entry.at if text.made else entry.at
