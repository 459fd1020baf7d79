"""The demo as a whole: it is true, it says so, and it leaves nothing behind however it ends."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from bus import Bus, CommandData, SessionResume
from tests.processes import end, run_tidings, start_tidings
from tests.waiting import eventually
from tests.workers.demo.evidence_of import evidence
from workers.cli import main
from workers.demo import performance as module
from workers.demo.cast import PARKED, fleet_environment
from workers.demo.display import Display, Lines, Table
from workers.demo.evidence import Evidence
from workers.demo.performance import Performance, display_maker
from workers.demo.story import Pace
from workers.demo.summary import Summary
from workers.demo.witness import NotInTime, Witness
from workers.settings import Settings

FULL_S = 110.0
"""A guard against hanging; the demo takes about 20 s."""
START_S = 20.0
END_S = 20.0


class Person(Display):
    """Somebody at the terminal: looks at the page, resumes the parked session as `tidings resume` does, ends it with Ctrl-C."""

    def __init__(self, bus: Bus) -> None:
        self.steps: list[str] = []
        self.page: asyncio.Task[httpx.Response] | None = None
        self._bus = bus
        self._resume: asyncio.Task[object] | None = None
        super().__init__(bus, self.steps.append)

    def step(self, text: str) -> None:
        super().step(text)
        if "/?token=" in text:
            self.page = asyncio.create_task(get(text.strip()))
        if text.startswith("that was the story"):
            os.kill(os.getpid(), signal.SIGINT)

    def ask(self, text: str) -> None:
        if f"resume {PARKED}" in text and self._resume is None:
            command = SessionResume(subject=PARKED, data=CommandData(by="alice"))
            self._resume = asyncio.create_task(self._bus.send(command))


async def get(address: str) -> httpx.Response:
    """Open an address as a browser does, up to where it is sent on to."""
    async with httpx.AsyncClient() as browser:
        return await browser.get(address)


@pytest.mark.process
@pytest.mark.timeout(FULL_S + 10)
async def test_with_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is true, the resuming was the person's, and it goes on until they end it."""
    people: list[Person] = []

    def make(bus: Bus, witness: Witness) -> Display:
        people.append(Person(bus))
        return people[0]

    performance = Performance(Settings(), make, interactive=True, pace=Pace(rest_s=0.01, offer_s=60.0))
    async with asyncio.timeout(FULL_S):
        summary = await performance.run()
    assert summary is not None
    assert summary.problems == ()
    assert summary.sessions == 8
    assert summary.answers == 16
    assert any(f"{PARKED} is resumed by alice" in step for step in people[0].steps)
    assert people[0].page is not None
    assert (await people[0].page).status_code == 303


@pytest.mark.process
@pytest.mark.timeout(FULL_S + 10)
async def test_alone_it_does_everything_and_prints_one_object() -> None:
    """`tidings demo --once --json` ends by itself with 0, and stdout is the summary alone."""
    finished = await run_tidings("demo", "--once", "--json", timeout_s=FULL_S)
    assert finished.code == 0, finished.stdout + finished.stderr
    summary = json.loads(finished.stdout)
    assert summary["ok"]
    assert summary["problems"] == []
    assert summary["history_complete"]
    assert summary["notices_in_prompts"] == 0
    assert min(summary[name] for name in ("refused", "retries_told", "parked", "resumed", "taken_over")) >= 1
    assert summary["calls"] > summary["answers"] == 16
    assert "is killed (SIGKILL)" in finished.stderr
    assert "token=" not in finished.stderr


@pytest.fixture
async def running() -> AsyncIterator[tuple[Process, list[int], Path]]:
    """A demo that has just started its processes, their ids, and the folder of its Redis."""
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        process = await start_tidings("demo", "--once", env={"TMPDIR": folder})
        try:
            async with asyncio.timeout(START_S):
                pids = await _started(process)
            yield process, pids, Path(folder)
        finally:
            await end(process)


async def _started(process: Process) -> list[int]:
    """Read what it prints until it has named its processes."""
    assert process.stdout is not None
    async for line in process.stdout:
        if pids := re.findall(rb"\(process (\d+)\)", line):
            return [int(pid) for pid in pids]
    raise AssertionError("the demo ended before it had started anything")


def is_there(pid: int) -> bool:
    """Return whether a process runs; one that has ended and waits for its parent does not."""
    try:
        os.kill(pid, 0)
        # Where there is no /proc, a zombie is not told from a process: the test then waits for init.
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    except ProcessLookupError:
        return False


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_cleanly(running: tuple[Process, list[int], Path], number: signal.Signals) -> None:
    """The exit code is that of the signal, one line says so, and nothing is left."""
    process, pids, folder = running
    assert len(pids) == 5
    process.send_signal(number)
    async with asyncio.timeout(END_S):
        _, errors = await process.communicate()
    assert process.returncode == 128 + number
    assert errors.decode().splitlines() == ["tidings: the demo was ended before its end; nothing is left running"]
    assert not any(map(is_there, pids))
    assert list(folder.iterdir()) == []


@pytest.mark.process
async def test_a_killed_demo_leaves_nothing(running: tuple[Process, list[int], Path]) -> None:
    """SIGKILL gives it no time to clear up: its processes and its Redis end all the same, also while they load."""
    process, pids, folder = running
    assert list(folder.iterdir())
    process.kill()
    await process.wait()
    await eventually(lambda: not any(map(is_there, pids)), END_S)
    await eventually(lambda: not list(folder.iterdir()), END_S)


class Hasty(Display):
    """Somebody who presses Ctrl-C at once."""

    def step(self, text: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.process
async def test_who_is_hasty_gets_no_summary() -> None:
    """It ends in the middle of whatever it is doing, and says by what."""
    performance = Performance(Settings(), lambda bus, _: Hasty(bus, print), interactive=False)
    assert await performance.run() is None
    assert performance.code == 130


def misconfigure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every process of the fleet end with a usage error."""

    def broken(*args: str) -> dict[str, str]:
        return fleet_environment(*args) | {"TIDINGS_LEASE_S": "never"}

    monkeypatch.setattr(module, "fleet_environment", broken)


@pytest.mark.process
async def test_a_process_that_is_lost_ends_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The summary is not true, and says who was lost."""
    misconfigure(monkeypatch)
    performance = Performance(Settings(), display_maker(Settings(), Console(), live=False, as_json=True), interactive=False)
    summary = await performance.run()
    assert summary is not None
    assert not summary.ok
    assert re.match(r"(controller|worker)-\d ended with code 2", summary.problems[0])
    told = capsys.readouterr()
    assert told.out == ""
    assert "join in from another terminal" in told.err


@pytest.mark.process
async def test_evidence_that_cannot_be_collected_is_not_true(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both what ended the story and what kept the evidence away are told."""

    async def fail(*_: object) -> Evidence:
        raise NotInTime("not within 10 s: all that was told is heard")

    misconfigure(monkeypatch)
    monkeypatch.setattr(module, "collect", fail)
    unread: list[str] = []
    summary = await Performance(Settings(), lambda bus, _: Display(bus, unread.append), interactive=False).run()
    assert summary is not None
    assert "not within 10 s: all that was told is heard" in summary.problems


def played(monkeypatch: pytest.MonkeyPatch, summary: Summary | None) -> None:
    """Have the demo end with a summary without being played."""

    async def run(performance: Performance) -> Summary | None:
        return summary

    monkeypatch.setattr(Performance, "run", run)


@pytest.mark.parametrize(
    ("failures", "code"),
    [((), 0), (("the prompt of request 3 holds 'llm.retry', which is of a notice",), 1)],
    ids=["true", "not true"],
)
@pytest.mark.parametrize("as_json", [False, True], ids=["lines", "json"])
def test_it_ends_with_0_only_if_all_of_it_is_true(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failures: tuple[str, ...], code: int, as_json: bool
) -> None:
    """The exit code and the summary say the same, for people and for scripts."""
    played(monkeypatch, Summary.of(evidence(), 20.0, failures))
    assert main(["demo", "--once", *(["--json"] if as_json else [])]) == code
    out = capsys.readouterr().out
    if as_json:
        assert json.loads(out)["ok"] is (code == 0)
    else:
        assert "notices found in prompts" in out
        assert ("not true: the prompt of request 3" in out) is (code == 1)


def test_an_interrupted_demo_prints_no_summary(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Half a demo proves nothing."""
    played(monkeypatch, None)
    assert main(["demo", "--once"]) == 130
    told = capsys.readouterr()
    assert told.out == ""
    assert "before its end" in told.err


async def test_what_is_shown_fits_who_reads_it() -> None:
    """A table on a terminal, lines in a pipe, the steps alone beside JSON; a prefix is part of the commands."""
    out = Console(file=io.StringIO())
    async with Bus.connect("memory://shown") as bus:
        witness = Witness(bus)
        settings = Settings(prefix="demo:")
        assert isinstance(display_maker(settings, out, live=True, as_json=False)(bus, witness), Table)
        lines = display_maker(settings, out, live=False, as_json=False)(bus, witness)
        assert isinstance(lines, Lines)
        lines.step(lines.command("watch"))
        assert "--prefix demo:" in out.file.getvalue()  # type: ignore[attr-defined]
        assert type(display_maker(settings, out, live=False, as_json=True)(bus, witness)) is Display
