"""One browser for all tests of the page, and for each test a whole system with a gateway in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browsers import Screens, chromium_binary, running_chromium
from tests.page.house import House, OpenHouse
from tests.servers import RunningServer

HERE = Path(__file__).parent
WHY_NOT = "no Chromium found: install chromium, or name one in TIDINGS_CHROMIUM"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all tests of this folder in one event loop, the browser's, and only where there is a browser."""
    for item in items:
        if not item.path.is_relative_to(HERE) or not pytest_asyncio.is_async_test(item):
            continue
        item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
        item.add_marker("browser")
        item.add_marker(pytest.mark.skipif(chromium_binary() is None, reason=WHY_NOT))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """A Chromium without a window, one for the whole run."""
    async with running_chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def screens(chromium: Browser) -> AsyncIterator[Screens]:
    """Pages in the browser. A script that failed, or something that the policy refused, fails the test."""
    opened = Screens(chromium)
    try:
        yield opened
    finally:
        await opened.close()
    assert opened.complaints == []


@pytest.fixture
def house_url(request: pytest.FixtureRequest, redis_server: RunningServer | None) -> str:
    """The address of an empty database of redis-server, or of Valkey where that is not there."""
    server = redis_server or request.getfixturevalue("valkey_server")
    server.flush()
    return str(server.url)


@pytest_asyncio.fixture(loop_scope="session")
async def open_house(house_url: str) -> AsyncIterator[OpenHouse]:
    """A maker of systems of one's own, as `House` takes them; ask for it before `screens`, so that pages are closed first."""
    async with AsyncExitStack() as stack:

        async def opened(url: str = house_url, **fleet: Any) -> House:
            return await stack.enter_async_context(House(url, **fleet))

        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def house(open_house: OpenHouse) -> House:
    """One controller, one worker, a provider, and a gateway in front of them."""
    return await open_house()
