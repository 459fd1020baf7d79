"""The two streams: one of the whole fleet, one of a single session."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import Any

from tidings.bus import Gap, Message, Unreachable
from tidings.bus.merge import OffsetTracker
from tidings.workers.gateway.frames import as_json, batches, first_frame, frame
from tidings.workers.gateway.hub import Hub
from tidings.workers.gateway.ledger import gone_frame
from tidings.workers.gateway.session_feed import SessionFeed, Stored, event_frame, place
from tidings.workers.gateway.viewers import Viewer
from tidings.workers.view import SessionView, view_json

ROWS = 200
"""Most rows in one frame at the beginning of a stream."""
PAGE = 50
"""Events that are read from the log at a time."""
CHUNK = 64 * 1024
"""About how many bytes are sent in one go; a viewer that is slow holds no more than that and one frame."""
_READY = frame("ready", b"{}")


def hello(hub: Hub, row: SessionView | None = None) -> bytes:
    """Return the frame that a stream begins with, that of a session with the session as it is."""
    known = as_json({"now": hub.bus.now(), "connected": hub.bus.connected, "heartbeat_s": hub.heartbeat_s})
    return first_frame("hello", known if row is None else b'%b,"row":%b}' % (known[:-1], view_json(row)))


async def fleet_stream(hub: Hub) -> AsyncGenerator[bytes, None]:
    """Yield the whole fleet, then what changes, each session as it is when the viewer comes to it."""
    viewer, counts = Viewer(), hub.counts.frames
    hub.fleet_viewers.add(viewer)
    try:
        begin, change, strip, tick = True, 0, 0, hub.tick[1]
        while not hub.closing:
            await viewer.wait()
            if begin or change < hub.ledger.forgotten:
                hub.counts.overflows["fleet"] += not begin
                begin, change, strip = False, hub.ledger.change, hub.fleet[1]
                async for chunk in _whole_fleet(hub):
                    yield chunk
            frames = hub.ledger.after(change)
            change = hub.ledger.change
            if hub.fleet[1] != strip:
                frames.append(hub.fleet[0])
                strip = hub.fleet[1]
            if hub.tick[1] != tick:
                frames.append(hub.tick[0])
                tick = hub.tick[1]
            counts["fleet"] += len(frames)
            for chunk in chunks(frames):
                yield chunk
    finally:
        hub.fleet_viewers.discard(viewer)


async def _whole_fleet(hub: Hub) -> AsyncGenerator[bytes, None]:
    """Yield every session there is. A second ``hello`` in a stream says that what was told before is to be forgotten."""
    yield hello(hub)
    entries = (hub.ledger.get(name) for name in hub.ledger.names())
    for rows in batches((entry.json for entry in entries if entry is not None), ROWS):
        yield frame("rows", b'{"rows":[%b]}' % b",".join(rows))
    yield _READY + hub.fleet[0]


def chunks(frames: list[bytes]) -> list[bytes]:
    """Join frames to pieces of about `CHUNK` bytes; a single one stays the object that all viewers share."""
    if len(frames) <= 1:
        return frames
    pieces: list[bytes] = []
    begin = size = 0
    for index, one in enumerate(frames):
        size += len(one)
        if size >= CHUNK or index == len(frames) - 1:
            pieces.append(b"".join(frames[begin : index + 1]))
            begin, size = index + 1, 0
    return pieces


class SessionStream:
    """One viewer of one session.

    Args:
        after: place after which to begin; epoch None and offset 0 is the beginning.
        first: the frame to begin with.
    """

    def __init__(self, hub: Hub, session: str, epoch: str | None, after: int, first: bytes) -> None:
        self._hub, self._session, self._first = hub, session, first
        self._tracker: OffsetTracker[Message[Any] | Stored | None] = OffsetTracker(
            f"events.{session}", epoch, after, identify=_id_of
        )
        self._viewer = Viewer()
        self._change, self._told, self._tick = 0, 0, hub.tick[1]
        self._looked_at = -1
        self._children: dict[str, int] | None = None
        self._breaks = -1

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Yield what there is and what comes."""
        hub = self._hub
        feed = hub.feeds.join(self._session, self._viewer)
        hub.session_viewers.add(self._viewer)
        self._told = feed.told
        try:
            yield self._first
            while not hub.closing:
                await self._viewer.wait()
                more = True
                while more:
                    # Sent before the log is read: while the server is away that takes as long as it takes.
                    news = self._news(feed)
                    for chunk in self._counted(news):
                        yield chunk
                    events = await self._events(feed)
                    for chunk in self._counted(events):
                        yield chunk
                    more = bool(news or events)
        finally:
            hub.session_viewers.discard(self._viewer)
            hub.feeds.leave(self._session, self._viewer)

    def _counted(self, frames: list[bytes]) -> list[bytes]:
        self._hub.counts.frames["session"] += len(frames)
        return chunks(frames)

    def _news(self, feed: SessionFeed) -> list[bytes]:
        """Return what is new beside the history: the newest rows, notices, a sign of life."""
        frames: list[bytes] = []
        ledger = self._hub.ledger
        if ledger.change != self._looked_at:
            self._looked_at = ledger.change
            frames += [*self._own(), *self._family()]
        if feed.told != self._told:
            notices, missed = feed.notices_after(self._told)
            self._told = feed.told
            self._hub.counts.notices_missed += missed
            frames += notices
        if self._hub.tick[1] != self._tick:
            self._tick = self._hub.tick[1]
            frames.append(self._hub.tick[0])
        return frames

    def _own(self) -> list[bytes]:
        """Return the session's own row if it has changed, or that it is gone."""
        entry = self._hub.ledger.get(self._session)
        change = entry.change if entry is not None else 0
        if change == self._change:
            return []
        self._change = change
        return [entry.status if entry is not None else gone_frame(self._session)]

    def _family(self) -> list[bytes]:
        """Return all children at first, then those that have changed and the names of those that are gone.

        Those that are too many for one frame follow it one by one, as if they had changed.
        """
        children, known = self._hub.ledger.children(self._session), self._children
        self._children = {child.row.session: child.change for child in children}
        if known is None:
            rows = next(batches((child.json for child in children), ROWS), [])
            first = frame("children", b'{"rows":[%b]}' % b",".join(rows))
            return [first, *(child.child for child in children[len(rows) :])]
        changed = [child.child for child in children if child.change != known.get(child.row.session)]
        return changed + [gone_frame(session) for session in known if session not in self._children]

    async def _events(self, feed: SessionFeed) -> list[bytes]:
        """Return the next events: from the shared tail, or from the log where that does not join on."""
        if feed.breaks != self._breaks:
            self._breaks, self._tracker.stale = feed.breaks, True
        frames = [] if self._tracker.stale else self._from_tail(feed)
        if self._tracker.stale and feed.following:
            frames += await self._from_log()
        return frames

    def _from_tail(self, feed: SessionFeed) -> list[bytes]:
        newer = feed.events_after(self._tracker.last)
        if newer is None:
            self._hub.counts.overflows["session"] += 1
            self._tracker.stale = True
            return []
        frames, size = [], 0
        for stored in newer:
            if size >= CHUNK:
                break
            if self._tracker.live(stored.epoch, stored.offset, stored) is None:
                if self._tracker.stale:
                    break
                continue
            frames.append(stored.frame)
            size += len(stored.frame)
        return frames

    async def _from_log(self) -> list[bytes]:
        """Read on in the log. While the server is away there is nothing; the next sign of life has us try again."""
        tracker, frames = self._tracker, list[bytes]()
        while tracker.stale and not frames:
            before = tracker.epoch, tracker.last
            try:
                page = await self._hub.bus.page(tracker.channel, tracker.last, PAGE)
            except Unreachable:
                break
            if page.deleted and page.epoch is not None:
                return self._framed(tracker.bury(page.epoch, page.end))
            frames = self._framed(tracker.page(page.epoch, page.end, page.entries, page.id_before))
            if (tracker.epoch, tracker.last) == before:
                break
        return frames

    def _framed(self, items: Iterable[Message[Any] | Stored | Gap | None]) -> list[bytes]:
        """Return the frames of what was read; what cannot be read is left out, as it is everywhere."""
        frames = []
        for item in items:
            if isinstance(item, Gap):
                self._hub.counts.gaps += 1
                frames.append(_gap_frame(item, self._tracker.epoch))
            elif isinstance(item, Message):
                frames.append(event_frame(item))
        return frames


def _id_of(message: Message[Any] | Stored | None) -> str:
    return message.id if message is not None else ""


def _gap_frame(gap: Gap, epoch: str | None) -> bytes:
    """Return the frame of a gap; a reader that breaks off after it is not told again."""
    data = as_json({"channel": gap.channel, "why": gap.why, "first": gap.first, "last": gap.last})
    return frame("gap", data, place(epoch, 0 if gap.why == "reset" else gap.last))
