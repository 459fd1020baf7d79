"""The order of the rows, the filter, the numbers."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tidings.bus import Reason, State
from tidings.workers.board import LOOKS, NEEDS_YOU, Row
from tidings.workers.terminal.arrangement import Placed, arrange, count

QUOTA = Row("zurich", state=State.RATE_LIMITED, reason=Reason.QUOTA_EXHAUSTED, message="out of quota")
rows = st.lists(
    st.builds(Row, st.from_regex(r"[a-z]{1,4}", fullmatch=True), state=st.sampled_from([None, *State])),
    unique_by=lambda row: row.session,
)


def sessions(placed: list[Placed]) -> list[str]:
    """Return the names in order."""
    return [one.row.session for one in placed]


def test_what_needs_a_person_comes_first_and_the_rest_stays_where_it_was() -> None:
    """A row that only waits, or works, does not move."""
    athens, berlin = Row("athens", state=State.RUNNING), Row("berlin", state=State.RETRYING, worker="w1")
    assert sessions(arrange([athens, berlin, QUOTA])) == ["zurich", "athens", "berlin"]


@given(rows)
def test_every_row_is_placed_once(found: list[Row]) -> None:
    """None is lost or doubled, and those that need a person stand before the others."""
    placed = arrange(found)
    assert sorted(sessions(placed)) == sorted(row.session for row in found)
    needs = [one.row.needs_you for one in placed]
    assert needs == sorted(needs, reverse=True)


def test_a_filter_looks_at_everything_shown() -> None:
    """All words must be there, wherever, in whatever case."""
    claimed = Row("athens", state=State.RATE_LIMITED, model="openai/gpt", worker="W1", resume_at=datetime.now(UTC))
    for wanted in ("ath", "RATE limited", "gpt w1", " "):
        assert sessions(arrange([claimed, Row("x")], wanted)) == (["athens", "x"] if not wanted.strip() else ["athens"])
    assert sessions(arrange([QUOTA], "quota out")) == ["zurich"]
    assert arrange([claimed], "athens error") == []


def test_sessions_are_counted_by_their_look() -> None:
    """The most urgent first; those that wait for a person are counted apart from those that wait for a time."""
    running = [Row(name, state=State.RUNNING) for name in ("a", "b")]
    found = count([*running, QUOTA, Row("c", state=State.ERROR), Row("new")])
    assert [(one.look, one.number, one.need_you) for one in found] == [
        (NEEDS_YOU, 1, True),
        (LOOKS[State.ERROR], 1, True),
        (LOOKS[State.RUNNING], 2, False),
    ]


def test_children_stand_below_their_parent() -> None:
    """As deep as they are; a family goes on top as a whole, and a child that is alone stands by itself."""
    parent, child = Row("athens", state=State.RUNNING), Row("a1", state=State.RUNNING, parent="athens", name="writer")
    grandchild = Row("a2", state=State.ERROR, parent="a1", name="critic")
    lonely = Row("b1", state=State.RUNNING, parent="gone", name="reader")
    placed = arrange([Row("aachen", state=State.RUNNING), parent, child, grandchild, lonely])
    assert [(one.row.session, one.depth) for one in placed] == [
        ("athens", 0),
        ("a1", 1),
        ("a2", 2),
        ("aachen", 0),
        ("b1", 0),
    ]
    assert sessions(arrange([parent, child, grandchild], "critic")) == ["a2"]
