"""The children of a session, started on behalf of its run: first written into the history, then asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from tidings.bus import (
    Bus,
    ChildResult,
    ChildStart,
    CommandRefused,
    Event,
    InvalidMessage,
    Lease,
    Message,
    SessionDeleted,
    State,
    Unreachable,
    carries,
)
from tidings.bus.redaction import one_line
from tidings.workers.family import start_of
from tidings.workers.prompt import open_children

AGAIN_S = 0.2
"""How long to wait before the server is asked again while it is away."""

T = TypeVar("T")


class Children:
    """Starts the children that the events of a session tell of.

    Args:
        bus: where the session is.
        lease: the lease of it.
    """

    def __init__(self, bus: Bus, lease: Lease) -> None:
        self._bus, self._lease = bus, lease

    @property
    def _source(self) -> str:
        return f"worker/{self._lease.worker.name}"

    async def start(self, events: Sequence[Message[Event]]) -> bool:
        """Start the children of events that were just stored.

        The outcomes are not waited for: what a controller refuses comes back as a result of the child.

        Returns:
            Whether one of them could not even be asked for. Its result is in the history then.
        """
        refused = [event for event in events if carries(event, ChildStart) and not await self._start(event)]
        return bool(refused)

    async def start_missing(self, history: Sequence[Message[Event]]) -> bool:
        """Start the children that another run wrote down and may not have asked for; the same command twice starts one.

        Returns:
            Whether the history has grown: one of them could not be asked for.
        """
        missing = open_children(history)
        if not missing:
            return False
        known = {child.child for child in await patiently(lambda: self._bus.children(self._lease.session))}
        return await self.start([event for event in missing if event.data.child not in known])

    async def _start(self, event: Message[ChildStart]) -> bool:
        try:
            start = start_of(event, self._source)
            await patiently(lambda: self._bus.submit(start.session, start.data, id=start.id, source=start.source))
        except (InvalidMessage, CommandRefused, SessionDeleted) as error:
            await self._tell(event, one_line(f"it was not started: {error}"))
            return False
        return True

    async def _tell(self, event: Message[ChildStart], why: str) -> None:
        """Note a child that was not started: who waits for it must not do so for ever."""
        data = event.data
        result = ChildResult(child=data.child or event.session, name=data.name, state=State.ERROR, why=why)
        told = Message.of(result, session=event.session, source=self._source, time=self._bus.now())
        await patiently(lambda: self._lease.append(told, after=event.offset or 0))


def check_children(history: Sequence[Message[Event]]) -> None:
    """Check that each child has a session of its own.

    Raises:
        ValueError: an agent has started two as the same session.
    """
    seen: set[str | None] = set()
    for event in history:
        if isinstance(event.data, ChildStart):
            if event.data.child in seen:
                raise ValueError(f"child {event.data.child!r} was started before: leave its id away, or use another one")
            seen.add(event.data.child)


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Ask the server as often as it takes; of a session that is held the end of the lease ends this too."""
    while True:
        try:
            return await call()
        except Unreachable:
            await asyncio.sleep(AGAIN_S)
