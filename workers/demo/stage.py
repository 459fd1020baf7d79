"""The stage: the controllers and workers as processes, which end when we do, however we end."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from workers.redaction import redact

END_S = 4.0
"""How long the processes may take to end when they are asked to; then they are killed."""
_LOG_BYTES = 4096
_LOG_LINES = 6


class ActorLost(Exception):
    """A process of the demo ended though nobody ended it; the text has the end of its log."""


class Actor:
    """One process.

    Attributes:
        name: how people see it.
        process: it.
        ready: set when it has loaded what takes time.
        dismissed: whether we ended it.
    """

    def __init__(self, name: str, process: Process) -> None:
        self.name, self.process = name, process
        self.ready = asyncio.Event()
        self.dismissed = False
        self._log = b""
        self._readers = [asyncio.create_task(self._hear()), asyncio.create_task(self._keep_log())]

    @property
    def log(self) -> str:
        """The last lines that it logged."""
        lines = self._log.decode(errors="replace").splitlines()[-_LOG_LINES:]
        return redact("\n".join(f"  {line}" for line in lines)) or "  (nothing)"

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.returncode is None

    async def _hear(self) -> None:
        assert self.process.stdout is not None
        while await self.process.stdout.read(1024):
            self.ready.set()

    async def _keep_log(self) -> None:
        assert self.process.stderr is not None
        while chunk := await self.process.stderr.read(_LOG_BYTES):
            self._log = (self._log + chunk)[-_LOG_BYTES:]

    async def collect(self) -> None:
        """Wait for its end, and for the end of what it says."""
        await self.process.wait()
        await asyncio.gather(*self._readers)


class Stage:
    """Starts processes and ends them; an async context manager.

    Each has a session of its own, so that Ctrl-C in the terminal reaches us alone, and holds the read end of a pipe of ours: when
    we are gone, by SIGKILL too, that pipe closes and it ends (`workers.demo.tied`).

    Args:
        environment: of every process.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._actors: dict[str, Actor] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def start(self, role: str, name: str) -> None:
        """Start `tidings ROLE --name NAME`."""
        # -P: a folder `bus` or `workers` where the demo is started must not be taken for ours.
        command = (sys.executable, "-P", "-m", "workers.demo.tied", role, "--name", name)
        process = await asyncio.create_subprocess_exec(
            *command, env=self._environment, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
        self._actors[name] = Actor(name, process)

    def __contains__(self, name: str) -> bool:
        return name in self._actors

    @property
    def ready(self) -> int:
        """How many processes have loaded what takes time."""
        return sum(actor.ready.is_set() for actor in self._actors.values())

    def pid(self, name: str) -> int:
        """Return the process id of an actor."""
        return self._actors[name].process.pid

    def check(self) -> None:
        """Look whether all are there that should be.

        Raises:
            ActorLost: one has ended by itself.
        """
        for actor in self._actors.values():
            if not (actor.alive or actor.dismissed):
                raise ActorLost(f"{actor.name} ended with code {actor.process.returncode}; the end of its log:\n{actor.log}")

    def kill(self, name: str) -> None:
        """End a process without warning (SIGKILL)."""
        actor = self._actors[name]
        actor.dismissed = True
        with contextlib.suppress(ProcessLookupError):
            actor.process.kill()

    async def aclose(self) -> None:
        """Ask all processes to end, and kill what has not ended within `END_S`. Does nothing the second time."""
        actors, self._actors = list(self._actors.values()), {}
        try:
            for actor in actors:
                actor.dismissed = True
                if actor.alive:
                    actor.process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_S):
                    await asyncio.gather(*(actor.process.wait() for actor in actors))
        finally:
            for actor in actors:
                if actor.alive:
                    actor.process.kill()
        await asyncio.gather(*(actor.collect() for actor in actors))
