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
    """
    model = _EVENTS.get(type(data))
    if model is None:
        raise TypeError(f"an agent cannot add a {type(data).__name__} to the history: use one of the event data classes")
    if isinstance(data, AgentMessageData) and data.read is None:
        data = data.model_copy(update={"read": read})
    return model.model_validate({"type": model.model_fields["type"].default, "subject": session, "source": source, "data": data})


def unanswered(history: Sequence[Event]) -> list[Event]:
    """Return the user messages and the results of tools that the agent has not answered, oldest first.

    A run may begin with nothing to answer: a worker was lost after it had stored the answer and before it could say so. And a
    message that came while the answer was being made stands before it in the log, yet is not answered by it.
    """
    waiting: list[Event] = []
    for event in history:
        if isinstance(event, UserMessage | ToolResult):
            waiting.append(event)
        elif isinstance(event, AgentMessage):
            waiting = [earlier for earlier in waiting if not _knows(event, earlier)]
    return waiting


def _knows(said: AgentMessage, earlier: Event) -> bool:
    """Whether something that stands before an agent's message was known when that was said."""
    return said.data.read is None or earlier.offset is None or earlier.offset <= said.data.read


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

    Providers want the results of tools right after the message that called them, so something said in between comes after. So
    does what was said while an answer was being made, which that answer does not know. A call without a result is given one that
    says so. ``agent.error`` and events of unknown types are for people and left out.

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
        self._said: list[UserMessage] = []
        """What people said and no answer has followed yet."""
        self._caller: dict[str, Any] | None = None
        """The message of the agent that a further call belongs to."""
        self._open: dict[str, None] = {}
        self._later: list[Event] = []
        if system_prompt:
            self._messages.append({"role": "system", "content": system_prompt})

    def add(self, event: Event) -> None:
        if self._open and isinstance(event, UserMessage | AgentMessage):
            self._later.append(event)
            return
        match event:
            case UserMessage():
                self._said.append(event)
                self._caller = None
            case AgentMessage():
                self._place(event)
                self._speak(event.data.text)
            case ToolCall():
                self._call(event)
            case ToolResult():
                self._result(event.data.call_id, event.data.content or ("interrupted" if event.data.interrupted else ""))

    def _place(self, answer: AgentMessage | None = None) -> None:
        """Put in what people said, as far as the answer that follows knows of it."""
        said, self._said = self._said, []
        for message in said:
            if answer is None or _knows(answer, message):
                self._messages.append({"role": "user", "content": message.data.text})
            else:
                self._said.append(message)

    def _speak(self, text: str | None) -> dict[str, Any]:
        self._caller = {"role": "assistant", "content": text}
        self._messages.append(self._caller)
        return self._caller

    def _call(self, event: ToolCall) -> None:
        if event.data.call_id in self._open:
            return
        if self._caller is None:
            self._place()
        caller = self._caller or self._speak(None)
        function = {"name": event.data.name, "arguments": json.dumps(event.data.arguments)}
        caller.setdefault("tool_calls", []).append({"id": event.data.call_id, "type": "function", "function": function})
        caller["content"] = caller["content"] or None
        self._open[event.data.call_id] = None

    def _result(self, call_id: str, content: str) -> None:
        if call_id not in self._open:
            return
        del self._open[call_id]
        self._messages.append({"role": "tool", "tool_call_id": call_id, "content": content})
        if not self._open:
            self._caller = None
            later, self._later = self._later, []
            for event in later:
                self.add(event)

    def finish(self) -> list[dict[str, Any]]:
        for call_id in list(self._open):
            self._result(call_id, "There is no result: the tool did not finish.")
        self._place()
        return self._messages


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
        raise BadAgent(f"agent {spec!r}: module {module_name!r} cannot be imported: {type(error).__name__}: {error}") from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise BadAgent(f"agent {spec!r}: module {module_name!r} has no class {class_name!r}")
    if not callable(getattr(found, "step", None)):
        raise BadAgent(f"agent {spec!r}: {class_name} has no method step(history, llm); see workers.agent.Agent")
    make: Any = getattr(found, "from_settings", None)
    return (lambda: make(settings)) if make is not None else found
