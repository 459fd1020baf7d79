"""A real browser for tests of the web page, and pages that keep what went wrong in them."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

from tests.waiting import PATIENCE_S

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",  # as root in a container there is none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 1000 * PATIENCE_S
FAILED_REQUEST = "Failed to load resource"
"""How Chromium begins what it writes to the console when an answer is not 2xx or does not come."""

expect.set_options(timeout=PATIENCE_MS)


def chromium_binary() -> Path | None:
    """Return the browser that TIDINGS_CHROMIUM names, else the one on PATH; None where there is none."""
    named = os.environ.get("TIDINGS_CHROMIUM")
    found = next(filter(None, map(shutil.which, [named] if named else NAMES)), None)
    return Path(found) if found else None


@asynccontextmanager
async def running_chromium() -> AsyncIterator[Browser]:
    """Run the browser, without a window."""
    binary = chromium_binary()
    assert binary is not None, "no Chromium on PATH, and TIDINGS_CHROMIUM names none"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=binary, args=[*ARGUMENTS])
        try:
            yield browser
        finally:
            await browser.close()


class Screens:
    """The pages that one test looks at, and what the browser complained of in them.

    Attributes:
        failures_expected: whether answers that are not 2xx belong to the test; a script that fails never does.
        complaints: what went wrong so far.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.failures_expected = False
        self.complaints: list[str] = []

    async def open(self, address: str, *, script: str = "", **options: Any) -> Page:
        """Open an address as another person would, in a context with cookies of its own.

        Args:
            script: runs before the page's own scripts.
            options: of the context, such as `viewport` or `color_scheme`.
        """
        context = await self._browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | options)
        self._contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        if script:
            await context.add_init_script(script)
        page = await context.new_page()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        await page.goto(address)
        return page

    def _console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        if not (self.failures_expected and message.text.startswith(FAILED_REQUEST)):
            self.complaints.append(f"{message.type}: {message.text}")

    async def close(self) -> None:
        """Close every page."""
        for context in self._contexts:
            await context.close()
