"""A subscription: what is retained and what is live, as one sequence without holes and doubles.

The reader pulls. Live messages wait in a bounded buffer; when it overflows it is emptied and the log is read instead, at the
reader's own pace, so a slow reader costs the others nothing and loses nothing that is retained.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from tidings.bus.channels import Channel
from tidings.bus.errors import (
    AccessDenied,
    Closed,
    InvalidMessage,
    InvalidName,
    UnexpectedKey,
    Unreachable,
    UnreadableRecord,
    cause_of,
)
from tidings.bus.listener import Listener
from tidings.bus.logs import Logs, Page
from tidings.bus.merge import Gap, OffsetTracker
from tidings.bus.messages import Body, Cursor, Message, decode, is_session
from tidings.bus.redis.context import RedisContext

T = TypeVar("T", bound=Body)

log = logging.getLogger("tidings.subscription")

BUFFER = 1000
"""Live messages that wait for the reader, by default; more than that and the log is read instead."""
REREAD_S = 10.0
"""How often the end of the log is looked at in silence: the last message before a silence cannot be missed by counting."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a subscription has been through.

    Attributes:
        delivered: messages given to the reader.
        pending: messages that wait in the buffer.
        overflows: how often the buffer was full and was emptied.
        dropped: live messages dropped by that; those still retained were delivered from the log.
        gaps: gaps told to the reader.
        invalid: stored messages that could not be read and were skipped.
        resyncs: how often the log was read after the attach.
        connected: whether the Pub/Sub connection stands.
    """

    delivered: int
    pending: int
    overflows: int
    dropped: int
    gaps: int
    invalid: int
    resyncs: int
    connected: bool


def _id_of(message: Message[Any] | None) -> str:
    return message.id if message is not None else ""


class Subscription(Generic[T]):
    """An endless async iterator over one channel, or over the status of all sessions.

    Made by ``Bus.follow``; enter it before iterating. Entering waits for the server's acknowledgement: what is published after
    that is not missed (except that a session which the reader of a pattern has not come to yet, because of more than ``buffer``
    others, begins with its picture at that moment). Iteration yields messages and, where retention or a loss of data left a hole,
    a ``Gap``; of a deleted session nothing comes after that. While the server is away it waits. It ends when it or the bus is
    closed. One reader only.
    """

    def __init__(
        self,
        context: RedisContext,
        listener: Listener,
        channel: Channel,
        after: Cursor | int | None,
        *,
        logs: Logs | None = None,
        buffer: int = BUFFER,
        reread_s: float = REREAD_S,
    ) -> None:
        if channel.is_pattern and (channel.plane != "status" or after is not None):
            raise InvalidName(
                f"{channel} cannot be subscribed {'with a cursor' if after is not None else 'as a whole'}: "
                "only status.* can, without a cursor; name one session for anything else"
            )
        if after is not None and (after.offset if isinstance(after, Cursor) else after) < 0:
            raise ValueError("the first offset is 1, and 0 stands before it: subscribe after 0 or more")
        self._context, self._listener, self._logs = context, listener, logs or Logs(context)
        self._channel, self._after = channel, after
        self._limit, self._reread_s = buffer, reread_s
        self._trackers: dict[str, OffsetTracker[Message[Any] | None]] = {}
        self._live: deque[tuple[str, bytes]] = deque()
        self._out: deque[Message[T] | Gap] = deque()
        self._to_read: dict[str, None] = {}
        self._scan_wanted = False
        self._scan_at: int | None = None
        self._seen: set[str] = set()
        self._attached = False
        self._waits = False
        self._wake = asyncio.Event()
        self._acked = asyncio.Event()
        self._closed = False
        self._delivered = self._overflows = self._dropped = self._gaps = self._invalid = self._resyncs = 0

    async def __aenter__(self) -> Self:
        try:
            if self._channel.is_pattern:
                await self._listener.listen_planes(frozenset({self._channel.plane}), self)
            else:
                name = self._context.names.channel(self._channel.plane, self._channel.session)
                await self._listener.listen(name, self)
            await self._acked.wait()
            if self._channel.plane == "status" and self._after is None:
                await self._look_around()
            if self._closed:
                raise Closed("the bus was closed")
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop; a reader that waits gets the end of the iteration. Idempotent."""
        if not self._closed:
            self._closed = True
            self._wake.set()
            self._acked.set()
            await self._listener.forget(self)

    def statistics(self) -> Statistics:
        """Return what this subscription has been through."""
        return Statistics(
            self._delivered,
            len(self._live) + len(self._out),
            self._overflows,
            self._dropped,
            self._gaps,
            self._invalid,
            self._resyncs,
            self._listener.connected,
        )

    # the side of the listener

    def on_subscribed(self) -> None:
        """Note that the connection is (again) subscribed: what was missed before is in the log.

        So is what was heard before and still waits, unless the server has lost it; then its offset is another message's.
        """
        self._read_instead()
        for tracker in self._trackers.values():
            # A server that has lost its last writes may have come to the same offset by other messages.
            tracker.stale = True
        self._look()
        self._acked.set()
        self._wake.set()

    def receive(self, name: str, payload: bytes) -> None:
        """Take a live message into the buffer."""
        if len(self._live) >= self._limit:
            self._overflow()
        self._live.append((name.rpartition(".")[2], payload))
        self._wake.set()

    def _overflow(self) -> None:
        """Empty the buffer; what was in it is read from the log."""
        self._overflows += 1
        self._dropped += len(self._live)
        self._read_instead()

    def _read_instead(self) -> None:
        """Have the log read in place of what waits in the buffer."""
        for session, _ in self._live:
            self._want(session)
        self._live.clear()

    # the side of the reader

    async def _look_around(self) -> None:
        """Draw the pictures there are, on entering, as many as the buffer holds; the others when the reader gets there."""
        while not (self._attached or self._closed or len(self._out) >= self._limit):
            await self._advance()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message[T] | Gap:
        if not self._acked.is_set():
            raise Closed("enter the subscription before iterating: async with bus.follow(...) as subscription")
        while not self._out:
            if self._closed:
                raise StopAsyncIteration
            await self._advance()
        item = self._out.popleft()
        if isinstance(item, Gap):
            self._gaps += 1
        else:
            self._delivered += 1
        return item

    async def _advance(self) -> None:
        """Do one thing that brings the next item nearer. Cancelled or failing, it leaves everything to be done again."""
        try:
            if self._to_read:
                await self._read_next()
            elif self._scan_wanted or self._scan_at is not None:
                await self._scan()
            elif self._live:
                self._take(*self._live.popleft())
            else:
                await self._pause(self._reread_s)
        except (AccessDenied, UnexpectedKey) as error:
            # Rights that were there come back, and so does a key of ours; a reader that never was attached ends with the error.
            if not self._attached:
                raise
            if not self._waits:
                log.warning("subscription.waits", extra={"channel": str(self._channel), "cause": cause_of(error)})
            self._waits = True
            await self._pause(min(1.0, self._reread_s))
        except Unreachable:
            await self._pause(min(1.0, self._reread_s))
        except Closed:
            # With the bus, while something was read; the iteration ends.
            await self.aclose()

    async def _pause(self, seconds: float) -> None:
        """Wait for something to happen; after silence look at the log."""
        if self._closed:
            return
        self._wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            self._look()

    def _look(self) -> None:
        """Have the log looked at, wherever there may be something new."""
        if self._channel.is_pattern:
            self._scan_wanted = True
        else:
            self._want(self._channel.session)

    def _want(self, session: str) -> None:
        self._to_read[session] = None

    def _take(self, session: str, payload: bytes) -> None:
        tracker = self._trackers.get(session)
        try:
            message = decode(self._channel.plane, payload)
        except InvalidMessage:
            message = None
        if message is None or message.session != session:
            # Every client can publish here; if it was stored, the log says so.
            if tracker is not None:
                self._want(session)
            return
        self._invalid += message.refused
        if tracker is None:
            tracker = self._trackers[session] = self._new_tracker(session)
        taken = tracker.live(message.epoch, message.offset, message)
        if taken is not None:
            self._out.append(cast("Message[T]", taken))
        elif tracker.stale:
            self._want(session)

    def _new_tracker(self, session: str) -> OffsetTracker[Message[Any] | None]:
        return OffsetTracker(f"{self._channel.plane}.{session}", identify=_id_of)

    # reading the log

    async def _read_next(self) -> None:
        session = next(iter(self._to_read))
        # Taken out before the read: what is wanted while we read (an overflow, a reconnect) may be newer than the page.
        del self._to_read[session]
        try:
            await self._read(session)
        except BaseException:
            self._want(session)
            raise

    async def _read(self, session: str) -> None:
        """Read one page of one channel, or (status, where no cursor was given) draw its current picture to begin with."""
        tracker = self._trackers.get(session)
        if tracker is None and self._channel.plane == "status" and self._after is None:
            await self._draw([session])
            if not self._channel.is_pattern:
                # There is no such session yet: it is followed from its first notice on.
                self._trackers.setdefault(session, self._new_tracker(session))
                self._attached = True
            return
        if tracker is None:
            tracker = self._trackers[session] = self._begin(session)
        try:
            page = await self._logs.page(self._channel.plane, session, tracker.last)
        except UnreadableRecord:
            if not self._channel.is_pattern:
                raise
            # A key of the session is no log or no record: a reader of all sessions goes on.
            self._invalid += 1
            return
        self._resyncs += self._attached
        self._take_page(tracker, session, page)
        if not self._channel.is_pattern and session not in self._to_read:
            self._attached = True

    def _begin(self, session: str) -> OffsetTracker[Message[Any] | None]:
        """Begin a channel where the reader asked: at its cursor, or at the beginning."""
        tracker = self._new_tracker(session)
        if isinstance(self._after, Cursor):
            tracker.epoch, tracker.last = self._after.epoch, self._after.offset
            if not self._after.id.startswith(f"{self._after.epoch}."):
                # Otherwise a picture that was drawn from the record: its id is not that of the message at its offset.
                tracker.last_id = self._after.id
        elif self._after is not None:
            tracker.last = self._after
        # Once only: what comes later does not begin at the cursor again.
        self._after = None
        return tracker

    def _take_page(self, tracker: OffsetTracker[Message[Any] | None], session: str, page: Page) -> None:
        if page.deleted and page.epoch is not None:
            self._take_end(tracker, session, page.epoch, page.end)
            return
        items = tracker.page(page.epoch, page.end, page.entries, page.id_before)
        for item in items:
            if item is None:
                self._invalid += 1
            else:
                self._out.append(cast("Message[T] | Gap", item))
        if page.epoch is None:
            if self._channel.is_pattern:
                del self._trackers[session]
        elif tracker.stale:
            self._want(session)
        elif self._channel.plane == "status" and items and isinstance(items[-1], Gap):
            # Nothing is left of the ring: begin again, with the current picture.
            del self._trackers[session]
            self._want(session)

    def _take_end(self, tracker: OffsetTracker[Message[Any] | None], session: str, epoch: str, end: int) -> None:
        """Tell the reader once that the session is deleted: on status by its last picture, elsewhere by a gap."""
        known = (tracker.epoch, tracker.last) == (epoch, end)
        gaps = tracker.bury(epoch, end)
        if self._channel.plane != "status":
            self._out.extend(cast("list[Message[T] | Gap]", gaps))
        elif gaps and not known:
            del self._trackers[session]
            self._want(session)
        elif self._channel.is_pattern:
            del self._trackers[session]

    async def _draw(self, sessions: list[str]) -> None:
        """Give the reader the current picture of sessions, in place of what led to it."""
        now = self._context.clock.now()
        for session, record in zip(sessions, await self._logs.records(sessions), strict=True):
            picture = record.as_notice(now) if record else None
            if record is None or picture is None:
                continue
            tracker = self._trackers[session] = self._new_tracker(session)
            tracker.epoch, tracker.last, tracker.stale = record.epoch, record.status, False
            if record.last is not None and record.last.offset == record.status:
                # What the picture stands for in the log, to be held against it.
                tracker.last_id = record.last.id
            self._out.append(cast("Message[T]", picture))

    # looking at all sessions

    async def _scan(self) -> None:
        """Look at the next sessions: draw those that are new to the reader, read on those that moved."""
        if self._scan_at is None:
            self._scan_at, self._scan_wanted, self._seen = 0, False, set()
        following, every = await self._logs.scan(self._scan_at)
        self._waits = False
        found = [session for session in every if is_session(session)]
        known = [session for session in found if session in self._trackers]
        ends = await self._logs.ends(self._channel.plane, known)
        await self._draw([session for session in found if session not in self._trackers])
        for session, end in zip(known, ends, strict=True):
            tracker = self._trackers[session]
            if tracker.stale or (tracker.epoch, tracker.last) != end:
                self._want(session)
        self._seen.update(found)
        self._scan_at = following or None
        if self._scan_at is None:
            self._look_for_the_gone()

    def _look_for_the_gone(self) -> None:
        """At the end of a scan, look at the sessions that it did not meet: the data may have been lost."""
        for session in self._trackers.keys() - self._seen:
            self._want(session)
        self._seen = set()
        self._attached = True
