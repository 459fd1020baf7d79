"""The application: opens the screens, draws them anew as often as it takes, and leaves the terminal as it was."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.worker import WorkerFailed

from tidings.bus import Bus
from tidings.workers.terminal.commentary import Commentary
from tidings.workers.terminal.feed import Feed
from tidings.workers.terminal.fleet_screen import FleetScreen
from tidings.workers.terminal.post import Post, SteeringScreen, Tell
from tidings.workers.terminal.session import SessionScreen

_LOOK_S = 0.1
"""Shortest time between two drawings, however much happens."""
_SHARE = 6
"""Drawing takes at most so great a part of the time: with tens of thousands of sessions it is done less often."""
_TICK_S = 0.5
"""How often a countdown is drawn anew; whole seconds are shown."""
_INTERRUPTED = 130


class WatchApp(App[int]):
    """Shows all sessions, or one.

    Args:
        post: what the screens need.
        session: the one to show; ``*`` is all of them.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { layout: vertical; scrollbar-size-vertical: 1; }
    #connection, #counts, #columns, #hints { height: 1; }
    SessionTable, Conversation { height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; }
    Conversation { margin: 1 0 0 0; }
    #commentary { margin: 0; border-bottom: solid ansi_bright_black; border-subtitle-align: left; }
    #detail { height: 3; padding: 1 0 0 2; }
    #status { height: 4; border-top: solid ansi_bright_black; }
    Prompt { height: 1; }
    Prompt #said { width: 1fr; height: 1; }
    Prompt #label { width: auto; }
    Prompt #typed { width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "interrupt", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", show=False, priority=True),
    ]

    def __init__(self, post: Post, session: str = "*") -> None:
        # The colours of the person's own terminal, light or dark; none where they want none (NO_COLOR).
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self._post, self._session_shown = post, session
        self._drawn, self._drawn_at, self._rest_until = -1, 0.0, 0.0

    @property
    def failure(self) -> Exception | None:
        """What ended it, where that was a defect."""
        found = self._exception
        return found.error if isinstance(found, WorkerFailed) and isinstance(found.error, Exception) else found

    def on_mount(self) -> None:
        """Open the first screen and begin to draw."""
        # On Python 3.12 and newer textual has the tasks of the whole loop begin at once; the bus is made for those that do not.
        asyncio.get_running_loop().set_task_factory(None)
        if self._session_shown == "*":
            self.push_screen(FleetScreen(self._post))
        else:
            self.push_screen(SessionScreen(self._post, self._session_shown, alone=True))
        self.set_interval(_LOOK_S, self._look)

    def _look(self) -> None:
        """Have the screen drawn if something changed, or if the time has to be."""
        feed, commentary = self._post.feed, self._post.commentary
        if commentary is not None and commentary.over:
            self.exit(0)
        if feed.reading.done():
            self.exit(1)
        loop = asyncio.get_running_loop()
        began, changed = loop.time(), feed.changes != self._drawn
        if began < self._rest_until or not (changed or began - self._drawn_at >= _TICK_S):
            return
        self._drawn, self._drawn_at = feed.changes, began
        if isinstance(self.screen, SteeringScreen) and self.screen.is_mounted:
            self.screen.tick(changed)
        self._rest_until = began + _SHARE * (loop.time() - began)

    def action_interrupt(self) -> None:
        """End as Ctrl-C ends a command."""
        self.exit(_INTERRUPTED)

    def _fatal_error(self) -> None:
        """End without textual's own report, which shows local variables: an address with its password may be one."""
        self._close_messages_no_wait()


async def watch_live(
    bus: Bus,
    session: str,
    *,
    by: str,
    timeout_s: float,
    tell: Tell,
    ascii_only: bool = False,
    commentary: Commentary | None = None,
) -> int:
    """Show sessions on the terminal until a person ends it; returns the exit code.

    Args:
        session: the one to show; ``*`` is all of them.
        by: sender of the commands, for the people who see them.
        timeout_s: how long a command waits for its outcome.
        tell: gives the lines in which a person reads an event.
        ascii_only: whether the terminal has no other signs.
        commentary: what is said beside all sessions. It may have addresses to copy, so the mouse is left to the terminal.

    Raises:
        Exception: a defect; the terminal is as it was.
    """
    async with Feed(bus, session) as feed:
        app = WatchApp(Post(bus, feed, by, timeout_s, tell, ascii_only, commentary), session)
        with _quiet(), _ended_by_a_signal(app):
            code = await app.run_async(mouse=commentary is None)
        if app.failure is not None:
            raise app.failure
        if feed.reading.done():
            feed.reading.result()
    return code or 0


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the log away from the screen, which tells of the connection itself."""
    logger = logging.getLogger("tidings")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _ended_by_a_signal(app: WatchApp) -> Iterator[None]:
    """End in order when SIGTERM says so: the terminal must not stay as a full screen leaves it.

    SIGHUP ends us at once: the terminal is gone, and textual would wait for ever to write its last words to it. Also where the
    parent ignores it (a window or a tmux under nohup): textual would go on, and read the end of its input without a pause.
    """
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, app.exit, 128 + signal.SIGTERM)
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
        loop.remove_signal_handler(signal.SIGTERM)
