"""What the viewers of one session share: one subscription to its history, and the newest frames of it.

A viewer keeps its own place. It takes frames from the shared tail while it keeps up, and reads the log where it does not, so one
that is slow costs the others nothing and misses nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from tidings.bus import Bus, Cursor, Event, Gap, Message, Notice, TidingsError
from tidings.bus.errors import cause_of
from tidings.bus.messages import as_stored
from tidings.workers.gateway.frames import frame
from tidings.workers.gateway.viewers import Viewer, wake_all

log = logging.getLogger("tidings.gateway")

TAIL = 512
"""Frames of events that are kept for viewers that keep up."""
TAIL_BYTES = 1024 * 1024
"""Most bytes of them; the newest one is kept at any size."""
NOTICES = 64
"""Frames of notices that are kept; as many as the ring behind the status plane holds."""
_AGAIN_S = 0.5
"""How long to wait before trying again to follow a session that could not be followed."""


class Stored(NamedTuple):
    """One event as a frame."""

    epoch: str | None
    offset: int
    id: str
    frame: bytes


class SessionFeed:
    """The live part of one session, for all that look at it.

    Attributes:
        viewers: those that look.
        breaks: how often what comes next could not be known to follow what came before; each time a viewer reads the log.
        following: whether what happens from now on arrives here.
        told: how many notices there were so far.
    """

    def __init__(self, bus: Bus, session: str) -> None:
        self._bus, self._session = bus, session
        self._tail: deque[Stored] = deque()
        self._bytes = 0
        self._notices: deque[bytes] = deque(maxlen=NOTICES)
        self._task: asyncio.Task[None] | None = None
        self.viewers: set[Viewer] = set()
        self.breaks = 0
        self.following = False
        self.told = 0

    def start(self) -> None:
        """Begin to follow the session."""
        self._task = asyncio.create_task(self._run(), name=f"tidings-feed-{self._session}")

    def stop(self) -> asyncio.Task[None] | None:
        """End; returns what is still ending."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        return task

    # what viewers take

    def events_after(self, offset: int) -> Iterator[Stored] | None:
        """Return the newest events after an offset; None where the tail does not reach back so far."""
        if not self._tail:
            return iter(())
        missing = offset + 1 - self._tail[0].offset
        return islice(self._tail, missing, None) if missing >= 0 else None

    def notices_after(self, told: int) -> tuple[list[bytes], int]:
        """Return the frames of the notices that came after so many, and how many of them are not kept any more."""
        new = self.told - told
        kept = min(new, len(self._notices))
        return list(islice(self._notices, len(self._notices) - kept, None)) if kept else [], new - kept

    # what arrives

    def notice(self, notice: Message[Notice]) -> None:
        """Keep a notice for the timeline."""
        self._notices.append(frame("notice", as_stored(notice).encode()))
        self.told += 1
        wake_all(self.viewers)

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except TidingsError as error:
                log.debug("gateway.feed_waits", extra={"session": self._session, "cause": cause_of(error)})
            except Exception:
                log.exception("gateway.feed_failed")
            self._break()
            self.following = False
            await asyncio.sleep(_AGAIN_S)

    async def _follow(self) -> None:
        record = await self._bus.status(self._session)
        place = Cursor(record.epoch, record.events)
        async with self._bus.follow(self._session, Event, place) as events:
            self.following = True
            self._break()
            async for item in events:
                if isinstance(item, Gap):
                    self._break()
                else:
                    self._keep(Stored(item.epoch, item.offset or 0, item.id, event_frame(item)))
                    wake_all(self.viewers)

    def _keep(self, stored: Stored) -> None:
        self._tail.append(stored)
        self._bytes += len(stored.frame)
        while len(self._tail) > 1 and (len(self._tail) > TAIL or self._bytes > TAIL_BYTES):
            self._bytes -= len(self._tail.popleft().frame)

    def _break(self) -> None:
        """Have every viewer read the log."""
        self._tail.clear()
        self._bytes = 0
        self.breaks += 1
        wake_all(self.viewers)


def event_frame(message: Message[Any]) -> bytes:
    """Return the frame of an event, with the place from which a stream that broke after it goes on."""
    return frame("event", as_stored(message).encode(), place(message.epoch, message.offset or 0))


def place(epoch: str | None, offset: int) -> str:
    """Write a place in a history as the id of a frame."""
    return f"{epoch}-{offset}"


class Feeds:
    """The feeds of the sessions that have viewers."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._feeds: dict[str, SessionFeed] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._feeds)

    def get(self, session: str) -> SessionFeed | None:
        """Return the feed of a session, None where it has no viewers."""
        return self._feeds.get(session)

    def join(self, session: str, viewer: Viewer) -> SessionFeed:
        """Have a viewer woken by what happens in a session; the first one begins its feed. Returns at once."""
        feed = self._feeds.get(session)
        if feed is None:
            feed = self._feeds[session] = SessionFeed(self._bus, session)
            feed.start()
        feed.viewers.add(viewer)
        return feed

    def leave(self, session: str, viewer: Viewer) -> None:
        """Wake a viewer no more; the last one ends the feed. Returns at once, because a viewer that leaves may be cancelled."""
        feed = self._feeds.get(session)
        if feed is None:
            return
        feed.viewers.discard(viewer)
        if not feed.viewers:
            del self._feeds[session]
            self._end(feed)

    def _end(self, feed: SessionFeed) -> None:
        task = feed.stop()
        if task is not None:
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def aclose(self) -> None:
        """End all of them."""
        for feed in self._feeds.values():
            self._end(feed)
        self._feeds.clear()
        if self._ending:
            await asyncio.wait(tuple(self._ending))
