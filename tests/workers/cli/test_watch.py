"""Watching: a table that updates, lines where something changes, or envelopes."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr
from rich.console import Console

from bus import Bus, LlmRecovered, LlmRecoveredData, LlmRetry, LlmRetryData, Release, Seat, State, Trigger
from bus.messages import Picture, as_stored
from tests.conftest import MakeServer
from tests.waiting import eventually
from tests.workers.cli.conftest import Tidings
from tests.workers.cli.stage import bring, hold, park, waiting
from workers.cli import watch as module
from workers.cli.tasks import end
from workers.cli.watch import LiveTable, show


class Stdout(io.StringIO):
    """A stdout that a test reads while it is written."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        """Whether it passes for a terminal."""
        return self._terminal

    @property
    def lines(self) -> list[str]:
        """What was printed so far."""
        return self.getvalue().splitlines()


def take_stdout(monkeypatch: pytest.MonkeyPatch, *, terminal: bool = False) -> Stdout:
    """Put something in place of stdout; within the test, because pytest puts its own there before."""
    found = Stdout(terminal=terminal)
    monkeypatch.setattr(sys, "stdout", found)
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("LINES", "20")
    monkeypatch.setenv("TERM", "xterm")
    return found


@asynccontextmanager
async def watching(bus: Bus, channel: str, *, as_json: bool = False) -> AsyncIterator[None]:
    """Watch a channel within this block; what goes wrong there comes out here."""
    task = asyncio.create_task(show(bus, channel, as_json=as_json))
    try:
        yield
        assert not task.done() or task.result()
    finally:
        await end(task)


async def retry(bus: Bus, claim: Any, attempt: int) -> None:
    """Tell a retry as a worker does."""
    wait = waiting(bus.now(), attempt=attempt)
    outbox = bus.outbox()
    notice = LlmRetry(subject=claim.session, data=LlmRetryData(**wait.model_dump()))
    outbox.put(notice, Seat(claim.token, 0, Picture(model="openai/x", waits={"agent": wait})))
    assert await outbox.drain(5)


async def test_json_begins_with_the_picture_and_goes_on_with_the_wire(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A late watcher sees the present state of each session first, then every notice as it was published."""
    stdout = take_stdout(monkeypatch)
    await bring(bus, "a", State.AWAITING_INPUT)
    claim = await hold(bus, "b")
    async with watching(bus, "status.*", as_json=True):
        await eventually(lambda: len(stdout.lines) == 2)
        pictures = {line["subject"]: line["data"]["to"] for line in map(json.loads, stdout.lines)}
        assert pictures == {"a": "awaiting_input", "b": "running"}
        await retry(bus, claim, 1)
        await eventually(lambda: len(stdout.lines) == 3)
    told = json.loads(stdout.lines[2])
    last = (await bus.status("b")).last
    assert last is not None
    assert stdout.lines[2] == as_stored(last)
    assert (told["type"], told["offset"], bool(told["epoch"])) == ("llm.retry", last.offset, True)


async def test_a_pipe_gets_a_line_where_something_changes(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each retry is one; a heartbeat, a repeated state or a countdown is none."""
    stdout = take_stdout(monkeypatch)
    claim = await hold(bus, "demo")
    async with watching(bus, "status.*"):
        await eventually(lambda: len(stdout.lines) == 1)
        await retry(bus, claim, 1)
        await eventually(lambda: len(stdout.lines) == 2)
        await bus.renew(claim, (await bus.status("demo")).picture)
        await retry(bus, claim, 2)
        await bus.publish(LlmRecovered(subject="demo", data=LlmRecoveredData(attempt=3)))
        await bus.release(claim, Release(Trigger.FINISH, read=0, why="done"))
        await eventually(lambda: "finished" in stdout.getvalue())
    told = [line.split("  ", 1)[1] for line in stdout.lines]
    assert told[0].startswith("demo  running")
    assert told[1].startswith("demo  rate limited  attempt 1 of 6 failed, the next at ")
    assert "rate limit · slow down  openai/x  on w1" in told[1]
    assert told[2].startswith("demo  rate limited  attempt 2 of 6 failed")
    assert told[3].startswith("demo  running")
    assert told[4].startswith("demo  finished  done")
    assert len(told) == 5


async def test_one_session_can_be_watched(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """On its exact channel."""
    stdout = take_stdout(monkeypatch)
    await bring(bus, "a", State.ERROR)
    await park(bus, "b", resume_in_s=None, action="Pay the bill.")
    async with watching(bus, "status.b"):
        await eventually(lambda: len(stdout.lines) == 1)
    assert "needs you: Pay the bill." in stdout.getvalue()
    assert "a  error" not in stdout.getvalue()


async def test_the_history_can_be_watched(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a conversation, or as envelopes."""
    stdout = take_stdout(monkeypatch)
    from bus import AgentMessage, AgentMessageData

    claim = await hold(bus, "demo")
    events = [AgentMessage(subject="demo", data=AgentMessageData(text="hello"))]
    (stored,) = await bus.append(claim, events, 0)
    async with watching(bus, "events.demo"):
        await eventually(lambda: len(stdout.lines) == 2)
    assert stdout.lines[1] == "    hello"
    async with watching(bus, "events.demo", as_json=True):
        await eventually(lambda: len(stdout.lines) == 3)
    assert stdout.lines[2] == as_stored(stored)


@pytest.mark.parametrize("channel", ["nonsense", "status.a b", "events.*", "commands.*", "demo"])
async def test_a_channel_that_is_none_is_2(server_bus: Bus, tidings: Tidings, channel: str) -> None:
    """The text says what a channel looks like."""
    done = await tidings("watch", channel)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr


@pytest.fixture
def live(bus: Bus) -> LiveTable:
    """A table on a terminal of a test."""
    out = Console(file=io.StringIO(), width=140, height=12, force_terminal=True, color_system=None)
    return LiveTable(bus, "*", out)


def drawn(table: LiveTable) -> list[str]:
    """Return the lines of the picture of this moment."""
    out = Console(file=io.StringIO(), width=140, height=12, force_terminal=True, color_system=None)
    out.print(table.draw())
    assert isinstance(out.file, io.StringIO)
    return [line.rstrip() for line in out.file.getvalue().splitlines() if line.strip()]


@asynccontextmanager
async def running(table: LiveTable) -> AsyncIterator[Callable[[], list[str]]]:
    """Run the table within this block."""
    task = asyncio.create_task(table.run())
    try:
        yield lambda: drawn(table)
    finally:
        await end(task)


async def test_the_table_updates_its_line(bus: Bus, live: LiveTable) -> None:
    """One line a session, from running to waiting to running, with its attempt and the time left."""
    claim = await hold(bus, "demo")
    async with running(live) as lines:
        await eventually(lambda: "running" in lines()[-1])
        assert len(lines()) == 4
        await retry(bus, claim, 2)
        await eventually(lambda: "rate limited" in lines()[-1])
        for text in ("2 of 6", "slow down", "openai/x", "w1"):
            assert text in lines()[-1]
        assert len(lines()) == 4
        await bus.publish(LlmRecovered(subject="demo", data=LlmRecoveredData(attempt=3)))
        await eventually(lambda: "running" in lines()[-1])
        assert len(lines()) == 4


async def test_the_heading_tells_of_the_connection(make_server: MakeServer) -> None:
    """Connecting, connected, lost and connected again."""
    server = make_server()
    out = Console(file=io.StringIO(), width=140, height=12, force_terminal=True, color_system=None)
    async with Bus.connect(server.url) as bus:
        table = LiveTable(bus, "*", out)
        assert "connecting" in drawn(table)[0]
        async with running(table) as lines:
            await eventually(lambda: "  connected  " in lines()[0])
            assert lines()[0].startswith("status.*  unix://")
            server.kill()
            await eventually(lambda: "connection lost" in lines()[0])
            server.start()
            await eventually(lambda: "  connected  lost 1" in lines()[0] or "  connected  lost" in lines()[0])


async def test_more_sessions_than_lines_fit(bus: Bus, live: LiveTable) -> None:
    """The rest is counted below the table, which stays within the terminal."""
    for number in range(10):
        await bring(bus, f"s{number}", State.FINISHED)
    async with running(live) as lines:
        await eventually(lambda: "10 sessions" in lines()[0])
        await eventually(lambda: "and 4 more" in lines()[-1])
        assert len(lines()) <= 12


async def test_a_log_does_not_push_the_table_down(bus: Bus, live: LiveTable) -> None:
    """While it is drawn only errors are logged; afterwards as before."""
    logger = logging.getLogger("tidings")
    logger.setLevel(logging.INFO)
    async with running(live) as lines:
        await eventually(lambda: "connected" in lines()[0])
        await eventually(lambda: logger.level == logging.ERROR)
    assert logger.level == logging.INFO


async def test_a_terminal_gets_the_table(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn anew in its place: the cursor moves up instead of the screen."""
    stdout = take_stdout(monkeypatch, terminal=True)
    await bring(bus, "demo", State.AWAITING_INPUT)
    async with watching(bus, "status.*"):
        await eventually(lambda: "awaiting input" in stdout.getvalue())
        await eventually(lambda: "\x1b[1A" in stdout.getvalue())


async def test_a_pipe_is_told_when_the_connection_is_lost(
    make_server: MakeServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On stderr, once, and once when it is back."""
    stdout = take_stdout(monkeypatch)
    monkeypatch.setattr(module, "_TICK_S", 0.01)
    complaints: list[str] = []
    monkeypatch.setattr(module, "complain", complaints.append)
    server = make_server()
    async with Bus.connect(server.url) as bus:
        await hold(bus, "demo")
        async with watching(bus, "status.*"):
            await eventually(lambda: len(stdout.lines) == 1)
            server.kill()
            await eventually(lambda: len(complaints) == 1)
            server.start()
            await eventually(lambda: len(complaints) == 2)
    assert "lost" in complaints[0]
    assert "back" in complaints[1]


def test_watching_ends_with_an_error_when_reading_fails(real_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect is not hidden behind a table that stands still."""
    from workers.settings import Settings

    async def broken(self: LiveTable) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(LiveTable, "_read", broken)
    take_stdout(monkeypatch, terminal=True)
    with pytest.raises(ZeroDivisionError):
        module.watch(Settings(redis_url=SecretStr(real_url)), "status.*", as_json=False)
