"""The columns: what stands where on a terminal of any width."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.workers.cli.stage import waiting
from tidings.bus import Reason, State
from tidings.workers.terminal.layout import Layout, Moment
from tidings.workers.view import Placed, SessionView

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LIMITED = SessionView(
    "demo",
    state=State.RATE_LIMITED,
    reason=Reason.RATE_LIMIT,
    waits=(waiting(NOW),),
    message="slow down",
    model="openai/x",
    worker="w1",
    since=NOW - timedelta(minutes=5, seconds=7),
)


def written(row: SessionView, width: int, *, selected: bool = False, ascii_only: bool = False) -> str:
    """Return the line of a row."""
    layout = Layout.of(width, len(row.session))
    return "".join(text for text, _ in layout.line(Placed(row), Moment(NOW, ascii_only), selected=selected))


@pytest.mark.parametrize(
    ("width", "texts"),
    [
        (140, ("demo", "◔ rate limited", "2 of 6", "8s", "rate limit · slow down", "openai/x", "w1", "5m")),
        (100, ("demo", "◔ rate limited", "2 of 6", "8s", "rate limit · slow down", "5m")),
        (80, ("demo", "◔ rate limited", "2 of 6", "8s", "rate limit · slow")),
        (40, ("demo", "◔ rate limited · 2", "8s")),
    ],
)
def test_each_width_shows_what_there_is_room_for(width: int, texts: tuple[str, ...]) -> None:
    """State, time left and reason before anything else."""
    line = written(LIMITED, width)
    for text in texts:
        assert text in line


def test_the_age_is_the_last_column_where_there_is_room() -> None:
    """In its greatest unit; a narrower terminal keeps what matters more."""
    assert written(LIMITED, 100).endswith("   5m")
    assert Layout.of(100, 4).heading().endswith("  for")
    assert "5m" not in written(LIMITED, 99)
    assert written(SessionView("demo", state=State.QUEUED), 140).endswith("     ")


def test_the_heading_names_the_columns() -> None:
    """Each name begins, or ends, where its column does."""
    layout = Layout.of(120, 4)
    heading, line = layout.heading(), written(LIMITED, 120)
    for name, text in (("state", "◔"), ("why", "rate limit ·"), ("model", "openai/x")):
        assert heading.index(f"  {name}") == line.index(f"  {text}")
    assert heading.index(" in") + 3 == line.index(" 8s") + 3


def test_a_selected_row_is_marked_by_a_sign() -> None:
    """Not by its colour alone, and in ASCII where there is nothing else."""
    assert written(LIMITED, 80, selected=True).startswith("› demo")
    assert written(LIMITED, 80, selected=True, ascii_only=True).startswith("> demo")
    assert written(LIMITED, 80, ascii_only=True).isascii() is False  # the text of others stays as it is
    assert "% rate limited" in written(LIMITED, 80, ascii_only=True)


@given(
    st.integers(40, 250),
    st.text(max_size=80),
    st.text(max_size=80),
    st.sampled_from([None, *State]),
    st.integers(1, 64),
)
def test_a_line_is_as_wide_as_the_terminal_whatever_is_in_it(
    width: int, message: str, model: str, state: State | None, longest: int
) -> None:
    """So no column moves; and nothing of it can move the cursor."""
    row = SessionView("s" * longest, state=state, reason=Reason.RATE_LIMIT, message=message, model=model, worker=model)
    line = written(row, width)
    assert cell_len(line) == width
    assert all(letter.isprintable() or letter == " " or letter not in "\n\r\t\x1b\x07" for letter in line)


def test_a_new_session_is_starting() -> None:
    """Before its first state is told."""
    assert "starting" in written(SessionView("demo"), 80)


def test_a_child_stands_further_in_by_its_name() -> None:
    """Below its parent; by itself it is called as any other session."""
    child = SessionView("athens-1", state=State.RUNNING, parent="athens", name="writer\x1b[2J")
    layout = Layout.of(80, 12)

    def name(depth: int, *, ascii_only: bool = False) -> str:
        return layout.line(Placed(child, depth), Moment(NOW, ascii_only))[1][0].rstrip()

    assert name(1) == "└ writer"
    assert name(2) == "  └ writer"
    assert name(1, ascii_only=True) == "` writer"
    assert name(0) == "athens-1"
