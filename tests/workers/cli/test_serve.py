"""Running a worker or a controller until a signal."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.conftest import MakeServer, SpawnTidings
from tests.processes import end
from tests.waiting import eventually
from tests.workers.cli.conftest import Tidings
from tidings.bus import AgentMessage, Bus, Message, State, carries
from tidings.workers.agent import ChatAgent
from tidings.workers.cli import serve
from tidings.workers.cli.exits import CommandFailed
from tidings.workers.cli.serve import control, require, until_told, work
from tidings.workers.cli.steer import make_command
from tidings.workers.provider import Provider, ProviderSettings
from tidings.workers.settings import Settings

KEY = "sk-planted-0123456789"


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_lets_it_finish(number: signal.Signals) -> None:
    """What runs ends by itself, and the code is 0."""
    finished = asyncio.Event()

    async def running() -> None:
        os.kill(os.getpid(), number)
        await finished.wait()

    assert await until_told(running(), finished.set) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_second_signal_ends_it_at_once(number: signal.Signals, code: int) -> None:
    """With the code that shells give for that signal."""
    started, told = asyncio.Event(), asyncio.Event()

    async def running() -> None:
        started.set()
        await _for_ever()

    task = asyncio.create_task(until_told(running(), told.set))
    await started.wait()
    os.kill(os.getpid(), number)
    await told.wait()
    assert not task.done()
    os.kill(os.getpid(), number)
    assert await task == code


async def test_what_ends_by_itself_needs_no_signal() -> None:
    """And the signals are as before; a failure comes out."""

    async def running() -> None:
        return None

    async def failing() -> None:
        raise ZeroDivisionError

    before = signal.getsignal(signal.SIGTERM)
    assert await until_told(running(), lambda: None) == 0
    with pytest.raises(ZeroDivisionError):
        await until_told(failing(), lambda: None)
    assert signal.getsignal(signal.SIGTERM) == before


async def test_being_cancelled_from_outside_is_no_signal() -> None:
    """Whoever cancels sees a cancellation."""
    task = asyncio.create_task(until_told(_for_ever(), lambda: None))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("worker",), "--model (TIDINGS_MODEL)"),
        (("worker", "--model", "openai/x", "--agent", "no.such.module:X"), "no.such.module"),
        (("worker", "--model", "openai/x", "--agent", "json:Nothing"), "Nothing"),
        (("worker", "--model", "openai/x", "--agent", "json:JSONDecoder"), "step"),
        (("worker", "--model", "openai/x", "--agent", "plain"), "--agent (TIDINGS_AGENT)"),
        (("worker", "--model", "openai/x", "--name", ""), "--name"),
        (("worker", "--model", "openai/x", "--renew-s", "9"), "--renew-s (TIDINGS_RENEW_S)"),
        (("controller", "--name", "x" * 129), "--name"),
    ],
)
async def test_what_cannot_be_run_is_2(tidings: Tidings, arguments: tuple[str, ...], text: str) -> None:
    """One line that says what is wrong, before anything is connected to."""
    done = await tidings(*arguments)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert text in done.stderr


async def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tidings: Tidings) -> None:
    """With what to install."""
    with pytest.raises(CommandFailed, match=r"no_such_package is not installed: pip install 'tidings\[worker\]'"):
        require("no_such_package")
    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    done = await tidings("worker", "--model", "openai/x")
    assert (done.code, "litellm" in done.stderr) == (1, True)


async def test_the_settings_reach_worker_and_controller(
    server_bus: Bus, tidings: Tidings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name, agent and flags arrive; its end is the end of the command."""
    ran: list[tuple[str, ...]] = []

    async def at_once(running: Coroutine[Any, Any, None], finish: Any) -> int:
        running.close()
        ran.append((type(finish.__self__).__name__, finish.__self__.name))
        return 0

    monkeypatch.setattr(serve, "until_told", at_once)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    flags = ("--log-json", "--log-level", "info")
    worker = await tidings("worker", "--model", "openai/x", "--concurrency", "3", "--name", "w9", *flags)
    controller = await tidings("controller", "--name", "c9", *flags)
    assert (worker.code, controller.code) == (0, 0)
    assert ran == [("Worker", "w9"), ("Controller", "c9")]
    lines = [json.loads(line) for done in (worker, controller) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == [
        "worker.starting",
        "worker.ended",
        "controller.started",
        "controller.ended",
    ]
    assert lines[0] | {"worker": "w9", "model": "openai/x"} == lines[0]


async def test_a_worker_and_a_controller_answer_until_told_to_end(
    bus: Bus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One session from its start to its answer; SIGTERM ends the worker with 0."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with Provider(ProviderSettings()) as provider:
        settings = Settings(model="openai/x", api_base=provider.base_url, poll_s=0.05, controller_poll_s=0.05, drain_timeout_s=1)
        with caplog.at_level(logging.INFO, logger="tidings"):
            controlling = asyncio.create_task(control(bus, settings))
            await bus.send("demo", make_command("session.start", by="me", text="hi"))
            # Started second: the loop has one handler for each signal, and it is now the worker's.
            working = asyncio.create_task(work(bus, ChatAgent, settings, "w1"))
            answered = await eventually(lambda: _answer(bus))
            os.kill(os.getpid(), signal.SIGTERM)
            assert await working == 0
    controlling.cancel()
    await asyncio.wait([controlling])
    assert answered is not None
    started = next(record for record in caplog.records if record.message == "worker.started")
    assert started.__dict__ | {"worker": "w1", "model": "openai/x", "concurrency": 1} == started.__dict__
    assert answered.data.text == "You said: hi"
    assert (await bus.status("demo")).state is State.AWAITING_INPUT
    assert KEY not in caplog.text


async def _answer(bus: Bus) -> Message[AgentMessage] | None:
    said = [event for event in await bus.history("demo") if carries(event, AgentMessage)]
    return said[0] if said else None


@pytest.mark.process
async def test_processes_end_with_0_and_log_without_secrets(make_server: MakeServer, spawn_tidings: SpawnTidings) -> None:
    """Every line that they wrote is a JSON object, and the planted key is in none of them."""
    server = make_server()
    async with Provider(ProviderSettings()) as provider, Bus.connect(server.url) as bus:
        env = {"TIDINGS_REDIS_URL": server.url, "OPENAI_API_KEY": KEY}
        controller = await spawn_tidings("--log-level", "debug", "--log-json", "controller", env=env)
        model = ("--model", "openai/x", "--api-base", provider.base_url)
        worker = await spawn_tidings("worker", *model, "--log-json", "--log-level", "debug", env=env)
        await bus.send("demo", make_command("session.start", by="me", text="hi"), 20)
        await eventually(lambda: _answer(bus))
        for process in (worker, controller):
            process.send_signal(signal.SIGTERM)
        for process in (worker, controller):
            out, err = await process.communicate()
            assert process.returncode == 0, err.decode()
            assert out == b""
            events = [json.loads(line)["event"] for line in err.decode().splitlines()]
            assert events[-1] in ("worker.ended", "controller.ended")
            assert KEY.encode() not in err
            await end(process)
