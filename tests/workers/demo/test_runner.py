"""The demo as a whole: it is true, it sees what is not, and it leaves nothing behind however it ends."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from textual.pilot import Pilot

from tests.processes import end, run_tidings, start_tidings
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import AgentMessage, Event, LlmRateLimited, LlmRetry, Message, Notice
from tidings.workers.cli import main
from tidings.workers.demo.runner import Demo
from tidings.workers.demo.scenario import PARKED
from tidings.workers.demo.script import Pace
from tidings.workers.demo.summary import Recording, Summary
from tidings.workers.terminal import WatchApp
from tidings.workers.testing import Processes, ProcessLost

FULL_S = 5 * PATIENCE_S
"""A guard against hanging; it takes about 15 s."""
LONGEST_S = 170


class Person:
    """A person at the terminal: resumes the parked session, opens the page, and ends it."""

    def __init__(self) -> None:
        self.page = 0

    async def __call__(self, pilot: Pilot[Any]) -> None:
        """Do all that."""
        await self._sees(pilot, "resume it: press r")
        await self._sees(pilot, f"› {PARKED}")
        await pilot.press("r")
        await self._sees(pilot, f"{PARKED} is resumed by")
        shown = await self._sees(pilot, "that was the story")
        link = re.search(r"http://\S+/\?token=\S+", shown)
        assert link is not None
        async with httpx.AsyncClient() as browser:
            self.page = (await browser.get(link[0])).status_code
        await pilot.press("q")

    async def _sees(self, pilot: Pilot[Any], text: str) -> str:
        def screen() -> str:
            found = "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())
            return found if text in found else ""

        return await eventually(screen, 2 * PATIENCE_S, text)


@pytest.mark.full
@pytest.mark.process
@pytest.mark.timeout(LONGEST_S)
async def test_with_a_person(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All of it is true, the resuming was the person's, it goes on until they end it; a lie in the recording would be seen."""
    person, run = Person(), WatchApp.run_async

    async def run_headless(app: WatchApp, **_: object) -> Any:
        return await run(app, headless=True, size=(200, 60), auto_pilot=person)

    monkeypatch.setattr(WatchApp, "run_async", run_headless)
    demo = Demo("", Console(), live=True, alone=False, pace=Pace(rest_s=0.01, offer_s=60.0))
    async with asyncio.timeout(FULL_S):
        summary = await demo.run()
    assert summary is not None
    assert summary.problems == ()
    assert (summary.sessions, summary.answers, summary.resumed) == (8, 16, 1)
    assert person.page == 303
    told = capsys.readouterr().out
    assert "is killed (SIGKILL)" in told
    assert f"{PARKED} is resumed by demo" not in told
    for lie, (tell, text) in LIES.items():
        found = Summary.of(tell(demo.recording), 1.0).problems
        assert any(re.search(text, problem) for problem in found), f"{lie}: {found}"


def _history(change: Callable[[list[Message[Event]]], list[Message[Event]]]) -> Callable[[Recording], Recording]:
    """Make a lie about the history of one session."""
    return lambda true: replace(true, histories={**true.histories, PARKED: change(list(true.histories[PARKED]))})


def _placed(events: list[Message[Event]]) -> list[Message[Event]]:
    return [event.model_copy(update={"offset": at}) for at, event in enumerate(events, 1)]


def _without(kind: type[Notice]) -> Callable[[Recording], Recording]:
    """Make recording in which notices of a kind were not told."""

    def tell(true: Recording) -> Recording:
        notices = {name: [one for one in told if not isinstance(one.data, kind)] for name, told in true.notices.items()}
        return replace(true, notices=notices)

    return tell


def _prompt(text: Callable[[Recording], str]) -> Callable[[Recording], Recording]:
    """Make recording in which a text stands in a prompt."""

    def tell(true: Recording) -> Recording:
        first, *others = true.requests
        return replace(
            true, requests=[replace(first, messages=[*first.messages, {"role": "user", "content": text(true)}]), *others]
        )

    return tell


def _id_of_a_notice(true: Recording) -> str:
    return f"(see {true.notices[PARKED][2].id})"


def _answer_twice(events: list[Message[Event]]) -> list[Message[Event]]:
    return _placed([*events, events[-1].model_copy(update={"id": "another"})])


def _other_answer(events: list[Message[Event]]) -> list[Message[Event]]:
    [*before, last] = events
    assert isinstance(last.data, AgentMessage)
    return [*before, last.model_copy(update={"data": last.data.model_copy(update={"text": "It rains."})})]


LIES: dict[str, tuple[Callable[[Recording], Recording], str]] = {
    "a hole": (_history(lambda events: [events[0], *events[2:]]), f"{PARKED}: the offsets"),
    "an event twice": (_history(lambda events: _placed([*events, events[-1]])), f"{PARKED}: an event is in its history twice"),
    "an answer twice": (_history(_answer_twice), "is not the answer to what was said before"),
    "another answer": (_history(_other_answer), "'It rains.' is not the answer"),
    "no answer at the end": (_history(lambda events: events[:-1]), "has no answer"),
    "no answer in between": (_history(lambda events: _placed([events[0], *events[2:]])), "2 questions have 1 answers"),
    "a line lost": (_history(lambda events: _placed(events[:2])), "is in its history 0 times"),
    "a retry not told": (_without(LlmRetry), r"recorded \d+ failures, \d+ were told"),
    "a parking not told": (_without(LlmRateLimited), "parked: it never happened"),
    "a failure told that was none": (lambda true: replace(true, requests=[]), "refused: it never happened"),
    "another worker was killed": (lambda true: replace(true, killed="worker-9"), "no session of a killed worker went on"),
    "the id of a notice in a prompt": (_prompt(_id_of_a_notice), "which is of a notice"),
    "the type of a notice in a prompt": (_prompt(lambda _: "llm.retry"), "'llm.retry', which is of a notice"),
    "what was not said in a prompt": (_prompt(lambda _: "Be quick."), "'Be quick.', which is in no history"),
}
"""What could be wrong, and what the summary says of it."""


@pytest.mark.full
@pytest.mark.process
@pytest.mark.timeout(LONGEST_S)
async def test_alone_it_does_everything_and_prints_one_object() -> None:
    """`tidings demo --once --json` ends by itself with 0, and stdout is the summary alone."""
    finished = await run_tidings("demo", "--once", "--json", timeout_s=FULL_S)
    assert finished.code == 0, finished.stdout + finished.stderr
    summary = json.loads(finished.stdout)
    assert (summary["ok"], summary["history_complete"], summary["notices_in_prompts"]) == (True, True, 0)
    assert summary["calls"] > summary["answers"] == 16
    assert "is killed (SIGKILL)" in finished.stderr
    assert "token=" not in finished.stderr


@pytest.fixture
async def running() -> AsyncIterator[tuple[Process, list[int], Path]]:
    """A demo that is starting its processes, their ids, and the folder of its Redis."""
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        process = await start_tidings("demo", "--once", "--json", env={"TMPDIR": folder})
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if not children.parent.exists():
            pytest.skip("the children of a process are read through /proc")
        try:
            # Its Redis, two controllers, three workers.
            pids = await eventually(lambda: found if len(found := children.read_text().split()) == 6 else [])
            yield process, [int(pid) for pid in pids], Path(folder)
        finally:
            await end(process)


def is_there(pid: int) -> bool:
    """Return whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.full)])
async def test_a_signal_ends_it_cleanly(running: tuple[Process, list[int], Path], number: signal.Signals) -> None:
    """The exit code is that of the signal, one line says so, and nothing is left."""
    process, pids, folder = running
    process.send_signal(number)
    async with asyncio.timeout(PATIENCE_S):
        out, errors = await process.communicate()
    assert process.returncode == 128 + number
    assert errors.decode().splitlines()[-1] == "tidings: the demo was ended before its end; nothing is left running"
    assert out == b""
    assert not any(map(is_there, pids))
    assert list(folder.iterdir()) == []


@pytest.mark.process
async def test_a_killed_demo_leaves_nothing(running: tuple[Process, list[int], Path]) -> None:
    """SIGKILL gives it no time to clear up: its processes and its Redis end all the same, also while they load."""
    process, pids, folder = running
    process.kill()
    await process.wait()
    await eventually(lambda: not any(map(is_there, pids)))
    await eventually(lambda: not list(folder.iterdir()))


@pytest.mark.parametrize("as_json", [False, True], ids=["lines", "json"])
def test_a_process_that_is_lost_ends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    """Not all of it is true then: the summary says who was lost, and so does the exit code."""

    async def lose(processes: Processes) -> None:
        raise ProcessLost("worker-1 ended with code 2")

    monkeypatch.setattr(Processes, "start", lose)
    assert main(["demo", "--once", *(["--json"] if as_json else [])]) == 1
    told = capsys.readouterr()
    if as_json:
        summary = json.loads(told.out)
        assert (summary["ok"], summary["problems"][0]) == (False, "worker-1 ended with code 2")
        assert "join in from another terminal" in told.err
    else:
        assert "not true: worker-1 ended with code 2" in told.out
        assert "notices found in prompts" in told.out
