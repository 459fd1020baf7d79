"""What people read about a decision, in one line each."""

from __future__ import annotations

from tidings.bus import Command, Message, SessionReport, State, Trigger
from tidings.bus.states import FINAL

_VERBS = {
    Trigger.START: "started by",
    Trigger.SAY: "spoken to by",
    Trigger.PAUSE: "paused by",
    Trigger.STOP: "stopped by",
    Trigger.DELETE: "deleted by",
    Trigger.CHANGE: "changed by",
}


def request(trigger: Trigger, data: Command) -> str:
    """Say who asked for what, and why."""
    if isinstance(data, SessionReport):
        return f"{data.name} has reported: {data.state.replace('_', ' ')}"
    line = f"{_VERBS.get(trigger, 'resumed by')} {data.by}"
    return f"{line}: {data.why}" if data.why else line


def refusal(command: Message[Command], state: State | None) -> str:
    """Say why a command cannot be obeyed in a state."""
    verb = command.type.partition(".")[2]
    if state is None:
        return "there is no such session: start it first"
    if state is State.DELETED:
        return "the session was deleted, and its name is not used again: take another name"
    if verb == "start":
        return f"the session exists already and is {state}"
    if state in FINAL:
        return f"the session is {state}, and that is final"
    return f"nothing was interrupted: the session is {state}; say something to go on"


def orphan(parent: str, state: State | None) -> str:
    """Say why a session cannot be started as a child."""
    if state is None:
        return f"there is no session {parent!r} that it could be a child of"
    return f"its parent {parent!r} is {state}, and that is final"
