"""From a command to the model: `session.start` sent, the first request arrived at the provider.

Ours is a controller that decides the command, a worker that claims the session, and its call through litellm, which is loaded
already. By hand, it is a job on a list, a loop that pops it, and a POST; and once more with litellm in place of the POST, because
that alone is a good part of the way. On both sides all parts share one process and one event loop, so that no part works while
another waits and one clock measures both; in the field they are processes, and each wake-up between them adds its own.

`claimed_request.py` measures the second half of the same way, from the claim on.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Protocol
from unittest.mock import patch

from aiohttp import ClientSession
from redis.asyncio import Redis

from bench.case import SMALL, TASKS, Case, Load
from bench.plain import plain_client
from bench.turns import Run, Timing
from tidings.bus import Bus, Lease, SessionStart, State
from tidings.workers.agent import ChatAgent
from tidings.workers.controller import Controller
from tidings.workers.llm import close_litellm, load_litellm
from tidings.workers.provider import Provider
from tidings.workers.settings import Settings
from tidings.workers.worker import Worker

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
    """Prepare all three, timed from the command on."""
    async with prepared(url, load, from_claim=False) as (ours, posted, through_litellm):
        yield {OURS: ours, POSTED: posted, THROUGH_LITELLM: through_litellm}


@asynccontextmanager
async def prepared(url: str, load: Load, *, from_claim: bool) -> AsyncIterator[tuple[Run, Run, Run]]:
    """Start the provider, our controller and worker, and a consumer for each of the others.

    Args:
        from_claim: whether the clock starts when the first is claimed or popped, and not when it is sent.
    """
    load_litellm()
    async with AsyncExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, _ENVIRONMENT))
        provider = await stack.enter_async_context(Provider())
        stack.push_async_callback(close_litellm)
        timed = _Timed(provider, load, from_claim)
        yield (
            await _ours(stack, url, timed),
            await _by_hand(stack, url, timed, await _poster(stack, provider)),
            await _by_hand(stack, url, timed, _litellm(provider)),
        )


@dataclass(frozen=True)
class _Timed:
    """What is timed: how many at once, from where on, until they arrive where."""

    provider: Provider
    load: Load
    from_claim: bool


async def _ours(stack: AsyncExitStack, url: str, timed: _Timed) -> Run:
    provider, load = timed.provider, timed.load
    settings = Settings(model=_MODEL, api_base=provider.base_url, concurrency=load.tasks)
    people, mind, hands = [await stack.enter_async_context(Bus.connect(url)) for _ in range(3)]
    await _keep(stack, Controller(mind, settings, name="bench").run())
    claims: list[float] = []
    claim = hands.worker.claim

    async def noted(*args: Any, **options: Any) -> Lease | None:
        claimed = await claim(*args, **options)
        if claimed is not None:
            claims.append(time.monotonic())
        return claimed

    stack.enter_context(patch.object(hands.worker, "claim", noted))
    await _keep(stack, Worker(hands, ChatAgent, settings, name="bench").run())
    numbers, text = count(), "x" * (load.size or SMALL)

    async def begin() -> str:
        session = f"first-{next(numbers)}"
        await people.send(session, SessionStart(text=text), _PATIENCE_S)
        return session

    async def over(session: str) -> bool:
        return (await people.status(session)).state is State.AWAITING_INPUT

    return _measured(timed, begin, over, claims)


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


async def _by_hand(stack: AsyncExitStack, url: str, timed: _Timed, ask: _Ask) -> Run:
    # Two: a BLPOP holds its connection, and the pool has as many as begin at the same time.
    client, consumer = [await stack.enter_async_context(plain_client(url, blocking=blocks)) for blocks in (False, True)]
    queue, numbers, text = f"{_QUEUE}:{id(ask)}", count(), "x" * (timed.load.size or SMALL)
    done: set[str] = set()
    claims: list[float] = []
    await _keep(stack, _consume(consumer, queue, ask, done, claims))

    async def begin() -> str:
        job = f"{next(numbers)} {text}"
        await client.rpush(queue, job)
        return job

    async def over(job: str) -> bool:
        return job in done

    return _measured(timed, begin, over, claims)


async def _consume(client: Redis, queue: str, ask: _Ask, done: set[str], claims: list[float]) -> None:
    async def work(job: str) -> None:
        await ask(job)
        done.add(job)

    async with asyncio.TaskGroup() as group:
        while True:
            popped: Any = await client.blpop([queue], timeout=0)
            claims.append(time.monotonic())
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


def _measured(
    timed: _Timed, begin: Callable[[], Awaitable[str]], over: Callable[[str], Awaitable[bool]], claims: list[float]
) -> Run:
    """Time from beginning so many at once until the last of their requests has arrived, as often as the load says.

    Args:
        claims: when each was claimed; filled by the subject that claims.
    """
    provider, load = timed.provider, timed.load

    async def together() -> float:
        before = len(provider.requests)
        claims.clear()

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
        return last - (claims[0] if timed.from_claim else started)

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
