"""Processes: `tidings` as processes of their own, which end with us however we end, and a fleet made of them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from typing import Any

from tidings.bus import Bus, Record
from tidings.bus.redaction import redact
from tidings.workers.settings import ENV_PREFIX, Settings, variable_of
from tidings.workers.testing.in_process import QUICK
from tidings.workers.testing.patience import stretch
from tidings.workers.testing.warmup import API_KEY

APART: Mapping[str, object] = {**QUICK, "lease_s": 3.0, "renew_s": 0.5, "poll_s": 0.5, "controller_poll_s": 0.5}
"""Settings of a fleet of processes where they differ from the defaults: a worker that was killed is missed after its lease."""
START_S = 60.0 * stretch()
"""How long the processes may take until they work, in seconds: each worker imports litellm, 2 s of a core of its own."""
END_S = 5.0
"""How long they may take to end when they are asked to; then they are killed."""

_LOOK_S = 0.1
_LOG_BYTES = 4096
_LOG_LINES = 6
_LOOPBACK = "127.0.0.1,localhost"


class ProcessLost(RuntimeError):
    """A process of the fleet ended though it was not told to, or did not begin to work; the text has the end of its log."""


async def start_tidings(*arguments: str, env: Mapping[str, str]) -> Process:
    """Start `tidings ARGUMENTS`; its output is in pipes, which the caller has to empty.

    It has a session of its own, so that Ctrl-C in the terminal reaches us alone, and is tied to us (`testing.tied`).
    """
    tie = _tie()
    # -P: what lies where we are started must not be taken for ours.
    command = (sys.executable, "-P", "-m", "tidings.workers.testing.tied", str(tie), *arguments)
    return await asyncio.create_subprocess_exec(
        *command, env=env, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, pass_fds=(tie,), start_new_session=True
    )


@functools.cache
def _tie() -> int:
    """Return the read end of a pipe for child processes that are to end with us; we hold the write end open until we end."""
    return os.pipe()[0]


def environment(settings: Mapping[str, object]) -> dict[str, str]:
    """Return the environment of a process with these settings, by their names, in place of our ``TIDINGS_*``.

    It imports what we import, takes no proxy to loopback, and has an API key that is none.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    loopback = ",".join(filter(None, (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), _LOOPBACK)))
    return {
        **inherited,
        **{variable_of(name): str(value) for name, value in settings.items()},
        "OPENAI_API_KEY": API_KEY,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "NO_PROXY": loopback,
        "no_proxy": loopback,
        "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path),
    }


class Processes:
    """Controllers and workers as processes; give it to a `Fleet`, which starts and ends it.

    Args:
        controllers: how many decide.
        workers: how many work.

    Attributes:
        controllers: their names, ``controller-1`` and so on.
        workers: their names, ``worker-1`` and so on.
    """

    def __init__(self, *, controllers: int = 1, workers: int = 1) -> None:
        self.controllers = tuple(f"controller-{number}" for number in range(1, controllers + 1))
        self.workers = tuple(f"worker-{number}" for number in range(1, workers + 1))
        self._members: dict[str, _Member] = {}

    def join(self, bus: Bus, agent: Any, settings: Settings) -> None:
        """Get ready to work on a bus.

        Args:
            agent: a class that can be imported by its name.

        Raises:
            ValueError: other processes cannot reach that bus.
            TypeError: the agent is no such class.
        """
        if bus.url.startswith("memory:"):
            raise ValueError("other processes cannot reach a bus in memory: use embedded:// or the address of a server")
        chosen = {name: getattr(settings, name) for name in Settings.model_fields}
        chosen = {name: value for name, value in chosen.items() if value != Settings.model_fields[name].get_default()}
        self._bus = bus
        self._environment = environment({**chosen, "redis_url": bus.url, "agent": _name(agent)})

    async def start(self) -> None:
        """Start all of them and wait until they work.

        Raises:
            ProcessLost: one has ended, or they do not work within `START_S`.
        """
        try:
            for role, names in (("controller", self.controllers), ("worker", self.workers)):
                for name in names:
                    self._members[name] = _Member(await start_tidings(role, "--name", name, env=self._environment))
            await self._all_at_work()
        except BaseException:
            await self.close()
            raise

    async def _all_at_work(self) -> None:
        """Wait until each has said on the bus that it works."""
        deadline = asyncio.get_running_loop().time() + START_S
        while missing := set(self._members) - {
            one.presence.name for one in await self._bus.admin.processes() if not one.presence.starting
        }:
            self.check()
            if asyncio.get_running_loop().time() > deadline:
                name = min(missing)
                raise ProcessLost(f"{name} does not work within {START_S:g} s; the end of its log:\n{self.log(name)}")
            await asyncio.sleep(_LOOK_S)

    async def close(self) -> None:
        """Ask all of them to end, and kill what has not ended within `END_S`. Idempotent; their logs stay."""
        for member in self._members.values():
            member.dismissed = True
        running = [member for member in self._members.values() if member.alive]
        try:
            for member in running:
                member.process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_S):
                    await asyncio.gather(*(member.process.wait() for member in running))
        finally:
            for member in running:
                if member.alive:
                    member.process.kill()
        await asyncio.gather(*(member.collect() for member in self._members.values()))

    def kill(self, name: str) -> None:
        """End one without warning (SIGKILL)."""
        member = self._members[name]
        member.dismissed = True
        with contextlib.suppress(ProcessLookupError):
            member.process.kill()

    def pid(self, name: str) -> int:
        """Return the process id of one."""
        return self._members[name].process.pid

    def log(self, name: str) -> str:
        """Return the last lines that one has logged, without secrets."""
        return self._members[name].log

    @property
    def busy(self) -> bool:
        """Whether a worker has something left to do that no record shows; not that we could know."""
        return False

    def holds(self, record: Record) -> bool:
        """Whether a session is held by one of these workers."""
        return record.worker is not None and record.worker.name in self.workers

    def check(self) -> None:
        """See that all of them are at work.

        Raises:
            ProcessLost: one has ended on its own.
        """
        for name, member in self._members.items():
            if member.over and not member.dismissed:
                code = member.process.returncode
                raise ProcessLost(f"{name} ended with code {code}; the end of its log:\n{member.log}")


class _Member:
    """One process, and the end of what it logs.

    Attributes:
        dismissed: whether we ended it.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self.dismissed = False
        self._log = b""
        self._readers = [asyncio.create_task(self._keep(pipe)) for pipe in (process.stdout, process.stderr) if pipe is not None]

    @property
    def log(self) -> str:
        """The last lines that it wrote."""
        lines = self._log.decode(errors="replace").splitlines()[-_LOG_LINES:]
        return redact("\n".join(f"  {line}" for line in lines)) or "  (nothing)"

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.returncode is None

    @property
    def over(self) -> bool:
        """Whether it has ended, and all that it wrote is known."""
        return not self.alive and all(reader.done() for reader in self._readers)

    async def _keep(self, pipe: asyncio.StreamReader) -> None:
        while chunk := await pipe.read(_LOG_BYTES):
            self._log = (self._log + chunk)[-_LOG_BYTES:]

    async def collect(self) -> None:
        """Wait for its end, and for the end of what it says."""
        await self.process.wait()
        await asyncio.gather(*self._readers)


def _name(agent: Any) -> str:
    """Return the name by which another process finds an agent.

    Raises:
        TypeError: it cannot be found by a name.
    """
    name = f"{getattr(agent, '__module__', '')}:{getattr(agent, '__qualname__', '')}"
    if not (isinstance(agent, type) and callable(getattr(agent, "step", None))) or "." in name.partition(":")[2]:
        raise TypeError(f"{agent!r} cannot be an agent in another process: give a class with step(ctx) of a module")
    return name
