"""The processes of a run's actors: forked, killed, stopped, followed by others, and gone when we are gone."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.chaos import record
from tests.chaos.actor import Order, main
from tests.proxy import Proxy
from tests.servers import RunningServer

_AGAIN_S = 0.2


def prepare() -> ForkServerContext:
    """Start what forks the actors, which has imported all that they need; it ends with us."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.chaos.actor"])
    forkserver.ensure_running()
    return context


class Actor:
    """One process.

    Attributes:
        name: no other process has it.
        ended: whether it has ended, whatever the cause.
    """

    def __init__(self, name: str, process: BaseProcess, tie: Connection) -> None:
        self.name = name
        self._process, self._tie = process, tie
        self.sentinel = process.sentinel
        self.pid = process.pid or 0
        self.ended = asyncio.Event()
        self.wanted = False
        """Whether its end is ours."""

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def end(self, number: signal.Signals) -> None:
        """Have it end. It is told once: a second SIGTERM may meet what cannot take it any more."""
        told, self.wanted = self.wanted, True
        if not told or number is not signal.SIGTERM:
            self.send(number)

    def close(self) -> int:
        """Let go of it after its end; returns its exit code."""
        self._process.join()
        code = self._process.exitcode
        self._process.close()
        self._tie.close()
        self.ended.set()
        return code or 0


class _Guard:
    """Kills the actors when we are gone, also those that are stopped and cannot end by themselves."""

    def __init__(self) -> None:
        script = 'while read -r now; do pids=$now; done; [ -z "$pids" ] || kill -9 $pids'
        self._process = subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.PIPE)

    def know(self, pids: Sequence[int]) -> None:
        """Take note of who is there now."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, pids)).encode() + b"\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """End it, and nothing else."""
        self._process.kill()
        self._process.communicate()


class Cast:
    """One actor in each place, each behind a proxy of its own; an async context manager.

    Args:
        places: what there is, as `worker-1`; one that was lost is followed by another in the same place.
        server: what the proxies relay to.
        login: of the actors, `user:password`.
        seed: what the actors draw from.
        folder: where they note.
        recorder: notes their ends.
    """

    def __init__(
        self, places: Sequence[str], server: RunningServer, login: str, seed: str, folder: Path, recorder: record.Recorder
    ) -> None:
        self._places, self._server, self._login, self._seed = places, server, login, seed
        self._folder, self._recorder = folder, recorder
        self._context = prepare()
        self._stack = AsyncExitStack()
        self._guard = _Guard()
        self._counts = dict.fromkeys(places, 0)
        self._begun: set[asyncio.Task[None]] = set()
        self._over: set[str] = set()
        self.proxies: dict[str, Proxy] = {}
        self.actors: dict[str, Actor] = {}

    async def __aenter__(self) -> Self:
        for place in self._places:
            self.proxies[place] = await self._stack.enter_async_context(Proxy(self._server))
            await self._begin(place)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.update(self._places)
        while self._begun:
            await asyncio.wait(self._begun)
        for actor in self.actors.values():
            actor.end(signal.SIGKILL)
        for actor in self.actors.values():
            await actor.ended.wait()
        self._guard.close()
        await self._stack.aclose()

    @property
    def alive(self) -> dict[str, Actor]:
        """The actors that run, by their place."""
        return {place: actor for place, actor in self.actors.items() if not actor.ended.is_set()}

    def log(self, name: str) -> str:
        """Return what a process has written to its standard error."""
        path = self._folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    async def settle(self, seconds: float) -> None:
        """Let all that are stopped go on, and wait until there is one in each place."""
        end = time.monotonic() + seconds
        for actor in self.alive.values():
            actor.send(signal.SIGCONT)
        while len(self.alive) < len(self._places) and time.monotonic() < end:  # noqa: ASYNC110 - ends come from outside
            await asyncio.sleep(0.05)

    async def dismiss(self, places: Sequence[str], seconds: float) -> None:
        """Tell actors to end, and wait for that; who is still there after a while is noted and killed."""
        self._over.update(places)
        end = time.monotonic() + seconds
        wanted = [self.alive[place] for place in places if place in self.alive]
        for actor in wanted:
            actor.end(signal.SIGTERM)
        for actor in wanted:
            try:
                async with asyncio.timeout(max(0.0, end - time.monotonic())):
                    await actor.ended.wait()
            except TimeoutError:
                what = f"{actor.name} does not end within {seconds:g} s of SIGTERM"
                self._recorder.note(record.Left(kind="process", count=1, what=what))
                actor.send(signal.SIGKILL)
                await actor.ended.wait()

    async def _begin(self, place: str) -> None:
        """Start a process in a place."""
        self._counts[place] += 1
        name = f"{place}.{self._counts[place]}"
        url = self.proxies[place].url.replace("://", f"://{self._login}@")
        order = Order(place.partition("-")[0], name, f"{self._seed}/{name}", url, self._folder)
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=main, args=(order, theirs), name=name, daemon=True)
        await asyncio.to_thread(process.start)
        theirs.close()
        actor = self.actors[place] = Actor(name, process, ours)
        self._guard.know([actor.pid for actor in self.alive.values()])
        asyncio.get_running_loop().add_reader(actor.sentinel, self._lost, place, actor)

    def _lost(self, place: str, actor: Actor) -> None:
        """Note that a process has ended, and start another in its place unless that is over."""
        asyncio.get_running_loop().remove_reader(actor.sentinel)
        code = actor.close()
        self._guard.know([actor.pid for actor in self.alive.values()])
        # One that was told to end and fails in doing so did not end as we wanted; SIGTERM ends one that has not begun.
        wanted = actor.wanted and code in (0, -signal.SIGKILL, -signal.SIGTERM)
        last = self.log(actor.name).strip().rpartition("\n")[2]
        self._recorder.note(record.Ended(name=actor.name, wanted=wanted, error="" if wanted else f"exit code {code}: {last}"))
        if place not in self._over:
            task = asyncio.create_task(self._begin_again(place))
            self._begun.add(task)
            task.add_done_callback(self._begun.discard)

    async def _begin_again(self, place: str) -> None:
        await asyncio.sleep(_AGAIN_S)
        if place not in self._over:
            await self._begin(place)
