"""The rows of all sessions, children under their parents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import actors
from tests.workers.cli.stage import WORKER, waiting
from tests.workers.view.drawn import SESSIONS
from tidings.bus import ChildState, Message, Reason, SessionState, State
from tidings.workers.view import Roster, SessionView, searching
from tidings.workers.view.order import MOST_DEPTH


def test_a_deleted_session_leaves_the_roster() -> None:
    """Whoever prints a line still gets its last row."""
    roster = Roster()
    roster.apply(actors.moved("s", State.PAUSED))
    row = roster.apply(actors.moved("s", State.DELETED))
    assert row.state is State.DELETED
    assert len(roster) == 0
    with pytest.raises(KeyError):
        roster["s"]


def test_one_that_was_never_there_is_not_put_there_to_be_deleted() -> None:
    """The notice alone makes no row."""
    roster = Roster()
    roster.apply(actors.moved("s", State.DELETED))
    assert roster.shown() == []


# children


NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def roster_of(*rows: SessionView) -> Roster:
    """A roster with these rows."""
    roster = Roster()
    for row in rows:
        roster.put(row)
    return roster


def names(roster: Roster) -> list[str]:
    """The sessions in the order in which they are shown."""
    return [placed.row.session for placed in roster.shown()]


def depths(roster: Roster) -> dict[str, int]:
    """How deep each session stands."""
    return {placed.row.session: placed.depth for placed in roster.shown()}


def moved(session: str, to: State, **data: object) -> Message[SessionState]:
    """A change of state that a session tells on its own channel."""
    return Message.of(SessionState.model_validate({"to": to, "version": 1, **data}), session=session)


def shown(child: str, state: State, parent: str = "p", **data: object) -> Message[ChildState]:
    """What is told of a child on the channel of its parent."""
    return Message.of(ChildState.model_validate({"child": child, "name": "helper", "state": state, **data}), session=parent)


def test_children_stand_under_their_parents() -> None:
    """Parents by name, children by theirs, at any depth and whoever came first."""
    roster = roster_of(
        SessionView("a9", parent="b", name="two"),
        SessionView("x", parent="a9", name="deep"),
        SessionView("c"),
        SessionView("z", parent="b", name="one"),
        SessionView("b"),
        SessionView("a"),
    )
    assert names(roster) == ["a", "b", "z", "a9", "x", "c"]
    assert list(depths(roster).values()) == [0, 0, 1, 1, 2, 0]


def test_a_child_whose_parent_is_not_there_stands_among_the_sessions() -> None:
    """Only those in one state may have been asked for."""
    roster = roster_of(SessionView("b"), SessionView("c", parent="gone", name="helper"), SessionView("d"))
    assert names(roster) == ["b", "c", "d"]
    assert depths(roster)["c"] == 0


def test_a_child_is_called_by_its_name() -> None:
    """Its session id is long, and its parent stands above it."""
    row = SessionView("p-helper-0123", parent="p", name="helper")
    assert (row.label, SessionView("p").label) == ("helper", "p")
    assert roster_of(SessionView("p"), row).widest == len("  helper")
    assert row.line().startswith("p-helper-0123 (helper, child of p)")


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["", *"abcdef"])), max_size=12))
def test_every_row_is_shown_once_and_after_its_parent(kin: list[tuple[str, str]]) -> None:
    """Also where somebody has made a circle."""
    roster = roster_of(*(SessionView(session, parent=parent, name=session if parent else None) for session, parent in kin))
    order = names(roster)
    assert sorted(order) == sorted({session for session, _ in kin})
    for session in order:
        parent = roster[session].parent
        if parent in order and depths(roster)[session] > depths(roster)[parent]:
            assert order.index(parent) < order.index(session)


def test_a_change_of_state_says_whose_child_it_is() -> None:
    """And what is not said later is not forgotten."""
    roster = Roster()
    roster.apply(moved("c", State.QUEUED, parent="p", name="helper"))
    row = roster.apply(moved("c", State.RUNNING))
    assert (row.parent, row.name) == ("p", "helper")


def test_who_watches_a_parent_alone_sees_its_children() -> None:
    """With the wait, the attempt and who waits."""
    roster = Roster()
    roster.apply(moved("p", State.AWAITING_INPUT))
    wait = waiting(NOW)
    row = roster.apply(shown("c", State.RATE_LIMITED, reason=Reason.RATE_LIMIT, wait=wait, worker=WORKER))
    assert names(roster) == ["p", "c"]
    assert (row.session, row.parent, row.label, row.attempt, row.model) == ("c", "p", "helper", "2 of 6", "openai/x")
    assert (row.countdown(NOW), row.message, row.worker, row.parked) == ("8s", "slow down", "w1", False)
    assert roster.apply(shown("c", State.RUNNING, worker=WORKER)).attempt == ""


def test_a_child_counts_from_its_state() -> None:
    """What is told again of the same state, another attempt for example, does not begin it again; parking does."""
    roster, at = Roster(), [NOW + timedelta(seconds=9 * number) for number in range(4)]

    def told(number: int, state: State, **data: Any) -> datetime | None:
        roster.apply(shown("c", state, **data).model_copy(update={"time": at[number]}))
        return roster["c"].since

    assert told(0, State.RATE_LIMITED, worker=WORKER, wait=waiting(NOW)) == at[0]
    assert told(1, State.RATE_LIMITED, worker=WORKER, wait=waiting(NOW, attempt=3)) == at[0]
    assert told(2, State.RATE_LIMITED, resume_at=at[3]) == at[2]
    assert told(3, State.RUNNING, worker=WORKER) == at[3]


def test_what_a_child_says_itself_is_newer() -> None:
    """Its parent's channel repeats it, and may be a moment behind."""
    roster = Roster()
    roster.apply(moved("c", State.RUNNING, parent="p", name="helper"))
    assert roster.apply(shown("c", State.QUEUED)).state is State.RUNNING


@pytest.mark.parametrize("resume_at", [None, NOW])
def test_a_parked_child_is_shown_as_such(resume_at: datetime | None) -> None:
    """And one that waits for a person as one that does."""
    wait = waiting(NOW).model_copy(update={"retry_at": None})
    row = Roster().apply(shown("c", State.RATE_LIMITED, wait=wait, resume_at=resume_at))
    assert (row.parked, row.needs_you) == (True, resume_at is None)


# the order


def test_what_needs_a_person_comes_first_and_what_is_over_last() -> None:
    """Then what is at work, whether it waits or not, and what rests; by name within, numbers by their value."""
    states = {"s10": State.RUNNING, "S9": State.RETRYING, "done": State.FINISHED, "rest": State.PAUSED, "bad": State.ERROR}
    roster = roster_of(*(SessionView(session, state=state, worker="w") for session, state in states.items()), SessionView("new"))
    assert names(roster) == ["bad", "new", "S9", "s10", "rest", "done"]


def test_a_family_stands_where_its_most_urgent_member_would() -> None:
    """As deep as they are; a family goes on top as a whole, and a child that is alone stands by itself."""
    roster = roster_of(
        SessionView("aachen", state=State.RUNNING),
        SessionView("athens", state=State.RUNNING),
        SessionView("a1", state=State.RUNNING, parent="athens", name="writer"),
        SessionView("a2", state=State.ERROR, parent="a1", name="critic"),
        SessionView("b1", state=State.RUNNING, parent="gone", name="reader"),
    )
    assert list(depths(roster).items()) == [("athens", 0), ("a1", 1), ("a2", 2), ("aachen", 0), ("b1", 0)]
    assert [(one.row.session, one.depth) for one in roster.shown(searching("critic"))] == [("a2", 0)]


@given(st.lists(SESSIONS, unique_by=lambda row: row.session, max_size=12))
def test_every_session_is_placed_once(rows: list[SessionView]) -> None:
    """None is lost or doubled, and those that need a person stand before the others."""
    placed = roster_of(*rows).shown()
    assert sorted(one.row.session for one in placed) == sorted(row.session for row in rows)
    needs = [one.row.needs_you for one in placed]
    assert needs == sorted(needs, reverse=True)


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([None, *"abcd"]), st.sampled_from([None, *State])), max_size=20)
)
def test_the_order_is_that_of_what_is_there_now(steps: list[tuple[str, str | None, State | None]]) -> None:
    """Whatever came, changed and went before; also where it was looked at in between."""
    roster, truth = Roster(), dict[str, SessionView]()
    for session, parent, state in steps:
        if state is State.DELETED:
            roster.remove(session)
            truth.pop(session, None)
        else:
            truth[session] = SessionView(session, state=state, parent=parent)
            roster.put(truth[session])
        assert names(roster) == names(roster_of(*truth.values()))


def test_a_session_stands_so_deep_at_most() -> None:
    """A long line of children leaves room for their names."""
    line = [SessionView(f"s{number}", parent=f"s{number - 1}" if number else None) for number in range(30)]
    assert max(depths(roster_of(*line)).values()) == MOST_DEPTH
