"""The agent: what a user brings. One method, and the way from the history to a prompt.

    class Greeter:
        async def step(self, history, llm):
            completion = await llm.complete(to_prompt(history))
            return Step([AgentMessageData(text=completion.text)])

An agent keeps nothing between steps: all it knows is the history, so any worker can go on where another stopped.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from bus import (
    AgentError,
    AgentErrorData,
    AgentMessage,
    AgentMessageData,
    Event,
    ToolCall,
    ToolCallData,
    ToolResult,
    ToolResultData,
    UserMessage,
)

if TYPE_CHECKING:
    from workers.llm import Completion, Llm
    from workers.settings import Settings

EventData = AgentMessageData | ToolCallData | ToolResultData | AgentErrorData
"""What an agent may add to the history."""

_EVENTS: dict[type, type[Event]] = {
    AgentMessageData: AgentMessage,
    ToolCallData: ToolCall,
    ToolResultData: ToolResult,
    AgentErrorData: AgentError,
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
    """What a user brings."""

    async def step(self, history: Sequence[Event], llm: Llm) -> Step:
        """Take one step.

        A call to a tool takes two: one that returns the ``ToolCallData`` with ``Next.CONTINUE``, and the next, which finds it in the
        history without a result (``open_calls``), runs it and returns the ``ToolResultData``. So the call is in the history before the
        tool runs, and nobody runs it twice unawares.

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
        if not any(isinstance(event, UserMessage) for event in history):
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


def as_event(data: EventData, session: str, source: str) -> Event:
    """Put what an agent adds into an envelope.

    Raises:
        TypeError: it is nothing that an agent may add, a notice for instance.
    """
    model = _EVENTS.get(type(data))
    if model is None:
        raise TypeError(f"an agent cannot add a {type(data).__name__} to the history: use one of the event data classes")
    return model.model_validate({"type": model.model_fields["type"].default, "subject": session, "source": source, "data": data})


def open_calls(history: Sequence[Event]) -> list[ToolCall]:
    """Return the tool calls that have no result, oldest first."""
    calls: dict[str, ToolCall] = {}
    for event in history:
        if isinstance(event, ToolCall):
            calls[event.data.call_id] = event
        elif isinstance(event, ToolResult):
            calls.pop(event.data.call_id, None)
    return list(calls.values())


def to_prompt(history: Sequence[Event], system_prompt: str = "") -> list[dict[str, Any]]:
    """Build the messages for a model from events and from nothing else.

    Providers want the results of tools right after the message that called them, so something said in between comes after. A call
    without a result is given one that says so. ``agent.error`` and events of unknown types are for people and left out.

    Raises:
        TypeError: something other than an event is among them. A notice never reaches a model.
    """
    prompt = _Prompt(system_prompt)
    for event in history:
        if not isinstance(event, Event):
            raise TypeError(f"a prompt is built from events alone, this is a {type(event).__name__}")
        prompt.add(event)
    return prompt.finish()


class _Prompt:
    """A prompt in the making."""

    def __init__(self, system_prompt: str) -> None:
        self._messages: list[dict[str, Any]] = []
        self._open: dict[str, str] = {}
        self._later: list[dict[str, Any]] = []
        if system_prompt:
            self._messages.append({"role": "system", "content": system_prompt})

    def add(self, event: Event) -> None:
        match event:
            case UserMessage():
                self._say({"role": "user", "content": event.data.text})
            case AgentMessage():
                self._say({"role": "assistant", "content": event.data.text})
            case ToolCall():
                self._call(event)
            case ToolResult():
                self._result(event.data.call_id, event.data.content or ("interrupted" if event.data.interrupted else ""))

    def _say(self, message: dict[str, Any]) -> None:
        (self._later if self._open else self._messages).append(message)

    def _call(self, event: ToolCall) -> None:
        last = self._messages[-1] if self._messages else {}
        if last.get("role") != "assistant":
            last = {"role": "assistant", "content": None}
            self._messages.append(last)
        function = {"name": event.data.name, "arguments": json.dumps(event.data.arguments)}
        last.setdefault("tool_calls", []).append({"id": event.data.call_id, "type": "function", "function": function})
        last["content"] = last["content"] or None
        self._open[event.data.call_id] = event.data.name

    def _result(self, call_id: str, content: str) -> None:
        if self._open.pop(call_id, None) is None:
            return
        self._messages.append({"role": "tool", "tool_call_id": call_id, "content": content})
        if not self._open:
            self._flush()

    def _flush(self) -> None:
        self._messages += self._later
        self._later = []

    def finish(self) -> list[dict[str, Any]]:
        for call_id in list(self._open):
            self._result(call_id, "There is no result: the tool did not finish.")
        self._flush()
        return self._messages


class BadAgent(ValueError):
    """The agent named on the command line cannot be used; the text says why."""


def load_agent(spec: str, settings: Settings) -> AgentFactory:
    """Find the class ``module:Class`` and return what makes an agent from it.

    A class with ``from_settings`` gets the settings, any other is called without arguments. Modules of the current folder are found.

    Raises:
        BadAgent: there is no such module or class, or it has no ``step``.
    """
    module_name, _, class_name = spec.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise BadAgent(f"agent {spec!r}: module {module_name!r} cannot be imported: {type(error).__name__}: {error}") from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise BadAgent(f"agent {spec!r}: module {module_name!r} has no class {class_name!r}")
    if not callable(getattr(found, "step", None)):
        raise BadAgent(f"agent {spec!r}: {class_name} has no method step(history, llm); see workers.agent.Agent")
    make: Any = getattr(found, "from_settings", None)
    return (lambda: make(settings)) if make is not None else found
