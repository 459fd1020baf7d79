"""Everything in one process: it works, says where, and ends in order."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from tests.conftest import SpawnTidings
from tests.waiting import PATIENCE_S, eventually
from tests.workers.cli.conftest import Tidings
from tidings.bus import Bus, SessionStart, State
from tidings.workers.agent import ChatAgent
from tidings.workers.cli.exits import BadUsage, CommandFailed
from tidings.workers.cli.up import LocalFleet, run_up, up, with_server
from tidings.workers.controller import Controller
from tidings.workers.provider import Provider
from tidings.workers.settings import Settings


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """A provider that answers."""
    async with Provider() as running:
        yield running


async def said_by(process: Process, count: int) -> dict[str, str]:
    """Read the lines that it begins with, by their first word."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        lines = [(await process.stdout.readline()).decode().split(maxsplit=1) for _ in range(count)]
    return {words[0]: words[1].strip() for words in lines}


@pytest.mark.process
async def test_one_command_is_a_whole_system(spawn_tidings: SpawnTidings, provider: Provider, tmp_path: Path) -> None:
    """The page lets one in by its link, a session is answered, Ctrl-C ends all of it, and next time the sessions are there."""
    arguments = ("up", "--model", "openai/x", "--api-base", provider.base_url, "--port", "0", "--data", str(tmp_path / "kept"))
    first = await spawn_tidings(*arguments, env={"OPENAI_API_KEY": "sk-anything"})
    told = await said_by(first, 7)
    assert told["data"] == f"kept in {tmp_path / 'kept'}"
    assert told["workers"] == "4, for openai/x"
    async with httpx.AsyncClient() as browser, Bus.connect(told["redis"]) as bus:
        assert (await browser.get(told["page"])).status_code == 303
        base = told["page"].partition("/?")[0]
        assert (await browser.get(f"{base}/api/me")).json()["role"] == "operator"
        started = await browser.post(
            f"{base}/api/sessions", json={"session": "demo", "text": "hello"}, headers={"Origin": base, "Idempotency-Key": "one"}
        )
        assert started.status_code == 201, started.text

        async def answered() -> bool:
            return (await bus.status("demo")).state is State.AWAITING_INPUT

        await eventually(answered, PATIENCE_S)
    first.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(first.wait(), PATIENCE_S) == 0

    second = await spawn_tidings(*arguments)
    async with Bus.connect((await said_by(second, 7))["redis"]) as bus:
        assert [event.type for event in await bus.history("demo")] == ["user.message", "agent.message"]
    second.send_signal(signal.SIGTERM)
    _, said = await asyncio.wait_for(second.communicate(), PATIENCE_S)
    assert second.returncode == 0
    # It was started without the key, and went on all the same.
    assert "llm.key_missing model=openai/x variables=OPENAI_API_KEY" in said.decode()


async def test_without_a_model_it_says_what_to_give(tidings: Tidings) -> None:
    """And what needs none."""
    done = await tidings("up")
    assert (done.code, done.stdout) == (2, "")
    assert "--model" in done.stderr
    assert "tidings demo" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--agent", "nowhere:Agent"), "--agent"),
        (("--host", "0.0.0.0"), "--token"),
        (("--data", "x", "--redis", "redis://127.0.0.1:1/0"), "--data"),
        (("--redis", "memory://"), "memory://"),
        (("--workers", "0"), "workers"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
async def test_what_cannot_be_had_is_2(tidings: Tidings, arguments: tuple[str, ...], text: str) -> None:
    """Nothing is started, and the text names what was given."""
    done = await tidings("up", "--model", "openai/x", *arguments)
    assert (done.code, done.stdout) == (2, "")
    assert text in done.stderr


def test_a_redis_that_was_given_is_used() -> None:
    """By flag or variable; without one it is a server of our own, with its data where that is wanted."""
    given = Settings(redis_url=SecretStr("redis://127.0.0.1:7/0"))
    assert with_server(given, None) is given
    with pytest.raises(BadUsage, match="--data"):
        with_server(given, Path("x"))
    assert with_server(Settings(), None).redis_url.get_secret_value() == "embedded://"
    kept = with_server(Settings(), Path("/tmp/a b")).redis_url.get_secret_value()
    assert kept == "embedded:///tmp/a%20b"


async def test_a_port_that_is_taken_is_said(bus: Bus) -> None:
    """With what to give instead."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(model="openai/x", port=taken.getsockname()[1])
        with pytest.raises(CommandFailed, match=r"--port \(TIDINGS_PORT\)"):
            await up(bus, ChatAgent, settings, 1)


async def test_a_chosen_token_is_not_printed(
    real_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who chose it knows it; and so it is with the password of a Redis that was given."""
    monkeypatch.setattr("tidings.workers.cli.up.require", lambda package: None)
    settings = Settings(
        model="openai/x", port=0, token=SecretStr("a-token-of-our-own"), redis_url=SecretStr(real_url.replace("://", "://u:pw@"))
    )

    async def at_once(fleet: LocalFleet) -> None:
        return

    monkeypatch.setattr(LocalFleet, "run", at_once)
    async with Bus.connect(real_url) as bus:
        assert await up(bus, ChatAgent, settings, 1) == 0
    told = capsys.readouterr().out
    assert "a-token-of-our-own" not in told
    assert "pw@" not in told
    assert re.search(r"^page     http://127.0.0.1:\d+$", told, re.MULTILINE)


async def test_the_controller_ends_last(bus: Bus, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that a draining worker lets go of finds its state."""
    monkeypatch.setitem(os.environ, "OPENAI_API_KEY", "sk-anything")
    settings = Settings(model="openai/x", api_base=provider.base_url, poll_s=0.05, controller_poll_s=0.05)
    fleet = LocalFleet(bus, ChatAgent, settings, 2)
    running = asyncio.create_task(fleet.run())
    await bus.send("demo", SessionStart(text="hello"), PATIENCE_S)

    async def answered() -> bool:
        return (await bus.status("demo")).state is State.AWAITING_INPUT

    await eventually(answered, PATIENCE_S)
    fleet.drain()
    await asyncio.wait_for(running, PATIENCE_S)


async def test_a_defect_in_one_ends_all(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is what is told."""

    async def broken(self: Controller) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Controller, "run", broken)
    with pytest.raises(ZeroDivisionError):
        await LocalFleet(bus, ChatAgent, Settings(model="openai/x"), 1).run()


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is started."""
    monkeypatch.setattr("tidings.workers.cli.serve.find_spec", lambda package: None)
    with pytest.raises(CommandFailed, match=r"pip install 'tidings\[worker\]'"):
        run_up(Settings(model="openai/x"), 1, None)
