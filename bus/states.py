"""The states of a session and the one table of what leads from one to another. Pure: no Redis, no clock.

Controllers decide by this table and nothing else; the worker's own steps (claim, release) use the same rows. The picture in the
documentation is drawn from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """State of a session, as people see it."""

    QUEUED = "queued"
    """Wants a worker; stands in ``ready``."""
    RUNNING = "running"
    """A worker holds it."""
    RETRYING = "retrying"
    """Waits after a failure that is not a limit. Held: its worker waits. Without a worker: parked until ``resume_at``."""
    RATE_LIMITED = "rate_limited"
    """Waits for a limit. Held: its worker waits. Without a worker: parked until ``resume_at``, or until a person resumes it."""
    AWAITING_INPUT = "awaiting_input"
    """The agent's turn is over; a person speaks next."""
    PAUSED = "paused"
    """A person holds it."""
    ERROR = "error"
    """The run failed; a person decides."""
    STOPPED = "stopped"
    """Final: a person ended it."""
    FINISHED = "finished"
    """Final: the agent ended it."""
    DELETED = "deleted"
    """Final: nothing is left of it but a tombstone, which keeps its name from being used again."""


FINAL = frozenset({State.STOPPED, State.FINISHED, State.DELETED})
"""States that nothing leads out of; what is stopped or finished can still be deleted."""

HELD = frozenset({State.RUNNING, State.RETRYING, State.RATE_LIMITED})
"""States in which a worker may hold the session."""

WAITING = frozenset({State.RETRYING, State.RATE_LIMITED})
"""States in which a session waits for a provider; without a worker it is *parked*."""


class Trigger(StrEnum):
    """What may move a session from one state to another."""

    # said by people and programs
    START = "start"
    SAY = "say"
    RESUME = "resume"
    """Resume something that no worker holds and that was interrupted."""
    REST = "rest"
    """Resume something paused that had nothing left to do."""
    NUDGE = "nudge"
    """Resume something that a worker holds: end its wait now."""
    PAUSE = "pause"
    STOP = "stop"
    DELETE = "delete"
    CHANGE = "change"
    """How it is worked on, or what it is called by, changes."""
    # told of a child by the controllers
    REPORT = "report"
    """The turn of a child is over."""
    # told by the worker that holds the session
    CLAIM = "claim"
    LIMITED = "limited"
    """A wait for a rate limit is under way."""
    TROUBLED = "troubled"
    """A wait for another reason is under way."""
    RECOVER = "recover"
    """No wait is under way."""
    PARK = "park"
    """A limit outlasts what a worker waits for."""
    OUTAGE = "outage"
    """An outage outlasts the attempts: parked as well."""
    YIELD = "yield"
    """The turn is over."""
    FINISH = "finish"
    FAIL = "fail"
    HAND_BACK = "hand_back"
    """The worker ends and gives the session back as it is: queued, or parked where a call waits."""
    # found by controllers
    LOSE = "lose"
    """The lease ran out: queued again, or parked where a call waits."""
    ABANDON = "abandon"
    """The lease ran out too often in a row."""
    WAKE = "wake"
    """The resume time of something parked has come."""


COMMANDS: Mapping[str, Trigger] = MappingProxyType(
    {
        "session.start": Trigger.START,
        "session.say": Trigger.SAY,
        "session.resume": Trigger.RESUME,
        "session.pause": Trigger.PAUSE,
        "session.stop": Trigger.STOP,
        "session.delete": Trigger.DELETE,
    }
)
"""The trigger of each command of people and programs; a resume becomes NUDGE or REST by what the session is doing."""

ALWAYS: Mapping[str, Trigger] = MappingProxyType({"session.change": Trigger.CHANGE})
"""Commands that are accepted in every state but the deleted one, so that they are not among those that would be legal."""

INTERNAL: Mapping[str, Trigger] = MappingProxyType({"session.report": Trigger.REPORT})
"""Commands that only controllers send; people are not told that they would be legal."""

_Q, _R, _T, _L = State.QUEUED, State.RUNNING, State.RETRYING, State.RATE_LIMITED
_A, _P, _E, _S, _F = State.AWAITING_INPUT, State.PAUSED, State.ERROR, State.STOPPED, State.FINISHED
_D = State.DELETED


def _held(state: State) -> dict[tuple[State | None, Trigger], State]:
    """Rows that are the same for every state in which a worker may hold the session."""
    return {
        (state, Trigger.SAY): state,
        (state, Trigger.REPORT): state,
        (state, Trigger.NUDGE): _R,
        (state, Trigger.PAUSE): _P,
        (state, Trigger.STOP): _S,
        (state, Trigger.LIMITED): _L,
        (state, Trigger.TROUBLED): _T,
        (state, Trigger.RECOVER): _R,
        (state, Trigger.PARK): _L,
        (state, Trigger.OUTAGE): _T,
        (state, Trigger.YIELD): _A,
        (state, Trigger.FINISH): _F,
        (state, Trigger.FAIL): _E,
        (state, Trigger.HAND_BACK): _Q if state is _R else state,
        (state, Trigger.LOSE): _Q if state is _R else state,
        (state, Trigger.ABANDON): _E,
    }


TABLE: Mapping[tuple[State | None, Trigger], State] = MappingProxyType(
    {
        (None, Trigger.START): _Q,
        (_Q, Trigger.CLAIM): _R,
        (_Q, Trigger.SAY): _Q,
        (_Q, Trigger.REPORT): _Q,
        (_Q, Trigger.RESUME): _Q,
        (_Q, Trigger.PAUSE): _P,
        (_Q, Trigger.STOP): _S,
        **_held(_R),
        **_held(_T),
        **_held(_L),
        (_T, Trigger.RESUME): _Q,
        (_T, Trigger.WAKE): _Q,
        (_L, Trigger.RESUME): _Q,
        (_L, Trigger.WAKE): _Q,
        (_A, Trigger.SAY): _Q,
        (_A, Trigger.REPORT): _Q,
        (_A, Trigger.PAUSE): _P,
        (_A, Trigger.STOP): _S,
        (_P, Trigger.SAY): _P,
        (_P, Trigger.REPORT): _P,
        (_P, Trigger.RESUME): _Q,
        (_P, Trigger.REST): _A,
        (_P, Trigger.PAUSE): _P,
        (_P, Trigger.STOP): _S,
        (_E, Trigger.SAY): _Q,
        (_E, Trigger.REPORT): _E,
        (_E, Trigger.RESUME): _Q,
        (_E, Trigger.PAUSE): _P,
        (_E, Trigger.STOP): _S,
        (_S, Trigger.STOP): _S,
        **{(state, Trigger.DELETE): _D for state in State},
        **{(state, Trigger.CHANGE): state for state in State if state is not _D},
    }
)
"""``(state, trigger) -> state``; the state None is a session that does not exist yet. A pair that is not here is refused."""


def next_state(state: State | None, trigger: Trigger) -> State | None:
    """Return the state that the trigger leads to, or None where the table refuses it."""
    return TABLE.get((state, trigger))


def legal_commands(state: State | None) -> tuple[str, ...]:
    """Return the names of the commands that would be accepted in this state, in the order of the table.

    In a final state only those that lead elsewhere: stopping or deleting twice is accepted, so that it can be repeated, but
    people should not be told to.
    """
    names = tuple(name for name in COMMANDS if _accepts(state, name))
    return tuple(name for name in names if TABLE[state, COMMANDS[name]] is not state) if state in FINAL else names


def _accepts(state: State | None, command: str) -> bool:
    trigger = COMMANDS[command]
    if trigger is Trigger.RESUME:
        return any((state, resume) in TABLE for resume in (Trigger.RESUME, Trigger.NUDGE))
    return (state, trigger) in TABLE
