"""A subscription: what is retained and what is live, as one sequence without holes and doubles.

The reader pulls. Live messages wait in a bounded buffer; when it overflows it is emptied and the log is read instead, at the reader's
own pace, so a slow reader costs nobody anything and loses nothing that is retained.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar, cast

from bus.channels import Channel
from bus.errors import Closed, InvalidMessage, InvalidName, Unreachable
from bus.listener import Listener
from bus.logs import Logs, Page
from bus.merge import Gap, Track
from bus.messages import Cursor, Message, decode
from bus.redis.link import Link

M = TypeVar("M", bound=Message)

BUFFER = 1000
"""Live messages that wait for the reader, by default; more than that and the log is read instead."""
REREAD_S = 10.0
"""How often the end of the log is looked at in silence: the last message before a silence cannot be missed by counting."""
_SCAN = 200


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a subscription has been through.

    Attributes:
        delivered: messages given to the reader.
        pending: messages that wait in the buffer.
        overflows: how often the buffer was full (each is one episode).
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


class Subscription(Generic[M]):
    """An endless async iterator over one channel, or over the status of all sessions.

    Made by ``Bus.subscribe``; enter it before iterating. Entering waits for the server's acknowledgement: what is published after
    that is not missed. Iteration yields messages and, where retention or a loss of data left a hole, a ``Gap``. While the server is
    away it waits. One reader only.
    """

    def __init__(
        self,
        link: Link,
        listener: Listener,
        channel: Channel,
        after: Cursor | int | None,
        *,
        buffer: int = BUFFER,
        reread_s: float = REREAD_S,
    ) -> None:
        if channel.is_pattern and (channel.plane != "status" or after is not None):
            raise InvalidName(
                f"{channel} cannot be subscribed {'with a cursor' if after is not None else 'as a whole'}: "
                "only status.* can, without a cursor; name one session for anything else"
            )
        self._link, self._listener, self._logs = link, listener, Logs(link)
        self._channel, self._after = channel, after
        self._limit, self._reread_s = buffer, reread_s
        self._tracks: dict[str, Track[Message | None]] = {}
        self._live: deque[bytes] = deque()
        self._out: deque[M | Gap] = deque()
        self._to_read: dict[str, None] = {}
        self._scan = False
        self._attached = False
        self._wake = asyncio.Event()
        self._acked = asyncio.Event()
        self._closed = False
        self._delivered = self._overflows = self._dropped = self._gaps = self._invalid = self._resyncs = 0

    async def __aenter__(self) -> Self:
        if self._channel.is_pattern:
            await self._listener.listen_planes(frozenset({self._channel.plane}), self)
        else:
            name = self._link.names.channel(self._channel.plane, self._channel.session)
            await self._listener.listen(name, self)
        try:
            await self._acked.wait()
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

    def acknowledged(self) -> None:
        """Note that the connection is (again) subscribed: whatever was missed before is in the log."""
        if self._channel.is_pattern:
            self._scan = True
        else:
            self._want(self._channel.session)
        self._acked.set()
        self._wake.set()

    def receive(self, name: str, payload: bytes) -> None:
        """Take a live message into the buffer."""
        if len(self._live) >= self._limit:
            self._overflow()
        self._live.append(payload)
        self._wake.set()

    def _overflow(self) -> None:
        self._overflows += 1
        self._dropped += len(self._live)
        self._live.clear()
        if self._channel.is_pattern:
            self._scan = True
        else:
            self._want(self._channel.session)

    # the side of the reader

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> M | Gap:
        if not self._acked.is_set():
            raise Closed("enter the subscription before iterating: async with bus.subscribe(...) as subscription")
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
        """Do one thing that brings the next item nearer."""
        try:
            if self._scan:
                await self._rescan()
            elif self._to_read:
                await self._read(next(iter(self._to_read)))
            elif self._live:
                self._take(self._live.popleft())
            else:
                await self._pause(self._reread_s)
        except Unreachable:
            await self._pause(min(1.0, self._reread_s))

    async def _pause(self, seconds: float) -> None:
        """Wait for something to happen; after silence look at the log."""
        self._wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            if self._channel.is_pattern:
                self._scan = True
            else:
                self._want(self._channel.session)

    def _want(self, session: str) -> None:
        self._to_read[session] = None

    def _take(self, payload: bytes) -> None:
        try:
            message = decode(self._channel.plane, payload)
        except InvalidMessage:
            # Its offset cannot be trusted either; if it was stored, the next message shows a hole and the log is read.
            self._invalid += 1
            return
        track = self._tracks.get(message.subject)
        if track is None:
            track = self._tracks[message.subject] = self._new_track(message.subject)
        taken = track.live(message.epoch, message.offset, message)
        if taken is not None:
            self._out.append(cast(M, taken))
        elif track.stale:
            self._want(message.subject)

    def _new_track(self, session: str) -> Track[Message | None]:
        return Track(f"{self._channel.plane}.{session}")

    async def _read(self, session: str) -> None:
        """Read one page of one channel; the session stays wanted while there is more."""
        track = self._tracks.get(session)
        if track is None:
            track = await self._attach(session)
            if track is None:
                return
        # Taken out before the read: what is wanted while we read (an overflow, a reconnect) may be newer than the page.
        self._to_read.pop(session, None)
        try:
            page = await self._logs.page(self._channel.plane, session, track.last)
        except Unreachable:
            self._want(session)
            raise
        self._resyncs += self._attached
        items = self._of_this_log(track, page)
        if items is None:
            items = track.page(page.epoch, page.end, page.entries)
        for item in items:
            if item is None:
                self._invalid += 1
            else:
                self._out.append(cast("M | Gap", item))
        if track.stale and page.epoch is not None:
            self._want(session)
        elif self._channel.plane == "status" and items and isinstance(items[-1], Gap):
            await self._draw([session])
        self._attached = True

    def _of_this_log(self, track: Track[Message | None], page: Page) -> list[Message | Gap | None] | None:
        """Hold the cursor's message id against the log, once; returns a reset when the log has another message there."""
        after, self._after = self._after, None
        if not isinstance(after, Cursor) or not after.id or not page.id_before or after.id == page.id_before:
            return None
        track.epoch, track.last, track.stale = page.epoch, 0, True
        return [Gap(track.channel, "reset", after.offset + 1, after.offset)]

    async def _attach(self, session: str) -> Track[Message | None] | None:
        """Begin the channel where the reader asked: at its cursor, at the beginning, or (status) at the current picture."""
        after = self._after
        if after is None and self._channel.plane == "status":
            self._tracks[session] = self._new_track(session)
            self._to_read.pop(session, None)
            try:
                await self._draw([session])
            except Unreachable:
                del self._tracks[session]
                self._want(session)
                raise
            self._attached = True
            return None
        track = self._tracks[session] = self._new_track(session)
        if isinstance(after, Cursor):
            track.epoch, track.last = after.epoch, after.offset
        elif after is not None:
            track.last = after
        return track

    async def _draw(self, sessions: list[str]) -> None:
        """Give the reader the current picture of sessions, in place of what led to it."""
        now = self._link.clock.now()
        for session, record in zip(sessions, await self._logs.records(sessions), strict=True):
            picture = record.as_notice(now) if record else None
            if record is None or picture is None:
                continue
            track = self._tracks.setdefault(session, self._new_track(session))
            track.epoch, track.last, track.stale = record.epoch, record.status, False
            self._out.append(cast(M, picture))

    async def _rescan(self) -> None:
        """Look at every session: draw those that are new to the reader, read on those that moved."""
        self._scan = False
        try:
            batch: list[str] = []
            async for session in self._logs.sessions():
                batch.append(session)
                if len(batch) == _SCAN:
                    await self._scan_batch(batch)
                    batch = []
            if batch:
                await self._scan_batch(batch)
        except Unreachable:
            self._scan = True
            raise
        self._attached = True

    async def _scan_batch(self, sessions: list[str]) -> None:
        await self._draw([session for session in sessions if session not in self._tracks])
        known = [session for session in sessions if session in self._tracks]
        for session, (epoch, end) in zip(known, await self._logs.ends("status", known), strict=True):
            track = self._tracks[session]
            if track.epoch != epoch or track.last != end:
                self._want(session)
