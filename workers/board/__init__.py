"""What people see of sessions, apart from any screen: a row for each, and how states, times and waits are put. Pure."""

from tidings.workers.board.board import INDENT, Board, urgency
from tidings.workers.board.look import (
    LATER,
    LOOKS,
    NEEDS_YOU,
    PARKED,
    Look,
    age,
    clock,
    day_and_clock,
    doing,
    duration,
    look_of,
    waiting,
)
from tidings.workers.board.row import Row, states_told

__all__ = [
    "INDENT",
    "LATER",
    "LOOKS",
    "NEEDS_YOU",
    "PARKED",
    "Board",
    "Look",
    "Row",
    "age",
    "clock",
    "day_and_clock",
    "doing",
    "duration",
    "look_of",
    "states_told",
    "urgency",
    "waiting",
]
