"""The prompt: one line in which things are told, and in which a person is asked something without leaving the screen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Key
from textual.widgets import Input, Label, Static


class Prompt(Horizontal, can_focus=True):
    """Tells one thing at a time, or asks it; what was told stays until the next.

    Args:
        done: called when a question is answered or given up, to hand the keyboard back.
    """

    def __init__(self, done: Callable[[], None]) -> None:
        super().__init__()
        self._done = done
        self._said = Static(markup=False, id="said")
        self._label = Label(markup=False, id="label")
        self._typed = Input(id="typed", compact=True, select_on_focus=False)
        self._yes: asyncio.Future[bool] | None = None
        self._text: asyncio.Future[str | None] | None = None
        self._heed: Callable[[str], None] | None = None

    def compose(self) -> ComposeResult:
        """Put the parts in a line; those for typing are hidden."""
        self._typing(False)
        yield self._said
        yield self._label
        yield self._typed

    def tell(self, text: str, style: str = "") -> None:
        """Say something; it stays until something else is said."""
        self._said.update(Text(text, style))

    async def confirm(self, question: str) -> bool:
        """Ask something that y answers with yes; any other key is a no."""
        self._give_up()
        self._yes = asyncio.get_running_loop().create_future()
        self.tell(f"{question}  y/n", "bold yellow")
        self.focus()
        return await self._yes

    async def read(self, label: str, text: str = "", heed: Callable[[str], None] | None = None) -> str | None:
        """Have a line typed and return it; None if it is given up.

        Args:
            text: what stands there to begin with.
            heed: called with what stands there, whenever that changes.
        """
        self._give_up()
        self._heed = heed
        self._text = asyncio.get_running_loop().create_future()
        self._label.update(Text(label, "bold"))
        self._typed.value, self._typed.cursor_position = text, len(text)
        self._typing(True)
        self._typed.focus()
        return await self._text

    def on_key(self, event: Key) -> None:
        """Take the answer to a yes or no, or let Escape end the typing."""
        if self._yes is not None:
            event.stop()
            self._answer_yes(event.key in ("y", "Y"))
        elif self._text is not None and event.key == "escape":
            event.stop()
            self._answer_text(None)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Pass on what stands there so far."""
        event.stop()
        if self._text is not None and self._heed is not None:
            self._heed(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take what was typed."""
        event.stop()
        self._answer_text(event.value)

    def _give_up(self) -> None:
        """End what was asked before."""
        self._answer_yes(False)
        self._answer_text(None)

    def _answer_yes(self, yes: bool) -> None:
        asked, self._yes = self._yes, None
        if asked is not None:
            self.tell("")
            self._done()
            if not asked.done():
                asked.set_result(yes)

    def _answer_text(self, text: str | None) -> None:
        asked, self._text = self._text, None
        if asked is not None:
            self._typing(False)
            self._done()
            if not asked.done():
                asked.set_result(text)

    def _typing(self, on: bool) -> None:
        self._label.display = self._typed.display = on
        self._said.display = not on
