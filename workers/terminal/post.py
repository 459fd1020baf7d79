"""What the screens have in common: keys that ask something of a session, and the line that tells what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Static

from tidings.bus import Bus, Gap, Message
from tidings.bus.states import legal_commands
from tidings.workers.terminal.asking import Wish, ask
from tidings.workers.terminal.commentary import Commentary
from tidings.workers.terminal.feed import Feed
from tidings.workers.terminal.input_line import Prompt
from tidings.workers.terminal.layout import Moment
from tidings.workers.view import SessionView, clock

Tell = Callable[[Message[Any] | Gap], "list[Text]"]
"""Gives the lines in which a person reads a message."""


@dataclass(frozen=True, slots=True)
class Post:
    """What a screen needs to show sessions and to steer them.

    Attributes:
        by: sender of the commands, for the people who see them.
        timeout_s: how long a command waits for its outcome.
        tell: gives the lines in which a person reads an event.
        ascii_only: whether the terminal has no other signs.
        commentary: what is said beside the sessions; None where nothing is.
    """

    bus: Bus
    feed: Feed
    by: str
    timeout_s: float
    tell: Tell
    ascii_only: bool = False
    commentary: Commentary | None = None

    def moment(self) -> Moment:
        """Return the moment of now."""
        return Moment(self.bus.now(), self.ascii_only)


class SteeringScreen(Screen[None]):
    """A screen with a session to steer."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "wish('resume')", show=False),
        Binding("p", "wish('pause')", show=False),
        Binding("s", "wish('stop')", show=False),
        Binding("m", "wish('say')", show=False),
        Binding("q", "leave", show=False),
    ]
    HINTS: ClassVar[tuple[tuple[str, str], ...]] = (("r", "resume"), ("p", "pause"), ("s", "stop"), ("m", "say"))
    """Keys for the session, and what each asks for."""
    MORE: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Keys for the screen."""

    def __init__(self, post: Post) -> None:
        super().__init__()
        self.post = post
        self.prompt = Prompt(self.settle)
        self.hints = Static(markup=False, id="hints")

    # what each screen says of itself

    def settle(self) -> None:
        """Give the keyboard back to what is looked at."""
        raise NotImplementedError

    def choose(self) -> SessionView | None:
        """Return the session that a key is meant for."""
        raise NotImplementedError

    def tick(self, changed: bool) -> None:
        """Draw what has changed, be it only the time."""
        raise NotImplementedError

    def on_screen_resume(self) -> None:
        """Draw everything: time has gone by under another screen."""
        self.tick(True)

    # steering

    def action_wish(self, wish: Wish) -> None:
        """Send a command to the session, without waiting for its outcome."""
        row = self.choose()
        if row is not None:
            self.run_worker(self._wish(wish, row.session), group="questions")

    async def _wish(self, wish: Wish, session: str) -> None:
        text = ""
        if wish == "stop" and not await self.prompt.confirm(f"stop {session} for good?"):
            return
        if wish == "say":
            text = (await self.prompt.read(f"say to {session}: ") or "").strip()
            if not text:
                return
        self.prompt.tell(f"{session}: {wish} …", "dim")
        # Not a task of this screen: a person that leaves it meanwhile still sees the outcome.
        self.app.run_worker(self._ask(wish, session, text), group="wishes")

    async def _ask(self, wish: Wish, session: str, text: str) -> None:
        answer = await ask(self.post.bus, wish, session, by=self.post.by, timeout_s=self.post.timeout_s, text=text)
        shown = self.app.screen
        prompt = shown.prompt if isinstance(shown, SteeringScreen) else self.prompt
        prompt.tell(f"{clock(self.post.bus.now())}  {answer.text}", "green" if answer.granted else "bold red")

    def show_hints(self, row: SessionView | None) -> None:
        """Show which keys there are; those that the state of the session does not allow are dim."""
        legal = legal_commands(row.state) if row else ()
        pieces: list[tuple[str, str]] = []
        for key, name in self.HINTS:
            on = f"session.{name}" in legal
            pieces += [(key, "bold" if on else "dim"), (f" {name}  ", "" if on else "dim")]
        for key, name in self.MORE:
            pieces += [(key, "bold"), (f" {name}  ", "")]
        text = Text.assemble(*pieces)
        text.no_wrap, text.overflow = True, "ellipsis"
        self.hints.update(text)
