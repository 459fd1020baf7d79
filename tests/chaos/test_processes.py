"""Actors are followed by others, and leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos import record
from tests.chaos.processes import Cast
from tests.conftest import MakeServer
from tests.processes import end, environment
from tests.servers import RunningServer
from tests.waiting import eventually
from tidings.bus.channels import Names

PATIENCE_S = 30.0
_HOLD = """
import asyncio, sys
from pathlib import Path
from tests.chaos import record
from tests.chaos.processes import Cast
from tests.servers import RunningServer, redis_binary, valkey_binary

async def main():
    server = RunningServer(redis_binary() or valkey_binary())
    server.start()
    folder = Path(sys.argv[1])
    async with Cast(["controller-1"], server, ":", "seed", folder, record.Recorder(folder / "run.jsonl", "run")) as cast:
        print(cast.actors["controller-1"].pid, server.pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def server(make_server: MakeServer) -> RunningServer:
    """What the controller works on."""
    return make_server(password="secret")


@pytest.fixture
async def cast(server: RunningServer, tmp_path: Path) -> AsyncIterator[Cast]:
    """One controller."""
    recorder = record.Recorder(tmp_path / "run.jsonl", "run")
    async with Cast(["controller-1"], server, ":secret", "seed", tmp_path, recorder) as cast:
        yield cast
    recorder.close()


def ends(folder: Path) -> list[tuple[str, bool]]:
    """Return which processes have ended, and whether that was wanted."""
    return [(entry.name, entry.wanted) for entry in record.read(folder) if isinstance(entry, record.Ended)]


async def test_one_that_is_killed_is_followed_by_another(cast: Cast, tmp_path: Path) -> None:
    """Under another name, in the same place; its end was wanted."""
    cast.actors["controller-1"].end(signal.SIGKILL)
    await eventually(lambda: cast.actors["controller-1"].name == "controller-1.2", PATIENCE_S)
    assert ends(tmp_path) == [("controller-1.1", True)]


async def test_one_that_dies_by_itself_is_noted(cast: Cast, tmp_path: Path) -> None:
    """With its exit code; another follows all the same."""
    os.kill(cast.actors["controller-1"].pid, signal.SIGABRT)
    await eventually(lambda: cast.actors["controller-1"].name == "controller-1.2", PATIENCE_S)
    assert ends(tmp_path) == [("controller-1.1", False)]


async def test_one_that_is_dismissed_is_not_followed(cast: Cast, server: RunningServer, tmp_path: Path) -> None:
    """It ends in order, and nothing is left of it."""
    await eventually(lambda: server.command("EXISTS", Names().seen) == 1, PATIENCE_S)
    await cast.dismiss(["controller-1"], PATIENCE_S)
    assert cast.alive == {}
    assert len(server.command("CLIENT", "LIST").splitlines()) == 1
    assert ends(tmp_path) == [("controller-1.1", True)]
    assert not [entry for entry in record.read(tmp_path) if isinstance(entry, record.Left)]


async def test_a_stopped_actor_ends_with_us(tmp_path: Path) -> None:
    """Whoever holds the run may be killed; neither an actor that cannot run nor the server outlives it."""
    words = [sys.executable, "-c", _HOLD, str(tmp_path)]
    holding = await asyncio.create_subprocess_exec(*words, stdout=PIPE, env=environment())
    assert holding.stdout is not None
    pids = [int(word) for word in (await holding.stdout.readline()).split()]
    os.kill(pids[0], signal.SIGSTOP)
    await end(holding)
    await eventually(lambda: not any(map(_running, pids)), PATIENCE_S)


def _running(pid: int) -> bool:
    """Return whether there is such a process (one that nobody has waited for yet is none)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
