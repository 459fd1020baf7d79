"""Commands: what people and programs ask of a session, and the one outcome that each gets."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from tidings.bus.messages.planes import Command
from tidings.bus.messages.reasons import Reason
from tidings.bus.messages.values import ChildName, Data, SessionId, Text
from tidings.bus.messages.work import Wanted
from tidings.bus.states import State


class SessionStart(Wanted, Command, type="session.start"):
    """Make a session and queue it.

    Attributes:
        text: the first user message; None starts the agent without one.
        parent: session of which this is a child; None: of none.
        name: what the parent calls it; None where it has no parent, or none was given.
    """

    text: Text | None = Field(default=None, min_length=1)
    parent: SessionId | None = None
    name: ChildName | None = None


class SessionSay(Command, type="session.say"):
    """Say something to the agent.

    Attributes:
        text: what is said.
    """

    text: Text = Field(min_length=1)


class SessionResume(Wanted, Command, type="session.resume"):
    """Go on with what was interrupted, in another way where that is wanted; adds nothing to the history."""


class SessionChange(Wanted, Command, type="session.change"):
    """Change how the session is worked on, from the next turn on, and its labels."""


class SessionPause(Command, type="session.pause"):
    """Stop working on the session until it is resumed."""


class SessionStop(Command, type="session.stop"):
    """End the session for good."""


class SessionDelete(Command, type="session.delete"):
    """Take a session away with its history; a tombstone keeps its name from being used again."""


class SessionReport(Command, type="session.report"):
    """The turn of a child of this session is over. Controllers send it to each other's sessions; it is not for people.

    Attributes:
        child: session id of the child.
        name: what the parent calls it.
        state: state of the child.
        reason: why it failed, None where it did not.
        text: the newest that the child's agent said in this turn.
    """

    child: SessionId
    name: ChildName
    state: State
    reason: Reason | None = None
    text: Text = ""


class Result(StrEnum):
    """What became of a command."""

    APPLIED = "applied"
    REFUSED = "refused"
    EXPIRED = "expired"


class Outcome(Data):
    """The one outcome of a command; kept for 24 h by command id.

    Attributes:
        command_id: id of the command.
        session: the session that it was for.
        result: ``applied``: the state has changed already; ``refused``: nothing changed; ``expired``: no controller handled it
            in time, and none will.
        reason: why it was refused or has expired, for a person.
        state: state of the session after it was handled; None where there is no session.
        version: version of the record after it was handled.
        legal: commands that would have been accepted, filled when refused.
        warning: what will keep the session waiting, for a person; empty where nothing will.
    """

    command_id: str
    session: str
    result: Result
    reason: Text = ""
    state: State | None = None
    version: int = 0
    legal: tuple[str, ...] = ()
    warning: Text = ""
