"""Steering: one command, one outcome, one exit code."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.workers.cli.conftest import Tidings
from tests.workers.cli.stage import bring, hold
from tidings.bus import Bus, InvalidMessage, State, UserMessage, carries
from tidings.workers.cli.steer import Kind, make_command, send, this_user

Controlled = Callable[[Bus], AbstractAsyncContextManager[None]]
FIELDS = ["result", "command_id", "session", "reason", "state", "version", "legal", "warning"]


def command(kind: Kind, **more: Any) -> Any:
    """Return a command of me."""
    return make_command(kind, by="me", **more)


async def test_applied_is_0_and_says_the_state(bus: Bus, controlled: Controlled, capsys: pytest.CaptureFixture[str]) -> None:
    """The state has changed already when the command returns."""
    async with controlled(bus):
        assert await send(bus, "demo", command("session.start", text="hi"), 10, as_json=False) == 0
        assert capsys.readouterr().out == "demo: applied, the session is queued; no live worker serves queue 'default'\n"
        assert (await bus.status("demo")).state is State.QUEUED
        assert await send(bus, "demo", command("session.pause", why="lunch"), 10, as_json=True) == 0
        told = json.loads(capsys.readouterr().out)
        assert list(told) == FIELDS
        assert (told["result"], told["state"]) == ("applied", "paused")
        record = await bus.status("demo")
        assert (record.state, record.paused_by) == (State.PAUSED, "me")
        assert "lunch" in record.why


async def test_refused_is_3_with_the_reason_and_what_would_be_legal(
    bus: Bus, controlled: Controlled, capsys: pytest.CaptureFixture[str]
) -> None:
    """For people on stderr, for scripts on stdout."""
    await bring(bus, "demo", State.FINISHED)
    async with controlled(bus):
        assert await send(bus, "demo", command("session.say", text="hi"), 10, as_json=False) == 3
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("tidings: refused while finished: ")
        assert captured.err.count("\n") == 1
        await bring(bus, "other", State.AWAITING_INPUT)
        again = command("session.start", text="hi")
        assert await send(bus, "other", again, 10, as_json=True) == 3
        told = json.loads(capsys.readouterr().out)
        assert list(told) == FIELDS
        assert (told["result"], told["state"]) == ("refused", "awaiting_input")
        assert "session.say" in told["legal"]
        assert told["reason"]


async def test_an_unknown_session_is_3(bus: Bus, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a controller too; what would be legal is to start it."""
    assert await send(bus, "demo", command("session.resume"), 10, as_json=True) == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["result"], told["state"], told["legal"]) == ("refused", None, ["session.start"])
    assert await send(bus, "demo", command("session.resume"), 10, as_json=False) == 3
    assert "what would be accepted now: start" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["session.pause", "session.delete"])
async def test_a_session_of_another_version_is_3_at_once(bus: Bus, kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a controller too; nothing would be accepted, and the text says what to do."""
    await hold(bus, "demo")
    redis: Any = bus._context.connection.commands
    await redis.hset(bus._context.names.record("demo"), "schema", 99)
    assert await send(bus, "demo", command(kind), 10, as_json=False) == 3
    assert "by another version of Tidings; run `tidings export demo` with that version" in capsys.readouterr().err
    assert await send(bus, "demo", command(kind), 10, as_json=True) == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["result"], told["state"], told["legal"]) == ("refused", None, [])


async def test_a_session_that_is_not_there_cannot_be_deleted_and_needs_no_start(
    bus: Bus, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who wants it gone is told that it is, and nothing more."""
    assert await send(bus, "nosuch", command("session.delete"), 10, as_json=False) == 3
    assert capsys.readouterr().err == "tidings: refused: there is no session 'nosuch'\n"


async def test_nothing_is_legal_for_a_deleted_session(
    bus: Bus, controlled: Controlled, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even a start: the name is not used again."""
    await bring(bus, "gone", State.FINISHED)
    async with controlled(bus):
        assert await send(bus, "gone", command("session.delete"), 10, as_json=False) == 0
    capsys.readouterr()
    again = command("session.start", text="hi")
    assert await send(bus, "gone", again, 10, as_json=True) == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["result"], told["legal"]) == ("refused", [])
    assert await send(bus, "gone", again, 10, as_json=False) == 3
    err = capsys.readouterr().err
    assert "take another name" in err
    assert "accepted now" not in err


async def test_nobody_there_is_4_and_never_applied_later(
    bus: Bus, controlled: Controlled, capsys: pytest.CaptureFixture[str]
) -> None:
    """A controller that comes afterwards finds the command withdrawn."""
    await hold(bus, "demo")
    assert await send(bus, "demo", command("session.pause"), 0.05, as_json=False) == 4
    assert "tidings controller" in capsys.readouterr().err
    assert await send(bus, "demo", command("session.stop"), 0.05, as_json=True) == 4
    told = json.loads(capsys.readouterr().out)
    assert list(told) == FIELDS
    assert (told["result"], told["state"]) == ("expired", None)
    async with controlled(bus):
        assert await send(bus, "demo", command("session.say", text="hi"), 10, as_json=False) == 0
        assert (await bus.status("demo")).state is State.RUNNING


async def test_resuming_three_times_is_one_run(bus: Bus, controlled: Controlled) -> None:
    """Resuming what is queued is applied and changes nothing, and adds nothing to the history."""
    async with controlled(bus):
        await send(bus, "demo", command("session.start", text="hi"), 10, as_json=True)
        for _ in range(3):
            assert await send(bus, "demo", command("session.resume"), 10, as_json=True) == 0
        assert [type(event.data) for event in await bus.history("demo")] == [UserMessage]


async def test_the_whole_way_through_the_command_line(server_bus: Bus, controlled: Controlled, tidings: Tidings) -> None:
    """start, say, pause, resume and stop as a person types them; who and why arrive."""
    async with controlled(server_bus):
        assert (await tidings("start", "demo", "--message", "one", "--by", "ann")).code == 0
        assert (await tidings("say", "demo", "two")).code == 0
        assert (await tidings("say", "demo", "-m", "three", "--json")).code == 0
        assert (await tidings("pause", "demo", "--why", "tea")).code == 0
        assert "tea" in (await server_bus.status("demo")).why
        assert (await tidings("resume", "demo")).code == 0
        assert (await tidings("stop", "demo")).code == 0
        said = [event for event in await server_bus.history("demo") if carries(event, UserMessage)]
        assert [event.data.text for event in said] == ["one", "two", "three"]
        assert [event.data.by for event in said] == ["ann", this_user(), this_user()]
        refused = await tidings("resume", "demo")
        assert (refused.code, refused.stdout) == (3, "")


async def test_the_time_out_is_a_flag(server_bus: Bus, tidings: Tidings) -> None:
    """Without a controller it ends after that."""
    await hold(server_bus, "demo")
    assert (await tidings("stop", "demo", "--timeout", "0.05")).code == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ("start", "a b"),
        ("say", "demo"),
        ("say", "demo", "x", "-m", "y"),
        ("say", "demo", ""),
        ("start", "demo", "-m", "x", "--by", "x" * 201),
        ("stop", "demo", "--timeout", "0"),
        ("stop",),
        ("stop", "demo", "extra"),
    ],
)
async def test_a_command_that_cannot_be_sent_is_2(tidings: Tidings, arguments: tuple[str, ...]) -> None:
    """Nothing is connected to before."""
    done = await tidings(*arguments)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr


async def test_a_text_over_the_limit_is_2(server_bus: Bus, controlled: Controlled, tidings: Tidings) -> None:
    """With the size and the limit in the text."""
    done = await tidings("start", "demo", "-m", "x" * 2000, "--payload-limit", "1024")
    assert done.code == 2
    assert "the limit is 512" in done.stderr


def test_who_asks_is_you_unless_you_are_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container without a user name is no reason to fail."""
    assert "@" in this_user()

    def nobody() -> str:
        raise KeyError(os.getuid())

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert this_user().startswith("unknown@")


def test_what_cannot_be_sent_is_said_by_its_field() -> None:
    """The error names the field."""
    with pytest.raises(InvalidMessage, match="text"):
        command("session.say", text="")


async def test_how_it_is_worked_on_is_typed_shown_and_filtered(server_bus: Bus, controlled: Controlled, tidings: Tidings) -> None:
    """A start in a queue that no worker serves says so; status, list and doctor show it."""
    async with controlled(server_bus):
        asked = [
            "--queue",
            "gpu",
            "--agent",
            "coder",
            "--model",
            "openai/y",
            "--priority",
            "background",
            "--label",
            "customer=acme",
        ]
        done = await tidings("start", "sea", "-m", "hi", *asked)
        assert done.stdout == "sea: applied, the session is queued; no live worker serves queue 'gpu' with agent 'coder'\n"
        await tidings("start", "air", "-m", "hi")
        shown = {line[:12].strip(): line[12:] for line in (await tidings("status", "sea")).stdout.splitlines()[1:]}
        assert (shown["queue"], shown["for"]) == ("gpu, with agent coder", "background")
        assert (shown["labels"], shown["model"]) == ("customer=acme", "openai/y")
        for only in (("--queue", "gpu"), ("--agent", "coder"), ("--label", "customer=acme")):
            assert [line.split()[0] for line in (await tidings("sessions", *only)).stdout.splitlines()] == ["sea"]
        assert "unserved" in (await tidings("doctor")).stdout
        changed = await tidings("change", "sea", "--queue", "default", "--label", "customer=", "--label", "run=7")
        assert changed.code == 0
        assert json.loads((await tidings("status", "sea", "--json")).stdout)["work"] == {
            "queue": "default",
            "agent": "coder",
            "model": "openai/y",
            "priority": "background",
            "labels": {"run": "7"},
        }
        assert (await tidings("change", "sea")).code == 2
        assert (await tidings("change", "sea", "--label", "acme")).code == 2
        assert (await tidings("start", "x", "--queue", "no queue")).code == 2
