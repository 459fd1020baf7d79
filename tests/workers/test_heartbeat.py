"""A process says that it is there, and its work does not notice."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import MakeServer
from tests.waiting import eventually
from tidings.bus import AccessDenied, Bus, Presence, Role, Unreachable
from tidings.workers.agent import ChatAgent
from tidings.workers.controller import Controller
from tidings.workers.heartbeat import Heartbeat
from tidings.workers.settings import Settings
from tidings.workers.worker import Worker

ME = Presence(role=Role.WORKER, name="w1")


async def test_it_is_on_the_roll_while_it_is_entered(bus: Bus) -> None:
    """From the first moment on, with what it is right now, and gone at the end."""
    said = iter(range(1000))
    async with Heartbeat(bus, lambda: ME.model_copy(update={"concurrency": next(said)}), beat_s=0.01):

        async def again() -> bool:
            roll = await bus.admin.processes()
            return bool(roll) and roll[0].presence.concurrency >= 2

        await eventually(again, message="it speaks again and again")
    assert await bus.admin.processes() == ()


async def test_a_change_is_said_at_once(bus: Bus) -> None:
    """Long before the next beat, for those who wait for it."""
    said = iter(range(1000))

    async def heard(count: int) -> bool:
        return [one.presence.concurrency for one in await bus.admin.processes()] == [count]

    async with Heartbeat(bus, lambda: ME.model_copy(update={"concurrency": next(said)}), beat_s=3600) as heartbeat:
        await eventually(lambda: heard(0))
        heartbeat.renew()
        await eventually(lambda: heard(1))


async def test_it_outlasts_a_server_that_is_away(make_server: MakeServer) -> None:
    """Entering and working are not held up; when the server is back so is the process."""
    server = make_server()
    async with Bus.connect(server.url) as bus, Heartbeat(bus, lambda: ME, beat_s=0.01):
        await eventually(bus.admin.processes, message="it is there")
        server.kill()
        with pytest.raises(Unreachable):
            await bus.admin.processes()
        await asyncio.to_thread(server.start)
        await eventually(bus.admin.processes, message="it is there again")
        server.kill()
        # Left without a server: bounded, and no error.


async def test_it_leaves_a_frozen_server_behind_in_time(make_server: MakeServer) -> None:
    """A server that does not answer holds the end up for two seconds at most."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        async with Heartbeat(bus, lambda: ME, beat_s=0.01):
            await eventually(bus.admin.processes, message="it is there")
            server.freeze()
        server.thaw()


async def test_a_missing_right_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """The work goes on without a presence; the log does not fill."""

    class Refusing:
        tries = 0

        async def attend(self, presence: Presence) -> None:
            self.tries += 1
            raise AccessDenied("no right to EVALSHA")

        async def leave(self, presence: Presence) -> None:
            raise AccessDenied("no right to EVALSHA")

    admin = Refusing()
    bus: Any = SimpleNamespace(admin=admin)
    async with Heartbeat(bus, lambda: ME, beat_s=0.001):
        await eventually(lambda: admin.tries > 5)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == ["heartbeat.denied"]


async def test_a_defect_in_a_description_ends_nothing(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the process goes on."""

    def describe() -> Presence:
        raise RuntimeError("no idea who I am")

    async with Heartbeat(bus, describe, beat_s=0.01):
        await eventually(lambda: len(caplog.records) > 1)
    assert {record.getMessage() for record in caplog.records} == {"heartbeat.failed"}


async def test_workers_and_controllers_attend(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each says what it is, and leaves when it is told to end."""
    monkeypatch.setattr("tidings.workers.worker.load_litellm", lambda: None)
    settings = Settings(model="openai/x", concurrency=3)
    worker, controller = Worker(bus, ChatAgent, settings, name="w1"), Controller(bus, settings, name="c1")
    tasks = [asyncio.create_task(worker.run()), asyncio.create_task(controller.run())]

    async def both() -> bool:
        roll = await bus.admin.processes()
        return len(roll) == 2 and not any(one.presence.starting for one in roll)

    await eventually(both, message="both are on the roll")
    one, other = (member.presence for member in await bus.admin.processes())
    assert (one.role, one.name, one.concurrency, one.model) == (Role.CONTROLLER, "c1", 0, None)
    assert (other.role, other.name, other.concurrency, other.model) == (Role.WORKER, "w1", 3, "openai/x")
    assert other.host == one.host != ""
    assert other.started_at is not None
    worker.drain()
    controller.stop()
    await asyncio.gather(*tasks)
    assert await bus.admin.processes() == ()
