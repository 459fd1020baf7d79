"""Looking at sessions."""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tests import actors
from tests.fleet import Fleet
from tests.waiting import eventually
from tests.workers.cli.conftest import Tidings
from tests.workers.cli.stage import WORKER, bring, hold, park, waiting
from tidings.bus import AgentProgress, Bus, ChildState, Message, Reason, Record, SessionStart, State
from tidings.bus.messages import LlmRetry, Picture
from tidings.workers.cli.exits import BadUsage
from tidings.workers.cli.show import parse_states, print_sessions, tell_family, tell_status
from tidings.workers.view import SessionView, view_json

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


async def test_status_as_json_is_one_line(server_bus: Bus, tidings: Tidings) -> None:
    """With the wait that is under way and the last notice as it was published."""
    claim = await hold(server_bus, "demo")
    wait = waiting(server_bus.now())
    await actors.renew(claim, Picture(model="openai/x", waits={"agent": wait}))
    retry = Message.of(LlmRetry(**wait.model_dump()), session="demo")
    await actors.publish(server_bus, retry)
    done = await tidings("status", "demo", "--json")
    assert (done.code, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["session"], told["state"], told["model"]) == ("demo", "rate_limited", "openai/x")
    assert told["worker"] == "w1"
    assert (told["last"]["id"], told["last"]["type"]) == (retry.id, "llm.retry")
    assert told["last"]["data"]["retry_after_s"] is None


async def test_an_unknown_session_is_3(server_bus: Bus, tidings: Tidings) -> None:
    """For status, history and wait alike."""
    for name in ("status", "history", "wait"):
        done = await tidings(name, "nope")
        assert (done.code, done.stdout) == (3, "")
        assert "there is no session 'nope'" in done.stderr


async def test_a_sheet_says_what_waits_and_what_to_do(bus: Bus, capsys: pytest.CaptureFixture[str]) -> None:
    """Parked without a time: the provider's words and what a person can do."""
    await park(bus, "demo", resume_in_s=None, action="Pay the bill.")
    tell_status(await bus.status("demo"), bus.now(), as_json=False)
    sheet = capsys.readouterr().out
    assert sheet.startswith("demo  ◑ parked")
    for text in ("quota exhausted", "2 of 6", "slow down", "Pay the bill.", "openai/x", "0 events"):
        assert text in sheet


async def test_a_sheet_counts_down(bus: Bus, capsys: pytest.CaptureFixture[str]) -> None:
    """To the resumption of what is parked, and says what helps until then."""
    await park(bus, "demo", resume_in_s=90, action="Fewer workers help.")
    record = await bus.status("demo")
    assert record.resume_at is not None
    tell_status(record, record.resume_at - timedelta(seconds=65), as_json=False)
    sheet = capsys.readouterr().out
    assert "in 1m 05s (at " in sheet
    assert "helps     Fewer workers help." in sheet


async def test_a_sheet_names_the_worker_and_its_next_attempt(bus: Bus, capsys: pytest.CaptureFixture[str]) -> None:
    """As soon as the state says that it waits."""
    claim = await hold(bus, "demo")
    wait = waiting(bus.now())
    queue = bus.worker.queue()
    retry = Message.of(LlmRetry(**wait.model_dump()), session="demo")
    queue.put(retry, actors.proof(claim, Picture(model="openai/x", waits={"agent": wait})))
    assert await queue.drain(5)
    record = await bus.status("demo")
    held = type(record)(**{name: getattr(record, name) for name in record.__slots__} | {"state": State.RATE_LIMITED})
    tell_status(held, bus.now(), as_json=False)
    sheet = capsys.readouterr().out
    assert "2 of 6 failed, the next in 8s" in sheet
    assert "w1 (process 7 on here)" in sheet


async def test_a_sheet_tells_the_attempt_under_way(capsys: pytest.CaptureFixture[str]) -> None:
    """Which one, for how long, and what the one before met."""
    asked = waiting(NOW).model_copy(update={"asked_at": NOW})
    record = Record(
        "demo",
        State.RUNNING,
        "e",
        status=1,
        why="openai/x: attempt 3 of 6 under way",
        worker=WORKER,
        picture=Picture(waits={"agent": asked}),
    )
    tell_status(record, NOW + timedelta(seconds=5), as_json=False)
    sheet = capsys.readouterr().out
    assert "attempt   3 of 6 under way for 5s" in sheet
    assert "provider  slow down" in sheet
    assert "reason" not in sheet
    told = json.loads(view_json(SessionView.of(record, NOW)))
    assert (told["wait"]["attempt"], told["wait"]["asked_at"], told["reason"]) == (2, "2026-11-22T12:00:00Z", None)


async def test_a_sheet_and_a_list_tell_what_the_agent_does(bus: Bus, capsys: pytest.CaptureFixture[str]) -> None:
    """In place of why it runs, and as JSON with its numbers; after the turn it is null."""
    async with await hold(bus, "demo") as claim:
        claim.tell(AgentProgress(doing="compiling", done=3, total=8))
        await eventually(lambda: claim._queue.published == 1)
        await tell_family(bus, await bus.status("demo"), as_json=False)
        assert "doing     compiling 3/8" in capsys.readouterr().out
        await print_sessions(bus, None, as_json=False)
        assert "running  compiling 3/8  on w1" in capsys.readouterr().out
        await print_sessions(bus, None, as_json=True)
        assert json.loads(capsys.readouterr().out)["progress"] == {"doing": "compiling", "done": 3, "total": 8}
    await tell_family(bus, await bus.status("demo"), as_json=True)
    assert json.loads(capsys.readouterr().out)["progress"] is None


async def test_a_sheet_tells_an_outage(capsys: pytest.CaptureFixture[str]) -> None:
    """What was answered, when it is tried again, that no worker waits for that, and what helps."""
    wait = waiting(NOW, reason=Reason.CONNECTION, attempt=6, action="Check the network.").model_copy(update={"retry_at": None})
    record = Record(
        "demo",
        State.RETRYING,
        "e",
        status=1,
        reason=Reason.CONNECTION,
        resume_at=NOW + timedelta(seconds=60),
        picture=Picture(waits={"agent": wait}),
    )
    tell_status(record, NOW, as_json=False)
    sheet = capsys.readouterr().out
    assert sheet.startswith("demo  ↺ retrying later")
    for line in ("reason    connection", "attempt   6 of 6", "resumes   in 1m 00s (at ", "helps     Check the network."):
        assert line in sheet
    assert "on the next worker" in sheet


async def test_a_sheet_lists_the_children_with_their_waits(bus: Bus, capsys: pytest.CaptureFixture[str]) -> None:
    """By their names, with the attempt and the time that is left; a child says whose it is."""
    now = bus.now()
    record = Record("team", State.AWAITING_INPUT, "e", why="it waits for 2 children", children=2, awaits=2)
    children = (
        ChildState(
            child="team-one-1", name="one", state=State.RATE_LIMITED, reason=Reason.RATE_LIMIT, wait=waiting(now), worker=WORKER
        ),
        ChildState(child="team-two-2", name="two", state=State.RUNNING, why="taken up by a worker"),
    )
    tell_status(record, now, children, as_json=False)
    sheet = capsys.readouterr().out
    assert "why       it waits for 2 children" in sheet
    assert "child     one  ◔ rate limited  attempt 2 of 6 failed  goes on in 8s  rate limit · slow down  team-one-1" in sheet
    assert "child     two  ▸ running  taken up by a worker  team-two-2" in sheet
    tell_status(Record("team-one-1", State.QUEUED, "e", parent="team", name="one"), now, as_json=False)
    assert "child of  team, as one" in capsys.readouterr().out


async def test_status_as_json_has_the_children(redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As they were told last."""
    async with Fleet(redis_url, workers=0) as fleet:
        await fleet.start("team", "go")
        await fleet.send(Message.of(SessionStart(by="ann", parent="team", name="helper"), session="c"))
        await tell_family(fleet.bus, await fleet.bus.status("team"), as_json=True)
        (child,) = json.loads(capsys.readouterr().out)["children"]
        assert (child["name"], child["session"], child["state"], child["parent"]) == ("helper", "c", "queued", "team")


async def test_sessions_as_json_lines(server_bus: Bus, tidings: Tidings) -> None:
    """One line a session with the fields of status; those of one state if asked for."""
    await bring(server_bus, "a", State.AWAITING_INPUT)
    await bring(server_bus, "b", State.FINISHED)
    done = await tidings("sessions", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["session"]: line["state"] for line in lines} == {"a": "awaiting_input", "b": "finished"}
    done = await tidings("sessions", "--json", "--state", "finished")
    assert [json.loads(line)["session"] for line in done.stdout.splitlines()] == ["b"]


async def test_sessions_in_a_pipe_are_lines(server_bus: Bus, tidings: Tidings) -> None:
    """What needs a person first, with nothing cut off."""
    name = "s" * 64
    await bring(server_bus, name, State.ERROR)
    await bring(server_bus, "a", State.FINISHED)
    done = await tidings("sessions")
    assert done.code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [name, "a"]


async def test_sessions_on_a_terminal_are_a_table(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """With headings."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    await bring(bus, "demo", State.FINISHED)
    await print_sessions(bus, None, as_json=False)
    assert "session" in terminal.getvalue().splitlines()[1]
    assert "demo" in terminal.getvalue()


@pytest.mark.parametrize("state", ["nonsense", "finished,error", ""])
async def test_a_state_that_is_none_is_2(tidings: Tidings, state: str) -> None:
    """The text lists those that there are, or asks for one."""
    done = await tidings("sessions", "--state", state)
    assert (done.code, done.stdout) == (2, "")


def test_states_are_read_as_people_write_them() -> None:
    """With blanks, hyphens and capitals."""
    assert parse_states(" Finished, awaiting-input,") == {State.FINISHED, State.AWAITING_INPUT}
    with pytest.raises(BadUsage, match="awaiting_input"):
        parse_states("finished,gone")
