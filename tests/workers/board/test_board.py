"""The rows of all sessions, children under their parents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import actors
from tests.workers.cli.stage import WORKER, waiting
from tidings.bus import ChildState, Message, Reason, SessionState, State
from tidings.workers.board import Board, Row


def test_a_deleted_session_leaves_the_board() -> None:
    """Whoever prints a line still gets its last row."""
    board = Board()
    board.apply(actors.moved("s", State.PAUSED))
    row = board.apply(actors.moved("s", State.DELETED))
    assert row.state is State.DELETED
    assert len(board) == 0
    with pytest.raises(KeyError):
        board["s"]


def test_one_that_was_never_there_is_not_put_there_to_be_deleted() -> None:
    """The notice alone makes no row."""
    board = Board()
    board.apply(actors.moved("s", State.DELETED))
    assert board.rows() == ([], 0)


# children


NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def board_of(*rows: Row) -> Board:
    """A board with these rows."""
    board = Board()
    for row in rows:
        board.put(row)
    return board


def names(board: Board, limit: int | None = None) -> list[str]:
    """The sessions in the order in which they are shown."""
    return [row.session for row in board.rows(limit)[0]]


def moved(session: str, to: State, **data: object) -> Message[SessionState]:
    """A change of state that a session tells on its own channel."""
    return Message.of(SessionState.model_validate({"to": to, "version": 1, **data}), session=session)


def shown(child: str, state: State, parent: str = "p", **data: object) -> Message[ChildState]:
    """What is told of a child on the channel of its parent."""
    return Message.of(ChildState.model_validate({"child": child, "name": "helper", "state": state, **data}), session=parent)


def test_children_stand_under_their_parents() -> None:
    """Parents by name, children by theirs, at any depth and whoever came first."""
    board = board_of(
        Row("a9", parent="b", name="two"),
        Row("x", parent="a9", name="deep"),
        Row("c"),
        Row("z", parent="b", name="one"),
        Row("b"),
        Row("a"),
    )
    assert names(board) == ["a", "b", "z", "a9", "x", "c"]
    assert [board.depth(session) for session in names(board)] == [0, 0, 1, 1, 2, 0]


def test_a_child_whose_parent_is_not_there_stands_among_the_sessions() -> None:
    """Only those in one state may have been asked for."""
    board = board_of(Row("b"), Row("c", parent="gone", name="helper"), Row("d"))
    assert names(board) == ["b", "c", "d"]
    assert board.depth("c") == 0


def test_a_child_is_called_by_its_name() -> None:
    """Its session id is long, and its parent stands above it."""
    row = Row("p-helper-0123", parent="p", name="helper")
    assert (row.label, Row("p").label) == ("helper", "p")
    assert board_of(Row("p"), row).widest == len("  helper")
    assert row.line().startswith("p-helper-0123 (helper, child of p)")


def test_those_that_need_a_person_are_kept_in_their_places() -> None:
    """What is left out is what can wait longest, child or not."""
    board = board_of(Row("b", state=State.FINISHED), Row("c", state=State.ERROR, parent="b", name="one"), Row("a"))
    assert names(board, 1) == ["c"]
    assert board.rows(1)[1] == 2


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["", *"abcdef"])), max_size=12))
def test_every_row_is_shown_once_and_after_its_parent(kin: list[tuple[str, str]]) -> None:
    """Also where somebody has made a circle."""
    board = board_of(*(Row(session, parent=parent, name=session if parent else "") for session, parent in kin))
    order = names(board)
    assert sorted(order) == sorted({session for session, _ in kin})
    for session in order:
        parent = board[session].parent
        if parent in order and board.depth(session) > board.depth(parent):
            assert order.index(parent) < order.index(session)


def test_a_change_of_state_says_whose_child_it_is() -> None:
    """And what is not said later is not forgotten."""
    board = Board()
    board.apply(moved("c", State.QUEUED, parent="p", name="helper"))
    row = board.apply(moved("c", State.RUNNING))
    assert (row.parent, row.name) == ("p", "helper")


def test_who_watches_a_parent_alone_sees_its_children() -> None:
    """With the wait, the attempt and who waits."""
    board = Board()
    board.apply(moved("p", State.AWAITING_INPUT))
    wait = waiting(NOW)
    row = board.apply(shown("c", State.RATE_LIMITED, reason=Reason.RATE_LIMIT, wait=wait, worker=WORKER))
    assert names(board) == ["p", "c"]
    assert (row.session, row.parent, row.label, row.attempt, row.model) == ("c", "p", "helper", "2 of 6", "openai/x")
    assert (row.countdown(NOW), row.message, row.worker, row.parked) == ("8s", "slow down", "w1", False)
    assert board.apply(shown("c", State.RUNNING, worker=WORKER)).attempt == ""


def test_a_child_counts_from_its_state() -> None:
    """What is told again of the same state, another attempt for example, does not begin it again; parking does."""
    board, at = Board(), [NOW + timedelta(seconds=9 * number) for number in range(4)]

    def told(number: int, state: State, **data: Any) -> datetime | None:
        board.apply(shown("c", state, **data).model_copy(update={"time": at[number]}))
        return board["c"].since

    assert told(0, State.RATE_LIMITED, worker=WORKER, wait=waiting(NOW)) == at[0]
    assert told(1, State.RATE_LIMITED, worker=WORKER, wait=waiting(NOW, attempt=3)) == at[0]
    assert told(2, State.RATE_LIMITED, resume_at=at[3]) == at[2]
    assert told(3, State.RUNNING, worker=WORKER) == at[3]


def test_what_a_child_says_itself_is_newer() -> None:
    """Its parent's channel repeats it, and may be a moment behind."""
    board = Board()
    board.apply(moved("c", State.RUNNING, parent="p", name="helper"))
    assert board.apply(shown("c", State.QUEUED)).state is State.RUNNING


@pytest.mark.parametrize("resume_at", [None, NOW])
def test_a_parked_child_is_shown_as_such(resume_at: datetime | None) -> None:
    """And one that waits for a person as one that does."""
    wait = waiting(NOW).model_copy(update={"retry_at": None})
    row = Board().apply(shown("c", State.RATE_LIMITED, wait=wait, resume_at=resume_at))
    assert (row.parked, row.needs_you) == (True, resume_at is None)
