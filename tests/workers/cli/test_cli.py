"""The command line as a whole."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import NoReturn

import pytest

from tests.conftest import SpawnTidings
from tests.processes import environment
from tests.waiting import PATIENCE_S
from tests.workers.cli.conftest import Tidings
from tests.workers.cli.stage import bring, hold
from tidings.bus import Bus, LlmRecovered, State
from tidings.workers import cli
from tidings.workers.cli import main
from tidings.workers.settings import Settings

COMMANDS = (
    *("demo", "worker", "controller", "provider"),
    *("start", "say", "resume", "pause", "stop"),
    *("status", "sessions", "history", "watch", "wait"),
)


async def test_the_help_lists_every_command(tidings: Tidings) -> None:
    """Each with a line that says what it does."""
    done = await tidings("--help")
    assert (done.code, done.stderr) == (0, "")
    for name in (*COMMANDS, "--version", "--log-level", "--log-json"):
        assert name in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
async def test_every_command_has_help(tidings: Tidings, name: str) -> None:
    """With the flags of logging, and --json where it prints something."""
    done = await tidings(name, "--help")
    assert (done.code, done.stderr) == (0, "")
    assert "--log-level" in done.stdout
    assert ("--json" in done.stdout) is (name not in ("worker", "controller"))


async def test_the_version_is_that_of_the_package(tidings: Tidings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or says that there is none."""
    assert (await tidings("--version")).stdout == f"tidings {version('tidings')}\n"

    def missing(name: str) -> NoReturn:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(cli, "version", missing)
    assert (await tidings("--version")).stdout == "tidings (not installed)\n"


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("status",), ("status", "x", "--nonsense")])
async def test_a_command_line_that_is_none_is_2(tidings: Tidings, arguments: tuple[str, ...]) -> None:
    """Nothing is done."""
    assert (await tidings(*arguments)).code == 2


async def test_logging_may_be_set_before_or_after_the_command(server_bus: Bus, tidings: Tidings) -> None:
    """What stands after it wins."""
    await hold(server_bus, "demo")
    await tidings("--log-level", "error", "status", "demo")
    assert logging.getLogger("tidings").level == logging.ERROR
    await tidings("--log-level", "error", "--log-json", "status", "demo", "--log-level", "debug")
    assert logging.getLogger("tidings").level == logging.DEBUG
    bad = await tidings("--log-level", "loud", "status", "demo")
    assert (bad.code, "--log-level (TIDINGS_LOG_LEVEL)" in bad.stderr) == (2, True)


async def test_a_flag_before_the_command_wins_over_the_variable(
    server_bus: Bus, tidings: Tidings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it stands, it is a flag."""
    await hold(server_bus, "demo")
    monkeypatch.setenv("TIDINGS_LOG_LEVEL", "warning")
    await tidings("--log-level", "error", "status", "demo")
    assert logging.getLogger("tidings").level == logging.ERROR


async def test_settings_in_the_log_show_no_credentials(tidings: Tidings) -> None:
    """At debug a command logs what it runs with."""
    done = await tidings("status", "x", "--redis", "redis://me:planted-pw@127.0.0.1:1/0", "--log-level", "debug")
    assert "cli.settings" in done.stderr
    assert "planted-pw" not in done.stderr


async def test_prefixes_keep_installations_apart(server_bus: Bus, real_url: str, tidings: Tidings) -> None:
    """A session under one prefix is unknown under another."""
    async with Bus.connect(real_url, prefix="mine.") as mine:
        await bring(mine, "demo", State.FINISHED)
    assert (await tidings("status", "demo", "--prefix", "mine.")).code == 0
    assert (await tidings("status", "demo")).code == 3


async def test_the_demo_is_called_with_its_flags(tidings: Tidings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is only imported when it is run."""
    seen: list[tuple[bool, bool]] = []

    def run_demo(settings: Settings, once: bool, as_json: bool) -> int:
        seen.append((once, as_json))
        return 0

    fake = ModuleType("tidings.workers.demo")
    fake.run_demo = run_demo  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tidings.workers.demo", fake)
    assert (await tidings("demo", "--once", "--json")).code == 0
    assert (await tidings("demo")).code == 0
    assert seen == [(True, True), (False, False)]


def test_a_terminal_that_lacks_a_character_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is replaced."""
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))
    assert main(["--help"]) == 0
    assert b"tidings" in buffer.getvalue()


def test_it_can_be_run_as_a_module() -> None:
    """`python -m tidings` is `tidings`, and a help is not a failure."""
    words = [sys.executable, "-m", "tidings", "--version"]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stdout.split(" ")[0], done.stderr) == (0, "tidings", "")


@pytest.mark.parametrize(("code", "expected"), [(None, 0), (5, 5), ("text", 1)])
def test_the_code_is_a_number_whatever_typer_does(monkeypatch: pytest.MonkeyPatch, code: object, expected: int) -> None:
    """An exit without one is success, with a text failure."""

    def leave(**_: object) -> NoReturn:
        raise SystemExit(code)

    monkeypatch.setattr(cli, "app", leave)
    assert main([]) == expected
    monkeypatch.setattr(cli, "app", lambda **_: None)
    assert main([]) == 0


@pytest.mark.process
async def test_a_reader_that_leaves_is_no_noise(server_bus: Bus, real_url: str, spawn_tidings: SpawnTidings) -> None:
    """As in `tidings watch --json | head -1`: quiet, with the code that shells give for it."""
    await hold(server_bus, "demo")
    process = await spawn_tidings("watch", "--json", "--redis", real_url)
    assert process.stdout is not None
    assert json.loads(await process.stdout.readline())["subject"] == "demo"
    transport = process.stdout._transport  # type: ignore[attr-defined]
    transport.close()
    while process.returncode is None:
        await server_bus.publish("demo", LlmRecovered(attempt=2))
        await asyncio.sleep(0.01)
    assert process.stderr is not None
    assert (process.returncode, await process.stderr.read()) == (141, b"")


@pytest.mark.process
async def test_ctrl_c_ends_a_watch_quietly(server_bus: Bus, real_url: str, spawn_tidings: SpawnTidings) -> None:
    """With 130 and nothing on stderr."""
    await hold(server_bus, "demo")
    process = await spawn_tidings("watch", "--redis", real_url)
    assert process.stdout is not None
    assert b"demo" in await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (130, b"", b"")
