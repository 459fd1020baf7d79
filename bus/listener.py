"""The one Pub/Sub connection of a process, with local fan-out.

redis-py would reconnect in silence and what was published meanwhile would be gone, so this connection never retries by itself: it is
opened, read until it breaks, and opened again here, and every acknowledgement of a subscription is passed on. An acknowledgement is
the moment from which nothing is missed; a repeated one means that something may have been.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from bus.errors import Closed
from bus.redis.link import Link

log = logging.getLogger("tidings.listener")

RECONNECT_BASE_S = 0.05
RECONNECT_CAP_S = 1.0


class Sink(Protocol):
    """Where the listener puts what arrives. Both calls must return at once; one that raises is logged and harms nobody."""

    def acknowledged(self) -> None:
        """The server has confirmed the subscription: from here on nothing is missed, and before here something may have been."""

    def receive(self, name: str, payload: bytes) -> None:
        """A message arrived on the channel named."""


class Listener:
    """Owns the Pub/Sub connection and hands what arrives to sinks.

    Args:
        heartbeat_s: silence after which the connection is asked for a sign of life; after as long again without one it is opened
            anew (redis-py's own health check does not notice a connection whose packets are dropped).
    """

    def __init__(self, link: Link, heartbeat_s: float = 5.0) -> None:
        self._link = link
        self._heartbeat_s = heartbeat_s
        self._exact: dict[str, list[Sink]] = {}
        self._patterns: list[tuple[frozenset[str], Sink]] = []
        self._pattern = ""
        self._acked: set[str] = set()
        self._pubsub: PubSub | None = None
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._sending = asyncio.Lock()
        self._closed = False
        self.connected = False
        self.reconnects = 0

    async def listen(self, name: str, sink: Sink) -> None:
        """Hand what arrives on one channel to the sink; its first ``acknowledged`` says when that begins."""
        sinks = self._exact.setdefault(name, [])
        sinks.append(sink)
        self._start()
        if name in self._acked:
            _tell(sink.acknowledged)
        elif len(sinks) == 1:
            await self._send(lambda pubsub: pubsub.subscribe(name))

    async def listen_planes(self, planes: frozenset[str], sink: Sink) -> None:
        """Hand what arrives on every channel of the planes to the sink."""
        self._patterns.append((planes, sink))
        self._start()
        if not await self._cover() and self._pattern in self._acked:
            _tell(sink.acknowledged)

    async def forget(self, sink: Sink) -> None:
        """Stop handing anything to the sink; calling it twice is no error."""
        gone = [name for name, sinks in self._exact.items() if sink in sinks]
        for name in gone:
            self._exact[name].remove(sink)
            if not self._exact[name]:
                del self._exact[name]
                self._acked.discard(name)
                await self._send(lambda pubsub, name=name: pubsub.unsubscribe(name))
        kept = [entry for entry in self._patterns if entry[1] is not sink]
        if len(kept) != len(self._patterns):
            self._patterns = kept
            await self._cover()

    async def _cover(self) -> bool:
        """Register the one pattern that covers every plane wanted; returns whether that changed anything."""
        planes = frozenset[str]().union(*(entry[0] for entry in self._patterns))
        old, new = self._pattern, self._link.names.pattern(planes) if planes else ""
        if old == new:
            return False
        self._pattern = new
        if new:
            await self._send(lambda pubsub: pubsub.psubscribe(new))
        if old:
            self._acked.discard(old)
            await self._send(lambda pubsub: pubsub.punsubscribe(old))
        return True

    async def aclose(self) -> None:
        """Close the connection; idempotent."""
        self._closed = True
        task, self._task = self._task, None
        if task is not None:
            self._wanted.set()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _start(self) -> None:
        self._wanted.set()
        if self._closed:
            raise Closed("the bus was closed")
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="tidings-listener")

    async def _send(self, call: Callable[[PubSub], Awaitable[Any]]) -> None:
        """Change the subscriptions of the open connection; a broken one is opened anew with all of them by ``_run``."""
        async with self._sending:
            if self._pubsub is not None:
                with contextlib.suppress(RedisError, OSError):
                    await call(self._pubsub)

    async def _run(self) -> None:
        delay = RECONNECT_BASE_S
        # Not only cancelled: a read of redis-py or fakeredis can swallow a cancellation that meets the end of its time-out.
        while not self._closed:
            await self._wanted.wait()
            try:
                await self._session()
                delay = RECONNECT_BASE_S
            except (RedisError, OSError, TimeoutError) as error:
                if self.connected:
                    log.warning("listener.disconnected", extra={"cause": type(error).__name__})
                    delay = RECONNECT_BASE_S
                self._lost()
                await asyncio.sleep(delay * (0.5 + random.random() / 2))
                delay = min(RECONNECT_CAP_S, delay * 2)

    def _lost(self) -> None:
        self.connected = False
        self._acked.clear()
        self.reconnects += 1

    async def _session(self) -> None:
        """Open one connection, subscribe to all that is wanted, read until it breaks or nothing is wanted."""
        pubsub = self._link.connection.pubsub()
        try:
            async with self._sending:
                if self._exact:
                    await pubsub.subscribe(*self._exact)
                if self._pattern:
                    await pubsub.psubscribe(self._pattern)
                if not pubsub.subscribed:
                    self._wanted.clear()
                    return
                self._pubsub = pubsub
            await self._read(pubsub)
        finally:
            self._pubsub = None
            self._acked.clear()
            await _drop(pubsub)

    async def _read(self, pubsub: PubSub) -> None:
        asked = False
        while pubsub.subscribed and not self._closed:
            message = await pubsub.get_message(timeout=self._heartbeat_s)
            if message is not None:
                asked = False
                self._dispatch(message)
            elif self._link.connection.memory:
                continue
            elif asked:
                raise TimeoutError("no sign of life on the Pub/Sub connection")
            else:
                asked = True
                async with self._sending:
                    await pubsub.ping()
        if not self._exact and not self._patterns:
            self._wanted.clear()

    def _dispatch(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind in ("message", "pmessage"):
            self._deliver(kind, message["channel"].decode(), message["data"])
        elif kind in ("subscribe", "psubscribe"):
            self.connected = True
            self._acknowledge(kind, message["channel"].decode())

    def _deliver(self, kind: str, name: str, payload: bytes) -> None:
        if kind == "message":
            for sink in tuple(self._exact.get(name, ())):
                _tell(sink.receive, name, payload)
            return
        channel = self._link.names.channel_of(name)
        if channel is None:
            return
        for planes, sink in tuple(self._patterns):
            if channel.plane in planes:
                _tell(sink.receive, name, payload)

    def _acknowledge(self, kind: str, name: str) -> None:
        if kind == "psubscribe" and name == self._pattern:
            self._acked.add(name)
            for _, sink in tuple(self._patterns):
                _tell(sink.acknowledged)
        elif kind == "subscribe" and name in self._exact:
            self._acked.add(name)
            for sink in tuple(self._exact[name]):
                _tell(sink.acknowledged)


def _tell(call: Callable[..., None], *args: Any) -> None:
    try:
        call(*args)
    except Exception:
        log.exception("listener.sink_failed")


async def _drop(pubsub: PubSub) -> None:
    """Close a Pub/Sub object; unsubscribed first, because the async fake keeps a subscription otherwise."""
    with contextlib.suppress(RedisError, OSError, TimeoutError):
        async with asyncio.timeout(1):
            await pubsub.unsubscribe()
            await pubsub.punsubscribe()
    with contextlib.suppress(RedisError, OSError, TimeoutError):
        await pubsub.aclose()  # type: ignore[no-untyped-call]
