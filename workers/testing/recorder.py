"""What was told: every notice, as it was published."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TypeVar

from tidings.bus import InvalidMessage, Message, Notice, State, carries
from tidings.bus.messages import decode_notice
from tidings.workers.view import states_told

N = TypeVar("N", bound=Notice)


class NoticeRecorder:
    """Listens to the status of all sessions from the moment of ``ready`` on; nothing is replayed and nothing left out.

    It is a `bus.Subscriber` for ``Bus.on_change``: a subscription would begin with snapshots, which were not published.

    Attributes:
        ready: set once the server has confirmed the subscription.
        notices: what was told, each session's in the order of its offsets.
    """

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.notices: list[Message[Notice]] = []
        self._offsets: dict[str, int] = {}
        self._news = asyncio.Event()

    def on_subscribed(self) -> None:
        """Note that nothing is missed from here on."""
        self.ready.set()

    def receive(self, name: str, payload: bytes) -> None:
        """Keep a notice; a command only is a sign that something moves."""
        self._news.set()
        plane, _, session = name.rpartition(".")
        if not plane.endswith("status"):
            return
        with contextlib.suppress(InvalidMessage):
            notice = decode_notice(payload)
            # While a subscription is changed, a message can come by the old one and by the new one.
            if notice.offset is not None and notice.offset > self.offset(session):
                self._offsets[session] = notice.offset
                self.notices.append(notice)

    def offset(self, session: str) -> int:
        """Return the offset of the newest notice of a session that was heard, 0 where there is none."""
        return self._offsets.get(session, 0)

    def told(self, kind: type[N], session: str | None = None) -> list[Message[N]]:
        """Return the notices of one kind, of all sessions or of one."""
        return [notice for notice in self.notices if carries(notice, kind) and session in (None, notice.session)]

    def states(self, session: str) -> list[State]:
        """Return the states that a session came to, in order, as its followers see them: by all that is told of it."""
        return states_told(session, self.told(Notice, session))

    async def news(self, timeout_s: float) -> None:
        """Wait for something to be heard, at most so long."""
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
