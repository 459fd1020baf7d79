"""Replay: reading a history from its beginning, beside XRANGE in pages of the same length and json.

`Bus.history` is what a worker does when it takes a session up; a subscription does the same and goes on live.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from bench.case import LARGE, SMALL, TASKS, Case, Load
from bench.payload import dump, event_maker, plain_maker
from bench.plain import plain_client
from bench.sessions import append_many, make_session, session_names
from bench.turns import Run, Timing, spread
from tidings.bus import Bus, Event, carries
from tidings.bus.logs import PAGE

HISTORY, SUBSCRIPTION, THEIRS = "Bus.history", "Bus.events", "XRANGE, json.loads"


@asynccontextmanager
async def contestants(url: str, load: Load) -> AsyncIterator[Mapping[str, Run]]:
    """Fill a log for each task, ours and theirs."""
    names, each = session_names(load.tasks), load.operations // load.tasks
    size = load.size or SMALL
    async with Bus.connect(url) as bus, plain_client(url) as client:
        for name in names:
            await append_many(bus, await make_session(bus, name), event_maker(size), each)
            await _fill(client, name, size, each)
        yield {
            HISTORY: _history(bus, names, load),
            THEIRS: _theirs(client, names, load),
            SUBSCRIPTION: _subscription(bus, names, load),
        }


async def _fill(client: Redis, name: str, size: int, count: int) -> None:
    make = plain_maker(size)
    for done in range(0, count, PAGE):
        pipeline = client.pipeline(transaction=False)
        for _ in range(min(PAGE, count - done)):
            message = make(name)
            pipeline.xadd(_log(name), {"id": message["id"], "m": dump(message)})
        await pipeline.execute()


def _log(name: str) -> str:
    return f"log:{name}"


def _history(bus: Bus, names: Sequence[str], load: Load) -> Run:
    each = load.operations // load.tasks

    async def read(task: int) -> None:
        offset, count = 0, 0
        while page := await bus.history(names[task], offset):
            offset, count = page[-1].offset or 0, count + len(page)
        _check(count, each)

    return _replay(read, load)


def _subscription(bus: Bus, names: Sequence[str], load: Load) -> Run:
    each = load.operations // load.tasks

    async def read(task: int) -> None:
        async with bus.follow(names[task], Event, after=0) as subscription:
            for _ in range(each):
                message = await anext(subscription)
                if not carries(message, Event):
                    raise RuntimeError(f"a message was lost: {message}")

    return _replay(read, load)


def _theirs(client: Redis, names: Sequence[str], load: Load) -> Run:
    each = load.operations // load.tasks

    async def read(task: int) -> None:
        after, count = "-", 0
        while page := await _page(client, _log(names[task]), after):
            messages = [json.loads(fields[b"m"]) for _, fields in page]
            after, count = f"({page[-1][0].decode()}", count + len(messages)
        _check(count, each)

    return _replay(read, load)


async def _page(client: Redis, log: str, after: str) -> Any:
    return await client.xrange(log, min=after, count=PAGE)


def _replay(read: Callable[[int], Awaitable[None]], load: Load) -> Run:
    """Have each task read its log once; an operation is one message."""

    async def run() -> Timing:
        timing = await spread(load.tasks, load.tasks, read)
        return Timing(load.operations // load.tasks * load.tasks, timing.seconds)

    return run


def _check(count: int, expected: int) -> None:
    if count != expected:
        raise RuntimeError(f"{count} messages were read, {expected} are there")


CASE = Case(
    "replay",
    "messages of a log read from its beginning and decoded, by one reader and by a hundred",
    contestants,
    pairs=((HISTORY, THEIRS), (SUBSCRIPTION, THEIRS)),
    loads=(
        Load(3_000, size=SMALL),
        Load(2_000, size=LARGE),
        Load(3_000, TASKS, SMALL),
        Load(2_000, TASKS, LARGE),
    ),
)
