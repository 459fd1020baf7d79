"""The stage starts processes, sees when one is lost, and leaves none behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from bus import Bus
from tests.waiting import eventually
from workers.demo import stage as module
from workers.demo.cast import fleet_environment
from workers.demo.stage import ActorLost, Stage

PATIENCE_S = 20.0

pytestmark = pytest.mark.process


@pytest.fixture
async def environment() -> AsyncIterator[dict[str, str]]:
    """What controllers need, on a Redis of our own."""
    async with Bus.connect("embedded://") as bus:
        yield fleet_environment(bus.url, "http://127.0.0.1:1/v1")


def is_alive(pid: int) -> bool:
    """Return whether there is a process of ours with that id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_it_starts_and_ends_the_command_line(environment: dict[str, str]) -> None:
    """A process is ready when it says so, runs by its name, and is gone afterwards; ending twice is no error."""
    async with Stage(environment) as stage:
        await stage.start("controller", "controller-1")
        await eventually(lambda: stage.ready == 1, PATIENCE_S)
        assert "controller-1" in stage
        assert "controller-2" not in stage
        stage.check()
        pid = stage.pid("controller-1")
        assert os.getpgid(pid) != os.getpgrp()
        await stage.aclose()
        assert not is_alive(pid)
    assert stage.ready == 0


async def test_one_that_ends_by_itself_is_lost(environment: dict[str, str]) -> None:
    """The error names it and has the end of its log, without secrets."""
    async with Stage(environment | {"TIDINGS_LEASE_S": "never"}) as stage:
        await stage.start("controller", "controller-1")

        def lost() -> str:
            try:
                stage.check()
            except ActorLost as error:
                return str(error)
            return ""

        await eventually(lambda: "TIDINGS_LEASE_S" in lost(), PATIENCE_S)
        assert lost().startswith("controller-1 ended with code 2; the end of its log:\n")


async def test_one_that_we_kill_is_not_lost(environment: dict[str, str]) -> None:
    """SIGKILL is part of the story; killing it again is no error."""
    async with Stage(environment) as stage:
        await stage.start("controller", "controller-1")
        pid = stage.pid("controller-1")
        stage.kill("controller-1")
        await eventually(lambda: not is_alive(pid), PATIENCE_S)
        stage.check()
        stage.kill("controller-1")


async def test_one_that_does_not_end_is_killed(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that does not answer to SIGTERM keeps nobody waiting."""
    monkeypatch.setattr(module, "END_S", 0.1)
    async with Stage(environment) as stage:
        await stage.start("controller", "controller-1")
        pid = stage.pid("controller-1")
        os.kill(pid, signal.SIGSTOP)
    assert not is_alive(pid)


async def test_an_end_that_is_cancelled_leaves_nothing(environment: dict[str, str]) -> None:
    """Who is in a hurry gets no grace, and no orphans."""
    stage = Stage(environment)
    await stage.start("controller", "controller-1")
    pid = stage.pid("controller-1")
    os.kill(pid, signal.SIGSTOP)
    ending = asyncio.create_task(stage.aclose())
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    await eventually(lambda: not is_alive(pid), PATIENCE_S)


async def test_it_ends_with_the_pipe(environment: dict[str, str]) -> None:
    """When the other end of its standard input is gone, a process ends at once, also while it loads."""
    async with Stage(environment) as stage:
        await stage.start("worker", "worker-1")
        process = stage._actors["worker-1"].process
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 1
