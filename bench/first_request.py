"""From a command to the model: `session.start` sent, the first request arrived at the provider.

Ours is a controller that decides the command, a worker that claims the session, and its call through litellm, which is loaded
already. By hand, it is a job on a list, a loop that pops it, and a POST; and once more with litellm in place of the POST, because
that alone is a good part of the way. On both sides all parts share one process and one event loop, so that no part works while
another waits and one clock measures both; in the field they are processes, and each wake-up between them adds its own.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count
from typing import Any, Protocol
from unittest.mock import patch

from aiohttp import ClientSession
from redis.asyncio import Redis

from bench.case import SMALL, TASKS, Case, Load
from bench.plain import plain_client
from bench.turns import Run, Timing
from bus import Bus, SessionStart, StartData, State
from workers.agent import ChatAgent
from workers.controller import Controller
from workers.llm import close_litellm, load_litellm
from workers.provider import Provider
from workers.settings import Settings
from workers.worker import Worker

OURS, POSTED, THROUGH_LITELLM = "session.start", "RPUSH, BLPOP, aiohttp", "RPUSH, BLPOP, litellm"

_MODEL = "openai/bench"
_KEY = "bench"
# A key that no provider knows, and no proxy on the way to ours.
_ENVIRONMENT = {"OPENAI_API_KEY": _KEY, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
_PATIENCE_S = 30.0
_LOOK_S = 0.002
_QUEUE = "jobs"


@asynccontextmanager
async def contestants(url: str, load: Load) -> AsyncIterator[Mapping[str, Run]]:
    """Start the provider, our controller and worker, and a consumer for each of the others."""
    load_litellm()
    async with AsyncExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, _ENVIRONMENT))
        provider = await stack.enter_async_context(Provider())
        stack.push_async_callback(close_litellm)
        yield {
            OURS: await _ours(stack, url, provider, load),
            POSTED: await _by_hand(stack, url, provider, load, await _poster(stack, provider)),
            THROUGH_LITELLM: await _by_hand(stack, url, provider, load, _litellm(provider)),
        }


async def _ours(stack: AsyncExitStack, url: str, provider: Provider, load: Load) -> Run:
    settings = Settings(model=_MODEL, api_base=provider.base_url, concurrency=load.tasks)
    people, mind, hands = [await stack.enter_async_context(Bus.connect(url)) for _ in range(3)]
    await _keep(stack, Controller(mind, settings, name="bench").run())
    await _keep(stack, Worker(hands, ChatAgent, settings, name="bench").run())
    numbers, text = count(), "x" * (load.size or SMALL)

    async def begin() -> str:
        session = f"first-{next(numbers)}"
        await people.send(SessionStart(subject=session, data=StartData(text=text)), _PATIENCE_S)
        return session

    async def over(session: str) -> bool:
        return (await people.status(session)).state is State.AWAITING_INPUT

    return _measured(provider, begin, over, load)


class _Ask(Protocol):
    """Asks the model; returns when the answer is there."""

    async def __call__(self, text: str) -> None: ...


async def _poster(stack: AsyncExitStack, provider: Provider) -> _Ask:
    http = await stack.enter_async_context(ClientSession(headers={"Authorization": f"Bearer {_KEY}"}))

    async def ask(text: str) -> None:
        body = {"model": _MODEL, "messages": [{"role": "user", "content": text}]}
        async with http.post(f"{provider.base_url}/chat/completions", json=body) as answer:
            await answer.json()

    return ask


def _litellm(provider: Provider) -> _Ask:
    library: Any = importlib.import_module("litellm")

    async def ask(text: str) -> None:
        messages = [{"role": "user", "content": text}]
        await library.acompletion(model=_MODEL, messages=messages, api_base=provider.base_url, max_retries=0, num_retries=0)

    return ask


async def _by_hand(stack: AsyncExitStack, url: str, provider: Provider, load: Load, ask: _Ask) -> Run:
    # Two: a BLPOP holds its connection, and the pool has as many as begin at the same time.
    client, consumer = [await stack.enter_async_context(plain_client(url, blocking=blocks)) for blocks in (False, True)]
    queue, numbers, text = f"{_QUEUE}:{id(ask)}", count(), "x" * (load.size or SMALL)
    done: set[str] = set()
    await _keep(stack, _consume(consumer, queue, ask, done))

    async def begin() -> str:
        job = f"{next(numbers)} {text}"
        await client.rpush(queue, job)
        return job

    async def over(job: str) -> bool:
        return job in done

    return _measured(provider, begin, over, load)


async def _consume(client: Redis, queue: str, ask: _Ask, done: set[str]) -> None:
    async def work(job: str) -> None:
        await ask(job)
        done.add(job)

    async with asyncio.TaskGroup() as group:
        while True:
            popped: Any = await client.blpop([queue], timeout=0)
            group.create_task(work(popped[1].decode()))


async def _keep(stack: AsyncExitStack, running: Coroutine[Any, Any, None]) -> None:
    """Run it until the end of the case."""
    task = asyncio.create_task(running)

    async def end() -> None:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()

    stack.push_async_callback(end)


def _measured(provider: Provider, begin: Callable[[], Awaitable[str]], over: Callable[[str], Awaitable[bool]], load: Load) -> Run:
    """Time from beginning so many at once until the last of their requests has arrived, as often as the load says."""

    async def together() -> float:
        before = len(provider.requests)

        async def arrived() -> bool:
            return len(provider.requests) >= before + load.tasks

        started = time.monotonic()
        begun = await asyncio.gather(*(begin() for _ in range(load.tasks)))
        await _until(arrived)
        last = max(record.at for record in provider.requests[before:])
        # Nothing is left running when the next ones begin.
        for name in begun:
            await _until(partial(over, name))
        if len(provider.requests) != before + load.tasks:
            raise RuntimeError(f"{load.tasks} were begun and {len(provider.requests) - before} requests arrived")
        return last - started

    async def run() -> Timing:
        rounds = load.operations // load.tasks
        async with asyncio.timeout(_PATIENCE_S):
            seconds = sum([await together() for _ in range(rounds)])
        return Timing(rounds * load.tasks, seconds)

    return run


async def _until(reached: Callable[[], Awaitable[bool]]) -> None:
    """Look now and then: the provider notes itself when a request arrived, so this delays no timing."""
    while not await reached():  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_S)


CASE = Case(
    "first-request",
    "from the command that starts a session to the first request at the provider",
    contestants,
    pairs=((OURS, POSTED), (OURS, THROUGH_LITELLM)),
    loads=(Load(10, size=SMALL), Load(TASKS, TASKS, SMALL)),
    in_ms=True,
)
