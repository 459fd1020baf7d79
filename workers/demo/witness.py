"""The witness: hears all that is told on `status.*`, in the order told, and keeps it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

from bus import Bus, Gap, Notice, SessionState, State, Subscription, WorkerClaimed

N = TypeVar("N", bound=Notice)
T = TypeVar("T")

POLL_S = 0.1
"""How often a condition is looked at when nothing is told: some rest on what the provider saw."""

Listener = Callable[[Notice], None]


class NotInTime(Exception):
    """Something that was to happen did not; the text says what."""


class Witness:
    """Subscribes to the status of all sessions; an async context manager.

    It knows nothing but what it was told: the story and the checks rest on that, and not on what the demo did.
    """

    def __init__(self, bus: Bus) -> None:
        self._subscription: Subscription[Notice] = bus.notices()
        self._told: dict[str, list[Notice]] = {}
        self._listeners: list[Listener] = []
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._subscription.__aenter__()
        self._task = asyncio.create_task(self._listen(), name="tidings-demo-witness")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        task, self._task = self._task, None
        # Not cancelled: the end of the subscription is the end of the listening.
        await self._subscription.aclose()
        if task is not None:
            await asyncio.wait([task])
            if error is None:
                task.result()

    async def _listen(self) -> None:
        async for item in self._subscription:
            # What a gap stands for shows in the offsets (`checks.check_records`).
            if not isinstance(item, Gap):
                self._told.setdefault(item.subject, []).append(item)
                for listener in self._listeners:
                    listener(item)
                self._changed.set()

    def add_listener(self, listener: Listener) -> None:
        """Have every notice handed on from here on; the listener returns at once."""
        self._listeners.append(listener)

    async def pause(self, seconds: float) -> None:
        """Wait for the next notice, but at most so long.

        Raises:
            Exception: whatever ended the listening.
        """
        if self._task is not None and self._task.done():
            self._task.result()
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def until(self, what: str | Callable[[], str], condition: Callable[[], T], timeout_s: float) -> T:
        """Wait until a condition holds, and return its value.

        Args:
            what: what is waited for, for the text of the error.
            timeout_s: most seconds to wait.

        Raises:
            NotInTime: it did not hold in that time.
            Exception: as the condition raised it.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not (value := condition()):
            left_s = deadline - asyncio.get_running_loop().time()
            if left_s <= 0:
                raise NotInTime(f"not within {timeout_s:g} s: {what if isinstance(what, str) else what()}")
            await self.pause(min(POLL_S, left_s))
        return value

    # what was told

    @property
    def notices(self) -> Mapping[str, Sequence[Notice]]:
        """All that was told, by session."""
        return self._told

    def of(self, session: str, kind: type[N]) -> list[N]:
        """Return the notices of one type, oldest first."""
        return [notice for notice in self._told.get(session, ()) if isinstance(notice, kind)]

    def count(self, kind: type[Notice]) -> int:
        """Return how many notices of a type were told in all sessions together."""
        return sum(isinstance(notice, kind) for notices in self._told.values() for notice in notices)

    def state(self, session: str) -> State | None:
        """Return the state of a session, as told last."""
        states = self.of(session, SessionState)
        return states[-1].data.to if states else None

    def version(self, session: str) -> int:
        """Return the version of a session's record, as told last."""
        states = self.of(session, SessionState)
        return states[-1].data.version if states else 0

    def holder(self, session: str) -> str:
        """Return the name of the worker that claimed a session last; '' if none has."""
        claims = self.of(session, WorkerClaimed)
        return claims[-1].data.worker.name if claims else ""

    def has_heard(self, session: str, offset: int) -> bool:
        """Return whether everything up to an offset of a session's status was heard."""
        told = self._told.get(session)
        return offset == 0 or bool(told and (told[-1].offset or 0) >= offset)
