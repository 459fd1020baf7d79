"""A bus that hangs or is gone: calls to models go on, and what was acknowledged is there afterwards."""

from __future__ import annotations

import itertools

from bus import LlmRetry, State, WorkerLost
from tests.conftest import MakeServer
from tests.fleet import Fleet
from tests.waiting import eventually
from workers.provider import ProviderSettings


async def test_a_frozen_bus_delays_no_call(make_server: MakeServer) -> None:
    """While it hangs in the middle of a back-off the provider gets its requests, as long as the lease allows."""
    server = make_server()
    async with Fleet(server.url, lease_s=30) as fleet:
        fleet.script("503:retry-after=0.4", "503:retry-after=0.4", "503:retry-after=0.4")
        await fleet.start("s")
        await fleet.until_told("s", LlmRetry)
        server.freeze()
        try:
            requests = await fleet.until_requests(4)
            await eventually(lambda: fleet.provider.requests[-1].outcome == "ok")
        finally:
            server.thaw()
        waits = [later.at - earlier.at for earlier, later in itertools.pairwise(requests)]
        assert min(waits) >= 0.4
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: hello", "agent: You said: hello"]
        assert len(fleet.provider.requests) == 4


async def test_a_bus_that_is_gone_fails_no_call(make_server: MakeServer) -> None:
    """The answer waits for the server to come back and is stored once; nobody is taken for lost."""
    server = make_server(appendonly=True)
    async with Fleet(server.url, lease_s=30, provider=ProviderSettings(latency_s=0.3)) as fleet:
        fleet.script("500:retry-after=0.1")
        await fleet.start("s")
        await fleet.until_requests(1)
        server.kill()
        await fleet.until_requests(2)
        await eventually(lambda: fleet.provider.requests[-1].outcome == "ok")
        server.start()
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: hello", "agent: You said: hello"]
        assert len(fleet.provider.requests) == 2
        assert fleet.of("s", WorkerLost) == []


async def test_a_session_outlasts_an_absence_that_is_longer_than_its_lease(make_server: MakeServer) -> None:
    """Its worker gave it up by its own clock; when the server is back it is queued again and answered once."""
    server = make_server(appendonly=True)
    async with Fleet(server.url, lease_s=1.0, provider=ProviderSettings(latency_s=60)) as fleet:
        await fleet.start("s")
        await fleet.until_requests(1)
        server.kill()
        await eventually(lambda: fleet.provider.requests[0].outcome == "abandoned")
        server.start()
        await fleet.until_requests(2)
        assert await fleet.said("s") == ["user: hello"]
        await fleet.stop("s")
