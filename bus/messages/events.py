"""Events: what was said and done in a session. The agent's history; prompts are built from it and from nothing else."""

from __future__ import annotations

from pydantic import Field

from tidings.bus.messages.planes import Event
from tidings.bus.messages.reasons import Reason
from tidings.bus.messages.values import ChildName, Json, SessionId, Text
from tidings.bus.messages.work import Wanted
from tidings.bus.states import State


class UserMessage(Event, type="user.message"):
    """Something was said to the agent.

    Attributes:
        text: what was said.
        by: the speaker.
    """

    text: Text
    by: Text | None = None


class AgentMessage(Event, type="agent.message"):
    """The agent said something.

    Attributes:
        text: what was said.
        model: the model that said it.
        prompt_tokens: tokens of the prompt, as the provider counted.
        completion_tokens: tokens of the answer, as the provider counted.
        read: offset up to which the history was known when it was said. What people said after that stands before it in the log
            and is not answered by it. None where that was not noted: then it answers all that stands before it.
        cut: why the text ends too early, in the provider's word (``max_tokens``, ``content_filter``, ...); None for a whole one.
    """

    text: Text
    model: Text | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    read: int | None = Field(default=None, ge=0)
    cut: Text | None = None


class ToolCall(Event, type="tool.call"):
    """The agent is about to use a tool.

    Attributes:
        call_id: joins the call to its result.
        name: name of the tool.
        arguments: what the tool is called with: the object that the model has written.
        idempotent: whether running it twice does no harm, so that a worker that takes the session over may run it again.
    """

    call_id: Text = Field(min_length=1)
    name: Text = Field(min_length=1)
    arguments: Json = Field(default_factory=dict)
    idempotent: bool = False


class ToolResult(Event, type="tool.result"):
    """A tool gave something back.

    Attributes:
        call_id: the call that this is the result of.
        name: name of the tool.
        content: what it gave back, as the model reads it.
        is_error: whether the tool failed; ``content`` then says how.
        interrupted: the worker was lost while the tool may have been running; it is not known how far it got.
    """

    call_id: Text = Field(min_length=1)
    name: Text = Field(min_length=1)
    content: Text = ""
    is_error: bool = False
    interrupted: bool = False


class AgentError(Event, type="agent.error"):
    """The agent's own code failed.

    Attributes:
        kind: name of the exception.
        message: its text, secrets removed.
    """

    kind: Text
    message: Text = ""


class ChildStart(Wanted, Event, type="child.start"):
    """The agent starts a child; what it does not want otherwise is as with its parent, but for the labels.

    Attributes:
        name: what the agent calls the child, and by which its worker finds the agent that runs it.
        text: the first message to the child.
        child: session id of the child. None only in what an agent returns: its worker then makes one.
    """

    name: ChildName
    text: Text = Field(min_length=1)
    child: SessionId | None = None


class ChildResult(Event, type="child.result"):
    """The turn of a child is over.

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


class HistoryCondensed(Event, type="history.condensed"):
    """From here on a summary stands for older events in the prompt.

    Attributes:
        text: the summary.
        through: offset of the newest event that it stands for, with all before it.
        llm: the path that wrote it, None where that was not noted.
    """

    text: Text = Field(min_length=1)
    through: int = Field(ge=1)
    llm: Text | None = Field(default=None, max_length=64)
