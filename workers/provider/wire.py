"""OpenAI's chat completions on the wire: the request, and the answer in one piece or in chunks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tidings.workers.provider.completions import FunctionCall, Reply, pieces

Json = dict[str, Any]
DONE = b"data: [DONE]\n\n"


class StreamOptions(BaseModel):
    """What a streaming request asks for besides the answer."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """The part of a chat completion request that this provider obeys; the rest is accepted and ignored."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    model: str = Field(min_length=1, max_length=256)
    messages: list[Json] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[Json] | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    n: int | None = Field(default=None, ge=1, le=1)

    @property
    def tool_names(self) -> frozenset[str]:
        """The names of the functions offered."""
        functions = [tool.get("function") for tool in self.tools or ()]
        names = (function.get("name") for function in functions if isinstance(function, dict))
        return frozenset(name for name in names if isinstance(name, str))

    @property
    def token_limit(self) -> int | None:
        """How long the answer may be, in tokens."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with a chunk that tells the usage."""
        return self.stream_options is not None and self.stream_options.include_usage


@dataclass(frozen=True, slots=True)
class CompletionResponse:
    """An answer ready to be sent, whole or in chunks; `number` makes its ids, `created` is Unix time."""

    number: int
    created: int
    model: str
    reply: Reply
    usage_in_stream: bool = False

    def whole(self) -> Json:
        """Return the body of a plain answer."""
        message: Json = {"role": "assistant", "content": self.reply.text}
        if calls := self.reply.tool_calls:
            message["content"] = None
            message["tool_calls"] = [self._tool_call(index, call) for index, call in enumerate(calls)]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.reply.finish_reason}
        return self._frame("chat.completion", [choice]) | {"usage": self._usage()}

    def opening(self) -> Json:
        """Return the first chunk: the role, no text yet."""
        return self._chunk({"role": "assistant", "content": None if self.reply.tool_calls else ""})

    def content(self) -> Iterator[tuple[str, Json]]:
        """Yield the pieces of the answer, each with the text it costs and its chunk."""
        for text in pieces(self.reply.text):
            yield text, self._chunk({"content": text})
        for index, call in enumerate(self.reply.tool_calls):
            named = self._tool_call(index, FunctionCall(call.name, "")) | {"index": index}
            yield call.name, self._chunk({"tool_calls": [named]})
            for text in pieces(call.arguments):
                argument = {"index": index, "function": {"arguments": text}}
                yield text, self._chunk({"tool_calls": [argument]})

    def closing(self) -> Iterator[Json]:
        """Yield the chunk with the finish reason, and the usage if it was asked for."""
        yield self._chunk({}, self.reply.finish_reason)
        if self.usage_in_stream:
            yield self._frame("chat.completion.chunk", []) | {"usage": self._usage()}

    def _chunk(self, delta: Json, finish_reason: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._frame("chat.completion.chunk", [choice]) | ({"usage": None} if self.usage_in_stream else {})

    def _frame(self, kind: str, choices: list[Json]) -> Json:
        return {
            "id": f"chatcmpl-{self.number}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }

    def _tool_call(self, index: int, call: FunctionCall) -> Json:
        function = {"name": call.name, "arguments": call.arguments}
        return {"id": f"call_{self.number}_{index}", "type": "function", "function": function}

    def _usage(self) -> Json:
        return {
            "prompt_tokens": self.reply.prompt_tokens,
            "completion_tokens": self.reply.completion_tokens,
            "total_tokens": self.reply.tokens,
        }


def sse(chunk: Json) -> bytes:
    """Return a chunk as a server-sent event."""
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"
