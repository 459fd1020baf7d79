"""A bus that hangs or is gone: calls to models go on, and what was acknowledged is there afterwards."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterator

import pytest
import redis

from tests import actors
from tests.conftest import MakeServer
from tests.fleet import Fleet
from tests.readers import take
from tests.servers import RunningServer
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import AccessDenied, Bus, Event, LlmRetry, LoginRefused, State, WorkerLost
from tidings.workers.agent import ChatAgent
from tidings.workers.controller import Controller
from tidings.workers.provider import ProviderSettings
from tidings.workers.worker import Worker


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


@pytest.fixture
def guarded(make_server: MakeServer) -> RunningServer:
    """A server with a password, and a user who may change it."""
    return make_server(password="right-word", acl=["admin on >admin-word ~* &* +@all"])


@pytest.fixture
def admin(guarded: RunningServer) -> Iterator[redis.Redis]:
    """The one who changes passwords and rights meanwhile."""
    with redis.Redis(unix_socket_path=str(guarded.socket), username="admin", password="admin-word") as client:
        yield client


async def until_logged(caplog: pytest.LogCaptureFixture, event: str, words: str) -> None:
    """Wait until an event of the log has told a cause in such words."""

    def logged() -> bool:
        told = [record.__dict__["cause"] for record in caplog.records if record.message == event]
        return any(words in cause for cause in told)

    await eventually(logged, PATIENCE_S, f"{event}: {words}")


async def test_a_wrong_password_for_a_while_is_outlasted(
    guarded: RunningServer, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that was let in before waits, says what is wrong, and goes on with the right one; a newcomer is told at once."""
    caplog.set_level(logging.WARNING)
    async with Fleet(guarded.url) as fleet:
        await fleet.start("s")
        await fleet.until("s", State.AWAITING_INPUT)
        admin.acl_setuser("default", enabled=True, reset_passwords=True, passwords=["+another-word"])
        for kind in ("normal", "pubsub"):
            admin.client_kill_filter(_type=kind, skipme=True)
        for event in ("worker.unreachable", "controller.unreachable", "listener.disconnected"):
            await until_logged(caplog, event, "correct them in the address; it is tried again")
        with pytest.raises(LoginRefused):
            await fleet.say("s", "while it is wrong")
        with pytest.raises(AccessDenied):
            async with Bus.connect(guarded.url):
                pass
        admin.acl_setuser("default", enabled=True, reset_passwords=True, passwords=["+right-word"])
        await eventually(lambda: fleet.bus.connected, PATIENCE_S)
        await fleet.say("s", "again")
        await eventually(lambda: fleet.said("s"), PATIENCE_S)
        await fleet.until_requests(2)
        await fleet.until("s", State.AWAITING_INPUT)
        assert (await fleet.said("s"))[2:] == ["user: again", "agent: You said: again"]
        assert not any(running.task.done() for running in (*fleet.workers, *fleet.controllers))


async def test_rights_that_are_taken_away_for_a_while_are_missed(
    guarded: RunningServer, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker and a controller that could do their work wait until they can again; those that never could end with an error."""
    caplog.set_level(logging.WARNING)
    async with Fleet(guarded.url) as fleet:
        await fleet.start("s")
        await fleet.until("s", State.AWAITING_INPUT)
        admin.acl_setuser("default", enabled=True, commands=["-eval", "-evalsha", "-zrange"])
        for event in ("worker.unreachable", "controller.unreachable"):
            await until_logged(caplog, event, "ask for the right")
        async with Bus.connect(guarded.url) as bus:
            for late in (Controller(bus, fleet.settings(), "late"), Worker(bus, ChatAgent, fleet.settings(), "late")):
                with pytest.raises(AccessDenied):
                    await late.run()
        admin.acl_setuser("default", enabled=True, categories=["+@all"])
        await fleet.say("s", "again")
        await fleet.until_requests(2)
        await fleet.until("s", State.AWAITING_INPUT)
        assert (await fleet.said("s"))[2:] == ["user: again", "agent: You said: again"]


async def test_a_reader_outlasts_rights_that_are_taken_away_for_a_while(
    guarded: RunningServer, admin: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits, says once what is wrong, and goes on where it was; one that never could read ends with an error."""
    caplog.set_level(logging.WARNING)
    async with Bus.connect(guarded.url) as bus:
        claim = await actors.hold(bus)
        await claim.append(actors.answer("s", "one"), after=0)
        async with bus.follow("s", Event, reread_s=0.05) as events:
            await take(events, 1)
            admin.acl_setuser("default", enabled=True, commands=["-multi", "-xrange", "-hgetall", "-hmget"])
            reading = asyncio.create_task(take(events, 1))
            await until_logged(caplog, "subscription.waits", "ask for the right")
            with pytest.raises(AccessDenied):
                async with bus.follow("s", Event) as late:
                    await take(late, 1)
            admin.acl_setuser("default", enabled=True, categories=["+@all"])
            await claim.append(actors.answer("s", "two"), after=1)
            assert [getattr(item, "offset", item) for item in await reading] == [2]
