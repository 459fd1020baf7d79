"""Publishing: from the values to the server's answer, beside the same by hand on redis-py.

By hand, what is published is kept as well: XADD and PUBLISH in one MULTI. Ours does more in its one script: an offset without
gaps, the check of the fencing token, the newest notice in the record, the wake-up of controllers. A bare PUBLISH keeps nothing;
it stands there as the least that any message costs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from bench.case import LARGE, SMALL, TASKS, Case, Load
from bench.payload import SOURCE, dump, event_maker, notice_maker, plain_maker
from bench.plain import plain_client
from bench.sessions import make_session, session_names
from bench.turns import Run, Timing, spread
from tidings.bus import Bus, Lease

NOTICE, EVENT = "Bus.publish", "Bus.append"
STORED, BARE = "MULTI: XADD, PUBLISH", "PUBLISH"

_KEPT = 64
"""As many as our ring of notices."""


@asynccontextmanager
async def contestants(url: str, load: Load) -> AsyncIterator[Mapping[str, Run]]:
    """Prepare a session for each task."""
    async with Bus.connect(url) as bus, plain_client(url) as client:
        names = session_names(load.tasks)
        claims = [await make_session(bus, name) for name in names]
        yield {
            NOTICE: _notices(bus, names, load),
            STORED: _stored(client, names, load),
            EVENT: _events(bus, claims, load),
            BARE: _bare(client, names, load),
        }


def _notices(bus: Bus, names: list[str], load: Load) -> Run:
    make = notice_maker(load.size or SMALL)

    async def step(task: int) -> None:
        await bus.publish(names[task], make(), source=SOURCE)

    async def run() -> Timing:
        return await spread(load.tasks, load.operations, step)

    return run


def _events(bus: Bus, claims: list[Lease], load: Load) -> Run:
    make = event_maker(load.size or SMALL)
    read = [0] * len(claims)

    async def step(task: int) -> None:
        claim = claims[task]
        (stored,) = await claim.append(make(claim.session), after=read[task])
        read[task] = stored.offset or 0

    async def run() -> Timing:
        return await spread(load.tasks, load.operations, step)

    return run


def _stored(client: Redis, names: list[str], load: Load) -> Run:
    make = plain_maker(load.size or SMALL)

    async def step(task: int) -> None:
        message = make(names[task])
        payload = dump(message)
        pipeline = client.pipeline(transaction=True)
        pipeline.xadd(f"log:{names[task]}", {"id": message["id"], "m": payload}, maxlen=_KEPT, approximate=False)
        pipeline.publish(f"plain.{names[task]}", payload)
        await pipeline.execute()

    async def run() -> Timing:
        return await spread(load.tasks, load.operations, step)

    return run


def _bare(client: Redis, names: list[str], load: Load) -> Run:
    make = plain_maker(load.size or SMALL)

    async def step(task: int) -> None:
        await client.publish(f"plain.{names[task]}", dump(make(names[task])))

    async def run() -> Timing:
        return await spread(load.tasks, load.operations, step)

    return run


CASE = Case(
    "publish",
    "messages made, stored, published and acknowledged",
    contestants,
    pairs=((NOTICE, STORED), (NOTICE, BARE), (EVENT, STORED), (EVENT, BARE)),
    loads=(
        Load(400, size=SMALL),
        Load(400, size=LARGE),
        Load(1_000, TASKS, SMALL),
        Load(1_000, TASKS, LARGE),
    ),
)
