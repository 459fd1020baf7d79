"""Events: what was said and done in a session. The agent's history; prompts are built from it and from nothing else."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tidings.bus.messages.envelope import ChildName, Data, Json, JsonObject, Message, SessionId, Text
from tidings.bus.messages.reasons import Reason
from tidings.bus.states import State


class Event(Message):
    """A message on the events plane."""

    plane: ClassVar[str] = "events"


class UserMessageData(Data):
    """Something a person or program said.

    Attributes:
        text: what was said.
        by: who said it.
    """

    text: Text
    by: Text | None = None


class UserMessage(Event):
    """Something was said to the agent."""

    type: Literal["user.message"] = "user.message"
    data: UserMessageData


class AgentMessageData(Data):
    """Something the agent said.

    Attributes:
        text: what was said.
        model: the model that said it.
        prompt_tokens: tokens of the prompt, as the provider counted.
        completion_tokens: tokens of the answer, as the provider counted.
        read: offset up to which the history was known when it was said. What people said after that stands before it in the log
            and is not answered by it. None where nobody noted it: then it answers all that stands before it.
        cut: why the text ends too early, in the provider's word (``max_tokens``, ``content_filter``, ...); None for a whole one.
    """

    text: Text
    model: Text | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    read: int | None = Field(default=None, ge=0)
    cut: Text | None = None


class AgentMessage(Event):
    """The agent said something."""

    type: Literal["agent.message"] = "agent.message"
    data: AgentMessageData


class ToolCallData(Data):
    """The agent is about to use a tool; appended before the tool runs.

    Attributes:
        call_id: joins the call to its result.
        name: name of the tool.
        arguments: what the tool is called with: the object that the model has written.
        idempotent: whether running it twice does no harm, so that who takes the session over may run it again.
    """

    call_id: Text = Field(min_length=1)
    name: Text = Field(min_length=1)
    arguments: Json = Field(default_factory=dict)
    idempotent: bool = False


class ToolCall(Event):
    """The agent is about to use a tool."""

    type: Literal["tool.call"] = "tool.call"
    data: ToolCallData


class ToolResultData(Data):
    """What a tool gave back.

    Attributes:
        call_id: the call that this is the result of.
        name: name of the tool.
        content: what it gave back, as the model reads it.
        is_error: whether the tool failed; ``content`` then says how.
        interrupted: the worker was lost while the tool may have been running; nobody knows how far it got.
    """

    call_id: Text = Field(min_length=1)
    name: Text = Field(min_length=1)
    content: Text = ""
    is_error: bool = False
    interrupted: bool = False


class ToolResult(Event):
    """A tool gave something back."""

    type: Literal["tool.result"] = "tool.result"
    data: ToolResultData


class AgentErrorData(Data):
    """The agent's own code failed (not a call to a model: that is a notice).

    Attributes:
        kind: name of the exception.
        message: its text, secrets removed.
    """

    kind: Text
    message: Text = ""


class AgentError(Event):
    """The agent's own code failed."""

    type: Literal["agent.error"] = "agent.error"
    data: AgentErrorData


class ChildStartData(Data):
    """The agent starts a session of its own; appended before that is started.

    Attributes:
        name: what the agent calls the child, and by which its worker finds the agent that runs it.
        text: the first message to the child.
        child: session id of the child. None only in what an agent returns: its worker then makes one.
    """

    name: ChildName
    text: Text = Field(min_length=1)
    child: SessionId | None = None


class ChildStart(Event):
    """The agent starts a child."""

    type: Literal["child.start"] = "child.start"
    data: ChildStartData


class ChildResultData(Data):
    """What became of a child: its turn is over.

    Attributes:
        child: session id of the child.
        name: what the agent calls it.
        state: state of the child: ``awaiting_input``, ``error`` or a final one.
        reason: why it failed, None where it did not.
        text: the newest that the child's agent said in this turn; cut where it would not fit into a message.
        why: one line on the state, for a person.
    """

    child: SessionId
    name: ChildName
    state: State
    reason: Reason | None = None
    text: Text = ""
    why: Text = ""


class ChildResult(Event):
    """The turn of a child is over."""

    type: Literal["child.result"] = "child.result"
    data: ChildResultData


class HistoryCondensedData(Data):
    """A summary that stands for older events in the prompt; they stay in the history.

    Attributes:
        text: the summary.
        through: offset of the newest event that it stands for, with all before it.
        llm: the path that wrote it, None where nobody noted it.
    """

    text: Text = Field(min_length=1)
    through: int = Field(ge=1)
    llm: Text | None = Field(default=None, max_length=64)


class HistoryCondensed(Event):
    """From here on a summary stands for older events in the prompt."""

    type: Literal["history.condensed"] = "history.condensed"
    data: HistoryCondensedData


class UnknownEvent(Event):
    """An event of a type that this version does not know, passed on as it is."""

    data: JsonObject = Field(default_factory=dict)
