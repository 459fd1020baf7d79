"""The conversation: the history of one session as it was said, wrapped to the width of the screen."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

_PLAIN = Style.null()
ITEMS = 1000
"""Events that are shown at most: the newest."""
LONGEST = 20_000
"""Characters of one line that are shown; `tidings history` prints all of them."""


class Conversation(ScrollView, can_focus=True):
    """Shows what was said and done, the newest at the bottom; stays there until a person scrolls up.

    Args:
        spaced: whether there is an empty line below each event.
        hang: columns by which the rest of a line that does not fit is set in, if not as far as the line itself.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", show=False),
        Binding("down,j", "scroll_down", show=False),
        Binding("home,g", "scroll_home", show=False),
        Binding("end,G", "scroll_end", show=False),
    ]

    def __init__(self, *, spaced: bool = True, hang: int = 0, id: str | None = None) -> None:
        super().__init__(id=id)
        self._spaced, self._hang = spaced, hang
        self._items: deque[tuple[Text, ...]] = deque(maxlen=ITEMS)
        self._wrapped: deque[tuple[Strip, ...]] = deque(maxlen=ITEMS)
        self._lines: list[Strip] | None = None
        self._width = 0
        # The layout keeps it at the end from now on, until a person scrolls up; scrolled down to the end, it stays there again.
        self.anchor()

    def add(self, items: Iterable[Iterable[Text]]) -> None:
        """Add events to the end, each as its lines."""
        for item in items:
            lines = tuple(map(_bounded, item))
            self._items.append(lines)
            self._wrapped.append(self._wrap(lines))
        self._lines = None
        self._resized()

    def on_resize(self, event: Resize) -> None:
        """Wrap everything anew when the width has changed."""
        width = self.scrollable_content_region.width
        if width != self._width:
            self._width, self._lines = width, None
            self._wrapped = deque((self._wrap(lines) for lines in self._items), maxlen=ITEMS)
        self._resized()

    def _resized(self) -> None:
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._drawn()))
        self.refresh()

    def _drawn(self) -> list[Strip]:
        if self._lines is None:
            self._lines = [strip for strips in self._wrapped for strip in strips]
        return self._lines

    def render_line(self, y: int) -> Strip:
        """Return a line of the screen."""
        width, index, lines = self.size.width, y + self.scroll_offset.y, self._drawn()
        return (lines[index] if index < len(lines) else Strip([])).adjust_cell_length(width, _PLAIN)

    def _wrap(self, lines: tuple[Text, ...]) -> tuple[Strip, ...]:
        """Wrap the lines of one event, and leave an empty line below it where they are spaced."""
        if not self._width:
            # Not laid out yet: the first resize wraps it.
            return ()
        console, width = self.app.console, max(1, self._width - 1)
        strips: list[Strip] = []
        for line in lines:
            indent = len(line.plain) - len(line.plain.lstrip(" "))
            hang = indent if line.cell_len <= width else max(indent, self._hang)
            for part in line[indent:].wrap(console, max(1, width - hang), tab_size=4) if line.plain.strip() else (Text(),):
                strips.append(Strip([Segment(" " * indent, _PLAIN), *part.render(console, end="")]))
                indent = hang
        return (*strips, Strip([])) if self._spaced else tuple(strips)


def _bounded(line: Text) -> Text:
    if len(line) <= LONGEST:
        return line
    return Text.assemble(line[:LONGEST], (f"… ({len(line) - LONGEST} more characters)", "dim"))
