"""Commands: what people and programs ask of a session, and the one outcome that each gets."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from tidings.bus.messages.envelope import ChildName, Data, Instant, JsonObject, Message, SessionId, Text
from tidings.bus.messages.reasons import Reason
from tidings.bus.states import State


class Command(Message):
    """A message on the commands plane; its ``id`` is the command id."""

    plane: ClassVar[str] = "commands"


class CommandData(Data):
    """What every command carries.

    Attributes:
        by: who asks.
        why: why, for the people who see it.
        expires_at: server time after which it must not be applied; set by the bus when it is sent.
    """

    by: Text = Field(default="unknown", min_length=1, max_length=200)
    why: Text = Field(default="", max_length=500)
    expires_at: Instant | None = None


class StartData(CommandData):
    """A new session.

    Attributes:
        text: the first user message; None starts the agent without one.
        parent: session of which this is a child; None: of none.
        name: what the parent calls it; None where it has no parent, or none was given.
    """

    text: Text | None = Field(default=None, min_length=1)
    parent: SessionId | None = None
    name: ChildName | None = None


class SayData(CommandData):
    """A further user message.

    Attributes:
        text: what is said.
    """

    text: Text = Field(min_length=1)


class ReportData(CommandData):
    """What became of a child, for its parent.

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


class SessionStart(Command):
    """Make a session and queue it."""

    type: Literal["session.start"] = "session.start"
    data: StartData = Field(default_factory=StartData)


class SessionSay(Command):
    """Say something to the agent."""

    type: Literal["session.say"] = "session.say"
    data: SayData


class SessionResume(Command):
    """Go on with what was interrupted; adds nothing to the history."""

    type: Literal["session.resume"] = "session.resume"
    data: CommandData = Field(default_factory=CommandData)


class SessionPause(Command):
    """Stop working on the session until somebody resumes it."""

    type: Literal["session.pause"] = "session.pause"
    data: CommandData = Field(default_factory=CommandData)


class SessionStop(Command):
    """End the session for good."""

    type: Literal["session.stop"] = "session.stop"
    data: CommandData = Field(default_factory=CommandData)


class SessionDelete(Command):
    """Take a session away with its history; a tombstone keeps its name from being used again."""

    type: Literal["session.delete"] = "session.delete"
    data: CommandData = Field(default_factory=CommandData)


class SessionReport(Command):
    """The turn of a child of this session is over. Controllers send it to each other's sessions; it is not for people."""

    type: Literal["session.report"] = "session.report"
    data: ReportData


class UnknownCommand(Command):
    """A command of a type that this version does not know; controllers refuse it."""

    data: JsonObject = Field(default_factory=dict)


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
        result: ``applied``: the state has changed already; ``refused``: nothing changed; ``expired``: nobody handled it in time,
            and nobody will.
        reason: why it was refused or has expired, for a person.
        state: state of the session after it was handled; None where there is no session.
        version: version of the record after it was handled.
        legal: commands that would have been accepted, filled when refused.
    """

    command_id: str
    session: str
    result: Result
    reason: Text = ""
    state: State | None = None
    version: int = 0
    legal: tuple[str, ...] = ()
