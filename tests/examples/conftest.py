"""What the examples run on: a real server, a provider that answers, a controller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.servers import RunningServer
from tidings.bus import Bus
from tidings.workers.controller import Controller
from tidings.workers.llm import close_litellm
from tidings.workers.provider import Provider, ProviderSettings
from tidings.workers.settings import Settings

KEY = "sk-example-0123456789abcdef"


@pytest.fixture
def url(valkey_server: RunningServer) -> str:
    """The address of an empty database on a real server."""
    valkey_server.flush()
    return valkey_server.url


@pytest.fixture
async def bus(url: str) -> AsyncIterator[Bus]:
    """A bus on that database."""
    async with Bus.connect(url) as connected:
        yield connected


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Provider]:
    """A provider without limits; litellm finds a key for it in the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with Provider(ProviderSettings()) as serving:
        yield serving
        await close_litellm()


@pytest.fixture
def settings(provider: Provider) -> Settings:
    """Settings that call the provider and wait for nothing longer than a test should."""
    return Settings(
        model="openai/test",
        api_base=provider.base_url,
        backoff_base_s=0.05,
        lease_s=3,
        renew_s=0.2,
        poll_s=0.2,
        controller_poll_s=0.1,
    )


@pytest.fixture
async def controller(bus: Bus, settings: Settings) -> AsyncIterator[Controller]:
    """A controller at work."""
    deciding = Controller(bus, settings, name="c1")
    task = asyncio.create_task(deciding.run())
    yield deciding
    deciding.stop()
    await task
