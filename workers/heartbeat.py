"""Heartbeat: a process says every few seconds that it is there, beside its work and without ever holding it up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tidings.bus import Bus, Presence, TidingsError
from tidings.bus.errors import cause_of
from tidings.bus.presence import BEAT_S

log = logging.getLogger("tidings.heartbeat")

LEAVE_S = 1.0
"""How long a process that ends tries to say so; after that it is taken for silent."""


class Heartbeat:
    """Says that a process is there for as long as it is entered, and on leaving that it ends.

    While the server is away it goes on trying in silence: the worker, controller or gateway itself logs that the server is away.

    Args:
        bus: where to say it.
        describe: says what the process is right now; called before each beat, must return at once.
        beat_s: seconds from one time to the next.
    """

    def __init__(self, bus: Bus, describe: Callable[[], Presence], beat_s: float = BEAT_S) -> None:
        self._bus, self._describe, self._beat_s = bus, describe, beat_s
        self._ended = asyncio.Event()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._denied = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._beat(), name="tidings-heartbeat")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._changed.set()
        task, self._task = self._task, None
        try:
            if task is not None:
                # Waited for: a beat that is still under way would land after the farewell.
                task.cancel()
                await asyncio.wait({task}, timeout=LEAVE_S)
        finally:
            await self._leave()

    def renew(self) -> None:
        """Say it again now: something has changed that others wait for."""
        self._changed.set()

    async def _beat(self) -> None:
        while not self._ended.is_set():
            self._changed.clear()
            try:
                await self._bus.admin.attend(self._describe())
            except TidingsError as error:
                self._tell_once(error)
            except Exception:
                log.exception("heartbeat.failed")
            try:
                async with asyncio.timeout(self._beat_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _tell_once(self, error: TidingsError) -> None:
        """Say once that we may not do this; that the server is away is said by others."""
        if isinstance(error, PermissionError) and not self._denied:
            self._denied = True
            log.warning("heartbeat.denied", extra={"cause": cause_of(error)})

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._bus.admin.leave(self._describe())
        except (TidingsError, TimeoutError) as error:
            log.info("heartbeat.not_left", extra={"cause": cause_of(error)})
        except Exception:
            log.exception("heartbeat.failed")
