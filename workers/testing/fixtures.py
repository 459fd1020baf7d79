"""The fixtures. They import what they are made of when a test asks for them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from tidings.bus import Bus
    from tidings.workers.agent import Agent, AgentFactory
    from tidings.workers.provider import Provider, ProviderSettings
    from tidings.workers.testing.clock import Clock
    from tidings.workers.testing.fleet import Fleet

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_LOOPBACK = "127.0.0.1,localhost"


class StartFleet(Protocol):
    """Starts the fleet of one test: ``fleet = await tidings_fleet(MyAgent)``; see `Fleet` for the arguments."""

    def __call__(
        self,
        agent: type[Agent] | AgentFactory | Agent = ...,
        *,
        workers: int = ...,
        timeout_s: float = ...,
        **settings: object,
    ) -> Awaitable[Fleet]:
        """Start it."""
        ...


@pytest.fixture
def tidings_clock() -> Clock:
    """The time of this test: that of `tidings_bus`, of the provider's limits, and of the waits of a fleet."""
    from tidings.workers.testing.clock import Clock

    return Clock()


@pytest_asyncio.fixture
async def tidings_bus(tidings_clock: Clock) -> AsyncIterator[Bus]:
    """A bus on an in-memory server of its own."""
    from tidings.workers.testing.in_memory import memory_bus

    async with memory_bus(tidings_clock) as bus:
        yield bus


@pytest.fixture
def tidings_provider_settings() -> ProviderSettings:
    """What `tidings_provider` is like; define a fixture of this name to have another."""
    from tidings.workers.provider import ProviderSettings

    return ProviderSettings()


@pytest_asyncio.fixture
async def tidings_provider(
    tidings_clock: Clock, tidings_provider_settings: ProviderSettings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Provider]:
    """A provider that listens on loopback, echoes, and fails as it is told: ``tidings_provider.script(Fault.parse("429"))``."""
    from tidings.workers.provider import Provider
    from tidings.workers.testing.quiet import quiet_litellm

    _keep_off_proxies(monkeypatch)
    quiet_litellm()
    async with Provider(tidings_provider_settings, clock=tidings_clock.monotonic, wall_clock=tidings_clock.time) as provider:
        yield provider


@pytest_asyncio.fixture
async def tidings_fleet(tidings_bus: Bus, tidings_provider: Provider, tidings_clock: Clock) -> AsyncIterator[StartFleet]:
    """Start a controller and workers with an agent; they end with the test."""
    from tidings.workers.agent import ChatAgent
    from tidings.workers.testing.fleet import Fleet
    from tidings.workers.testing.waiter import TIMEOUT_S

    # A bus of the user's own, on a real server perhaps, has a time that no clock moves.
    clock = tidings_clock if tidings_clock.governs(tidings_bus) else None
    async with AsyncExitStack() as stack:
        started: list[Fleet] = []

        async def start(
            agent: type[Agent] | AgentFactory | Agent = ChatAgent,
            *,
            workers: int = 1,
            timeout_s: float = TIMEOUT_S,
            **settings: Any,
        ) -> Fleet:
            if started:
                raise RuntimeError("a test has one fleet: the workers of a second one would take the sessions of the first")
            fleet = Fleet(tidings_bus, tidings_provider, agent, clock=clock, workers=workers, timeout_s=timeout_s, **settings)
            started.append(fleet)
            return await stack.enter_async_context(fleet)

        yield start


def _keep_off_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have requests to loopback not sent through a proxy that the environment names."""
    for name in ("no_proxy", "NO_PROXY"):
        proxied = any(os.environ.get(proxy) or os.environ.get(proxy.upper()) for proxy in _PROXIES)
        if proxied:
            known = os.environ.get(name)
            monkeypatch.setenv(name, f"{known},{_LOOPBACK}" if known else _LOOPBACK)
