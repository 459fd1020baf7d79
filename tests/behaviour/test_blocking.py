"""Agents that do not let go of the event loop, or that would end the process, in workers that are processes."""

from __future__ import annotations

import asyncio
import re
from asyncio.subprocess import Process
from pathlib import Path

import pytest

from tests.conftest import MakeServer, SpawnTidings
from tests.fleet import KEY, Fleet
from tests.processes import import_root
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import State, WorkerClaimed, WorkerLost
from tidings.workers.cli.exits import Exit

pytestmark = pytest.mark.process

LEASE_S = 2.0
AGENT = """
import asyncio, os, sys, time
from tidings.workers.agent import ChatAgent, unanswered

class Mine(ChatAgent):
    async def step(self, ctx):
        if unanswered(ctx.history):
            with open(os.environ["STEPS"], "a") as steps:
                print(ctx.history[0].data.text, file=steps)
            await globals()[ctx.history[0].data.text]()
        return await super().step(ctx)

async def passes():
    pass

async def blocks():
    time.sleep(3)

async def never_ends():
    while True:
        time.sleep(0.01)

async def exits():
    sys.exit(1)

async def exits_in_a_tool():
    await asyncio.gather(exits(), asyncio.sleep(60))

async def interrupts():
    raise KeyboardInterrupt
"""


class Workers:
    """Starts workers of that agent; knows the steps that they began."""

    def __init__(self, spawn_tidings: SpawnTidings, fleet: Fleet, folder: Path) -> None:
        self._spawn, self._fleet, self._folder = spawn_tidings, fleet, folder
        (folder / "my_agent.py").write_text(AGENT)
        self._steps = folder / "steps"
        self._steps.touch()

    @property
    def steps(self) -> list[str]:
        """What was begun so far."""
        return self._steps.read_text().split()

    async def add(self, name: str, **settings: object) -> Process:
        """Start one more, and wait until it can claim."""
        given = {"lease_s": LEASE_S, "renew_s": 0.2, "poll_s": 0.1, "model": "openai/x", "agent": "my_agent:Mine"} | settings
        env = {f"TIDINGS_{key.upper()}": str(value) for key, value in given.items()}
        env |= {"TIDINGS_REDIS_URL": self._fleet.url, "TIDINGS_API_BASE": self._fleet.provider.base_url, "OPENAI_API_KEY": KEY}
        env |= {"PYTHONPATH": f"{self._folder}:{import_root()}", "STEPS": str(self._steps)}
        process = await self._spawn("worker", "--name", name, env=env)
        assert process.stderr is not None
        async with asyncio.timeout(PATIENCE_S):
            while b"worker.started" not in await process.stderr.readline():
                pass
        return process


async def test_a_step_that_blocks_for_longer_than_a_lease_runs_once_and_one_that_never_ends_is_an_error(
    make_server: MakeServer, spawn_tidings: SpawnTidings, tmp_path: Path
) -> None:
    """The lease is kept meanwhile, within a bound. At its end the session is in error, and the worker ends with its own code."""
    server = make_server()
    async with Fleet(server.url, workers=0, lease_s=LEASE_S, reap_at_once=True) as fleet:
        workers = Workers(spawn_tidings, fleet, tmp_path)
        stuck = await workers.add("w1", concurrency=2, blocked_limit_s=4)
        await fleet.start("s", "blocks")
        await fleet.until("s", State.AWAITING_INPUT)
        assert "; the event loop was blocked for " in (why := (await fleet.bus.status("s")).why)
        assert "blocks() (my_agent.py:" in why
        fleet.script("429:retry-after=50")
        await fleet.start("waits", "passes")
        await fleet.until("waits", State.RATE_LIMITED)
        await fleet.start("t", "never_ends")
        record = await fleet.until("t", State.ERROR)
        async with asyncio.timeout(PATIENCE_S):
            assert await stuck.wait() == Exit.BLOCKED
        assert re.match(r"the event loop was blocked for 4 s in never_ends\(\) \(my_agent.py:\d+\)", record.why)
        # Handed back, it waits until the instant that the provider has named, as with any worker that ends.
        waits = await fleet.bus.status("waits")
        assert (waits.state, waits.worker, waits.resume_at is not None) == (State.RATE_LIMITED, None, True)
        assert [len(fleet.of(name, WorkerLost)) for name in ("s", "waits", "t")] == [0, 0, 0]
        assert [len(fleet.of(name, WorkerClaimed)) for name in ("s", "t")] == [1, 1]
        assert workers.steps == ["blocks", "passes", "never_ends"]
        assert await fleet.bus.admin.processes() == tuple(
            one for one in await fleet.bus.admin.processes() if one.presence.role != "worker"
        )


@pytest.mark.full
async def test_a_pause_of_a_step_that_never_ends(make_server: MakeServer, spawn_tidings: SpawnTidings, tmp_path: Path) -> None:
    """It holds at once, and for good; a person may stop the session."""
    server = make_server()
    async with Fleet(server.url, workers=0, lease_s=LEASE_S, reap_at_once=True) as fleet:
        workers = Workers(spawn_tidings, fleet, tmp_path)
        stuck = await workers.add("w1", blocked_limit_s=4)
        await fleet.start("s", "never_ends")
        await eventually(lambda: workers.steps, PATIENCE_S)
        await fleet.pause("s")
        assert (await fleet.bus.status("s")).state is State.PAUSED
        async with asyncio.timeout(PATIENCE_S):
            assert await stuck.wait() == Exit.BLOCKED
        assert (await fleet.bus.status("s")).state is State.PAUSED
        await fleet.stop("s")
        assert (await fleet.bus.status("s")).state is State.STOPPED


@pytest.mark.full
async def test_a_second_signal_ends_a_worker_that_hears_nothing(
    make_server: MakeServer, spawn_tidings: SpawnTidings, tmp_path: Path
) -> None:
    """At once, as one that hears it; with the code that shells give for the signal."""
    server = make_server()
    async with Fleet(server.url, workers=0, lease_s=LEASE_S, reap_at_once=True) as fleet:
        workers = Workers(spawn_tidings, fleet, tmp_path)
        stuck = await workers.add("w1")
        await fleet.start("s", "never_ends")
        await eventually(lambda: workers.steps, PATIENCE_S)
        stuck.terminate()

        def ended() -> bool:
            if stuck.returncode is None:
                stuck.terminate()
            return stuck.returncode is not None

        await eventually(ended, PATIENCE_S)
        assert stuck.returncode == 143


@pytest.mark.full
async def test_an_agent_that_would_end_its_worker_ends_its_session(
    make_server: MakeServer, spawn_tidings: SpawnTidings, tmp_path: Path
) -> None:
    """In its step, or in a task of its own; the worker goes on to the next session, and Ctrl-C still ends it."""
    server = make_server()
    async with Fleet(server.url, workers=0, reap_at_once=True) as fleet:
        workers = Workers(spawn_tidings, fleet, tmp_path)
        worker = await workers.add("w1")
        for session, told in (
            ("exits", "SystemExit: 1 (my_agent.py:"),
            ("exits_in_a_tool", "SystemExit: 1 (my_agent.py:"),
            ("interrupts", "KeyboardInterrupt (my_agent.py:"),
        ):
            await fleet.start(session, session)
            await fleet.until(session, State.ERROR)
            assert f"the agent's own code failed: {told}" in (await fleet.bus.status(session)).why
            assert [event.type for event in await fleet.history(session)] == ["user.message", "agent.error"]
        assert workers.steps == ["exits", "exits_in_a_tool", "interrupts"]
        worker.send_signal(2)
        async with asyncio.timeout(PATIENCE_S):
            assert await worker.wait() == 0
