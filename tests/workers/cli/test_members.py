"""`tidings workers` and `tidings health`."""

from __future__ import annotations

import json
import socket

from tests.workers.cli.conftest import Tidings
from tidings.bus import Bus, Presence, Role
from tidings.bus.channels import Names

HERE = socket.gethostname()
WORKER = Presence(role=Role.WORKER, name="w1", host=HERE, pid=7, version="1.2", sessions=("sea",), concurrency=4, model="m")


async def _silence(bus: Bus, presence: Presence) -> None:
    """Make it as if it had not been heard of for a minute."""
    await bus.admin.attend(presence)
    seconds = bus.now().timestamp() - 60
    await bus._context.connection.commands.zadd(Names().seen, {presence.member: seconds * 1000})


async def test_processes_are_listed(tidings: Tidings, server_bus: Bus) -> None:
    """One line each, with a word for whether it lives, and nothing that a terminal obeys."""
    await server_bus.admin.attend(WORKER)
    await server_bus.admin.attend(Presence(role=Role.CONTROLLER, name="c\x1b[31m1", draining=True))
    await server_bus.admin.attend(Presence(role=Role.WORKER, name="w0", starting=True))
    await _silence(server_bus, Presence(role=Role.WORKER, name="w2"))
    done = await tidings("workers")
    assert done.code == 0
    lines = done.stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["draining", "starting", "live", "silent"]
    assert "1/4" in lines[2]
    assert "\x1b" not in done.stdout


async def test_processes_as_json(tidings: Tidings, server_bus: Bus) -> None:
    """Stable fields, null where there is nothing."""
    await server_bus.admin.attend(WORKER)
    (line,) = (await tidings("workers", "--json")).stdout.splitlines()
    told = json.loads(line)
    assert told.pop("seen_at")
    assert told == {
        "role": "worker",
        "name": "w1",
        "host": HERE,
        "pid": 7,
        "version": "1.2",
        "model": "m",
        "sessions": ["sea"],
        "concurrency": 4,
        "queues": [],
        "agents": [],
        "starting": False,
        "draining": False,
        "unreadable": 0,
        "skipped": 0,
        "started_at": None,
        "live": True,
    }


async def test_health_is_of_this_machine(tidings: Tidings, server_bus: Bus) -> None:
    """A worker elsewhere, or a controller here, does not make the worker here healthy."""
    await server_bus.admin.attend(WORKER.model_copy(update={"host": "elsewhere"}))
    await server_bus.admin.attend(Presence(role=Role.CONTROLLER, name="c1", host=HERE))
    done = await tidings("health", "worker")
    assert (done.code, done.stdout) == (1, "")
    assert f"no worker on {HERE} is alive" in done.stderr
    await server_bus.admin.attend(WORKER)
    done = await tidings("health", "worker")
    assert (done.code, done.stdout.strip()) == (0, f"1 worker on {HERE} alive")
    assert json.loads((await tidings("health", "worker", "--json")).stdout)["name"] == "w1"


async def test_a_worker_that_is_starting_is_not_healthy_yet(tidings: Tidings, server_bus: Bus) -> None:
    """It is there, and claims nothing."""
    await server_bus.admin.attend(WORKER.model_copy(update={"starting": True}))
    done = await tidings("health", "worker")
    assert (done.code, done.stdout) == (1, "")
    assert "works yet: it is starting" in done.stderr


async def test_a_silent_process_is_not_healthy(tidings: Tidings, server_bus: Bus) -> None:
    """It says since when."""
    await _silence(server_bus, WORKER)
    done = await tidings("health", "worker", "--name", "w1")
    assert done.code == 1
    assert "named w1 is alive; last heard of 1m" in done.stderr


async def test_health_of_what_has_none_is_a_mistake(tidings: Tidings, server_bus: Bus) -> None:
    """Viewers are no processes."""
    assert (await tidings("health", "viewer")).code == 2


async def test_health_without_a_server_is_none(tidings: Tidings) -> None:
    """Nothing can be said to live."""
    assert (await tidings("health", "worker", "--redis", "redis://127.0.0.1:1")).code == 1
