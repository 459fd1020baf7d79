"""Publishing notices: one by one and waited for, or through a queue without waiting."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from tidings.bus.errors import LeaseLost, SessionDeleted, TidingsError, UnknownSession, Unreachable
from tidings.bus.messages import Message, Notice, encode
from tidings.bus.records import check_fit
from tidings.bus.redis.context import Argument, RedisContext

log = logging.getLogger("tidings.publisher")

RETENTION = 64
"""Notices kept behind the status channel of one session; enough for ten runs of six attempts."""
RETENTION_S = 3600.0
"""Life of that ring after the last notice: a stream of one entry takes 4 KB of the server's memory."""
QUEUE = 256
"""Notices that wait while the server is away, by default."""
RETRY_BASE_S = 0.05
RETRY_CAP_S = 1.0


Proof = tuple[int, str, str, str, int]
"""What a worker shows with a notice: token, random part and epoch of its lease, its picture as JSON, and how often it has seen
the session resumed; an older picture is not believed."""


async def publish_notice(context: RedisContext, notice: Message[Notice], proof: Proof | None = None) -> tuple[int, str]:
    """Publish one notice and return its offset and epoch.

    Raises:
        UnknownSession: there is no such session.
        SessionDeleted: it was deleted.
        SchemaMismatch: its record was written by another version.
        UnreadableRecord: what the scripts count with cannot be read.
        LeaseLost: the lease was taken away; nothing was written.
        Unreachable: the server does not answer; the notice may have been stored.
        PayloadTooLarge: it is over the limit.
    """
    names, session = context.names, notice.session
    keys = [names.record(session), names.log("status", session), names.due]
    args: list[Argument] = [session, names.channel("status", session), notice.id, encode(notice, context.payload_limit)]
    args += [*(proof or ("", "", "", "", 0)), RETENTION, int(RETENTION_S * 1000)]
    answer = await context.run_again("publish", keys, [*args, "0"], [*args, "1"])
    check_fit(session, answer)
    if answer[0] == b"unknown":
        raise UnknownSession(session)
    if answer[0] == b"deleted":
        raise SessionDeleted(session)
    if answer[0] == b"stale":
        raise LeaseLost(session)
    return int(answer[1]), answer[2].decode()


class NoticeQueue:
    """Publishes notices in the order given, without ever making the caller wait.

    A call to a model must not be delayed, failed or cancelled by the bus: ``put`` only appends to a bounded queue. While the
    server is away the newest notices wait; what is dropped is counted and told once per episode. What gets lost is repaired by
    the picture that goes with the next renewal of the lease.

    Attributes:
        published: notices that the server has taken.
        dropped: notices given up because too many waited, or because the queue was closed.
        refused: notices that the server or the codec did not take: an old lease, an unknown session, too large.
    """

    def __init__(self, context: RedisContext, size: int = QUEUE) -> None:
        self._context = context
        self._queue: deque[tuple[Message[Notice], Proof | None]] = deque()
        self._under_way: tuple[Message[Notice], Proof | None] | None = None
        self._size = size
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._dropping = False
        self.closed = False
        self.published = 0
        self.dropped = 0
        self.refused = 0

    def put(self, notice: Message[Notice], proof: Proof | None = None) -> None:
        """Hand over a notice; returns at once and never raises. After closing it is dropped."""
        if self.closed:
            self.dropped += 1
            return
        if len(self._queue) >= self._size:
            self._queue.popleft()
            self.dropped += 1
            if not self._dropping:
                self._dropping = True
                log.warning("notices.dropping", extra={"size": self._size})
        self._queue.append((notice, proof))
        self._idle.clear()
        self._more.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="tidings-notices")

    async def drain(self, timeout_s: float) -> bool:
        """Wait until everything handed over is out, at most so long; returns whether it is."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def aclose(self) -> None:
        """Stop publishing; what still waits is counted as dropped. Idempotent."""
        self.closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self.dropped += len(self._queue) + (self._under_way is not None)
        self._queue.clear()
        self._under_way = None
        self._idle.set()

    async def _run(self) -> None:
        while True:
            while self._queue:
                self._under_way = self._queue.popleft()
                if await self._insist(*self._under_way):
                    self._under_way = None
                if self.closed:
                    # Not only cancelled: redis-py can swallow a cancellation that meets the end of its time-out.
                    return
            self._idle.set()
            self._more.clear()
            await self._more.wait()

    async def _insist(self, notice: Message[Notice], proof: Proof | None) -> bool:
        """Publish one notice, however long the server is away; returns False when the queue was closed over it."""
        delay = RETRY_BASE_S
        while not await self._publish(notice, proof):
            if self.closed:
                return False
            await asyncio.sleep(delay)
            delay = min(RETRY_CAP_S, delay * 2)
        self._dropping = False
        return True

    async def _publish(self, notice: Message[Notice], proof: Proof | None) -> bool:
        """Publish one; returns False when it should be tried again."""
        try:
            await publish_notice(self._context, notice, proof)
            self.published += 1
        except Unreachable:
            return False
        except TidingsError as error:
            self.refused += 1
            log.info("notices.refused", extra={"notice": notice.type, "cause": type(error).__name__})
        except Exception:
            self.refused += 1
            log.exception("notices.failed")
        return True
