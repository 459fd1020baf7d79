"""Requests and answers on the wire."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from tidings.workers.provider.completions import compose
from tidings.workers.provider.wire import ChatRequest, CompletionResponse, sse

PROMPT = [{"role": "user", "content": 'call sum {"a": 1, "b": 2}'}]


def request(**fields: Any) -> ChatRequest:
    """Read a request with these fields besides the required ones."""
    return ChatRequest.model_validate({"model": "m", "messages": PROMPT, **fields})


def completion(*, tools: frozenset[str] = frozenset(), usage: bool = False) -> CompletionResponse:
    """Answer the prompt."""
    return CompletionResponse(7, 1000, "m", compose(PROMPT, tools=tools), usage)


def joined(chunks: list[dict[str, Any]]) -> str:
    """Put the text of chunks together, as a client does."""
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


def test_what_is_not_obeyed_is_accepted() -> None:
    """Sampling settings and fields of the future do no harm."""
    assert request(temperature=0.2, seed=1, unheard_of={"a": 1}).model == "m"


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": ""},
        {"model": "m" * 300},
        {"messages": []},
        {"messages": "hello"},
        {"messages": ["hello"]},
        {"n": 2},
        {"max_tokens": 0},
        {"stream": "perhaps"},
    ],
)
def test_what_cannot_be_obeyed_is_refused(wrong: dict[str, Any]) -> None:
    """A request that would be answered otherwise than asked is an error."""
    with pytest.raises(ValidationError):
        request(**wrong)


def test_tools_are_known_by_name() -> None:
    """Odd tools are passed over."""
    tools = [{"type": "function", "function": {"name": "sum"}}, {"type": "x"}, {"function": {"name": 3}}]
    assert request(tools=tools).tool_names == {"sum"}
    assert request().tool_names == frozenset()


def test_the_newer_token_limit_goes_first() -> None:
    """`max_completion_tokens` replaces `max_tokens`."""
    assert request(max_tokens=3).token_limit == 3
    assert request(max_tokens=3, max_completion_tokens=5).token_limit == 5
    assert request().token_limit is None


def test_a_plain_answer_has_openais_form() -> None:
    """Message, finish reason and usage are where clients look for them."""
    body = completion().whole()
    assert body["object"] == "chat.completion"
    assert body["id"] == "chatcmpl-7"
    choice = body["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": f"You said: {PROMPT[0]['content']}"}
    assert choice["finish_reason"] == "stop"
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_tool_call_has_openais_form() -> None:
    """It has an id, a name and the arguments as text; the content is null."""
    choice = completion(tools=frozenset({"sum"})).whole()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    function = {"name": "sum", "arguments": '{"a": 1, "b": 2}'}
    calls = [{"id": "call_7_0", "type": "function", "function": function}]
    assert choice["message"] == {"role": "assistant", "content": None, "tool_calls": calls}


def test_the_chunks_say_what_the_plain_answer_says() -> None:
    """Role first, then the text in pieces, then the finish reason alone."""
    answer = completion()
    content = [chunk for _, chunk in answer.content()]
    (closing,) = answer.closing()
    assert answer.opening()["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert joined(content) == answer.reply.text
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in content)
    assert closing["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert "usage" not in closing


def test_a_tool_call_is_streamed_by_its_index() -> None:
    """Id and name come once, the arguments in pieces."""
    answer = completion(tools=frozenset({"sum"}))
    deltas = [chunk["choices"][0]["delta"]["tool_calls"][0] for _, chunk in answer.content()]
    assert deltas[0]["id"] == "call_7_0"
    assert deltas[0]["function"] == {"name": "sum", "arguments": ""}
    assert {delta["index"] for delta in deltas} == {0}
    assert "".join(delta["function"]["arguments"] for delta in deltas) == '{"a": 1, "b": 2}'


def test_usage_is_streamed_when_asked_for() -> None:
    """The last chunk has no choice and the usage; the others say null."""
    answer = completion(usage=True)
    finish, usage = answer.closing()
    assert answer.opening()["usage"] is None
    assert finish["usage"] is None
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == answer.reply.tokens


def test_a_chunk_is_one_event_line() -> None:
    """Whatever the text holds, an event is a single `data:` line and an empty one."""
    event = sse({"text": "a\nb\u2028\ud800"})
    assert event.startswith(b"data: {")
    assert event.endswith(b"}\n\n")
    assert event.count(b"\n") == 2
    assert json.loads(event[6:]) == {"text": "a\nb\u2028\ud800"}
