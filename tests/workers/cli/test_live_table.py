"""The table of sessions."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

from rich.console import Console

from tests.workers.cli.stage import WORKER, waiting
from tidings.bus import Message, Reason, State, WorkerClaimed
from tidings.workers.cli.live_table import draw
from tidings.workers.view import Roster, SessionView

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def drawn(roster: Roster, *, width: int = 140, now: datetime = NOW) -> list[str]:
    """Return the lines of the table on a terminal of that width."""
    out = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    out.print(draw(roster, now, width=width))
    file = out.file
    assert isinstance(file, io.StringIO)
    return [line for line in file.getvalue().splitlines() if line.strip()]


def roster_of(*rows: SessionView) -> Roster:
    """Return a roster with these rows."""
    roster = Roster()
    for row in rows:
        roster.put(row)
    return roster


LIMITED = SessionView(
    "demo",
    state=State.RATE_LIMITED,
    reason=Reason.RATE_LIMIT,
    waits=(waiting(NOW),),
    message="slow down",
    model="openai/x",
    worker="w1",
)


def test_a_line_says_it_all() -> None:
    """State, attempt, countdown, reason, model and worker of a session, each under its heading."""
    head, _, line = drawn(roster_of(LIMITED))
    for name, text in {
        "session": "demo",
        "state": "◔ rate limited",
        "attempt": "2 of 6",
        "why": "rate limit ·",
        "model": "openai/x",
        "worker": "w1",
    }.items():
        assert line.index(text) == head.index(name)
    assert line.index("8s") + 2 == head.index(" in ") + 3


def test_an_update_changes_a_line_and_moves_nothing() -> None:
    """Another state, a later time, another session: the columns stay where they are."""
    roster = roster_of(LIMITED)
    before = drawn(roster)
    roster.put(SessionView("demo", state=State.RUNNING, worker="w1", model="openai/a-very-long-name-of-a-model"))
    roster.put(SessionView("other", state=State.QUEUED))
    later = drawn(roster, now=NOW + timedelta(seconds=5))
    assert before[0] == later[0]
    assert [line.split()[0] for line in later[2:]] == ["demo", "other"]
    assert len({len(line) for line in before + later}) == 1


def test_applying_a_notice_makes_or_changes_the_row() -> None:
    """A session is one line, however much is told of it."""
    roster = Roster()
    claimed = Message.of(WorkerClaimed(worker=WORKER), session="demo")
    assert roster.apply(claimed).worker == "w1"
    roster.apply(claimed)
    assert len(roster) == 1


def test_narrow_terminals_keep_what_matters() -> None:
    """Model and worker go; state, countdown and reason stay readable."""
    lines = drawn(roster_of(LIMITED), width=80)
    assert "model" not in lines[0]
    assert "w1" not in lines[2]
    for text in ("demo", "rate limited", "2 of 6", "8s", "rate limit"):
        assert text in lines[2]
    assert all(len(line) <= 80 for line in lines)


def test_the_age_is_there_from_a_hundred_columns_on() -> None:
    """For how long it has been so, as on the web page."""
    roster = roster_of(SessionView("demo", state=State.QUEUED, since=NOW - timedelta(minutes=5)))
    assert drawn(roster, width=100)[2].split()[-1] == "5m"
    assert drawn(roster, width=100)[0].split()[-1] == "for"
    assert "5m" not in drawn(roster, width=99)[2]


def test_long_names_get_room_up_to_a_third() -> None:
    """The rest is cut with an ellipsis, and the other columns remain."""
    name = "s" * 64
    line = drawn(roster_of(SessionView(name, state=State.RUNNING, worker="w")), width=120)[2]
    assert "s" * 30 in line
    assert "…" in line
    assert "running" in line


def test_what_needs_a_person_says_so() -> None:
    """In words, not only in red."""
    (*_, line) = drawn(roster_of(SessionView("demo", state=State.RATE_LIMITED, action="Pay the bill.")))
    assert "needs you: Pay the bill." in line


def test_a_child_stands_indented_under_its_parent_by_its_name() -> None:
    """Alone it is called by its session."""
    child = SessionView("team-helper-1", parent="team", name="helper", state=State.RUNNING)
    _, _, parent, indented = drawn(roster_of(child, SessionView("team", state=State.AWAITING_INPUT)))
    assert parent.strip().startswith("team ")
    assert indented.index("helper") == parent.index("team") + 2
    assert "team-helper-1" in drawn(roster_of(child), width=140)[2]
