"""The fleet: every session in a line, what needs a person on top."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from tidings.workers.terminal.commentary import Commentary
from tidings.workers.terminal.conversation import Conversation
from tidings.workers.terminal.heading import connection, count, counts
from tidings.workers.terminal.post import Post, SteeringScreen
from tidings.workers.terminal.session import SessionScreen
from tidings.workers.terminal.table import SessionTable
from tidings.workers.view import SessionView, searching


class FleetScreen(SteeringScreen):
    """Shows all sessions."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", show=False),
        Binding("escape", "unfilter", show=False),
    ]
    MORE: ClassVar[tuple[tuple[str, str], ...]] = (("/", "filter"), ("enter", "history"), ("q", "quit"))

    def __init__(self, post: Post) -> None:
        super().__init__(post)
        self._wanted = ""
        self._connection = Static(markup=False, id="connection")
        self._counts = Static(markup=False, id="counts")
        self._columns = Static(markup=False, id="columns")
        self.table = SessionTable(post.moment)
        self._detail = Static(markup=False, id="detail")
        hang = post.commentary.hang if post.commentary is not None else 0
        self._commentary = Conversation(spaced=False, hang=hang, id="commentary")
        self._said, self._selected = 0, ""

    def compose(self) -> ComposeResult:
        """Put heading, table, what is known of the selected session, prompt and keys below each other; a commentary above."""
        if self.post.commentary is not None:
            yield self._commentary
        yield self._connection
        yield self._counts
        yield self._columns
        yield self.table
        yield self._detail
        yield self.prompt
        yield self.hints

    def on_mount(self) -> None:
        """Begin with the table."""
        self.table.focus()
        self.tick(True)

    def settle(self) -> None:
        """Give the keyboard back to the table."""
        self.table.focus()

    def choose(self) -> SessionView | None:
        """Return the session that is selected."""
        return self.table.choose()

    def tick(self, changed: bool) -> None:
        """Draw what has changed, be it only the time."""
        post = self.post
        self._connection.update(connection(post.bus, post.feed, "status.*"))
        if changed:
            self._arrange()
        else:
            self.table.redraw()
        self._tell_selected()
        if post.commentary is not None:
            self._comment(post.commentary)

    def _comment(self, commentary: Commentary) -> None:
        """Show what was said since the last time, and select what was asked for."""
        fresh, self._said = commentary.lines[self._said :], len(commentary.lines)
        if fresh:
            self._commentary.add([Text(line)] for line in fresh)
        self._commentary.border_subtitle = Text(commentary.hint, "bold")
        if commentary.selected != self._selected:
            self._selected = commentary.selected
            self.table.select(self._selected)

    def _arrange(self) -> None:
        roster = self.post.feed.roster
        shown = roster.shown(searching(self._wanted))
        found = count(roster)
        self._counts.update(counts(found, len(roster), len(shown), self._wanted, ascii_only=self.post.ascii_only))
        self.table.show_rows(shown, roster.widest)

    def on_session_table_selected(self) -> None:
        """Tell of the row that is selected now."""
        self._tell_selected()

    def on_session_table_opened(self, event: SessionTable.Opened) -> None:
        """Show a session by itself."""
        self.app.push_screen(SessionScreen(self.post, event.session))

    def _tell_selected(self) -> None:
        self._columns.update(Text(self.table.layout_now.heading(), "dim", no_wrap=True))
        row = self.table.row
        self._detail.update(Text(row.line() if row else self._nothing(), "" if row else "dim"))
        self.show_hints(row)

    def _nothing(self) -> str:
        if self._wanted:
            return "nothing matches the filter; Escape ends it"
        return "no sessions so far: tidings start NAME --message TEXT"

    def action_filter(self) -> None:
        """Have it typed what is looked for; what matches is shown meanwhile."""
        self.run_worker(self._filter(), group="filter")

    async def _filter(self) -> None:
        self._want(await self.prompt.read("filter: ", self._wanted, self._want) or "")

    def action_unfilter(self) -> None:
        """Show all sessions again."""
        self._want("")

    def _want(self, wanted: str) -> None:
        self._wanted = wanted.strip()
        self._arrange()
        self._tell_selected()

    def action_leave(self) -> None:
        """Quit."""
        self.app.exit(0)
