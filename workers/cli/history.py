"""The history of a session: as the conversation that it was, or as its envelopes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

from pydantic import JsonValue
from pydantic_core import to_json
from rich.text import Text

from tidings.bus import (
    AgentError,
    AgentMessage,
    Bus,
    ChildResult,
    ChildStart,
    Event,
    Gap,
    HistoryCondensed,
    Message,
    ToolCall,
    ToolResult,
    UserMessage,
)
from tidings.bus.logs import PAGE
from tidings.bus.messages import check_session
from tidings.bus.redaction import one_line
from tidings.workers.cli.exits import Exit
from tidings.workers.cli.open_bus import on_bus
from tidings.workers.cli.output import block, print_json, screen
from tidings.workers.cli.view import wire_line
from tidings.workers.settings import Settings
from tidings.workers.view import clock

_INDENT = "    "


def show_history(settings: Settings, session: str, *, after: int, limit: int | None, follow: bool, as_json: bool) -> int:
    """Print the events of a session in order, each once; returns the exit code.

    Args:
        after: offset after which to begin; 0 is the beginning.
        limit: most events to print.
        follow: go on with what comes, until ``limit`` or until stopped.
    """
    check_session(session)

    async def act(bus: Bus) -> int:
        await bus.status(session)
        source = _followed(bus, session, after) if follow else _retained(bus, session, after)
        printed = 0
        async with aclosing(source):
            while limit is None or printed < limit:
                item = await anext(source, None)
                if item is None:
                    break
                print_item(item, as_json=as_json)
                printed += 1
        return Exit.DONE

    return on_bus(settings, act)


async def _retained(bus: Bus, session: str, after: int) -> AsyncGenerator[Message[Event] | Gap, None]:
    """Yield what is there now. Offsets have no gaps: a page covers as many of them as it may hold events."""
    end = (await bus.status(session)).events
    while after < end:
        for event in await bus.history(session, after, PAGE):
            yield event
        after += PAGE


async def _followed(bus: Bus, session: str, after: int) -> AsyncGenerator[Message[Event] | Gap, None]:
    async with bus.follow(session, Event, after) as events:
        async for item in events:
            yield item
            if isinstance(item, Gap) and item.why == "deleted":
                return


def print_item(item: Message[Any] | Gap, *, as_json: bool) -> None:
    """Print a message of any plane, or a gap: as the line on the wire, or for a person."""
    if as_json:
        print_json(wire_line(item))
        return
    out = screen()
    for line in told(item):
        out.print(line)


def told(item: Message[Any] | Gap) -> Iterator[Text]:
    """Yield the lines in which a person reads a message, or a gap."""
    if isinstance(item, Gap):
        yield Text(_gap(item), "yellow")
        return
    what, body, colour = _event(item)
    yield Text.assemble((f"#{item.offset}  {clock(item.time)}  ", "dim"), (one_line(what, 1000), f"bold {colour}"))
    for line in block(body) if body else ():
        yield Text(_INDENT + line)


def _gap(gap: Gap) -> str:
    if gap.why == "reset":
        return f"-- {gap.channel} begins anew: what came before is gone"
    return f"-- {gap.first} to {gap.last} of {gap.channel} are no longer there"


def _event(message: Message[Any]) -> tuple[str, str, str]:
    """Return the heading, the text below it and the colour of a message."""
    if isinstance(message.data, UserMessage):
        by = f" ({message.data.by})" if message.data.by else ""
        return f"user{by}", message.data.text, "cyan"
    if isinstance(message.data, AgentMessage):
        model = f" ({message.data.model})" if message.data.model else ""
        cut = f", cut off: {message.data.cut}" if message.data.cut else ""
        return f"agent{model}{cut}", message.data.text, "green"
    if isinstance(message.data, ToolCall):
        return f"tool call: {message.data.name}", _compact(message.data.arguments), "magenta"
    if isinstance(message.data, ToolResult):
        data = message.data
        how = " interrupted" if data.interrupted else " failed" if data.is_error else ""
        return f"tool result: {data.name}{how}", data.content, "magenta"
    if isinstance(message.data, ChildStart):
        return f"to child {message.data.name}", message.data.text, "magenta"
    if isinstance(message.data, ChildResult):
        told = message.data
        return f"child {told.name}: {told.state.replace('_', ' ')}", told.text or told.why, "magenta"
    if isinstance(message.data, HistoryCondensed):
        return f"condensed for the prompt, up to #{message.data.through}", message.data.text, "blue"
    if isinstance(message.data, AgentError):
        return f"agent error: {message.data.kind}", message.data.message, "red"
    return message.type, _compact(message.model_dump(mode="json", by_alias=True).get("data")), "blue"


def _compact(value: JsonValue) -> str:
    return to_json(value).decode()
