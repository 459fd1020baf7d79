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
        answer: a whole answer with this text.
        opening: events of a stream before its first text.
        piece: events of a stream that add this text.
        closing: events that end a stream.
        breakdown: events that say, in a stream, that the provider failed.
        refusal: the body of an answer with this status.
    """

    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    paths: tuple[str, str]
    answer: Callable[[str], dict[str, Any]]
    opening: str = ""
    piece: Callable[[str], str]
    closing: str
    breakdown: str
    refusal: Callable[[int], dict[str, Any]]

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


def _openai_answer(text: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
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
        answer=_openai_answer,
        piece=lambda text: events(_openai_chunk({"role": "assistant", "content": text})),
        closing=events(_openai_chunk({}, "stop") | {"usage": _OPENAI_USAGE}, "[DONE]"),
        breakdown=events({"error": {"message": "The server had an error.", "type": "server_error", "code": 500}}),
        refusal=_openai_refusal,
    )


_CLAUDE = {"id": "m", "type": "message", "role": "assistant", "model": "claude-x", "stop_sequence": None}


def _claude_answer(text: str) -> dict[str, Any]:
    usage = {"input_tokens": 5, "output_tokens": 4}
    return _CLAUDE | {"content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "usage": usage}


def _claude_piece(text: str) -> str:
    return events({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})


def _claude_refusal(status: int) -> dict[str, Any]:
    kind = {429: "rate_limit_error", 503: "overloaded_error"}.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": "No."}}


_CLAUDE_BEGINS: dict[str, Any] = _CLAUDE | {"content": [], "stop_reason": None, "usage": {"input_tokens": 5, "output_tokens": 1}}
_CLAUDE_ENDS = {"stop_reason": "end_turn", "stop_sequence": None}


def _gemini_answer(text: str, **more: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0} | more
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
        answer=_claude_answer,
        opening=events(
            {"type": "message_start", "message": _CLAUDE_BEGINS},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        ),
        piece=_claude_piece,
        closing=events(
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": _CLAUDE_ENDS, "usage": {"output_tokens": 4}},
            {"type": "message_stop"},
        ),
        breakdown=events({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        refusal=_claude_refusal,
    ),
    "gemini": Dialect(
        model="gemini/gemini-x",
        paths=("gemini-x:generateContent", "gemini-x:streamGenerateContent"),
        answer=lambda text: _gemini_answer(text, finishReason="STOP"),
        piece=lambda text: events(_gemini_answer(text)),
        closing=events(_gemini_answer("", finishReason="STOP")),
        breakdown=events({"error": _gemini_refusal(503)["error"]}),
        refusal=_gemini_refusal,
    ),
}
