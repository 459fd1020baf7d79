"""A process that is measured: started, asked for readings, ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from tempfile import TemporaryFile
from typing import IO

from bench.growth import Reading
from bench.observed import READY
from tidings.bus.redaction import redact

_READY_S = 60.0
"""Loading litellm takes seconds, on a busy machine many."""
_ANSWER_S = 30.0
_END_S = 10.0
_LOG_BYTES = 2000


class SubjectLost(Exception):
    """A process that is measured has ended, or does not answer; the text has the end of its log."""


class Subject:
    """One process; use ``subject``."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: IO[bytes]) -> None:
        self.name, self._process, self._log = name, process, log

    async def read(self) -> Reading:
        """Ask it for a reading.

        Raises:
            SubjectLost: it does not answer.
        """
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGUSR1)
        return Reading(**json.loads(await self.line(_ANSWER_S)))

    async def line(self, timeout_s: float) -> bytes:
        """Return the next line of what it says.

        Raises:
            SubjectLost: there is none in time.
        """
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(timeout_s):
                line = await self._process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            raise SubjectLost(f"{self.name} does not answer; the end of its log:\n{self._tail()}")
        return line

    async def end(self) -> None:
        """Ask it to end, and kill it if it does not."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(_END_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def _tail(self) -> str:
        self._log.seek(0)
        return redact(self._log.read().decode(errors="replace")[-_LOG_BYTES:])


@asynccontextmanager
async def subject(role: str, environment: Mapping[str, str]) -> AsyncIterator[Subject]:
    """Start `tidings ROLE` as a process that can be measured, wait until it has loaded everything, and end it on leaving.

    Raises:
        SubjectLost: it does not start.
    """
    # Not a pipe: a pipe that is not read in time stops the process that writes.
    with TemporaryFile() as log:
        command = (sys.executable, "-P", "-m", "bench.observed", role, "--name", role)
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdin=PIPE, stdout=PIPE, stderr=log, start_new_session=True
        )
        started = Subject(role, process, log)
        try:
            if await started.line(_READY_S) != READY:
                raise SubjectLost(f"{role} says something else than that it is ready")
            yield started
        finally:
            await started.end()
