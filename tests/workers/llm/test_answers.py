"""Reading litellm's objects."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.bus.messages import Message, Reason, ToolCall, encode
from tidings.workers.errors import BrokenAnswer
from tidings.workers.llm.answers import Assembly, parse_arguments, read_completion, read_tokens, stream_tokens
from tidings.workers.llm.received import Received
from tidings.workers.llm.usage import Tokens

FINISHED = SimpleNamespace(received_finish_reason="stop", intermittent_finish_reason=None, chunks=[])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def response(message: Any, finish_reason: Any = "stop", usage: Any = None) -> Any:
    """Return an answer as litellm makes it."""
    return SimpleNamespace(choices=[SimpleNamespace(message=message, finish_reason=finish_reason)], usage=usage)


def message(content: Any = None, tool_calls: Any = None) -> Any:
    """Return a message as litellm makes it."""
    return SimpleNamespace(content=content, tool_calls=tool_calls)


def call(arguments: Any, name: Any = "add", call_id: Any = "call_1", index: Any = 0) -> Any:
    """Return a tool call, or a piece of one."""
    return SimpleNamespace(id=call_id, index=index, function=SimpleNamespace(name=name, arguments=arguments))


def piece(content: Any = None, tool_calls: Any = None, finish_reason: Any = None) -> Any:
    """Return a chunk of a stream as litellm makes it."""
    delta = SimpleNamespace(content=content, tool_calls=tool_calls)
    return SimpleNamespace(choices=[SimpleNamespace(delta=delta, finish_reason=finish_reason)])


def read(answer: Any) -> Any:
    """Read a plain answer."""
    return read_completion(answer, Received(), model="openai/x", attempts=1)


def assemble(*pieces: Any) -> Any:
    """Put a finished stream together."""
    assembly = Assembly()
    for chunk in pieces:
        assembly.add(chunk)
    return assembly.completion(FINISHED, Received(), model="openai/x", attempts=1)


@pytest.mark.parametrize("arguments", [None, "", " \n"])
def test_no_arguments_are_an_empty_object(arguments: Any) -> None:
    """Models send nothing for a tool without parameters."""
    assert parse_arguments(arguments) == {}


@pytest.mark.parametrize(
    "arguments",
    [
        '{"a": 1',
        "add 1",
        "[1, 2]",
        '"text"',
        "7",
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a":' * 80 + "1" + "}" * 80,
        '{"a":' * 200_000,
        "[" * 200_000,
    ],
)
def test_arguments_that_are_no_object_are_kept_as_they_came(arguments: str) -> None:
    """What is no JSON object, or none that the bus carries, can still be shown to the model."""
    assert parse_arguments(arguments) == {"_raw": arguments}


def test_arguments_that_came_parsed_are_taken_over() -> None:
    """Some routes of litellm parse them; what is no JSON then is shown as Python shows it."""
    assert parse_arguments({"a": [1]}) == {"a": [1]}
    assert parse_arguments(["a"]) == {"_raw": "['a']"}


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_arguments_arrive_as_they_were_meant(arguments: dict[str, Any]) -> None:
    """Any JSON object comes back as it was."""
    assert parse_arguments(json.dumps(arguments)) == arguments


@given(st.text() | json_values.map(json.dumps))
def test_whatever_a_model_sends_can_travel(text: str) -> None:
    """The result is always an object that an event can carry."""
    data = ToolCall(call_id="1", name="add", arguments=parse_arguments(text))
    encode(Message.of(data, session="demo"))


@pytest.mark.parametrize("empty", [None, SimpleNamespace(), SimpleNamespace(choices=None), SimpleNamespace(choices=[])])
def test_an_answer_without_a_choice_is_none(empty: Any) -> None:
    """It is a server error, which is worth another try."""
    with pytest.raises(BrokenAnswer) as caught:
        read(empty)
    assert caught.value.reason is Reason.SERVER_ERROR


def test_an_answer_that_ends_in_an_error_is_none() -> None:
    """OpenRouter says so in the finish reason."""
    with pytest.raises(BrokenAnswer, match="error"):
        read(response(message("half an"), "error"))


def test_a_call_to_a_tool_needs_no_text() -> None:
    """A model may have nothing to say beside it."""
    completion = read(response(message(None, [call("{}")]), "tool_calls"))
    assert (completion.text, completion.tool_calls[0].name, completion.cut) == ("", "add", None)


@pytest.mark.parametrize(
    ("finish_reason", "reason", "tries"),
    [
        ("stop", Reason.SERVER_ERROR, 2),
        (None, Reason.SERVER_ERROR, 2),
        ("tool_calls", Reason.SERVER_ERROR, 2),
        ("length", Reason.CONTEXT_WINDOW, 1),
        ("content_filter", Reason.CONTENT_POLICY, 1),
        ("error", Reason.SERVER_ERROR, None),
    ],
)
@pytest.mark.parametrize("text", [None, "", " \n"])
def test_an_answer_that_says_nothing_is_none(finish_reason: Any, reason: Reason, tries: int | None, text: Any) -> None:
    """Where nothing is known but litellm's word; a blank text says nothing."""
    with pytest.raises(BrokenAnswer) as caught:
        read(response(message(text), finish_reason))
    assert (caught.value.reason, caught.value.tries) == (reason, tries)


@pytest.mark.parametrize("finish_reason", ["length", "content_filter"])
def test_of_a_cut_answer_the_text_and_the_complete_calls_are_kept(finish_reason: str) -> None:
    """The last call may be half of one even where it can be read: Anthropic's arguments come parsed."""
    calls = [call('{"a": 1}', call_id="one"), call('{"a": 1}', call_id="two")]
    completion = read(response(message("I will", calls), finish_reason))
    assert (completion.text, [c.call_id for c in completion.tool_calls]) == ("I will", ["one"])
    assert (completion.finish_reason, completion.cut) == (finish_reason, finish_reason)
    with pytest.raises(BrokenAnswer):
        read(response(message(None, calls[:1]), finish_reason))


def test_text_in_parts_is_joined() -> None:
    """Some providers answer with a list of parts."""
    assert read(response(message([{"type": "text", "text": "a"}, {"type": "image"}, "b"]))).text == "ab"


def test_a_call_without_id_or_name_gets_one() -> None:
    """Both are needed to tell its result; two calls never get the same id."""
    first, second = read(response(message(None, [call("{}", None, None), call("{}", "", "")]))).tool_calls
    assert (first.name, second.name) == ("unnamed", "unnamed")
    assert first.call_id != second.call_id


def test_usage_is_what_was_reported() -> None:
    """Litellm fills in 0 where the provider said nothing; an answer may have 0 tokens, a prompt never."""
    assert read_tokens(None) == Tokens()
    assert read_tokens(SimpleNamespace(prompt_tokens=0, completion_tokens=0)) == Tokens()
    assert read_tokens(SimpleNamespace(prompt_tokens=7, completion_tokens=0)) == Tokens(7, 0)
    assert read_tokens(SimpleNamespace(prompt_tokens=0, completion_tokens=3)) == Tokens(None, 3)
    assert Tokens(None, 3).total == 3


def test_usage_of_a_stream_is_the_largest_report() -> None:
    """Anthropic tells the prompt at the beginning and the answer at the end; others tell more and more."""
    reports = [(11, 1), (0, 0), (0, 25), (0, 24)]
    chunks = [SimpleNamespace(usage=SimpleNamespace(prompt_tokens=p, completion_tokens=c)) for p, c in reports]
    assert stream_tokens(SimpleNamespace(chunks=[SimpleNamespace(), *chunks])) == Tokens(11, 25)
    assert stream_tokens(SimpleNamespace()) == Tokens()
    assert stream_tokens(None) == Tokens()


def test_pieces_of_calls_are_put_together_by_index() -> None:
    """Parallel calls come interleaved; name and id come once, or with every piece."""
    completion = assemble(
        piece("I will "),
        piece("add.", [call('{"a"', "add", "one", 0), call("", "sub", "two", 1)]),
        piece(None, [call('{"b": 2}', None, None, 1)]),
        piece(None, [call(": 1}", "add", "one", 0)]),
        piece(finish_reason="tool_calls"),
    )
    assert completion.text == "I will add."
    assert [(c.call_id, c.name, c.arguments) for c in completion.tool_calls] == [
        ("one", "add", {"a": 1}),
        ("two", "sub", {"b": 2}),
    ]
    assert completion.finish_reason == "tool_calls"


def test_calls_that_share_an_index_are_told_apart_by_id() -> None:
    """Some providers give each call the index 0, or none."""
    completion = assemble(
        piece(None, [call('{"a": 1}', "add", "one", None)]),
        piece(None, [call('{"b"', "sub", "two", 0)]),
        piece(None, [call(": 2}", None, None, 0)]),
    )
    assert [(c.call_id, c.arguments) for c in completion.tool_calls] == [("one", {"a": 1}), ("two", {"b": 2})]


def test_chunks_without_a_choice_add_nothing() -> None:
    """The usage comes in such a one."""
    assembly = Assembly()
    assert assembly.add(SimpleNamespace(choices=[])) == ""
    assert assembly.add(piece(None)) == ""
    assert assembly.add(piece("text")) == "text"


def test_a_stream_without_a_finish_reason_was_cut() -> None:
    """Although litellm 1.106 closes it with a "stop" of its own."""
    assembly = Assembly()
    assembly.add(piece("half an"))
    assembly.add(piece(None, finish_reason="stop"))
    cut = SimpleNamespace(received_finish_reason=None, intermittent_finish_reason=None)
    with pytest.raises(BrokenAnswer) as caught:
        assembly.completion(cut, Received(), model="openai/x", attempts=1)
    assert caught.value.reason is Reason.CONNECTION


def test_a_finish_reason_in_the_middle_counts() -> None:
    """Some providers send it before the end; litellm keeps it elsewhere."""
    early = SimpleNamespace(received_finish_reason=None, intermittent_finish_reason="length")
    assembly = Assembly()
    assembly.add(piece("half an"))
    assert assembly.completion(early, Received(), model="openai/x", attempts=3).finish_reason == "length"
