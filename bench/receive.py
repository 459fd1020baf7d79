"""Receiving: from messages that wait at the server to what the reader holds, beside redis-py's PubSub and json.

A burst is published while the reader's event loop stands still, so that what is timed is the reader and nothing else. Ours hands
out typed messages, each once, in order and without a hole; theirs hands out dicts, as they come.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from bench.case import LARGE, SMALL, TASKS, Case, Load
from bench.payload import dump, event_maker, plain_maker
from bench.plain import plain_client
from bench.sessions import append_many, make_session, session_names
from bench.turns import Run, Timing
from tidings.bus import Bus, Event, Lease, Subscription, carries

OURS, THEIRS = "Bus.events", "PubSub, json.loads"

_PIPELINE = 500
_PATIENCE_S = 10.0


@asynccontextmanager
async def contestants(url: str, load: Load) -> AsyncIterator[Mapping[str, Run]]:
    """Prepare a reader for each task, each with a channel of its own."""
    names = session_names(load.tasks)
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(Bus.connect(url))
        claims = [await make_session(bus, name) for name in names]
        subscriptions = [await stack.enter_async_context(bus.follow(name, Event)) for name in names]
        pubsubs = [await _subscribed(stack, url, name) for name in names]
        yield {OURS: _ours(url, claims, subscriptions, load), THEIRS: _theirs(url, names, pubsubs, load)}


async def _subscribed(stack: AsyncExitStack, url: str, name: str) -> PubSub:
    """Subscribe as redis-py does: a connection for each PubSub."""
    client = await stack.enter_async_context(plain_client(url))
    pubsub = client.pubsub()
    stack.push_async_callback(pubsub.aclose)
    await pubsub.subscribe(_channel(name))
    await pubsub.get_message(timeout=_PATIENCE_S)
    return pubsub


def _channel(name: str) -> str:
    return f"plain.{name}"


def _ours(url: str, claims: Sequence[Lease], subscriptions: Sequence[Subscription[Event]], load: Load) -> Run:
    make = event_maker(load.size or SMALL)
    each = load.operations // load.tasks
    read = [0] * load.tasks

    async def fill() -> None:
        async with Bus.connect(url) as bus:
            for task, claim in enumerate(claims):
                read[task] = await append_many(bus, claim, make, each, read[task])

    async def take(task: int) -> None:
        for _ in range(each):
            message = await anext(subscriptions[task])
            if not carries(message, Event):
                raise RuntimeError(f"a message was lost: {message}")

    return _burst(fill, take, load)


def _theirs(url: str, names: Sequence[str], pubsubs: Sequence[PubSub], load: Load) -> Run:
    make = plain_maker(load.size or SMALL)
    each = load.operations // load.tasks

    async def fill() -> None:
        async with plain_client(url) as client:
            for name in names:
                await _publish(client, name, [dump(make(name)) for _ in range(each)])

    async def take(task: int) -> None:
        for _ in range(each):
            await _next(pubsubs[task])

    return _burst(fill, take, load)


async def _publish(client: Redis, name: str, payloads: Sequence[bytes]) -> None:
    for first in range(0, len(payloads), _PIPELINE):
        pipeline = client.pipeline(transaction=False)
        for payload in payloads[first : first + _PIPELINE]:
            pipeline.publish(_channel(name), payload)
        await pipeline.execute()


async def _next(pubsub: PubSub) -> Any:
    message = await pubsub.get_message(timeout=_PATIENCE_S)
    if message is None:
        raise RuntimeError("a message was lost")
    return json.loads(message["data"])


def _burst(fill: Callable[[], Awaitable[None]], take: Callable[[int], Awaitable[None]], load: Load) -> Run:
    async def run() -> Timing:
        _elsewhere(fill)
        started = time.perf_counter()
        async with asyncio.timeout(_PATIENCE_S):
            await asyncio.gather(*(take(task) for task in range(load.tasks)))
        return Timing(load.operations // load.tasks * load.tasks, time.perf_counter() - started)

    return run


def _elsewhere(fill: Callable[[], Awaitable[None]]) -> None:
    """Publish from another event loop while ours stands still."""

    async def filled() -> None:
        await fill()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, filled()).result()


CASE = Case(
    "receive",
    "messages of a burst received, checked and decoded, by one reader and by a hundred",
    contestants,
    pairs=((OURS, THEIRS),),
    loads=(
        Load(3_000, size=SMALL),
        Load(2_000, size=LARGE),
        Load(3_000, TASKS, SMALL),
        Load(2_000, TASKS, LARGE),
    ),
)
