"""Take the pictures of the web page and the terminal that the documentation shows: a real fleet, staged, in a real browser.

`make screenshots` runs it. Nothing in them is painted: the provider refuses, the workers wait, page and terminal show it.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

from playwright.async_api import Page, expect

from tests.browsers import Screens, chromium_binary, running_chromium
from tests.page.house import House
from tests.servers import RunningServer, redis_binary, valkey_binary
from tests.waiting import eventually
from tidings.bus import ChildStart, State, ToolCall, ToolResult, UserMessage
from tidings.workers.agent import AgentFactory, ChatAgent, Next, Step, open_calls
from tidings.workers.cli.history import told
from tidings.workers.context import Context
from tidings.workers.provider import Fault
from tidings.workers.terminal.app import WatchApp
from tidings.workers.terminal.feed import Feed
from tidings.workers.terminal.post import Post

FOLDER = Path(__file__).resolve().parent / "screenshots"
MOST_BYTES = 160_000
_DOWN = "The service is unavailable: maintenance until the hour is over."
_LIMIT = "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29611, Requested 1240."
_WIDE, _NARROW = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
_MIDDLE = {"width": 1000, "height": 600}
_TALL, _LOW = _NARROW | {"height": 1000}, _WIDE | {"height": 520}
_ATTEMPT, _OUTAGE = "attempt 2 of 6 under way", "etrying later"
_FONT_FACES = re.compile(r"@font-face \{.*?\}", re.DOTALL)
"""Fonts from elsewhere; those that are here will do."""
_FILES = {"auth/session.py": "class Session:\n    def expired(self, now):\n        return now - self.created > LIMIT\n"}


@dataclass(frozen=True)
class Shot:
    """One picture: where, and what makes it different."""

    name: str
    path: str
    options: dict[str, Any] = field(default_factory=dict)
    text: str = "attempt 3 of 6, next try in"
    """What must stand in the status of a session before it is taken."""
    answered: bool = True
    """Whether the agent has said something in it."""


SHOTS = (
    Shot("fleet-light", "/", {"viewport": _WIDE, "color_scheme": "light"}),
    Shot("fleet-dark", "/", {"viewport": _WIDE, "color_scheme": "dark"}),
    Shot("fleet-narrow", "/", {"viewport": _TALL, "color_scheme": "light"}),
    Shot("session-light", "/sessions/refactor-auth", {"viewport": _WIDE, "color_scheme": "light"}),
    Shot("session-dark", "/sessions/refactor-auth", {"viewport": _WIDE, "color_scheme": "dark"}),
    Shot("session-narrow", "/sessions/refactor-auth", {"viewport": _NARROW, "color_scheme": "dark"}),
    Shot("session-attempt", "/sessions/translate-docs", {"viewport": _LOW, "color_scheme": "light"}, _ATTEMPT, answered=False),
    Shot("session-outage", "/sessions/weather-feed", {"viewport": _LOW, "color_scheme": "light"}, _OUTAGE, answered=False),
)
TERMINAL = (
    Shot("terminal-fleet", "*"),
    Shot("terminal-attempt", "translate-docs", text=_ATTEMPT),
    Shot("terminal-outage", "weather-feed", text=_OUTAGE),
)
"""Pictures of ``tidings watch``; the path is the session that it shows."""


class Reader(ChatAgent):
    """Reads a file when it is asked to read, sends children out when it is asked to research, and answers."""

    children: ClassVar[Mapping[str, AgentFactory]] = {"sources": ChatAgent, "summary": ChatAgent}

    async def step(self, ctx: Context) -> Step:
        """Call the tool, give its result, start the children, or answer."""
        first = ctx.history[0] if ctx.history else None
        asked_for = first.data.text if first is not None and isinstance(first.data, UserMessage) else ""
        if "Research" in asked_for:
            team = [ChildStart(name=name, text=f"Find the {name}.") for name in self.children]
            return Step() if len(ctx.history) > 1 else Step(team)
        calls = open_calls(ctx.history)
        if calls:
            found = [
                ToolResult(call_id=call.data.call_id, name="read_file", content=_content(call.data.arguments)) for call in calls
            ]
            return Step(found, Next.CONTINUE)
        if len(ctx.history) == 1 and "Read" in asked_for:
            asked = ToolCall(call_id="call_1", name="read_file", arguments={"path": "auth/session.py"}, idempotent=True)
            return Step([asked], Next.CONTINUE)
        return await super().step(ctx)


FLEET: dict[str, Any] = {
    "workers": 3,
    "controllers": 2,
    "agent": Reader,
    "model": "openai/gpt-4o",
    "concurrency": 4,
    "llm_timeout_s": 120.0,
}


def _content(arguments: object) -> str:
    return _FILES.get(arguments.get("path", ""), "") if isinstance(arguments, dict) else json.dumps(arguments)


def _limited(contains: str, wait_s: float, times: int = 1) -> Fault:
    return Fault(kind="status", status=429, message=_LIMIT, headers={"Retry-After": str(wait_s)}, contains=contains, times=times)


class Stage:
    """The fleet of the pictures.

    What a session is asked decides what its calls meet: the provider's script looks for words in the prompt.
    """

    def __init__(self, house: House) -> None:
        self._fleet = house.fleet

    async def set_up(self) -> None:
        """Bring every session into the state in which it is shown."""
        await self._rest()
        await self._trouble()
        await self._busy()

    async def _rest(self) -> None:
        talks = {
            "onboarding-faq": "Write the questions that new customers ask first.",
            "release-notes": "Draft the release notes of 2.4 from the merged changes.",
            "legal-review": "Compare both versions of the contract.",
            "old-import": "Import the tickets of last year.",
            "refactor-auth": "Read auth/session.py: does a session expire after 30 minutes of silence?",
        }
        for session, text in talks.items():
            await self._fleet.start(session, text)
        for session in talks:
            await self._fleet.until(session, State.AWAITING_INPUT)
        await self._fleet.pause("legal-review")
        await self._fleet.stop("old-import")

    async def _trouble(self) -> None:
        self._fleet.script(
            Fault(kind="quota", contains="invoices"),
            Fault(kind="status", status=401, message="Incorrect API key provided.", contains="prices"),
            _limited("digest", 780),
            Fault(kind="status", status=503, message=_DOWN, headers={"Retry-After": "540"}, contains="weather"),
        )
        await self._fleet.start("invoice-audit", "Check the invoices of October.")
        await self._fleet.start("price-check", "Compare our prices with theirs.")
        await self._fleet.start("nightly-digest", "Write the digest of the day.")
        await self._fleet.start("weather-feed", "Sum up the weather of the week.")
        await self._fleet.until("price-check", State.ERROR)
        for parked in ("invoice-audit", "nightly-digest"):
            await self._fleet.until(parked, State.RATE_LIMITED)
        await self._fleet.until("weather-feed", State.RETRYING)

    async def _busy(self) -> None:
        self._fleet.script(
            _limited("Count it from", 0.6),
            _limited("Count it from", 1.4),
            _limited("Count it from", 52),
            Fault(kind="status", status=503, message="The engine is overloaded.", headers={"Retry-After": "44"}, contains="4812"),
            _limited("translate", 0.4),
            Fault(kind="timeout", contains="translate"),
            _limited("Find the sources", 0.3),
            _limited("Find the sources", 31),
        )
        await self._fleet.say("refactor-auth", "Count it from the last request, not from the login, and show it by a test.")
        await self._fleet.start("triage-4812", "What is ticket 4812 about?")
        await self._fleet.start("web-research", "Research what idle time-outs others have.")
        await self._fleet.start("translate-docs", "Please translate the guide.")
        await self._fleet.until("triage-4812", State.RETRYING)
        await self._fleet.until("refactor-auth", State.RATE_LIMITED)


async def _settled(page: Page, shot: Shot) -> None:
    """Wait until what the picture is about is on the screen."""
    await expect(page.locator(".link")).to_have_text("live")
    if shot.path == "/":
        await expect(page.locator("#row-refactor-auth .attempt")).to_have_text("3/6")
        await expect(page.locator("#row-translate-docs .attempt")).to_have_text("2/6")
        await expect(page.locator("#row-weather-feed .word")).to_have_text("retrying later")
        await expect(page.locator(".row.child .attempt", has_text="2/6")).to_have_count(1)
        await expect(page.locator(".tile").first).not_to_contain_text("0 of 12")
        await expect(page.locator(".tile .figure").first).to_have_text("3")
    else:
        await expect(page.locator(".deck .lines")).to_contain_text(shot.text)
        await expect(page.locator(".event").first).to_be_visible()
        await expect(page.locator(".event.agent")).to_have_count(int(shot.answered))


async def take(house: House, folder: Path) -> list[Path]:
    """Take every picture; returns the files."""
    taken = []
    async with running_chromium() as browser:
        screens = Screens(browser)
        for shot in SHOTS:
            page = await screens.open(house.at(shot.path), device_scale_factor=1, reduced_motion="reduce", **shot.options)
            await _settled(page, shot)
            path = folder / f"{shot.name}.png"
            await page.screenshot(path=path)
            taken.append(path)
        for shot in TERMINAL:
            page = await screens.open("about:blank", device_scale_factor=1, viewport=_MIDDLE)
            await page.set_content(_FONT_FACES.sub("", await _terminal(house, shot)))
            path = folder / f"{shot.name}.png"
            await page.locator("svg").screenshot(path=path)
            taken.append(path)
        assert screens.complaints == [], screens.complaints
        await screens.close()
    return taken


async def _terminal(house: House, shot: Shot) -> str:
    """Return what the live view shows, as SVG."""
    bus, session = house.fleet.bus, shot.path
    async with Feed(bus, session) as feed:
        app = WatchApp(Post(bus, feed, "ann@anvil", 10.0, tell=lambda item: list(told(item))), session)
        async with app.run_test(size=(118, 22 if session == "*" else 14)) as pilot:

            def shown() -> bool:
                row = feed.row("translate-docs" if session == "*" else session)
                return row is not None and (row.under_way or row.parked)

            await eventually(shown)
            # Until it is drawn, and the history with it.
            await pilot.pause(1.5)
            return app.export_screenshot(title=f"tidings watch {session if session != '*' else ''}".rstrip())


async def main() -> int:
    """Stage the fleet, take the pictures, say how large they are."""
    if chromium_binary() is None:
        print("no Chromium found: install chromium, or name one in TIDINGS_CHROMIUM", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    server = RunningServer(redis_binary() or valkey_binary())
    server.start()
    try:
        async with AsyncExitStack() as stack:
            stack.enter_context(patch("socket.gethostname", lambda: "anvil"))
            house = House(server.url, **FLEET)
            await stack.enter_async_context(house)
            await Stage(house).set_up()
            taken = await take(house, FOLDER)
    finally:
        server.close()
    too_large = [path for path in taken if path.stat().st_size > MOST_BYTES]
    for path in taken:
        print(f"{path.relative_to(FOLDER.parent.parent)}  {path.stat().st_size // 1024} KB")
    return 1 if too_large else 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
