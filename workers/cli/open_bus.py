"""The bus that a command works on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tidings.bus import Bus
from tidings.workers.cli.exits import BadUsage
from tidings.workers.settings import Settings


@asynccontextmanager
async def open_bus(settings: Settings) -> AsyncIterator[Bus]:
    """Connect to the bus that the settings name.

    Raises:
        BadUsage: it is ``memory://``, which no other process can reach.
        BadAddress: the address cannot be used as written.
        Unreachable: nothing answers there.
        AccessDenied: the name or password is wrong.
        UnsupportedServer: the server is too old.
    """
    url = settings.redis_url.get_secret_value()
    if url.strip().lower().startswith("memory:"):
        raise BadUsage(
            "memory:// lives inside one process, so a command would talk to itself: give --redis "
            "(TIDINGS_REDIS_URL) the address of a Redis, such as redis://127.0.0.1:6379/0; for a first look "
            "without one there is `tidings demo`"
        )
    async with Bus.connect(url, prefix=settings.prefix, payload_limit=settings.payload_limit) as bus:
        yield bus


def on_bus(settings: Settings, act: Callable[[Bus], Awaitable[int]]) -> int:
    """Run something on a bus of its own and return its exit code; see ``open_bus`` for what is raised."""

    async def run() -> int:
        async with open_bus(settings) as bus:
            return await act(bus)

    return asyncio.run(run())
