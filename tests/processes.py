"""The command line as a process of its own, as a person runs it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from asyncio.subprocess import Process
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import PATIENCE_S
from tidings.workers.testing import processes


@dataclass(frozen=True)
class Finished:
    """How a process ended: its exit code and all it printed."""

    code: int
    stdout: str
    stderr: str


def import_root() -> Path:
    """Return the folder from which this run imports `tidings`: the checkout, or where the wheel is installed."""
    spec = importlib.util.find_spec("tidings")
    if spec is None or spec.origin is None:
        raise RuntimeError("`tidings` cannot be imported: run the tests in the checkout or install the package")
    return Path(spec.origin).parent.parent


def environment(overrides: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a child: ours, able to import what we import, plus `overrides`."""
    paths = [str(import_root()), os.environ.get("PYTHONPATH", "")]
    ours = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUNBUFFERED": "1", "COLUMNS": "120"}
    return {**os.environ, **ours, **(overrides or {})}


async def start_tidings(*arguments: str, env: Mapping[str, str] | None = None) -> Process:
    """Start `tidings ARGUMENTS` with its output in pipes; the caller ends it and waits for it."""
    return await processes.start_tidings(*arguments, env=environment(env))


async def run_tidings(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    timeout_s: float = PATIENCE_S,
) -> Finished:
    """Run `tidings ARGUMENTS` to its end.

    Args:
        arguments: The words after `tidings`.
        env: Variables on top of ours; the tests' own environment has no `TIDINGS_*` and no provider key.
        timeout_s: A guard: after it the process is killed and TimeoutError is raised.
    """
    process = await start_tidings(*arguments, env=env)
    try:
        async with asyncio.timeout(timeout_s):
            stdout, stderr = await process.communicate()
    except BaseException:
        await end(process)
        raise
    return Finished(process.returncode or 0, stdout.decode(), stderr.decode())


async def end(process: Process) -> None:
    """Kill a process that still runs and collect what is left of it."""
    if process.returncode is None:
        process.kill()
    await process.communicate()
