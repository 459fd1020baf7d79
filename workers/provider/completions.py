"""What the provider answers: deterministic text or tool calls, and what they cost in tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from tidings.workers.provider.settings import ECHO

FinishReason = Literal["stop", "length", "tool_calls"]

CHARACTERS_PER_TOKEN = 4
"""The rule of thumb for English text that OpenAI gives; exact counting would need each model's tokenizer."""

_CALL = re.compile(r"\bcall\s+([A-Za-z0-9_-]{1,64})\s*(?=\{)")
_PIECE = re.compile(r"\s*\S+\s*|\s+")


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A tool that the answer calls, with its arguments as JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one prompt.

    Attributes:
        text: What it says; empty when it calls tools.
        tool_calls: The tools it calls, in order.
        finish_reason: Why it ends; `length` if `max_tokens` cut it.
        prompt_tokens: What the prompt cost.
        completion_tokens: What the answer cost.
    """

    text: str
    tool_calls: tuple[FunctionCall, ...]
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int

    @property
    def tokens(self) -> int:
        """What the call costs in all."""
        return self.prompt_tokens + self.completion_tokens


def compose(
    messages: Sequence[Mapping[str, Any]],
    *,
    answer: str = ECHO,
    tools: frozenset[str] = frozenset(),
    max_tokens: int | None = None,
) -> Reply:
    """Answer a prompt; the same prompt is always answered alike.

    After tool results the answer repeats them. Where the last user message says `call NAME {json}`, and NAME
    is one of `tools`, the answer calls it with that JSON. Otherwise it is the setting's text, or an echo of
    the last user message.

    Args:
        messages: The prompt, in OpenAI's form.
        answer: The provider's setting: `echo` or a fixed text.
        tools: The names of the functions that the prompt offers.
        max_tokens: Where a text is cut; tool calls are not.
    """
    cost = prompt_tokens(messages)
    results = _tool_results(messages)
    said = last_user_text(messages)
    calls = () if results else _tool_calls(said, tools)
    if calls:
        spent = sum(count_tokens(call.name) + count_tokens(call.arguments) for call in calls)
        return Reply("", calls, "tool_calls", cost, spent)
    text = f"The tool said: {results}" if results else answer if answer != ECHO else f"You said: {said}"
    kept = text if max_tokens is None else text[: max_tokens * CHARACTERS_PER_TOKEN]
    return Reply(kept, (), "stop" if kept == text else "length", cost, count_tokens(kept))


def count_tokens(text: str) -> int:
    """Count one token for every 4 characters begun."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def prompt_tokens(messages: Sequence[Mapping[str, Any]]) -> int:
    """Count a prompt: the text of each message, its tool calls if it has some, and at least 1 a message."""
    return sum(max(1, count_tokens(content_text(message.get("content"))) + _call_tokens(message)) for message in messages)


def content_text(content: object) -> str:
    """Return the text of a message's `content`: a string, or the text parts of a list, else nothing."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def last_user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of the last message of role `user`; empty if there is none."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return content_text(message.get("content"))
    return ""


def pieces(text: str) -> list[str]:
    """Split an answer as it is streamed: a word a piece. Joined they are the text again."""
    return _PIECE.findall(text)


def _tool_results(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the tool results at the end of the prompt; there are several after parallel calls."""
    texts: list[str] = []
    for message in reversed(messages):
        if message.get("role") != "tool":
            break
        texts.append(content_text(message.get("content")) or "nothing")
    return "\n".join(reversed(texts))


def _tool_calls(said: str, tools: frozenset[str]) -> tuple[FunctionCall, ...]:
    calls: list[FunctionCall] = []
    position = 0
    while tools and (match := _CALL.search(said, position)):
        end = _json_end(said, match.end())
        position = end or match.end()
        if end is not None and match[1] in tools:
            calls.append(FunctionCall(match[1], said[match.end() : end]))
    return tuple(calls)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _json_end(text: str, start: int) -> int | None:
    try:
        return _DECODER.raw_decode(text, start)[1]
    except (ValueError, RecursionError):
        return None


def _call_tokens(message: Mapping[str, Any]) -> int:
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return 0
    functions = [call.get("function") for call in calls if isinstance(call, dict)]
    texts = [
        value
        for function in functions
        if isinstance(function, dict)
        for value in (function.get("name"), function.get("arguments"))
        if isinstance(value, str)
    ]
    return sum(count_tokens(text) for text in texts)
