"""Watching: a live view over the whole screen, lines where something changes, or the envelopes themselves."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from rich.text import Text

from tidings.bus import (
    AgentProgress,
    Bus,
    Channel,
    ChildState,
    Gap,
    LlmAttempt,
    LlmRecovered,
    LlmRetry,
    SessionState,
    Subscription,
)
from tidings.bus.messages import PLANES
from tidings.workers.cli.exits import Exit
from tidings.workers.cli.history import print_item, told
from tidings.workers.cli.open_bus import on_bus
from tidings.workers.cli.output import complain, print_json, screen
from tidings.workers.cli.steer import this_user
from tidings.workers.cli.tasks import end
from tidings.workers.cli.view import wire_line
from tidings.workers.settings import Settings
from tidings.workers.view import Roster, clock

if TYPE_CHECKING:
    from rich.console import Console

_TICK_S = 0.5
"""How often it is looked whether the connection stands."""


def watch(settings: Settings, channel: str, *, as_json: bool) -> int:
    """Show what happens on a channel until stopped; returns the exit code.

    The status plane begins with the current picture, the other planes with the oldest message retained.

    Raises:
        InvalidName: there is no such channel.
    """
    Channel.parse(channel)
    return on_bus(settings, lambda bus: show(bus, channel, as_json=as_json, timeout_s=settings.command_timeout_s))


async def show(bus: Bus, channel: str, *, as_json: bool, timeout_s: float = 10.0) -> int:
    """Show what happens on a channel of a bus that is open already; see ``watch``.

    Args:
        timeout_s: how long a command that is given in the live view waits for its outcome.
    """
    parsed, out = Channel.parse(channel), screen()
    if as_json or parsed.plane != "status":
        await _print_messages(bus, parsed, as_json=as_json)
    elif is_whole(out):
        # Imported here: output as lines does not need textual.
        from tidings.workers.terminal import watch_live

        ascii_only = out.options.ascii_only
        return await watch_live(
            bus, parsed.session, by=this_user(), timeout_s=timeout_s, tell=lambda item: list(told(item)), ascii_only=ascii_only
        )
    else:
        await print_changes(bus, parsed.session, out)
    return Exit.DONE


def is_whole(out: Console) -> bool:
    """Return whether there is a terminal to read keys from and to draw on; textual draws on stderr."""
    return out.is_terminal and not out.is_dumb_terminal and sys.stdin.isatty() and sys.stderr.isatty()


async def _print_messages(bus: Bus, channel: Channel, *, as_json: bool) -> None:
    messages: Subscription[Any] = bus.follow(channel.session, PLANES[channel.plane])
    async with messages:
        async for item in messages:
            if as_json:
                print_json(wire_line(item))
            else:
                print_item(item, as_json=False)


async def print_changes(bus: Bus, session: str, out: Console) -> None:
    """Print one line whenever something changes for a session, or any where it is ``*``; what only counts down does not."""
    shown: dict[str, str] = {}
    roster = Roster()
    async with bus.follow(session) as notices, _told_when_lost(bus):
        async for item in notices:
            if isinstance(item, Gap):
                continue
            row = roster.apply(item)
            line = row.line()
            # The other notices lead up to a change of state that follows at once.
            news = isinstance(item.data, SessionState | ChildState | LlmRetry | LlmAttempt | LlmRecovered | AgentProgress)
            if news and shown.get(row.session) != line:
                shown[row.session] = line
                out.print(Text(f"{clock(item.time)}  {line}"))


@asynccontextmanager
async def _told_when_lost(bus: Bus) -> AsyncIterator[None]:
    """Say on stderr when the connection is lost and when it is back."""

    async def look() -> None:
        connected = bus.connected
        while True:
            await asyncio.sleep(_TICK_S)
            if bus.connected != connected:
                connected = bus.connected
                complain("the connection is back" if connected else "the connection is lost, trying again")

    task = asyncio.create_task(look(), name="tidings-watch-connection")
    try:
        yield
    finally:
        await end(task)
