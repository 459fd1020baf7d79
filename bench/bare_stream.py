"""The least that a page for many viewers could be: sse-starlette, fed by redis-py. What the gateway is measured beside.

    python -m bench.bare_stream REDIS_URL PORT

It subscribes to ``status.*`` once, and puts each message as it is into a queue for each viewer. It knows no tokens, no sessions,
no slow viewers, no events and no reconnects.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio as redis
import uvicorn
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def application(url: str) -> Starlette:
    """Return the application that streams what is published on a Redis."""
    queues: set[asyncio.Queue[str]] = set()

    async def feed() -> None:
        async with redis.Redis.from_url(url, socket_timeout=None) as client, client.pubsub() as pubsub:
            await pubsub.psubscribe("status.*")
            async for message in pubsub.listen():
                if message["type"] == "pmessage":
                    text = message["data"].decode()
                    for queue in queues:
                        queue.put_nowait(text)

    async def frames(queue: asyncio.Queue[str]) -> AsyncIterator[dict[str, str]]:
        try:
            yield {"event": "hello", "data": "{}"}
            while True:
                yield {"event": "row", "data": await queue.get()}
        finally:
            queues.discard(queue)

    async def stream(request: Request) -> Response:
        queue: asyncio.Queue[str] = asyncio.Queue()
        queues.add(queue)
        return EventSourceResponse(frames(queue))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(feed())
        yield
        task.cancel()
        await asyncio.wait([task])

    return Starlette(routes=[Route("/stream", stream)], lifespan=lifespan)


if __name__ == "__main__":
    uvicorn.run(application(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
