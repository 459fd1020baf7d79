"""The table of the sessions: thousands of rows, of which only those in sight are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click, Resize
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tidings.workers.terminal.layout import Layout, Moment
from tidings.workers.view import Placed, SessionView

_SELECTED = Style(reverse=True)
_PLAIN = Style.null()


class SessionTable(ScrollView, can_focus=True):
    """Shows a line a session and lets one be selected.

    The selection stays with its session, wherever that moves; before anything was selected it is the first row.

    Args:
        moment: gives the time and the terminal that lines are written for.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home,g", "move(-1000000)", show=False),
        Binding("end,G", "move(1000000)", show=False),
        Binding("enter", "open", show=False),
    ]

    class Selected(Message):
        """Another row was selected, or another layout is needed."""

    class Opened(Message):
        """A session is to be shown by itself."""

        def __init__(self, session: str) -> None:
            super().__init__()
            self.session = session

    def __init__(self, moment: Callable[[], Moment]) -> None:
        super().__init__()
        self._moment = moment
        self._rows: Sequence[Placed] = ()
        self._index = 0
        self._chosen: str | None = None
        self._longest = 0
        self._now = moment()

    @property
    def layout_now(self) -> Layout:
        """The columns for the width of this moment."""
        return Layout.of(max(1, self.scrollable_content_region.width), self._longest)

    @property
    def row(self) -> SessionView | None:
        """The row that is selected; None where there is none."""
        return self._rows[self._index].row if self._rows else None

    def choose(self) -> SessionView | None:
        """Return the row that is selected, which stays so from now on."""
        self._chosen = self.row.session if self.row else None
        return self.row

    def select(self, session: str) -> None:
        """Select a session, also one that comes only later."""
        self._chosen = session
        self._find_chosen()
        self.post_message(self.Selected())

    def show_rows(self, rows: Sequence[Placed], longest_name: int) -> None:
        """Show these rows in this order."""
        moved = len(rows) != len(self._rows)
        self._rows, self._longest = rows, longest_name
        if moved:
            self.virtual_size = Size(self.scrollable_content_region.width, len(rows))
        self._find_chosen()
        self.redraw()

    def _find_chosen(self) -> None:
        """Follow the selected session to its new place; where it has gone, stay where it was."""
        before = self._index
        places = (index for index, placed in enumerate(self._rows) if placed.row.session == self._chosen)
        fallback = 0 if self._chosen is None else min(self._index, max(0, len(self._rows) - 1))
        self._index = next(places, fallback)
        if self._index != before:
            self._reveal()

    def redraw(self) -> None:
        """Draw what is in sight anew: time goes on."""
        self._now = self._moment()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return a line of the screen."""
        width, index = self.size.width, y + self.scroll_offset.y
        if index >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        selected = index == self._index
        pieces = self.layout_now.line(self._rows[index], self._now, selected=selected)
        segments = [Segment(text, _SELECTED if selected else Style.parse(style)) for text, style in pieces]
        return Strip(segments).adjust_cell_length(width, _SELECTED if selected else _PLAIN)

    def action_move(self, by: int) -> None:
        """Select the row so many below."""
        self._select(self._index + by)

    def action_page(self, by: int) -> None:
        """Select the row so many screens below."""
        self._select(self._index + by * max(1, self.size.height - 1))

    def action_open(self) -> None:
        """Show the selected session by itself."""
        row = self.choose()
        if row is not None:
            self.post_message(self.Opened(row.session))

    def on_click(self, event: Click) -> None:
        """Select a row with the mouse; with two clicks, open it."""
        index = event.y + self.scroll_offset.y
        if index < len(self._rows):
            self._select(index)
            if event.chain >= 2:
                self.action_open()

    def on_resize(self, event: Resize) -> None:
        """Keep the selected row in sight."""
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._rows))
        self._reveal()
        self.post_message(self.Selected())

    def _select(self, index: int) -> None:
        if self._rows:
            self._index = max(0, min(index, len(self._rows) - 1))
            self.choose()
            self._reveal()
            self.redraw()
            self.post_message(self.Selected())

    def _reveal(self) -> None:
        """Scroll as far as it takes to have the selected row in sight."""
        top, height = self.scroll_offset.y, max(1, self.size.height)
        if not top <= self._index < top + height:
            self.scroll_to(y=self._index if self._index < top else self._index - height + 1, animate=False, force=True)
