"""The rows of all sessions."""

from __future__ import annotations

import pytest

from bus import State
from tests import actors
from workers.board import Board


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
