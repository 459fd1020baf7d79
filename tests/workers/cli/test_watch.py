"""Watching: a view over the whole screen, lines where something changes, or envelopes."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
import termios
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests import actors
from tests.conftest import MakeServer
from tests.processes import end as end_process
from tests.processes import environment
from tests.waiting import PATIENCE_S, eventually
from tests.workers.cli.conftest import Tidings
from tests.workers.cli.stage import bring, hold, park, retry
from tidings.bus import AgentProgress, Bus, Ending, LlmAttempt, LlmRecovered, Message, Reason, State, Trigger
from tidings.bus.messages import as_stored
from tidings.workers.cli import watch as module
from tidings.workers.cli.tasks import end
from tidings.workers.cli.watch import show

ASKED = LlmAttempt(model="openai/x", reason=Reason.RATE_LIMIT, attempt=2, max_attempts=6)


class Stdout(io.StringIO):
    """A stdout that a test reads while it is written."""

    @property
    def lines(self) -> list[str]:
        """What was printed so far."""
        return self.getvalue().splitlines()


def take_stdout(monkeypatch: pytest.MonkeyPatch) -> Stdout:
    """Put something in place of stdout; within the test, because pytest puts its own there before."""
    found = Stdout()
    monkeypatch.setattr(sys, "stdout", found)
    monkeypatch.setenv("COLUMNS", "140")
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
    """Each retry is one, each further attempt, and what the agent does; a heartbeat, a repeated state or a countdown is none."""
    stdout = take_stdout(monkeypatch)
    claim = await hold(bus, "demo")
    async with watching(bus, "status.*"):
        await eventually(lambda: len(stdout.lines) == 1)
        await retry(bus, claim, 1)
        await eventually(lambda: len(stdout.lines) == 2)
        await actors.renew(claim, (await bus.status("demo")).picture)
        await bus.publish("demo", ASKED, source="worker/w1")
        await retry(bus, claim, 2)
        await bus.publish("demo", LlmRecovered(attempt=3))
        for _ in range(2):
            await bus.publish("demo", AgentProgress(doing="compiling", done=3, total=8), source="worker/w1")
        await claim.release(Ending(Trigger.FINISH, read=0, why="done"))
        await eventually(lambda: "finished" in stdout.getvalue())
    told = [line.split("  ", 1)[1] for line in stdout.lines]
    assert told[0].startswith("demo  running")
    assert told[1].startswith("demo  rate limited  attempt 1 of 6 failed, the next at ")
    assert "rate limit · slow down  openai/x  on w1" in told[1]
    assert told[2].startswith("demo  running  attempt 2 of 6 under way  after rate limit · slow down")
    assert told[3].startswith("demo  rate limited  attempt 2 of 6 failed")
    assert told[4].startswith("demo  running")
    assert told[5].startswith("demo  running  compiling 3/8")
    assert told[6].startswith("demo  finished  done")
    assert len(told) == 7


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
    from tidings.bus import AgentMessage

    claim = await hold(bus, "demo")
    events = [Message.of(AgentMessage(text="hello"), session="demo")]
    (stored,) = await claim.append(*events, after=0)
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


_ON_ITS_TERMINAL = """
import fcntl, signal, sys, termios
signal.signal(signal.SIGHUP, signal.Handlers(int(sys.argv.pop(1))))
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from tidings.workers.cli import main
sys.exit(main())
"""
"""The command line, as the leader of a session that the terminal on its standard input belongs to.

What SIGHUP does at first is given: what it does to us depends on who started the tests.
"""


class Terminal:
    """A terminal of a test, with a process on it; what that draws is kept.

    Attributes:
        process: the process.
        before: how the terminal was set before it.
    """

    def __init__(self) -> None:
        self._person, self._program = os.openpty()
        self._drawn = b""
        self._there = True
        self.before = termios.tcgetattr(self._program)

    async def run(self, *arguments: str, hang_up: signal.Handlers = signal.SIG_DFL) -> None:
        """Start `tidings ARGUMENTS` on it; `hang_up` is what SIGHUP does to who does not say otherwise."""
        termios.tcsetwinsize(self._program, (24, 80))
        asyncio.get_running_loop().add_reader(self._person, self._read)
        command = (sys.executable, "-c", _ON_ITS_TERMINAL, str(int(hang_up)), *arguments)
        variables = environment({"TERM": "xterm-256color"})
        del variables["COLUMNS"]
        end = self._program
        self.process: Process = await asyncio.create_subprocess_exec(
            *command, env=variables, start_new_session=True, stdin=end, stdout=end, stderr=end
        )

    def _read(self) -> None:
        self._drawn += os.read(self._person, 65536)

    def shows(self, text: str) -> bool:
        """Return whether a text has been drawn."""
        return text in self._drawn.decode(errors="replace")

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._person, keys.encode())

    def settings(self) -> list[object]:
        """Return how the terminal is set now."""
        return list(termios.tcgetattr(self._program))

    def hang_up(self) -> None:
        """Take the terminal away, as somebody does who closes its window."""
        if self._there:
            self._there = False
            asyncio.get_running_loop().remove_reader(self._person)
            os.close(self._program)
            os.close(self._person)


@pytest.fixture
async def terminal(server_bus: Bus, request: pytest.FixtureRequest) -> AsyncIterator[Terminal]:
    """A terminal on which all sessions are watched; the parameter is what SIGHUP does at first."""
    await bring(server_bus, "demo", State.ERROR)
    found = Terminal()
    await found.run("watch", "--redis", server_bus.url, hang_up=getattr(request, "param", signal.SIG_DFL))
    yield found
    await end_process(found.process)
    found.hang_up()


@pytest.mark.process
async def test_a_terminal_gets_a_view_over_the_whole_screen(terminal: Terminal) -> None:
    """It draws the sessions, quits at a key, and leaves the terminal as it was."""
    await eventually(lambda: terminal.shows("needs you"))
    assert terminal.shows("\x1b[?1049h")
    terminal.press("q")
    assert await asyncio.wait_for(terminal.process.wait(), PATIENCE_S) == 0
    await eventually(lambda: terminal.shows("\x1b[?1049l"))
    assert terminal.settings() == terminal.before


@pytest.mark.process
@pytest.mark.parametrize(("number", "code"), [(None, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
async def test_a_view_that_is_interrupted_leaves_the_terminal_as_it_was(
    terminal: Terminal, number: signal.Signals | None, code: int
) -> None:
    """The exit code says by what."""
    await eventually(lambda: terminal.shows("needs you"))
    if number is None:
        terminal.press("\x03")
    else:
        terminal.process.send_signal(number)
    assert await asyncio.wait_for(terminal.process.wait(), PATIENCE_S) == code
    assert terminal.settings() == terminal.before


@pytest.mark.process
@pytest.mark.parametrize("terminal", [signal.SIG_DFL, signal.SIG_IGN], ids=["by-itself", "under-nohup"], indirect=True)
async def test_a_view_ends_with_its_terminal(terminal: Terminal) -> None:
    """A window that is closed leaves no process behind, also where SIGHUP was ignored by who opened it."""
    await eventually(lambda: terminal.shows("needs you"))
    terminal.hang_up()
    assert await asyncio.wait_for(terminal.process.wait(), PATIENCE_S) == -signal.SIGHUP
