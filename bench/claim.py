"""Claiming: a queued session taken by a worker, beside ZPOPMIN and HSET by hand.

Ours is a look at the queue and one script for the session, which writes a lease, a fencing token, the new state and two notices
to the watchers. By hand, it is a pop and a note of who popped; a worker that dies after the pop keeps the session for ever.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from bench.case import Case, Load
from bench.plain import plain_client
from bench.sessions import WORKER, make_session, session_names
from bench.turns import Run, Timing, spread
from tidings.bus import Bus, Ending, Lease, Trigger
from tidings.bus.worker.lease import ALL_READ

OURS, THEIRS = "Bus.claim", "ZPOPMIN, HSET"
WORKERS = 16
"""Workers that claim at the same moment: as many as one bus has connections. Each worker claims one session after the other."""


@asynccontextmanager
async def contestants(url: str, load: Load) -> AsyncIterator[Mapping[str, Run]]:
    """Make as many sessions as are claimed in one turn."""
    names = session_names(load.operations)
    async with Bus.connect(url) as bus, plain_client(url) as client:
        claims = [await make_session(bus, name) for name in names]
        yield {OURS: _ours(bus, claims, load), THEIRS: _theirs(client, names, load)}


def _ours(bus: Bus, claims: list[Lease], load: Load) -> Run:
    async def step(_: int) -> None:
        claim = await bus.worker.claim(WORKER, lease_s=3600.0)
        if claim is None:
            raise RuntimeError("nothing was queued")
        claims.append(claim)

    async def run() -> Timing:
        for claim in claims:
            await claim.release(Ending(Trigger.HAND_BACK, read=ALL_READ))
        claims.clear()
        return await spread(load.tasks, load.operations, step)

    return run


def _theirs(client: Redis, names: Sequence[str], load: Load) -> Run:
    async def step(_: int) -> None:
        reply: Any = await client.zpopmin("queue")
        ((session, _),) = reply
        fields: dict[Any, Any] = {"state": "running", "worker": WORKER.name, "host": WORKER.host, "since": str(time.time())}
        await client.hset(f"record:{session.decode()}", mapping=fields)

    async def run() -> Timing:
        await client.zadd("queue", {name: number for number, name in enumerate(names)})
        return await spread(load.tasks, load.operations, step)

    return run


CASE = Case(
    "claim",
    "queued sessions taken by a worker",
    contestants,
    pairs=((OURS, THEIRS),),
    loads=(Load(160), Load(160, WORKERS)),
)
