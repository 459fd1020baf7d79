"""One session: its history, and apart from it, not part of it, its status."""

from __future__ import annotations

import asyncio
import contextlib
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from tidings.bus import Event, Subscription, UnknownSession, Unreachable
from tidings.bus.redaction import one_line
from tidings.workers.terminal.conversation import ITEMS, Conversation
from tidings.workers.terminal.heading import connection, status
from tidings.workers.terminal.post import Post, SteeringScreen
from tidings.workers.view import SessionView

_REST_S = 0.1
"""Shortest time between two drawings, however much is said."""
_AGAIN_S = 1.0


class SessionScreen(SteeringScreen):
    """Shows one session; what is said in it appears as it is said.

    Args:
        session: its name.
        alone: whether there is no screen to go back to.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", show=False)]

    def __init__(self, post: Post, session: str, *, alone: bool = False) -> None:
        super().__init__(post)
        self._session, self._alone = session, alone
        self.MORE = (("q", "quit"),) if alone else (("q", "back"),)  # type: ignore[misc]  # of this screen, not of all
        self._heading = Static(markup=False, id="connection")
        self.conversation = Conversation()
        self._status = Static(markup=False, id="status")
        self._fresh: list[list[Text]] = []

    def compose(self) -> ComposeResult:
        """Put the history above, and below it what is not part of it: status, prompt, keys."""
        yield self._heading
        yield self.conversation
        yield self._status
        yield self.prompt
        yield self.hints

    def on_mount(self) -> None:
        """Begin to read."""
        self.conversation.focus()
        self.run_worker(self._read(), group="history")
        self.tick(True)

    def settle(self) -> None:
        """Give the keyboard back to the history."""
        self.conversation.focus()

    def choose(self) -> SessionView | None:
        """Return this session, also where nothing is known of it."""
        return self.post.feed.row(self._session) or SessionView(self._session)

    def tick(self, changed: bool) -> None:
        """Draw what has changed, be it only the time."""
        row = self.post.feed.row(self._session)
        self._heading.update(connection(self.post.bus, self.post.feed, self._session))
        self._status.update(status(row, self._session, self.post.moment()))
        self.show_hints(row)
        fresh, self._fresh = self._fresh, []
        if fresh:
            self.conversation.add(fresh)

    async def _read(self) -> None:
        """Read the newest part of the history, then what is said."""
        end = await self._end()
        after = max(0, end - ITEMS)
        if after:
            earlier = f"-- {after} earlier events: tidings history {self._session}"
            self._fresh.append([Text(one_line(earlier), "dim")])
        async with self.post.bus.follow(self._session, Event, after) as events:
            await self._collect(events)

    async def _collect(self, events: Subscription[Event]) -> None:
        async for item in events:
            self._fresh.append(self.post.tell(item))
            if len(self._fresh) >= ITEMS:
                await asyncio.sleep(_REST_S)

    async def _end(self) -> int:
        while True:
            with contextlib.suppress(Unreachable):
                try:
                    return (await self.post.bus.status(self._session)).events
                except UnknownSession:
                    return 0
            await asyncio.sleep(_AGAIN_S)

    def action_leave(self) -> None:
        """Go back to where it was opened, or quit."""
        if self._alone:
            self.app.exit(0)
        else:
            self.app.pop_screen()
