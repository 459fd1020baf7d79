"""The worker: what it claims, what becomes of it, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from tests.behaviour.agents import Gate, Lingering
from tests.fleet import KEY, Fleet, Running
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import Ending, LeaseLost, LlmRetry, OutcomeUnknown, Reason, Role, State, Unreachable, WorkerReleased
from tidings.workers.agent import Agent, ChatAgent, Step
from tidings.workers.context import Context
from tidings.workers.provider import ProviderSettings

LONG = "429:retry-after=50"


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    """A fleet in memory, without a worker yet."""
    async with Fleet(f"memory://{uuid4().hex}", workers=0) as running:
        yield running


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What workers logged from warning on."""
    ours = [record for record in caplog.records if record.name != "tidings.controller"]
    return [record.message for record in ours if record.levelno >= logging.WARNING]


async def ended(worker: Running) -> None:
    """Wait until the worker has ended by itself."""
    async with asyncio.timeout(PATIENCE_S):
        await worker.task


# claiming


async def test_it_holds_as_many_sessions_as_it_may(fleet: Fleet) -> None:
    """One more is claimed as soon as one is done."""
    gate = Gate()
    worker = await fleet.add_worker(lambda: Lingering(gate), concurrency=2)
    for session in ("a", "b", "c"):
        await fleet.start(session)
    await eventually(lambda: gate.visits == 2, PATIENCE_S)
    assert (worker.part.sessions, worker.part.claimed) == (2, 2)
    assert (await fleet.bus.status("c")).state is State.QUEUED
    gate.open()
    for session in ("a", "b", "c"):
        await fleet.until(session, State.AWAITING_INPUT)
    await eventually(lambda: worker.part.sessions == 0, PATIENCE_S)
    assert worker.part.claimed == 3


async def test_it_is_woken(fleet: Fleet) -> None:
    """A session that is queued does not wait for the next look."""
    worker = await fleet.add_worker(poll_s=60)
    await eventually(lambda: worker.bus.connected, PATIENCE_S)
    await fleet.start("s")
    await fleet.until("s", State.AWAITING_INPUT)


async def test_it_outlasts_an_absence_of_the_server(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    """And says so once."""
    worker = await fleet.add_worker()
    claim, asked = worker.bus.worker.claim, 0

    async def gone(*_: object, **__: object) -> Any:
        nonlocal asked
        asked += 1
        raise Unreachable("gone")

    worker.bus.worker.claim = gone
    await eventually(lambda: asked > 3, PATIENCE_S)
    worker.bus.worker.claim = claim
    await fleet.start("s")
    await fleet.until("s", State.AWAITING_INPUT)
    assert messages(caplog) == ["worker.unreachable"]


async def test_it_is_there_while_it_starts(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing litellm takes seconds: nobody takes the worker for missing meanwhile, or for ready."""
    loaded = threading.Event()
    monkeypatch.setattr("tidings.workers.worker.load_litellm", lambda: loaded.wait(PATIENCE_S))

    async def starting() -> list[bool]:
        return [
            one.presence.starting for one in await fleet.bus.admin.processes() if one.live and one.presence.role is Role.WORKER
        ]

    async def says(expected: bool) -> bool:
        return await starting() == [expected]

    await fleet.add_worker()
    await eventually(lambda: says(True), PATIENCE_S)
    loaded.set()
    await eventually(lambda: says(False), PATIENCE_S)


async def test_it_has_a_name_of_its_own(fleet: Fleet) -> None:
    """Made from host and process where none is given; two are never alike."""
    from tidings.workers.worker import Worker

    one, two = (Worker(fleet.bus, ChatAgent, fleet.settings()) for _ in range(2))
    assert one.name != two.name
    assert str(one.ref.pid) in one.name
    assert Worker(fleet.bus, ChatAgent, fleet.settings(), name="w").name == "w"


# what becomes of a session


async def test_an_agent_that_cannot_be_made_puts_its_session_in_error(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    """With what was wrong, without secrets; the worker goes on, and so can the session."""
    broken = True

    def make() -> Agent:
        if broken:
            raise RuntimeError(f"cannot log in with {KEY}")
        return ChatAgent()

    await fleet.add_worker(make)
    await fleet.start("s")
    record = await fleet.until("s", State.ERROR)
    assert record.why.startswith("the worker failed: RuntimeError: cannot log in with [redacted] (tests/workers/test_worker.py:")
    assert record.reason is Reason.UNKNOWN
    assert KEY not in caplog.text
    assert messages(caplog) == ["worker.run_failed"]
    broken = False
    await fleet.resume("s")
    await fleet.until("s", State.AWAITING_INPUT)


class Exits:
    """Would end the process, in its constructor or in its step, there or in a task of its own."""

    def __init__(self, where: str) -> None:
        self._where = where
        if where == "constructor":
            sys.exit(1)

    async def step(self, ctx: Context) -> Step:
        """End it."""
        if self._where == "step":
            sys.exit(1)
        await asyncio.gather(self._tool(), asyncio.sleep(0))
        return Step()

    async def _tool(self) -> None:
        sys.exit(1)


@pytest.mark.parametrize(
    ("where", "failed"), [("constructor", "the worker"), ("step", "the agent's own code"), ("task", "the agent's own code")]
)
async def test_an_agent_that_would_end_the_process_ends_its_session(fleet: Fleet, where: str, failed: str) -> None:
    """And the worker goes on to the next."""
    agent: Agent | None = None
    await fleet.add_worker(lambda: agent or Exits(where))
    await fleet.start("s")
    record = await fleet.until("s", State.ERROR)
    assert record.why.startswith(f"{failed} failed: SystemExit: 1 (tests/workers/test_worker.py:")
    agent = ChatAgent()
    await fleet.start("t")
    await fleet.until("t", State.AWAITING_INPUT)


@pytest.mark.parametrize(
    ("error", "told"),
    [(LeaseLost("s"), []), (OutcomeUnknown(("a",)), ["worker.run_lost"]), (Unreachable("x"), ["worker.run_lost"])],
)
async def test_a_run_that_loses_the_bus_says_nothing(
    fleet: Fleet, caplog: pytest.LogCaptureFixture, error: Exception, told: list[str]
) -> None:
    """Its session stays with it until the lease ends; whoever takes over finds the history as it is."""
    worker = await fleet.add_worker()

    async def lost(*_: object, **__: object) -> Any:
        raise error

    worker.bus.worker.append = lost
    await fleet.start("s")
    await eventually(lambda: worker.part.claimed == 1 and worker.part.sessions == 0, PATIENCE_S)
    assert messages(caplog) == told
    assert (await fleet.bus.status("s")).state is State.RUNNING


async def test_a_release_that_is_refused_is_not_a_failure_of_the_worker(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody took the session in the closing moment."""
    worker = await fleet.add_worker()
    release = worker.bus.worker.release

    async def late(lease: Any, how: Ending) -> Any:
        await fleet.pause(lease.session)
        return await release(lease, how)

    worker.bus.worker.release = late
    await fleet.start("s")
    await eventually(lambda: worker.part.claimed == 1 and worker.part.sessions == 0, PATIENCE_S)
    assert messages(caplog) == []
    assert (await fleet.bus.status("s")).state is State.PAUSED
    worker.bus.worker.release = release
    await fleet.start("t")
    await fleet.until("t", State.AWAITING_INPUT)


async def test_a_defect_on_the_way_out_is_logged(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    """The worker goes on."""
    worker = await fleet.add_worker()
    release = worker.bus.worker.release

    async def broken(*_: object) -> Any:
        raise KeyError("a defect")

    worker.bus.worker.release = broken
    await fleet.start("s")
    await eventually(lambda: messages(caplog) == ["worker.run_failed"], PATIENCE_S)
    worker.bus.worker.release = release
    await fleet.start("t")
    await fleet.until("t", State.AWAITING_INPUT)


# the end


async def test_a_drained_worker_that_has_nothing_ends(fleet: Fleet) -> None:
    """At once, and claims no more."""
    worker = await fleet.add_worker(poll_s=60)
    worker.part.drain()
    await ended(worker)
    await fleet.start("s")
    assert (await fleet.bus.status("s")).state is State.QUEUED


async def test_a_drained_worker_lets_a_turn_end(fleet: Fleet) -> None:
    """Within the grace time."""
    gate = Gate()
    worker = await fleet.add_worker(lambda: Lingering(gate), drain_timeout_s=60)
    await fleet.start("s")
    await gate.reached()
    worker.part.drain()
    gate.open()
    await ended(worker)
    assert await fleet.said("s") == ["user: hello", "agent: You said: hello"]
    assert (await fleet.bus.status("s")).state is State.AWAITING_INPUT


async def test_a_drained_worker_hands_back_what_waits(fleet: Fleet) -> None:
    """What waits already, and what comes to wait: it is parked until then, and another worker goes on with it."""
    worker = await fleet.add_worker(concurrency=2, drain_timeout_s=60)
    fleet.script(LONG)
    await fleet.start("a")
    await fleet.until("a", State.RATE_LIMITED)
    fleet.script("503:retry-after=0.01", LONG)
    await fleet.start("b")
    await fleet.until_told("b", LlmRetry)
    worker.part.drain()
    await ended(worker)
    for session in ("a", "b"):
        assert not (await fleet.bus.status(session)).held
        released = await fleet.until_told(session, WorkerReleased)
        assert [notice.data.why for notice in released] == ["hand_back"]
    record = await fleet.bus.status("a")
    assert (record.state, record.parked, record.resume_at is not None) == (State.RATE_LIMITED, True, True)


async def test_a_drained_worker_hands_back_what_takes_too_long(fleet: Fleet) -> None:
    """When the grace time is over; the row of parks goes on where it was."""
    gate = Gate()
    worker = await fleet.add_worker(lambda: Lingering(gate), drain_timeout_s=0.05)
    await fleet.start("s")
    await gate.reached()
    worker.part.drain()
    await ended(worker)
    record = await fleet.bus.status("s")
    assert (record.state, record.why) == (State.QUEUED, "its worker ends")
    assert await fleet.said("s") == ["user: hello"]


async def test_a_cancelled_worker_hands_back(fleet: Fleet) -> None:
    """Also in the middle of a request, which the provider sees end."""
    async with Fleet(fleet.url, workers=0, controllers=0, provider=ProviderSettings(latency_s=60)) as slow:
        worker = await slow.add_worker()
        await fleet.start("s")
        await slow.until_requests(1)
        worker.task.cancel()
        await asyncio.wait({worker.task}, timeout=PATIENCE_S)
        assert worker.task.cancelled()
        assert (await fleet.bus.status("s")).state is State.QUEUED
        await eventually(lambda: slow.provider.requests[0].outcome == "abandoned", PATIENCE_S)


async def test_a_release_under_way_is_ended_first(fleet: Fleet) -> None:
    """A worker that is cancelled in the closing moment does not leave the session to its lease."""
    worker = await fleet.add_worker()
    release, gate = worker.bus.worker.release, Gate()

    async def slow(lease: Any, how: Ending) -> Any:
        await gate.stay()
        return await release(lease, how)

    worker.bus.worker.release = slow
    await fleet.start("s")
    await gate.reached()
    worker.task.cancel()
    done, _ = await asyncio.wait({worker.task}, timeout=0.3)
    assert done == set()
    gate.open()
    await asyncio.wait({worker.task}, timeout=PATIENCE_S)
    assert (await fleet.bus.status("s")).state is State.AWAITING_INPUT


async def test_a_release_is_not_waited_for_without_end(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After a while the lease runs out by itself."""
    monkeypatch.setattr("tidings.bus.worker.lease.RELEASE_S", 0.05)
    worker = await fleet.add_worker()

    async def never(*_: object) -> Any:
        await asyncio.Event().wait()

    worker.bus.worker.release = never
    await fleet.start("s")
    await eventually(lambda: messages(caplog) == ["lease.release_failed"], PATIENCE_S)
    assert [record.__dict__["cause"] for record in caplog.records if record.message == "lease.release_failed"] == ["TimeoutError"]
    await eventually(lambda: worker.part.sessions == 0, PATIENCE_S)
