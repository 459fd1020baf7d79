"""What is seen of sessions, apart from any screen: one model, one order, one search, and how it is put. Pure."""

from tidings.workers.view.look import LATER, LOOKS, NEEDS_YOU, PARKED, TOLD, Look, look_of
from tidings.workers.view.order import INDENT, Placed, Roster, rank
from tidings.workers.view.search import SEARCHED, searching
from tidings.workers.view.session import FamilyView, SessionView, states_told, view_json
from tidings.workers.view.words import age, clock, day_and_clock, doing, duration, in_words, waiting

__all__ = [
    "INDENT",
    "LATER",
    "LOOKS",
    "NEEDS_YOU",
    "PARKED",
    "SEARCHED",
    "TOLD",
    "FamilyView",
    "Look",
    "Placed",
    "Roster",
    "SessionView",
    "age",
    "clock",
    "day_and_clock",
    "doing",
    "duration",
    "in_words",
    "look_of",
    "rank",
    "searching",
    "states_told",
    "view_json",
    "waiting",
]
