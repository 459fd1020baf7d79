"""What is left of each promise when the server loses what its durability lets it lose: the table of docs/guarantees.md.

Each test makes a point that is on the disk (or at the replica), goes on, and then cuts the power. What came after that point is
what `everysec`, snapshots and a failover may lose; without a log everything is lost, with `always` nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from tests import actors
from tests.conftest import MakeServer
from tests.fleet import QUICK, Running
from tests.readers import take
from tests.servers import RunningServer
from tests.waiting import eventually
from tidings.bus import (
    Bus,
    Event,
    Gap,
    Lease,
    LeaseLost,
    Message,
    Result,
    SessionHeld,
    SessionPause,
    SessionStart,
    State,
    UnknownSession,
    Unreachable,
    WorkerRef,
)
from tidings.workers.controller import Controller
from tidings.workers.settings import Settings

T = TypeVar("T")

MODES = ("always", "everysec", "snapshots", "failover", "no log")
KEEPS_ALL, KEEPS_SOME = {"always"}, {"everysec", "snapshots", "failover"}


@dataclass
class Machine:
    """A server in one mode of durability.

    Attributes:
        safe: bytes of the append-only file at the last point.
        replica: what takes over in a failover.
    """

    mode: str
    server: RunningServer
    make_server: MakeServer
    safe: int = 0
    replica: RunningServer | None = field(default=None)

    async def point(self) -> None:
        """Have `cut_power` keep what was acknowledged so far and nothing of what comes; the extremes need nothing."""
        if self.mode == "everysec":
            self.safe = self._file.stat().st_size
        elif self.mode == "snapshots":
            self.server.command("SAVE")
        elif self.mode == "failover":
            self.replica = self.make_server()
            self.replica.command("REPLICAOF", "127.0.0.1", self.server.port)
            await eventually(self._caught_up)
            self.replica.command("REPLICAOF", "NO", "ONE")

    def _caught_up(self) -> bool:
        """The replica has all that its master has."""
        told = self.server.command("INFO", "replication")
        replica = told.get("slave0", {})
        return bool(replica.get("state") == "online" and replica.get("offset") == told["master_repl_offset"])

    def cut_power(self) -> None:
        """End the server without warning, and start it, or its successor, at the same address with what is left."""
        self.server.kill()
        if self.replica is not None:
            self.replica.socket.rename(self.server.socket)
            return
        if self.mode == "everysec":
            # What was not fsynced is gone; the system may keep any part of it, here none.
            with self._file.open("rb+") as file:
                file.truncate(self.safe)
        self.server.start()

    @property
    def _file(self) -> Any:
        return next(self.server.data.glob("appendonlydir/*.incr.aof"))


@pytest.fixture(params=MODES)
def machine(request: pytest.FixtureRequest, make_server: MakeServer) -> Machine:
    """A server in each mode."""
    kept = request.param in ("always", "everysec")
    # The file is only added to, so that it can be cut where it was fsynced.
    extra = ["auto-aof-rewrite-percentage 0"] if kept else ["repl-diskless-sync-delay 0"]
    return Machine(request.param, make_server(appendonly=kept, extra=extra), make_server)


@pytest.fixture
async def bus(machine: Machine) -> AsyncIterator[Bus]:
    """A bus that stays connected, as far as it can."""
    async with Bus.connect(machine.server.url, heartbeat_s=0.2) as connected:
        yield connected


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Try again while the server is away."""

    async def reached() -> list[T]:
        """The server answers."""
        try:
            return [await call()]
        except Unreachable:
            return []

    return (await eventually(reached))[0]


async def append(bus: Bus, claim: Lease, *texts: str, after: int = 0) -> None:
    """Append events, and have them acknowledged."""
    await claim.append(*[actors.answer(claim.session, text) for text in texts], after=after)


def texts(events: tuple[Message[Event], ...]) -> list[str]:
    """Return what was said."""
    return [getattr(event.data, "text", "") for event in events]


@asynccontextmanager
async def controlled(machine: Machine) -> AsyncIterator[None]:
    """A controller on that server."""
    running = Running(machine.server.url)
    await running.begin(lambda bus: Controller(bus, Settings(**QUICK | {"lease_s": 0.5}), name="c1"))
    try:
        yield
    finally:
        await running.end()


async def test_what_is_left_of_a_history(machine: Machine, bus: Bus) -> None:
    """All; or what was there at the point, whole and in order; or nothing, and that is told."""
    claim = await actors.hold(bus)
    await append(bus, claim, "1", "2")
    await machine.point()
    await append(bus, claim, "3", "4", after=2)
    machine.cut_power()
    if machine.mode == "no log":
        with pytest.raises(UnknownSession):
            await patiently(lambda: bus.history("s"))
        return
    left = texts(await patiently(lambda: bus.history("s")))
    assert left == (["1", "2", "3", "4"] if machine.mode in KEEPS_ALL else ["1", "2"])


async def test_readers_are_told_what_was_lost(machine: Machine, bus: Bus) -> None:
    """Who has read what is not there any more gets one gap, and then what is there; otherwise none."""
    claim = await actors.hold(bus)
    await append(bus, claim, "1", "2")
    async with bus.follow("s", Event) as events:
        await take(events, 2)
        await machine.point()
        await append(bus, claim, "3", after=2)
        await take(events, 1)
        machine.cut_power()
        again = await patiently(lambda: actors.hold(bus)) if machine.mode == "no log" else claim
        written = 3 if machine.mode in KEEPS_ALL else 2 if machine.mode in KEEPS_SOME else 0
        await append(bus, again, "later", after=written)
        told = await take(events, 1)
        if machine.mode in KEEPS_ALL:
            assert not isinstance(told[0], Gap)
            return
        assert isinstance(told[0], Gap)
        assert told[0].why == "reset"
        rest = await take(events, written + 1)
        assert texts(tuple(item for item in rest if not isinstance(item, Gap)))[-1] == "later"


async def test_one_worker_appends(machine: Machine, bus: Bus) -> None:
    """Where the claim was lost the next worker gets the same number, and the first one writes nothing more."""
    await actors.queue(bus, "s")
    await machine.point()
    first = await actors.hold(bus, who=WorkerRef(name="w1"))
    machine.cut_power()
    if machine.mode in KEEPS_ALL:
        with pytest.raises(SessionHeld):
            await patiently(lambda: actors.hold(bus, who=WorkerRef(name="w2")))
        await append(bus, first, "of the first")
        return
    second = await patiently(lambda: actors.hold(bus, who=WorkerRef(name="w2")))
    if machine.mode in KEEPS_SOME:
        assert second.token == first.token
    with pytest.raises(LeaseLost):
        await append(bus, first, "of the first")
    await append(bus, second, "of the second")
    assert texts(await bus.history("s")) == ["of the second"]


async def test_a_command_sent_again_has_one_true_outcome(machine: Machine, bus: Bus) -> None:
    """The one that it had; one that is decided anew where the state that it led to was lost; none where the session was."""
    start = Message.of(SessionStart(by="ann", text="hello"), session="s")
    pause = Message.of(SessionPause(by="ann"), session="s")
    async with controlled(machine):
        await actors.send(bus, start, 10.0)
        await machine.point()
        first = await actors.send(bus, pause, 10.0)
        machine.cut_power()
        if machine.mode == "no log":
            with pytest.raises(UnknownSession):
                await patiently(lambda: bus.status("s"))
            return
        again = await patiently(lambda: actors.send(bus, pause, 10.0))
        assert (first.result, again.result) == (Result.APPLIED, Result.APPLIED)
        record = await bus.status("s")
        assert (record.state, record.version) == (State.PAUSED, again.version)
        assert texts(await bus.history("s")) == ["hello"]


async def test_a_session_that_is_there_has_a_holder(machine: Machine, bus: Bus) -> None:
    """A worker that is gone with the power is followed by another one; a session that is lost can be started again."""
    async with controlled(machine):
        await bus.send("s", SessionStart(by="ann", text="hello"), 10.0)
        await machine.point()
        await bus.worker.claim(WorkerRef(name="w1"), session="s", lease_s=0.5)
        machine.cut_power()
        if machine.mode == "no log":
            with pytest.raises(UnknownSession):
                await patiently(lambda: bus.status("s"))
            await bus.send("s", SessionStart(by="ann", text="hello"), 10.0)

        async def claimed() -> Lease | None:
            """Another worker takes the session over."""
            return await patiently(lambda: bus.worker.claim(WorkerRef(name="w2")))

        claim = await eventually(claimed)
        assert claim is not None
        assert claim.session == "s"
