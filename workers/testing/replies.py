"""Answers to script: what a provider is to say, in place of its echo."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tidings.workers.provider import Fault
from tidings.workers.provider.completions import FunctionCall, Reply, count_tokens
from tidings.workers.provider.wire import DONE, CompletionResponse, sse

MODEL = "test"

# Far from those of the provider, which counts its requests: ids of tool calls must differ within a session.
_numbers = itertools.count(1_000_001)


def reply(
    text: str = "",
    *,
    calls: Sequence[tuple[str, Mapping[str, Any]]] = (),
    stream: bool = False,
    times: int | None = 1,
    contains: str | None = None,
) -> Fault:
    """Return an answer that `Provider.script` takes in line with the failures.

    The provider counts it as scripted, not among what it answered by itself.

    Args:
        text: what the model says.
        calls: the tools that it calls, by name, with their arguments.
        stream: give it as a stream; it must be what the call asks for.
        times: how many calls get it; None: every one. The ids of its tool calls are the same each time.
        contains: only calls with this text in their last user message.
    """
    tools = tuple(FunctionCall(name, json.dumps(arguments)) for name, arguments in calls)
    cost = count_tokens(text) + sum(count_tokens(tool.name) + count_tokens(tool.arguments) for tool in tools)
    said = Reply(text, tools, "tool_calls" if tools else "stop", 0, cost)
    completion = CompletionResponse(next(_numbers), 0, MODEL, said, usage_in_stream=stream)
    if not stream:
        return Fault(kind="status", status=200, times=times, contains=contains, body=completion.whole())
    chunks = [completion.opening(), *(chunk for _, chunk in completion.content()), *completion.closing()]
    body = b"".join([*map(sse, chunks), DONE]).decode()
    headers = {"Content-Type": "text/event-stream; charset=utf-8"}
    return Fault(kind="status", status=200, times=times, contains=contains, headers=headers, body=body)
