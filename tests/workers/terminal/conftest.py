"""The live view on a screen of a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import uuid4

import pytest
from textual.pilot import Pilot

from tests.waiting import eventually
from tidings.bus import Bus
from tidings.workers.cli.history import told
from tidings.workers.controller import Controller
from tidings.workers.settings import Settings
from tidings.workers.terminal.app import WatchApp
from tidings.workers.terminal.commentary import Commentary
from tidings.workers.terminal.feed import Feed
from tidings.workers.terminal.post import Post


class Watching:
    """A person at the live view: reads what is on the screen, and presses keys."""

    def __init__(self, app: WatchApp, pilot: Pilot[int], feed: Feed) -> None:
        self.app, self.pilot, self.feed = app, pilot, feed

    @property
    def lines(self) -> list[str]:
        """What stands on the screen."""
        return [strip.text.rstrip() for strip in self.app.screen._compositor.render_strips()]

    @property
    def text(self) -> str:
        """What stands on the screen, in one piece."""
        return "\n".join(self.lines)

    def line(self, session: str) -> str:
        """Return the line of a session in the table; '' where there is none."""
        return next((line for line in self.lines[3:] if line[2:].lstrip("└ ").startswith(session)), "")

    async def sees(self, *texts: str, without: str | None = None) -> None:
        """Wait until all these texts stand on the screen, and another does not."""

        def seen() -> bool:
            missing = [text for text in texts if text not in self.text]
            assert not missing, f"{missing} in\n{self.text}"
            assert without is None or without not in self.text, self.text
            return True

        await eventually(seen)

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        """Type a text."""
        await self.pilot.press(*("space" if letter == " " else letter for letter in text))


@asynccontextmanager
async def watch(
    bus: Bus,
    session: str = "*",
    *,
    size: tuple[int, int] = (120, 24),
    timeout_s: float = 5.0,
    commentary: Commentary | None = None,
) -> AsyncIterator[Watching]:
    """Open the live view on a bus."""
    async with Feed(bus, session) as feed:
        post = Post(bus, feed, "ann@here", timeout_s, tell=lambda item: list(told(item)), commentary=commentary)
        app = WatchApp(post, session)
        async with app.run_test(size=size) as pilot:
            yield Watching(app, pilot, feed)


@pytest.fixture
async def memory_bus() -> AsyncIterator[Bus]:
    """A bus in this process."""
    async with Bus.connect(f"memory://{uuid4().hex}") as bus:
        yield bus


@pytest.fixture
def controlled() -> Callable[[Bus], AbstractAsyncContextManager[None]]:
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
