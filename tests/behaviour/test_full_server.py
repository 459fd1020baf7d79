"""A server whose memory is used up: sessions can be deleted, those that are held are kept, and all else is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests import actors
from tests.conftest import MakeServer
from tests.fleet import Fleet
from tests.servers import RunningServer
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import (
    Bus,
    Ending,
    Message,
    Presence,
    Role,
    ServerFull,
    SessionDelete,
    SessionDeleted,
    SessionStart,
    SessionStop,
    State,
    Trigger,
    WorkerRef,
)
from tidings.workers.provider import ProviderSettings


@pytest.fixture
def server(make_server: MakeServer) -> RunningServer:
    """A server of the test's own, with room for now."""
    return make_server()


@pytest.fixture
async def bus(server: RunningServer) -> AsyncIterator[Bus]:
    """A bus on it."""
    async with Bus.connect(server.url) as connected:
        yield connected


def fill(server: RunningServer, over: int = 0) -> None:
    """Let the server use so many bytes more than it may; 0: so much more that nothing helps."""
    used = int(server.command("INFO", "memory")["used_memory"])
    server.command("CONFIG", "SET", "maxmemory", used - over if over else 1)


async def test_what_is_held_is_kept_and_put_down_and_nothing_begins(server: RunningServer, bus: Bus) -> None:
    """Renewal, release and presence pass; a claim, an answer, a notice and an import are refused, and leave nothing half done."""
    await actors.queue(bus, "waiting")
    claim = await actors.hold(bus)
    before = await actors.snapshot(bus)
    fill(server)
    assert (await actors.renew(claim, actors.limited())).held
    await bus.admin.attend(Presence(role=Role.WORKER, name="w", host="here", pid=1))
    assert len(await bus.admin.processes()) == 1
    for refused in (
        bus.worker.claim(WorkerRef(name="w2")),
        claim.append(actors.answer("s"), after=0, patience_s=0.1),
        actors.publish(bus, actors.retry("s")),
    ):
        with pytest.raises(
            ServerFull, match=r"the server is full: .* delete sessions \(tidings delete\), or raise its maxmemory"
        ):
            await refused
    after = await actors.snapshot(bus)
    assert (after.record.events, after.record.status) == (before.record.events, before.record.status)
    assert (await bus.status("waiting")).state is State.QUEUED
    assert await claim.release(Ending(Trigger.YIELD, read=0)) is State.AWAITING_INPUT


async def test_a_full_server_is_emptied(server: RunningServer) -> None:
    """A deletion goes all its way, also of what a worker holds; other commands are refused until there is room."""
    async with Fleet(server.url, provider=ProviderSettings(latency_s=60)) as fleet:
        await fleet.start("s", "x" * 200_000)
        await fleet.until_requests(1)
        for _ in range(9):
            await fleet.say("s", "x" * 200_000)
        fill(server, over=1_000_000)
        for refused in (
            Message.of(SessionStart(text="hello"), session="new"),
            Message.of(SessionStop(), session="s"),
        ):
            with pytest.raises(ServerFull):
                await fleet.send(refused)
        await fleet.send(Message.of(SessionDelete(by="ann"), session="s"))
        with pytest.raises(SessionDeleted):
            await fleet.say("s", "are you there?")
        await eventually(lambda: fleet.provider.requests[0].outcome == "abandoned", PATIENCE_S)
        await fleet.start("new")
        await fleet.until("new", State.RUNNING)


async def test_an_answer_waits_for_room(server: RunningServer) -> None:
    """It was paid for: its worker keeps the session, for longer than a lease, and stores it once when there is room."""
    async with Fleet(server.url, lease_s=0.8, provider=ProviderSettings(latency_s=0.3)) as fleet:
        await fleet.start("s")
        await fleet.until_requests(1)
        fill(server)
        await eventually(lambda: fleet.provider.requests[0].outcome == "ok", PATIENCE_S)
        held = await fleet.bus.status("s")
        await asyncio.sleep(2 * 0.8)
        assert (await fleet.bus.status("s")).token == held.token
        server.command("CONFIG", "SET", "maxmemory", 0)
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: hello", "agent: You said: hello"]
        assert len(fleet.provider.requests) == 1


async def test_the_children_of_what_is_deleted_are_stopped(server: RunningServer, bus: Bus) -> None:
    """The commands of a controller pass as well: without them a deletion would not come to its end."""
    async with Fleet(server.url, workers=0) as fleet:
        await fleet.start("parent")
        data = SessionStart(text="hello", parent="parent", name="helper")
        await fleet.send(Message.of(data, session="child"))
        fill(server)
        await fleet.send(Message.of(SessionDelete(), session="parent"))
        await fleet.until("child", State.STOPPED)
