"""The agent: what a user brings. One method, and the way from the history to a prompt.

    class Greeter:
        async def step(self, history, llm):
            if not unanswered(history):
                return Step()
            completion = await llm.complete(to_prompt(history))
            return Step([AgentMessageData(text=completion.text)])

An agent keeps nothing between steps: all it knows is the history, so any worker can go on where another stopped.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from bus import (
    AgentError,
    AgentErrorData,
    AgentMessage,
    AgentMessageData,
    ChildStart,
    ChildStartData,
    Event,
    HistoryCondensed,
    HistoryCondensedData,
    ToolCall,
    ToolCallData,
    ToolResult,
    ToolResultData,
)
from bus.errors import cause_of
from workers.family import child_id
from workers.prompt import child_results, open_calls, open_children, to_prompt, unanswered

if TYPE_CHECKING:
    from workers.llm import Completion, Llm
    from workers.settings import Settings

__all__ = [
    "Agent",
    "AgentFactory",
    "BadAgent",
    "ChatAgent",
    "EventData",
    "Next",
    "Step",
    "agent_for",
    "answer",
    "as_event",
    "child_results",
    "children_of",
    "load_agent",
    "open_calls",
    "open_children",
    "to_prompt",
    "unanswered",
]

EventData = AgentMessageData | ToolCallData | ToolResultData | AgentErrorData | ChildStartData | HistoryCondensedData
"""What an agent may add to the history."""

_EVENTS: dict[type, type[Event]] = {
    AgentMessageData: AgentMessage,
    ToolCallData: ToolCall,
    ToolResultData: ToolResult,
    AgentErrorData: AgentError,
    ChildStartData: ChildStart,
    HistoryCondensedData: HistoryCondensed,
}


class Next(StrEnum):
    """What comes after a step."""

    CONTINUE = "continue"
    """Another step of the same turn."""
    AWAIT_INPUT = "await_input"
    """The turn is over; a person speaks next."""
    FINISH = "finish"
    """The session is over."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of an agent adds to the history, stored all or none, and what comes next."""

    events: Sequence[EventData] = field(default_factory=tuple)
    next: Next = Next.AWAIT_INPUT


@runtime_checkable
class Agent(Protocol):
    """What a user brings.

    A class may have ``children``, a mapping from names to what makes the agents of its children: a session that was started as
    a child of that name is run by it. The mapping of the root's class counts at every depth, and a name that is not in it gets
    the root's own agent.
    """

    async def step(self, history: Sequence[Event], llm: Llm) -> Step:
        """Take one step.

        A call to a tool takes two: one that returns the ``ToolCallData`` with ``Next.CONTINUE``, and the next, which finds it in
        the history without a result (``open_calls``), runs it and returns the ``ToolResultData``. So the call is in the history
        before the tool runs, and nobody runs it twice unawares.

        There may be nothing to do (``unanswered``), for example when a worker was lost right after it had stored the answer. Then
        the right step is an empty one.

        Args:
            history: all events of the session, oldest first.
            llm: makes the calls; its errors may pass through, the worker knows what to do with them.

        Raises:
            LlmError: as ``llm`` raised it: the session is parked, or its state becomes ``error``; it can be resumed at this step.
            Exception: anything else is the agent's own fault: it is appended as ``agent.error``.
        """
        ...


AgentFactory = Callable[[], Agent]
"""Makes an agent for one run of one session."""


class ChatAgent:
    """Answers each user message with one call; every turn ends with a person's turn to speak.

    Args:
        system_prompt: what stands before the conversation; empty for nothing.
    """

    def __init__(self, system_prompt: str = "") -> None:
        self._system_prompt = system_prompt

    @classmethod
    def from_settings(cls, settings: Settings) -> ChatAgent:
        """Make one with the system prompt of the settings."""
        return cls(settings.system_prompt)

    async def step(self, history: Sequence[Event], llm: Llm) -> Step:
        """Answer what was said since the last answer, if anything was."""
        if not unanswered(history):
            return Step()
        completion = await llm.complete(to_prompt(history, self._system_prompt))
        return Step(answer(completion))


def answer(completion: Completion, idempotent: frozenset[str] = frozenset()) -> list[EventData]:
    """Return a model's answer as events: what it said, then the tools that it calls.

    Args:
        idempotent: names of the tools that may run twice without harm.
    """
    message = AgentMessageData(
        text=completion.text,
        model=completion.model,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
    )
    calls = [
        ToolCallData(
            call_id=request.call_id,
            name=request.name,
            arguments=request.arguments,
            idempotent=request.name in idempotent,
        )
        for request in completion.tool_calls
    ]
    return [message, *calls]


def as_event(data: EventData, session: str, source: str, read: int | None = None) -> Event:
    """Put what an agent adds into an envelope.

    Args:
        read: offset up to which the agent knew the history; noted in what it says, where it does not say so itself.

    Raises:
        TypeError: it is nothing that an agent may add, a notice for instance.
        ValueError: it condenses what the agent has not read.
    """
    model = _EVENTS.get(type(data))
    if model is None:
        raise TypeError(f"an agent cannot add a {type(data).__name__} to the history: use one of the event data classes")
    if isinstance(data, AgentMessageData) and data.read is None:
        data = data.model_copy(update={"read": read})
    if isinstance(data, HistoryCondensedData) and read is not None and data.through > read:
        raise ValueError(f"the history is condensed through offset {data.through}, and the agent has read it up to {read}")
    kind = model.model_fields["type"].default
    event = model.model_validate({"type": kind, "subject": session, "source": source, "data": data})
    if isinstance(data, ChildStartData) and data.child is None:
        named = data.model_copy(update={"child": child_id(session, data.name, event.id)})
        return event.model_copy(update={"data": named})
    return event


class BadAgent(ValueError):
    """The agent named on the command line cannot be used; the text says why."""


def load_agent(spec: str, settings: Settings) -> AgentFactory:
    """Find the class ``module:Class`` and return what makes an agent from it.

    A class with ``from_settings`` gets the settings, any other is called without arguments. Modules of the current folder are
    found.

    Raises:
        BadAgent: there is no such module or class, or it has no ``step``.
    """
    module_name, _, class_name = spec.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise BadAgent(f"agent {spec!r}: module {module_name!r} cannot be imported: {cause_of(error)}") from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise BadAgent(f"agent {spec!r}: module {module_name!r} has no class {class_name!r}")
    if not callable(getattr(found, "step", None)):
        raise BadAgent(f"agent {spec!r}: {class_name} has no method step(history, llm); see workers.agent.Agent")
    return factory_of(found, settings)


@dataclass(frozen=True, slots=True)
class _FromSettings:
    """Makes agents of a class that wants the settings."""

    kind: Any
    settings: Settings

    def __call__(self) -> Agent:
        agent: Agent = self.kind.from_settings(self.settings)
        return agent

    @property
    def children(self) -> Mapping[str, AgentFactory]:
        """What makes the agents of its children."""
        return {name: factory_of(kind, self.settings) for name, kind in children_of(self.kind).items()}


def factory_of(kind: Any, settings: Settings) -> AgentFactory:
    """Return what makes agents of a class, or of a function: with the settings, where it has ``from_settings``."""
    factory: AgentFactory = kind if getattr(kind, "from_settings", None) is None else _FromSettings(kind, settings)
    return factory


def children_of(factory: object) -> Mapping[str, Any]:
    """Return what makes the agents of children, by name; none where it has no ``children``."""
    children: Mapping[str, Any] | None = getattr(factory, "children", None)
    return children or {}


def agent_for(factory: AgentFactory, name: str | None) -> Agent:
    """Make the agent of a session.

    Args:
        factory: makes the agent of the root.
        name: of the child that the session is; None for a root. One that is not among the root's ``children`` gets its agent.
    """
    make: AgentFactory = factory if name is None else children_of(factory).get(name, factory)
    return make()
