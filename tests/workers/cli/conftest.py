"""Fixtures for the command line: it in this process, a bus on the same server, a controller."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.processes import Finished
from tidings.bus import Bus
from tidings.workers.cli import main
from tidings.workers.controller import Controller
from tidings.workers.settings import Settings

Tidings = Callable[..., Coroutine[Any, Any, Finished]]


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    """Leave logging as it was: a command configures that of its process."""
    root, tidings = logging.getLogger(), logging.getLogger("tidings")
    before = (list(root.handlers), root.level, tidings.level)
    yield
    logging.captureWarnings(False)
    root.handlers[:], level, tidings_level = before
    root.setLevel(level)
    tidings.setLevel(tidings_level)


@pytest.fixture
def tidings(capfdbinary: pytest.CaptureFixture[bytes]) -> Tidings:
    """The command line as a function: in a thread of this process, because it runs an event loop of its own."""

    async def run(*arguments: str) -> Finished:
        capfdbinary.readouterr()
        code = await asyncio.to_thread(main, arguments)
        out, err = capfdbinary.readouterr()
        return Finished(code, out.decode(), err.decode())

    return run


@pytest.fixture
async def server_bus(real_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bus]:
    """A bus on a real server, which is also the one that commands use by default."""
    monkeypatch.setenv("TIDINGS_REDIS_URL", real_url)
    async with Bus.connect(real_url) as bus:
        yield bus


@pytest.fixture
def controlled() -> Callable[[Bus], contextlib.AbstractAsyncContextManager[None]]:
    """A context in which a controller runs on a bus."""

    @asynccontextmanager
    async def run(bus: Bus) -> AsyncIterator[None]:
        controller = Controller(bus, Settings(controller_poll_s=0.05), name="c1")
        task = asyncio.create_task(controller.run())
        try:
            yield
        finally:
            controller.stop()
            await task

    return run
