"""redis-py alone: the client that everything is measured beside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio as redis


@asynccontextmanager
async def plain_client(url: str, *, blocking: bool = False) -> AsyncIterator[redis.Redis]:
    """Yield redis-py as it comes: RESP3, and a pool that opens a connection for each command that overlaps, up to 100.

    Args:
        blocking: whether it is for commands that block for longer than its usual 5 s.
    """
    client = redis.Redis.from_url(url, socket_timeout=None) if blocking else redis.Redis.from_url(url)
    try:
        yield client
    finally:
        await client.aclose()
