"""One run: a server, actors, faults by the seed, rest, and what was recorded of it all."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
from dataclasses import dataclass
from pathlib import Path

import redis.asyncio as redis

from tests.chaos import record
from tests.chaos.actor import LEASE, MARKER, SESSIONS, open_files
from tests.chaos.faults import Family, Planned, schedule
from tests.chaos.final import at_rest, attended, connections, hear_outcomes, note_final, note_outcomes, until
from tests.chaos.injector import Injector
from tests.chaos.processes import Cast, prepare
from tests.chaos.server import ChaosServer, Durability
from tests.waiting import PATIENCE_S
from tidings.workers.testing.patience import stretch

PLACES = ("controller-1", "controller-2", "worker-1", "worker-2", "writer-1", "writer-2", "reader-1", "person-1")
"""The actors of a run."""
MORTAL = PLACES[:6]
WRITERS = PLACES[4:6]
PASSWORD = "Vx7-planted-Qm2rLk"
CLOCK_S = 3.0
"""How wrong an actor may be about the server's time: half of what its question took, and a black hole lasts 2.5 s."""
REST_S = 45.0 * stretch()
"""How long all may take to come to rest after the last fault, and then to end; a machine with nothing else to do takes two."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is.

    Attributes:
        seed: what everything is drawn from.
        durability: of the server.
        family: of the faults.
        seconds: how long faults happen.
        binary: the server's program.
        folder: where it is recorded.
    """

    seed: int
    durability: Durability
    family: Family
    seconds: float
    binary: Path
    folder: Path

    def chance(self, what: str) -> random.Random:
        """Return what a part of the run draws from."""
        return random.Random(f"{self.seed}/{self.durability}/{self.family}/{what}")

    def faults(self) -> list[Planned]:
        """Return what goes wrong, in order."""
        return schedule(self.chance("faults"), self.durability, self.family, self.seconds, PLACES, MORTAL)


async def run(plan: Plan) -> list[record.Entry]:
    """Do one run; returns what was recorded."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    recorder = record.Recorder(plan.folder / "run.jsonl", "run")
    told = record.Run(mode=plan.durability, seed=plan.seed, lease_s=LEASE, clock_s=CLOCK_S, marker=MARKER, secrets=(PASSWORD,))
    recorder.note(told)
    server = ChaosServer(plan.binary, plan.durability, PASSWORD)
    prepare()
    before = open_files()
    try:
        await server.start()
        await _play(plan, server, recorder)
    finally:
        await server.close()
    _note_left(recorder, before)
    recorder.close()
    return record.read(plan.folder)


async def _play(plan: Plan, server: ChaosServer, recorder: record.Recorder) -> None:
    hearing = asyncio.create_task(hear_outcomes(server.running.url, recorder), name="chaos-outcomes")
    try:
        seed = f"{plan.seed}/{plan.durability}/{plan.family}"
        async with Cast(PLACES, server.running, server.login, seed, plan.folder, recorder) as cast:
            async with redis.Redis.from_url(server.running.url, socket_timeout=PATIENCE_S) as client:
                await until(lambda: attended(client, 4), REST_S)
            injector = Injector(plan.chance("crashes"), server, cast, recorder)
            try:
                await injector.run(plan.faults())
            finally:
                await injector.heal()
            await cast.settle(REST_S)
            async with redis.Redis.from_url(server.running.url, socket_timeout=PATIENCE_S) as client:
                await _end(client, cast, recorder)
                names = sorted(path.stem for path in plan.folder.glob("*.log"))
                for name in names:
                    recorder.note(record.Output(name=name, text=cast.log(name)))
    finally:
        hearing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await hearing


async def _end(client: redis.Redis, cast: Cast, recorder: record.Recorder) -> None:
    """Let people and writers go, wait for rest, note what is there, let the others go, and note what they leave behind."""
    # Writers go too: one that has lost its session tells notices to the end of its turn all the same.
    await cast.dismiss(["person-1", *WRITERS], REST_S)
    if not await until(lambda: at_rest(client), REST_S):
        what = f"{REST_S:g} s after the last fault there are sessions that are queued, held, due or wait for a controller"
        recorder.note(record.Left(kind="movement", count=1, what=what))
    workers = tuple(actor.name for place, actor in cast.alive.items() if place.startswith("w"))
    await note_final(client, recorder, SESSIONS, workers)
    await note_outcomes(client, recorder)
    await cast.dismiss(["reader-1"], REST_S)
    await cast.dismiss([place for place in MORTAL if place not in WRITERS], REST_S)

    async def alone() -> bool:
        return len(await connections(client)) <= 1  # the listener of the outcomes

    if not await until(alone, 2.0):
        left = await connections(client)
        recorder.note(record.Left(kind="connection", count=len(left) - 1, what=", ".join(left)))


def _note_left(recorder: record.Recorder, before: list[str]) -> None:
    """Note what of our own is still there: tasks and open files."""
    gc.collect()
    tasks = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    if tasks:
        recorder.note(record.Left(kind="task", count=len(tasks), what=", ".join(tasks)))
    if files := [name for name in open_files() if name not in before and f"pid:{os.getpid()}" not in name]:
        recorder.note(record.Left(kind="file", count=len(files), what=", ".join(files)))
