"""The prompt: what a model is sent, made from the history and from nothing else; and what in a history is still open."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from tidings.bus import (
    AgentMessage,
    ChildResult,
    ChildStart,
    Event,
    HistoryCondensed,
    Message,
    State,
    ToolCall,
    ToolResult,
    UserMessage,
    carries,
)
from tidings.bus.messages import kind_of

_HEARD = UserMessage | ChildResult
"""What others say to the agent."""
_APART = UserMessage | ChildResult | AgentMessage | ChildStart
"""What must not come between a call to a tool and its result."""
_CONDENSED = "What came before, condensed:\n\n"
_SAID_NOTHING = "(an empty message)"
_GAVE_NOTHING = "(no output)"


def unanswered(history: Sequence[Message[Event]]) -> list[Message[Event]]:
    """Return the user messages, the results of tools and those of children that the agent has not answered, oldest first.

    A run may begin with nothing to answer: a worker was lost after it had stored the answer and before it could say so. And a
    message that came while the answer was being made stands before it in the log, yet is not answered by it.
    """
    waiting: list[Message[Event]] = []
    for event in history:
        if isinstance(event.data, UserMessage | ToolResult | ChildResult):
            waiting.append(event)
        elif carries(event, AgentMessage):
            waiting = [earlier for earlier in waiting if not _knows(event.data, earlier)]
    return waiting


def _knows(said: AgentMessage, earlier: Message[Event]) -> bool:
    """Whether something that stands before an agent's message was known when that was said."""
    return said.read is None or earlier.offset is None or earlier.offset <= said.read


def open_calls(history: Sequence[Message[Event]]) -> list[Message[ToolCall]]:
    """Return the tool calls that have no result, oldest first."""
    calls: dict[str, Message[ToolCall]] = {}
    for event in history:
        if carries(event, ToolCall):
            calls[event.data.call_id] = event
        elif isinstance(event.data, ToolResult):
            calls.pop(event.data.call_id, None)
    return list(calls.values())


def open_children(history: Sequence[Message[Event]]) -> list[Message[ChildStart]]:
    """Return the children that were started and have not reported anything yet, oldest first."""
    waiting: dict[str | None, Message[ChildStart]] = {}
    for event in history:
        if carries(event, ChildStart):
            waiting[event.data.child] = event
        elif isinstance(event.data, ChildResult):
            waiting.pop(event.data.child, None)
    return list(waiting.values())


def child_results(history: Sequence[Message[Event]]) -> list[Message[ChildResult]]:
    """Return the newest result of each child, in the order in which the children first reported.

    A child reports each time its turn is over, so one that somebody has spoken to reports again.
    """
    newest: dict[str, Message[ChildResult]] = {}
    for event in history:
        if carries(event, ChildResult):
            newest[event.data.child] = event
    return list(newest.values())


def to_prompt(history: Sequence[Message[Event]], system_prompt: str = "") -> list[dict[str, Any]]:
    """Build the messages for a model from events and from nothing else.

    Providers want the results of tools right after the message that called them, so something said in between comes after. So
    does what was said while an answer was being made, which that answer does not know. A call without a result is given one that
    says so. ``agent.error`` and events of unknown types are for people and left out.

    No text is blank, because most providers refuse one (Anthropic, Gemini, Bedrock): what an agent said without a word is left
    out, or stands as None beside its calls, and an empty message or result is said to be empty.

    What a child was asked is something that the agent said, ``To NAME: …``; what the child reported was said to it, ``From NAME:
    …``. Of the ``history.condensed`` events the one that reaches furthest stands in front, as a message of the user, for all the
    events that it covers. A call to a tool is never parted from its result: where it would be, the call and what follows stay in.

    Raises:
        TypeError: something other than an event is among them. A notice never reaches a model.
    """
    for event in history:
        if not carries(event, Event):
            raise TypeError(f"a prompt is built from events alone, this is a {kind_of(event)}")
    summary, covered = _condensed(history)
    prompt = _Prompt(system_prompt, summary)
    for event in history:
        if event.offset is None or event.offset > covered:
            prompt.add(event)
    return prompt.finish()


def _condensed(history: Sequence[Message[Event]]) -> tuple[str, int]:
    """Return the summary to use, and the offset of the last event that it stands for; '' and 0 where there is none."""
    summaries = [event for event in history if carries(event, HistoryCondensed)]
    if not summaries:
        return "", 0
    # Of two that reach equally far the newer one counts.
    best = max(reversed(summaries), key=lambda event: event.data.through)
    covered, calls = 0, set[str]()
    for event in history:
        if event.offset is None or event.offset > best.data.through:
            break
        if isinstance(event.data, ToolCall):
            calls.add(event.data.call_id)
        elif isinstance(event.data, ToolResult):
            calls.discard(event.data.call_id)
        if not calls:
            covered = event.offset
    return (best.data.text, covered) if covered else ("", 0)


class _Prompt:
    """A prompt in the making."""

    def __init__(self, system_prompt: str, summary: str) -> None:
        self._messages: list[dict[str, Any]] = []
        self._said: list[Message[UserMessage | ChildResult]] = []
        """What others said and no answer has followed yet."""
        self._caller: dict[str, Any] | None = None
        """The message of the agent that a further call belongs to."""
        self._open: dict[str, None] = {}
        self._later: list[Message[Event]] = []
        if system_prompt.strip():
            self._messages.append({"role": "system", "content": system_prompt})
        if summary:
            self._messages.append({"role": "user", "content": f"{_CONDENSED}{summary}"})

    def add(self, event: Message[Event]) -> None:
        if self._open and isinstance(event.data, _APART):
            self._later.append(event)
            return
        match event.data:
            case UserMessage() | ChildResult():
                self._said.append(cast("Message[UserMessage | ChildResult]", event))
                self._caller = None
            case AgentMessage(text=text) as answer:
                self._place(answer)
                self._speak(text if text.strip() else None)
            case ChildStart() as start:
                self._ask(start)
            case ToolCall() as call:
                self._call(call)
            case ToolResult() as result:
                nothing = "interrupted" if result.interrupted else _GAVE_NOTHING
                self._result(result.call_id, result.content if result.content.strip() else nothing)

    def _place(self, answer: AgentMessage | None = None) -> None:
        """Put in what others said, as far as the answer that follows knows of it."""
        said, self._said = self._said, []
        for message in said:
            if answer is None or _knows(answer, message):
                self._messages.append({"role": "user", "content": _heard(message.data)})
            else:
                self._said.append(message)

    def _speak(self, text: str | None) -> dict[str, Any]:
        self._caller = {"role": "assistant", "content": text}
        self._messages.append(self._caller)
        return self._caller

    def _ask(self, start: ChildStart) -> None:
        """Put in what a child was asked; several in a row, and what the agent said before them, are one message."""
        if self._caller is None:
            self._place()
        asked = f"To {start.name}: {start.text}"
        if self._caller is None or "tool_calls" in self._caller:
            self._speak(asked)
        else:
            self._caller["content"] = f"{self._caller['content']}\n\n{asked}" if self._caller["content"] else asked

    def _call(self, call: ToolCall) -> None:
        if call.call_id in self._open:
            return
        if self._caller is None:
            self._place()
        caller = self._caller or self._speak(None)
        function = {"name": call.name, "arguments": json.dumps(call.arguments)}
        caller.setdefault("tool_calls", []).append({"id": call.call_id, "type": "function", "function": function})
        self._open[call.call_id] = None

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
        return [message for message in self._messages if message["content"] is not None or "tool_calls" in message]


def _heard(told: UserMessage | ChildResult) -> str:
    """Return what a model reads of something that was said to its agent."""
    if isinstance(told, UserMessage):
        return told.text if told.text.strip() else _SAID_NOTHING
    if told.state in (State.AWAITING_INPUT, State.FINISHED):
        return f"From {told.name}: {told.text}"
    # What it had said before it failed may be half of what it was asked for, and is better than nothing.
    return f"From {told.name} ({told.state}: {told.why})" + (f": {told.text}" if told.text else "")
