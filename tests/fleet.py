"""Controllers, workers and a provider on one Redis, as they run in the field, within one process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self, TypeVar
from unittest.mock import patch

from tests import actors
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import (
    Bus,
    Command,
    Event,
    Gap,
    Message,
    Notice,
    Outcome,
    Record,
    SessionPause,
    SessionResume,
    SessionSay,
    SessionStart,
    SessionStop,
    State,
    Unreachable,
    carries,
)
from tidings.workers.agent import Agent, ChatAgent
from tidings.workers.controller import Controller
from tidings.workers.llm import close_litellm
from tidings.workers.provider import Fault, Provider, ProviderSettings, RequestRecord
from tidings.workers.settings import Settings
from tidings.workers.testing.warmup import warm_up
from tidings.workers.view import states_told
from tidings.workers.worker import Worker

KEY = "Kq8-planted-Zr5vX2m"
"""The key that every worker calls with; it has no shape that redaction would know."""
QUICK: dict[str, Any] = {
    "model": "openai/x",
    "lease_s": 20.0,
    "renew_s": 0.1,
    "poll_s": 0.05,
    "drain_timeout_s": 5.0,
    "llm_timeout_s": 15.0,
    "backoff_base_s": 0.02,
    "backoff_cap_s": 0.05,
    "controller_poll_s": 0.05,
    "visibility_s": 1.0,
}
"""Settings with short waits, so that tests take little time."""

N = TypeVar("N", bound=Notice)


class Fleet:
    """A running system; an async context manager.

    Each controller and each worker has a connection of its own, as if it were a process of its own.

    Args:
        url: of the Redis that all share.
        workers, controllers: how many to begin with.
        reap_at_once: whether controllers take a worker whose lease has run out for lost at once, and not only after they have
            run for one lease time.
        agent: makes the agents.
        provider: settings of the provider.
        settings: over `QUICK`.
    """

    def __init__(
        self,
        url: str,
        *,
        workers: int = 1,
        controllers: int = 1,
        reap_at_once: bool = False,
        agent: Callable[[], Agent] = ChatAgent,
        provider: ProviderSettings | None = None,
        **settings: Any,
    ) -> None:
        self.url = url
        self._counts = controllers, workers
        self._of_controllers = {"lease_s": 0.1, "renew_s": 0.01} if reap_at_once else {}
        self._agent, self._given = agent, settings
        self.provider = Provider(provider)
        self.told: list[Message[Notice]] = []
        """Every notice since the beginning, in the order in which it arrived."""
        self.gaps = 0
        self.controllers: list[Running] = []
        self.workers: list[Running] = []
        self._stack = AsyncExitStack()
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await warm_up()
        async with AsyncExitStack() as stack:
            stack.enter_context(patch.dict(os.environ, {"OPENAI_API_KEY": KEY}))
            await stack.enter_async_context(self.provider)
            stack.push_async_callback(close_litellm)
            self.bus = await stack.enter_async_context(Bus.connect(self.url))
            stack.push_async_callback(self._stop_all)
            await self._listen(stack)
            for _ in range(self._counts[0]):
                await self.add_controller()
            for _ in range(self._counts[1]):
                await self.add_worker()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._stack.aclose()

    async def _listen(self, stack: AsyncExitStack) -> None:
        subscription = await stack.enter_async_context(self.bus.follow())

        async def read() -> None:
            async for notice in subscription:
                if isinstance(notice, Gap):
                    self.gaps += 1
                else:
                    self.told.append(notice)

        self._reader = asyncio.create_task(read())
        stack.push_async_callback(_end, self._reader)

    async def _stop_all(self) -> None:
        for running in (*self.workers, *self.controllers):
            await running.end()

    # parts

    def settings(self, **changes: Any) -> Settings:
        """Return the settings of this fleet."""
        return Settings(**QUICK | {"api_base": self.provider.base_url} | self._given | changes)

    async def add_controller(self, **changes: Any) -> Running:
        """Start another controller."""
        running = Running(self.url)
        settings, name = self.settings(**self._of_controllers | changes), f"c{len(self.controllers) + 1}"
        await running.begin(lambda bus: Controller(bus, settings, name=name))
        self.controllers.append(running)
        return running

    async def add_worker(self, agent: Callable[[], Agent] | None = None, **changes: Any) -> Running:
        """Start another worker."""
        running, make = Running(self.url), agent or self._agent
        name = f"w{len(self.workers) + 1}"
        await running.begin(lambda bus: Worker(bus, make, self.settings(**changes), name=name))
        self.workers.append(running)
        return running

    def script(self, *faults: str | Fault) -> None:
        """Let the next calls fail."""
        self.provider.script(*(Fault.parse(fault) if isinstance(fault, str) else fault for fault in faults))

    # steering

    async def send(self, command: Message[Command]) -> Outcome:
        """Send a command and wait for its outcome."""
        return await actors.send(self.bus, command, PATIENCE_S)

    async def start(self, session: str, text: str | None = "hello") -> Outcome:
        """Start a session."""
        return await self.send(Message.of(SessionStart(by="ann", text=text), session=session))

    async def say(self, session: str, text: str) -> Outcome:
        """Say something."""
        return await self.send(Message.of(SessionSay(by="ann", text=text), session=session))

    async def resume(self, session: str) -> Outcome:
        """Resume a session."""
        return await self.send(Message.of(SessionResume(by="ann"), session=session))

    async def pause(self, session: str) -> Outcome:
        """Pause a session."""
        return await self.send(Message.of(SessionPause(by="ann"), session=session))

    async def stop(self, session: str) -> Outcome:
        """Stop a session."""
        return await self.send(Message.of(SessionStop(by="ann"), session=session))

    async def expire(self, session: str) -> None:
        """Let the lease of a session run out now, by the server's clock."""
        link = self.bus._context
        redis: Any = link.connection.commands
        await redis.hset(link.names.record(session), "lease_until", "1")
        await redis.zadd(link.names.due, {session: 1})

    # looking

    async def until(self, session: str, *states: State) -> Record:
        """Wait until the session is in one of the states; returns its record."""

        async def reached() -> Record | None:
            try:
                record = await self.bus.status(session)
            except Unreachable as error:
                raise AssertionError(str(error)) from error
            assert record.state in states, f"{record.state}: {record.why}"
            return record

        record = await eventually(reached, PATIENCE_S, f"{session} becomes {' or '.join(states)}")
        assert record is not None
        return record

    async def until_told(self, session: str, kind: type[N], count: int = 1) -> list[Message[N]]:
        """Wait until so many notices of a kind have arrived; returns all that have."""
        await eventually(lambda: len(self.of(session, kind)) >= count, PATIENCE_S, f"{count} {kind.__name__} of {session}")
        return self.of(session, kind)

    async def until_requests(self, count: int) -> list[RequestRecord]:
        """Wait until the provider has received so many requests; returns all that it has."""
        await eventually(lambda: len(self.provider.requests) >= count, PATIENCE_S, f"{count} requests")
        return self.provider.requests

    def of(self, session: str, kind: type[N]) -> list[Message[N]]:
        """Return the notices of one kind that have arrived."""
        return [notice for notice in self.told if carries(notice, kind) and notice.session == session]

    def states(self, session: str) -> list[State]:
        """Return the states that were told, in order."""
        return states_told(session, self.of(session, Notice))

    async def history(self, session: str) -> tuple[Message[Event], ...]:
        """Return the whole history."""
        return await self.bus.history(session)

    async def said(self, session: str) -> list[str]:
        """Return the history in short: ``user: hello``, ``agent: You said: hello``, and the types of other events."""
        return [_short(event) for event in await self.history(session)]


class Running:
    """One controller or worker with its own connection, until it ends."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stack = AsyncExitStack()
        self.part: Any = None
        self.bus: Any = None
        self.task: asyncio.Task[None] = asyncio.get_running_loop().create_task(asyncio.sleep(0))

    async def begin(self, make: Callable[[Bus], Controller | Worker]) -> None:
        """Connect and run."""
        self.bus = await self._stack.enter_async_context(Bus.connect(self._url, heartbeat_s=0.5))
        self.part = make(self.bus)
        self.task = asyncio.create_task(self.part.run(), name=f"run-{self.part.name}")

    async def end(self) -> None:
        """Cancel it, if it runs, and disconnect."""
        await _end(self.task)
        await self._stack.aclose()

    def cut_off(self) -> None:
        """Let its requests to the server get lost from now on, except for what a run has under way."""

        async def lost(*_: object, **__: object) -> Any:
            raise Unreachable("cut off")

        self.bus.worker.renew = self.bus.worker.claim = lost


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task}, timeout=PATIENCE_S)
    assert task.done(), f"{task.get_name()} was cancelled and does not end: {task.get_stack()}"
    if not task.cancelled():
        task.result()


def _short(event: Message[Event]) -> str:
    text = getattr(event.data, "text", None)
    return event.type if text is None else f"{event.type.partition('.')[0]}: {text}"
