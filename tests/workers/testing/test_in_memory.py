"""A bus in memory whose time a clock moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidings.bus import Bus, UnknownSession, WorkerRef
from tidings.bus.redis import open_connection
from tidings.workers.testing import Clock, memory_bus
from tidings.workers.testing import in_memory as module

WORKER = WorkerRef(name="w1")


def _ahead(bus: Bus) -> timedelta:
    return bus.now() - datetime.now(UTC)


async def test_a_bus_in_memory_is_private() -> None:
    """Two of them share nothing."""
    async with memory_bus() as one, memory_bus() as other:
        await one.worker.claim(WORKER, session="s", create=True)
        with pytest.raises(UnknownSession):
            await other.status("s")


async def test_a_move_is_known_to_the_bus_at_once() -> None:
    """The bus' own idea of the server's time moves in the same turn of the loop."""
    clock = Clock()
    async with memory_bus(clock) as bus:
        assert abs(_ahead(bus)) < timedelta(seconds=30)
        clock.move(1000.0)
        assert timedelta(seconds=970) < _ahead(bus) < timedelta(seconds=1030)


async def test_commands_scripts_and_transactions_go_by_the_moved_time() -> None:
    """TIME, the leases that scripts grant, and the snapshots of controllers agree with the bus."""
    clock = Clock()
    async with memory_bus(clock) as bus, open_connection(bus.url) as connection:
        clock.move(10_000.0)
        seconds, _ = await connection.commands.time()
        assert abs(seconds - bus.now().timestamp()) < 30
        claim = await bus.worker.claim(WORKER, session="s", create=True, lease_s=60)
        assert claim is not None
        assert timedelta(seconds=30) < claim.until - bus.now() < timedelta(seconds=90)
        snapshot = await bus.controller.snapshot("s")
        assert snapshot is not None
        assert abs(snapshot.now - bus.now()) < timedelta(seconds=30)


async def test_what_becomes_due_by_a_move_is_taken() -> None:
    """A lease of a minute is due for controllers once the clock was moved beyond it."""
    clock = Clock()
    async with memory_bus(clock) as bus:
        await bus.worker.claim(WORKER, session="s", create=True, lease_s=60)
        assert (await bus.controller.due()).sessions == ()
        clock.move(61.0)
        assert (await bus.controller.due()).sessions == ("s",)


async def test_the_time_of_other_servers_stays_as_it_is() -> None:
    """Only the one server is touched, not fakeredis."""
    clock = Clock()
    async with memory_bus(clock) as moved, memory_bus() as other, Bus.connect("memory://") as third:
        clock.move(1000.0)
        async with open_connection(other.url) as connection:
            seconds, _ = await connection.commands.time()
            assert abs(seconds - datetime.now(UTC).timestamp()) < 30
        assert clock.governs(moved)
        assert not clock.governs(third)


async def test_a_bus_without_a_clock_has_the_usual_time() -> None:
    """A clock is not needed to have a private bus."""
    async with memory_bus() as bus:
        assert abs(_ahead(bus)) < timedelta(seconds=30)
        with pytest.raises(UnknownSession):
            await bus.status("s")


async def test_a_fakeredis_that_cannot_be_moved_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that would wait for ever are not begun."""

    class Deaf(list[Any]):
        def __init__(self, *_: object) -> None:
            super().__init__()

    monkeypatch.setattr(module, "_Sockets", Deaf)
    with pytest.raises(RuntimeError, match="does not let its time be moved"):
        async with memory_bus(Clock()):
            pass
