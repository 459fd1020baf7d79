"""A whole system with a gateway in front of it, as a browser meets it; and how its pages are read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Protocol, Self

from playwright.async_api import Locator, Page

from tests.fleet import Fleet
from tidings.bus import Bus
from tidings.workers.gateway import GatewayOptions, ServedGateway, serve

OPERATOR = "operator-token-of-the-tests"
VIEWER = "viewer-token-of-the-tests"


class OpenHouse(Protocol):
    """Make a system of one's own; see `House` for the arguments."""

    async def __call__(self, url: str = ..., **fleet: Any) -> House: ...


class House:
    """A fleet and a gateway; an async context manager.

    Args:
        url: of the Redis that all share.
        fleet: what the fleet is made of, as `Fleet` takes it.
    """

    def __init__(self, url: str, **fleet: Any) -> None:
        self.fleet = Fleet(url, **fleet)
        self._stack = AsyncExitStack()
        self._serving = AsyncExitStack()
        self._port = 0
        self.gateway: ServedGateway

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.fleet)
            stack.push_async_callback(self.close_gateway)
            await self.open_gateway()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._stack.aclose()

    async def open_gateway(self) -> None:
        """Start a gateway, on the port where the last one was."""
        async with AsyncExitStack() as stack:
            bus = await stack.enter_async_context(Bus.connect(self.fleet.url, heartbeat_s=0.5))
            options = GatewayOptions(OPERATOR, VIEWER, heartbeat_s=0.5)
            self.gateway = await stack.enter_async_context(serve(bus, port=self._port, options=options))
            self._serving = stack.pop_all()
        self._port = int(self.gateway.url.rpartition(":")[2])

    async def close_gateway(self) -> None:
        """End the gateway, as a restart does; idempotent."""
        serving, self._serving = self._serving, AsyncExitStack()
        await serving.aclose()

    def at(self, path: str = "/", token: str = OPERATOR) -> str:
        """Return the link that opens a place of the page for who has the token."""
        return f"{self.gateway.url}{path}{'&' if '?' in path else '?'}token={token}"

    def session(self, session: str, token: str = OPERATOR) -> str:
        """Return the link to a session."""
        return self.at(f"/sessions/{session}", token)


RECORDER = """
([selector, name]) => {
  const seen = (window[name] = []);
  const note = () => {
    const text = document.querySelector(selector)?.innerText.replace(/\\s+/g, " ").trim() ?? "";
    if (seen.at(-1) !== text) seen.push(text);
  };
  new MutationObserver(note).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
  note();
}
"""


async def record(page: Page, selector: str) -> Callable[[], Any]:
    """Keep every text that an element shows from now on; returns what reads them, in order."""
    name = f"seen{abs(hash(selector))}"
    await page.evaluate(RECORDER, [selector, name])
    return lambda: page.evaluate(f"window.{name}")


def row_of(page: Page, session: str) -> Locator:
    """Return the row of a session in the fleet."""
    return page.locator(f"#row-{session}")


def status_of(page: Page) -> Locator:
    """Return the lines that say what the system is doing with the session."""
    return page.locator(".deck .lines")


def button(page: Page, name: str) -> Locator:
    """Return a button beside the status."""
    return page.locator(".controls").get_by_role("button", name=name)


async def offsets(page: Page) -> list[int]:
    """Return the places in the history that the conversation shows, from top to bottom."""
    read = "nodes => nodes.map(node => Number(node.dataset.offset)).sort((one, other) => one - other)"
    return list(await page.locator(".talk [data-offset]").evaluate_all(read))


def in_sequence(texts: list[str], *wanted: str) -> bool:
    """Return whether the texts contain these, one after the other."""
    rest = iter(texts)
    return all(any(part in text for text in rest) for part in wanted)
