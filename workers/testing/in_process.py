"""A fleet's controller and workers as tasks of this process, at work until they are told to end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tidings.bus import Bus, Record
from tidings.workers.agent import Agent, AgentFactory, children_of, factory_of
from tidings.workers.controller import Controller
from tidings.workers.llm import close_litellm
from tidings.workers.settings import Settings, load_settings
from tidings.workers.testing.clock import Clock
from tidings.workers.testing.patience import stretch
from tidings.workers.testing.warmup import API_KEY, warm_up
from tidings.workers.worker import Worker

QUICK: Mapping[str, object] = {
    "model": "openai/test",
    "concurrency": 8,
    # Never runs out by itself, and lets the clock be moved far in few steps.
    "lease_s": 3600.0,
    "renew_s": 0.05,
    "poll_s": 0.05,
    "controller_poll_s": 0.05,
    "visibility_s": 0.5,
    "drain_timeout_s": 0.5,
    "llm_timeout_s": 5.0 * stretch(),
}
"""Settings of a fleet where they differ from the defaults; the plan of the retries does not."""


class InProcess:
    """One controller and some workers.

    Args:
        bus: where the sessions are.
        agent: the agent's class, what makes one, or one that serves every run.
        settings: of all of them.
        clock: what the waits of the agents' models go by; None: real time.
        workers: how many work.

    Raises:
        TypeError: the agent is none.
    """

    def __init__(
        self,
        bus: Bus,
        agent: type[Agent] | AgentFactory | Agent,
        settings: Settings,
        clock: Clock | None,
        workers: int,
    ) -> None:
        self._clock = clock
        factory = _factory(agent, settings)
        self.controller = Controller(bus, settings, name="c1")
        self.workers = [
            Worker(bus, factory, settings, name=f"w{number}", llm_options=self._llm_options) for number in range(1, workers + 1)
        ]
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def _llm_options(self, session: str) -> Mapping[str, Any]:
        options: dict[str, Any] = {"api_key": API_KEY, "rng": lambda: 1.0}
        if self._clock is not None:
            options["sleep"] = partial(self._clock.sleep, owner=session)
        return options

    async def start(self) -> None:
        """Begin to work."""
        await warm_up()
        work = {self.controller.name: self.controller.run(), **{worker.name: worker.run() for worker in self.workers}}
        for name, run in work.items():
            self._tasks[name] = asyncio.create_task(run, name=f"tidings-testing-{name}")

    async def close(self) -> None:
        """End: turns under way may end within the drain time-out, what waits is handed back. Idempotent."""
        tasks, self._tasks = self._tasks, {}
        for worker in self.workers:
            worker.drain()
        working = [task for name, task in tasks.items() if name != self.controller.name]
        if working:
            await asyncio.wait(working)
        # Last, so that it sees what they leave.
        self.controller.stop()
        if tasks:
            await asyncio.wait(tasks.values())
            await close_litellm()

    @property
    def busy(self) -> bool:
        """Whether a worker holds a session."""
        return any(worker.sessions for worker in self.workers)

    def holds(self, record: Record) -> bool:
        """Whether a session is held by one of these workers."""
        return record.worker is not None and any(worker.name == record.worker.name for worker in self.workers)

    def check(self) -> None:
        """See that all of them are at work.

        Raises:
            RuntimeError: one has ended on its own; the cause is how.
        """
        for name, task in self._tasks.items():
            if task.done():
                error = None if task.cancelled() else task.exception()
                raise RuntimeError(f"{name} of the fleet has ended on its own") from error


@dataclass(frozen=True, slots=True)
class _Same:
    """Gives the same agent for every run."""

    agent: Agent

    def __call__(self) -> Agent:
        return self.agent

    @property
    def children(self) -> Mapping[str, AgentFactory]:
        """What makes the agents of its children."""
        return children_of(self.agent)


def fleet_settings(given: Mapping[str, object]) -> Settings:
    """Make the settings of a fleet, of which the environment knows nothing.

    Raises:
        BadSetting: there is no such setting, or its value cannot be used.
    """
    defaults = {name: field.get_default() for name, field in Settings.model_fields.items()}
    return load_settings({**defaults, **QUICK, **given})


def _factory(agent: type[Agent] | AgentFactory | Agent, settings: Settings) -> AgentFactory:
    """Return what makes the agent of each run."""
    steps = callable(getattr(agent, "step", None))
    if isinstance(agent, type):
        if not steps:
            raise TypeError(f"{agent.__name__} is no agent: it has no method step(ctx); see tidings.Agent")
        return factory_of(agent, settings)
    if isinstance(agent, Agent):
        return _Same(agent)
    if not callable(agent):
        raise TypeError(f"{agent!r} is no agent: give a class with step(ctx), one of it, or a function that makes one")
    return agent
