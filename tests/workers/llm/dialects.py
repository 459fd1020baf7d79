"""The ways in which providers answer, as their references show them: OpenAI's and who speaks like it, Anthropic's, Gemini's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

TEXT = "It is sunny."
HALF = "It is"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How one provider answers, and what litellm is asked for to reach it.

    Attributes:
        model: as litellm is asked for it.
        settings: further parameters of the call.
        paths: what the address of its requests holds, plain and streaming.
        opening: events of a stream before its first text.
        piece: events of a stream that add this text.
        ended: a whole answer with this text, and with this word for why it ended.
        end: events that end a stream with this word.
        words: the provider's own words for how an answer ends: complete, cut off, held back.
        breakdown: events that say, in a stream, that the provider failed.
        refusal: the body of an answer with this status.
    """

    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    paths: tuple[str, str]
    opening: str = ""
    piece: Callable[[str], str]
    ended: Callable[[str, str], dict[str, Any]]
    end: Callable[[str], str]
    words: tuple[str, str, str]
    breakdown: str
    refusal: Callable[[int], dict[str, Any]]

    @property
    def closing(self) -> str:
        """Events that end a stream whose answer is complete."""
        return self.end(self.words[0])

    def answer(self, text: str) -> dict[str, Any]:
        """Return a whole answer with this text, complete."""
        return self.ended(text, self.words[0])

    def stream(self, text: str) -> str:
        """Return the events of a stream that breaks off after this text."""
        return self.opening + self.piece(text)


def events(*pieces: dict[str, Any] | str) -> str:
    """Return server-sent events; those that have a type carry it as their name too, which Anthropic wants."""
    return "".join(_event(data) for data in pieces)


def _event(data: dict[str, Any] | str) -> str:
    if isinstance(data, str):
        return f"data: {data}\n\n"
    name = f"event: {data['type']}\n" if "type" in data else ""
    return f"{name}data: {json.dumps(data)}\n\n"


_OPENAI_USAGE = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}


def _openai_answer(text: str, word: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": word}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "x", "choices": [choice], "usage": _OPENAI_USAGE}


def _openai_chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "x", "choices": [choice]}


def _openai_refusal(status: int) -> dict[str, Any]:
    return {"error": {"message": "No.", "type": "requests" if status == 429 else "server_error", "param": None, "code": None}}


def _openai(model: str, path: str, **settings: Any) -> Dialect:
    return Dialect(
        model=model,
        settings=settings,
        paths=(path, path),
        ended=_openai_answer,
        piece=lambda text: events(_openai_chunk({"role": "assistant", "content": text})),
        end=lambda word: events(_openai_chunk({}, word) | {"usage": _OPENAI_USAGE}, "[DONE]"),
        words=("stop", "length", "content_filter"),
        breakdown=events({"error": {"message": "The server had an error.", "type": "server_error", "code": 500}}),
        refusal=_openai_refusal,
    )


_CLAUDE = {"id": "m", "type": "message", "role": "assistant", "model": "claude-x", "stop_sequence": None}


def _claude_answer(text: str, word: str) -> dict[str, Any]:
    usage = {"input_tokens": 5, "output_tokens": 4}
    content = [{"type": "text", "text": text}] if text else []
    return _CLAUDE | {"content": content, "stop_reason": word, "usage": usage}


def _claude_piece(text: str) -> str:
    return events({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})


def _claude_refusal(status: int) -> dict[str, Any]:
    kind = {429: "rate_limit_error", 503: "overloaded_error"}.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": "No."}}


_CLAUDE_BEGINS: dict[str, Any] = _CLAUDE | {"content": [], "stop_reason": None, "usage": {"input_tokens": 5, "output_tokens": 1}}


def _claude_end(word: str) -> str:
    return events(
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": word, "stop_sequence": None}, "usage": {"output_tokens": 4}},
        {"type": "message_stop"},
    )


def _gemini_answer(text: str, **more: Any) -> dict[str, Any]:
    content = {"content": {"parts": [{"text": text}], "role": "model"}} if text else {}
    candidate = content | {"index": 0} | more
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 4, "totalTokenCount": 9}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-x"}


def _gemini_refusal(status: int) -> dict[str, Any]:
    name = {429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}[status]
    return {"error": {"code": status, "message": "No.", "status": name}}


DIALECTS: dict[str, Dialect] = {
    "openai": _openai("openai/x", "/chat/completions"),
    "azure": _openai("azure/x", "/openai/deployments/x/chat/completions", api_version="2024-10-21"),
    # Not by OpenAI's SDK, as the two above, but by the handler that litellm has for most others.
    "openrouter": _openai("openrouter/a/b", "/chat/completions"),
    "anthropic": Dialect(
        model="anthropic/claude-x",
        paths=("/v1/messages", "/v1/messages"),
        ended=_claude_answer,
        opening=events(
            {"type": "message_start", "message": _CLAUDE_BEGINS},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        ),
        piece=_claude_piece,
        end=_claude_end,
        words=("end_turn", "max_tokens", "refusal"),
        breakdown=events({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        refusal=_claude_refusal,
    ),
    "gemini": Dialect(
        model="gemini/gemini-x",
        paths=("gemini-x:generateContent", "gemini-x:streamGenerateContent"),
        ended=lambda text, word: _gemini_answer(text, finishReason=word),
        piece=lambda text: events(_gemini_answer(text)),
        end=lambda word: events(_gemini_answer("", finishReason=word)),
        words=("STOP", "MAX_TOKENS", "PROHIBITED_CONTENT"),
        breakdown=events({"error": _gemini_refusal(503)["error"]}),
        refusal=_gemini_refusal,
    ),
}
