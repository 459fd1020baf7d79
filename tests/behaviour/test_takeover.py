"""Workers as processes of their own, that are killed or told to end."""

from __future__ import annotations

import asyncio
import signal
from asyncio.subprocess import Process

import pytest

from tests.conftest import MakeServer, SpawnTidings
from tests.fleet import KEY, Fleet
from tests.waiting import PATIENCE_S
from tidings.bus import State, WorkerClaimed, WorkerLost, WorkerReleased
from tidings.workers.provider import ProviderSettings

pytestmark = pytest.mark.process

LEASE_S = 4.0
"""The first call of a process keeps its event loop busy for a second or more; a lease outlasts that."""


async def _spawn_worker(spawn_tidings: SpawnTidings, fleet: Fleet, url: str) -> Process:
    settings = {
        "TIDINGS_REDIS_URL": url,
        "TIDINGS_API_BASE": fleet.provider.base_url,
        "TIDINGS_MODEL": "openai/x",
        "TIDINGS_LEASE_S": str(LEASE_S),
        "TIDINGS_RENEW_S": "0.1",
        "TIDINGS_POLL_S": "0.1",
        "OPENAI_API_KEY": KEY,
    }
    return await spawn_tidings("worker", "--name", "child", env=settings)


async def test_a_killed_worker_is_followed_by_another(make_server: MakeServer, spawn_tidings: SpawnTidings) -> None:
    """Its session goes on elsewhere when its lease has run out, and each event that was acknowledged is there once."""
    server = make_server()
    async with Fleet(server.url, workers=0, lease_s=LEASE_S, provider=ProviderSettings()) as fleet:
        child = await _spawn_worker(spawn_tidings, fleet, server.url)
        await fleet.start("s", "one")
        await fleet.until("s", State.AWAITING_INPUT)
        fleet.script("timeout")
        await fleet.say("s", "two")
        await fleet.until_requests(2)
        child.kill()
        await child.wait()
        await fleet.add_worker()
        (lost,) = await fleet.until_told("s", WorkerLost)
        assert lost.data.worker is not None
        assert (lost.data.worker.name, lost.data.worker.pid) == ("child", child.pid)
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: one", "agent: You said: one", "user: two", "agent: You said: two"]
        history = await fleet.history("s")
        assert [event.offset for event in history] == [1, 2, 3, 4]
        assert len({event.id for event in history}) == 4
        assert len(fleet.provider.requests) == 3


@pytest.mark.full
async def test_sigterm_hands_back_what_only_waits(make_server: MakeServer, spawn_tidings: SpawnTidings) -> None:
    """It claims no more and ends with 0; the wait goes on without a worker, and another goes on when a person resumes."""
    server = make_server()
    async with Fleet(server.url, workers=0, lease_s=LEASE_S) as fleet:
        child = await _spawn_worker(spawn_tidings, fleet, server.url)
        fleet.script("429:retry-after=50")
        await fleet.start("s")
        await fleet.until("s", State.RATE_LIMITED)
        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            assert await child.wait() == 0
        assert (await fleet.bus.status("s")).parked
        await fleet.add_worker()
        await fleet.resume("s")
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: hello", "agent: You said: hello"]
        assert [notice.data.worker.name for notice in fleet.of("s", WorkerClaimed)] == ["child", "w1"]
        assert fleet.of("s", WorkerReleased)[0].data.why == "hand_back"
        assert fleet.of("s", WorkerLost) == []


@pytest.mark.full
async def test_sigterm_lets_a_request_in_flight_end(make_server: MakeServer, spawn_tidings: SpawnTidings) -> None:
    """Within the grace time the turn ends as if nothing had been said."""
    server = make_server()
    async with Fleet(server.url, workers=0, provider=ProviderSettings(latency_s=0.5)) as fleet:
        child = await _spawn_worker(spawn_tidings, fleet, server.url)
        await fleet.start("s")
        await fleet.until_requests(1)
        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            assert await child.wait() == 0
        assert (await fleet.bus.status("s")).state is State.AWAITING_INPUT
        assert await fleet.said("s") == ["user: hello", "agent: You said: hello"]
        assert len(fleet.provider.requests) == 1
