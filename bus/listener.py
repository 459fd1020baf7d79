"""The one Pub/Sub connection of a process, with local fan-out.

redis-py would reconnect in silence and what was published meanwhile would be gone, so this connection never retries by itself: it
is opened, read until it breaks, and opened again here, and every acknowledgement of a subscription is passed on. An
acknowledgement is the moment from which nothing is missed; a repeated one means that something may have been.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from tidings.bus.errors import Closed, cause_of
from tidings.bus.redis.context import RedisContext, heeding

log = logging.getLogger("tidings.listener")

RECONNECT_BASE_S = 0.05
RECONNECT_CAP_S = 1.0


class Subscriber(Protocol):
    """Where the listener puts what arrives. Both calls must return at once; one that raises is logged and does no harm."""

    def on_subscribed(self) -> None:
        """The server has confirmed the subscription: from here on nothing is missed, and before here something may have been."""

    def receive(self, name: str, payload: bytes) -> None:
        """A message arrived on the channel named."""


class Wakeup(asyncio.Event):
    """A subscriber that only wakes its owner: set when a message arrives, or may have been missed."""

    def on_subscribed(self) -> None:
        """Wake: something may have been missed."""
        self.set()

    def receive(self, name: str, payload: bytes) -> None:
        """Wake: something happened."""
        self.set()

    async def wait_at_most(self, seconds: float) -> None:
        """Return when it is set, or after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait()


class Listener:
    """Owns the Pub/Sub connection and hands what arrives to subscribers.

    Args:
        heartbeat_s: silence after which the connection is asked for a sign of life; after as long again without one it is opened
            anew (redis-py's own health check does not notice a connection whose packets are dropped).

    Attributes:
        connected: whether the connection stands and a subscription on it was acknowledged.
        reconnects: how often a connection that stood was lost.
    """

    def __init__(self, context: RedisContext, heartbeat_s: float = 5.0) -> None:
        self._context = context
        self._heartbeat_s = heartbeat_s
        # What is wanted; changed at once.
        self._exact: dict[str, list[Subscriber]] = {}
        self._planes: list[tuple[frozenset[str], Subscriber]] = []
        # What the open connection was asked for and has confirmed; only ``_adjust`` changes the first two, one call at a time.
        self._asked: set[str] = set()
        self._asked_pattern = ""
        self._unconfirmed: Counter[str] = Counter()
        self._acked: set[str] = set()
        self._pubsub: PubSub | None = None
        self._sending = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._closed = False
        self._told: type | None = None
        self.connected = False
        self.reconnects = 0

    async def listen(self, name: str, subscriber: Subscriber) -> None:
        """Hand what arrives on one channel to the subscriber; its first ``on_subscribed`` says when that begins.

        Raises:
            Closed: the bus was closed.
        """
        self._start()
        self._exact.setdefault(name, []).append(subscriber)
        await self._confirm(name, subscriber)

    async def listen_planes(self, planes: frozenset[str], subscriber: Subscriber) -> None:
        """Hand what arrives on every channel of the planes to the subscriber.

        Raises:
            Closed: the bus was closed.
        """
        self._start()
        self._planes.append((planes, subscriber))
        await self._confirm(self._pattern, subscriber)

    async def forget(self, subscriber: Subscriber) -> None:
        """Stop handing anything to the subscriber; calling it twice is no error."""
        kept = {name: [other for other in subscribers if other is not subscriber] for name, subscribers in self._exact.items()}
        self._exact = {name: subscribers for name, subscribers in kept.items() if subscribers}
        self._planes = [entry for entry in self._planes if entry[1] is not subscriber]
        await self._follow()

    async def aclose(self) -> None:
        """Close the connection; idempotent."""
        self._closed, self.connected = True, False
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    # what is wanted

    @property
    def _pattern(self) -> str:
        """The one pattern that covers every plane wanted, '' where none is."""
        planes = frozenset[str]().union(*(entry[0] for entry in self._planes))
        return self._context.names.pattern(planes) if planes else ""

    def _start(self) -> None:
        if self._closed:
            raise Closed("the bus was closed")
        self._wanted.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="tidings-listener")

    async def _confirm(self, name: str, subscriber: Subscriber) -> None:
        """Tell the subscriber at once where the server has confirmed that already; else ask it, and its answer does."""
        if name in self._acked:
            _tell(subscriber.on_subscribed)
        await self._follow()

    async def _follow(self) -> None:
        """Bring the open connection in line with what is wanted; where there is none, ``_run`` opens one with all of it."""
        async with self._sending:
            if self._pubsub is None:
                return
            try:
                await heeding(self._adjust(self._pubsub))
            except (RedisError, OSError):
                # redis-py may have reconnected by itself, without what was asked just now: have ``_read`` fail, to begin again.
                await _drop(self._pubsub)

    async def _adjust(self, pubsub: PubSub) -> None:
        """Ask for what is wanted and was not asked for, and the other way round."""
        more = self._exact.keys() - self._asked
        if more:
            self._asked |= more
            self._unconfirmed.update(more)
            await pubsub.subscribe(*more)
        old, new = self._asked_pattern, self._pattern
        if new != old:
            self._asked_pattern = new
            if new:
                self._unconfirmed[new] += 1
                await pubsub.psubscribe(new)
            if old:
                self._acked.discard(old)
                await pubsub.punsubscribe(old)
        less = self._asked - self._exact.keys()
        if less:
            self._asked -= less
            self._acked -= less
            await pubsub.unsubscribe(*less)

    # the connection

    async def _run(self) -> None:
        # Where tasks are eager (a loop may be told so since Python 3.12) this runs before its caller has said what is wanted.
        await asyncio.sleep(0)
        delay = RECONNECT_BASE_S
        # Not only cancelled: a read of redis-py or fakeredis can swallow a cancellation that meets the end of its time-out.
        while not self._closed:
            await self._wanted.wait()
            try:
                await self._session()
                delay = RECONNECT_BASE_S
            except Exception as error:
                if self._lost(error):
                    delay = RECONNECT_BASE_S
                await asyncio.sleep(delay * (0.5 + random.random() / 2))
                delay = min(RECONNECT_CAP_S, delay * 2)

    def _lost(self, error: Exception) -> bool:
        """Note that there is no connection, and tell it once per episode and kind of error; returns whether there was one."""
        stood, self.connected = self.connected, False
        self.reconnects += stood
        ours = self._context.connection.errors.translate(error)
        if ours is None:
            log.error("listener.failed", exc_info=error)
        elif type(ours) is not self._told:
            log.warning("listener.disconnected", extra={"cause": cause_of(ours)})
        self._told = type(ours)
        return stood

    async def _session(self) -> None:
        """Open one connection, ask for all that is wanted, read until it breaks or nothing is wanted."""
        pubsub = self._context.connection.pubsub()
        try:
            async with self._sending:
                await self._adjust(pubsub)
                if not pubsub.subscribed:
                    self._wanted.clear()
                    return
                self._pubsub = pubsub
            await self._read(pubsub)
            self.connected = False
        finally:
            async with self._sending:
                self._pubsub = None
                self._asked.clear()
                self._asked_pattern = ""
                self._unconfirmed.clear()
                self._acked.clear()
                await _drop(pubsub)

    async def _read(self, pubsub: PubSub) -> None:
        asked = False
        while pubsub.subscribed and not self._closed:
            message = await pubsub.get_message(timeout=self._heartbeat_s)
            if message is not None:
                asked = False
                self._dispatch(message)
            elif self._context.connection.memory:
                continue
            elif asked:
                raise TimeoutError("no sign of life on the Pub/Sub connection")
            else:
                asked = True
                async with self._sending:
                    await pubsub.ping()
        if pubsub.connection is None and not self._closed:
            raise ConnectionError("the Pub/Sub connection broke")

    def _dispatch(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "message":
            self._deliver(_text(message["channel"]), message["data"])
        elif kind == "pmessage":
            self._deliver_by_pattern(_text(message["channel"]), message["data"])
        elif kind in ("subscribe", "psubscribe"):
            self._acknowledge(_text(message["channel"]))

    def _deliver(self, name: str, payload: bytes) -> None:
        for subscriber in tuple(self._exact.get(name, ())):
            _tell(subscriber.receive, name, payload)

    def _deliver_by_pattern(self, name: str, payload: bytes) -> None:
        channel = self._context.names.channel_of(name)
        if channel is None:
            return
        for planes, subscriber in tuple(self._planes):
            if channel.plane in planes:
                _tell(subscriber.receive, name, payload)

    def _acknowledge(self, name: str) -> None:
        """Pass an acknowledgement on, unless the subscription was given up and asked for anew since."""
        left = self._unconfirmed.pop(name, 0) - 1
        if left > 0:
            self._unconfirmed[name] = left
        if left > 0 or not (name in self._asked or name == self._asked_pattern):
            return
        self.connected, self._told = True, None
        self._acked.add(name)
        subscribers = [*self._exact.get(name, ()), *(subscriber for _, subscriber in self._planes if name == self._asked_pattern)]
        for subscriber in subscribers:
            _tell(subscriber.on_subscribed)


def _text(name: bytes) -> str:
    """Return the name of a channel; every client can publish on one that is not text."""
    return name.decode(errors="replace")


def _tell(call: Callable[..., None], *args: Any) -> None:
    try:
        call(*args)
    except Exception:
        log.exception("listener.sink_failed")


async def _drop(pubsub: PubSub) -> None:
    with contextlib.suppress(RedisError, OSError):
        await pubsub.aclose()  # type: ignore[no-untyped-call]
