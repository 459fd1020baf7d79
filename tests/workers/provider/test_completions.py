"""What the provider answers and what it costs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.workers.provider.completions import (
    FunctionCall,
    compose,
    content_text,
    count_tokens,
    last_user_text,
    pieces,
    prompt_tokens,
)

TOOLS = frozenset({"weather", "sum"})


def user(text: str) -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": text}


def tool(text: str) -> dict[str, Any]:
    """Return a tool result."""
    return {"role": "tool", "tool_call_id": "call_1_0", "content": text}


def test_it_repeats_what_the_user_said_last() -> None:
    """The echo is of the last user message, whatever came after the first."""
    prompt = [
        {"role": "system", "content": "Be kind."},
        user("one"),
        {"role": "assistant", "content": "1"},
        user("two"),
    ]
    assert compose(prompt).text == "You said: two"
    assert compose(prompt).finish_reason == "stop"


def test_a_fixed_answer_answers_everything() -> None:
    """With a text set, the prompt does not matter."""
    assert compose([user("one")], answer="No.").text == "No."


def test_a_prompt_without_a_user_is_answered() -> None:
    """There is nothing to repeat, and that is no error."""
    assert compose([{"role": "system", "content": "Hi"}]).text == "You said: "


@pytest.mark.parametrize(
    ("said", "calls"),
    [
        ('please call weather {"city": "Bern"}', [FunctionCall("weather", '{"city": "Bern"}')]),
        ("call weather {}", [FunctionCall("weather", "{}")]),
        ('call sum {"a": {"b": "}"}} now', [FunctionCall("sum", '{"a": {"b": "}"}}')]),
        ("call weather {} and call sum {}", [FunctionCall("weather", "{}"), FunctionCall("sum", "{}")]),
        ("call other {} then call sum {}", [FunctionCall("sum", "{}")]),
        ('call sum {"text": "call weather {}"}', [FunctionCall("sum", '{"text": "call weather {}"}')]),
        ("call other {} ", []),
        ("call weather {city}", []),
        ('call weather {"city": NaN}', []),
        ("call weather", []),
        ("recall weather {}", []),
        ("call weather " + '{"a":' * 5000, []),
    ],
)
def test_a_tool_is_called_on_request(said: str, calls: list[FunctionCall]) -> None:
    """`call NAME {json}` calls an offered tool with exactly that JSON; anything else is text."""
    reply = compose([user(said)], tools=TOOLS)
    assert list(reply.tool_calls) == calls
    assert (reply.finish_reason, reply.text) == (("tool_calls", "") if calls else ("stop", f"You said: {said}"))


def test_without_tools_nothing_is_called() -> None:
    """A prompt that offers no tools is echoed."""
    assert compose([user("call weather {}")]).tool_calls == ()


def test_tool_results_are_told_and_not_called_for_again() -> None:
    """After one or several results the answer contains them all, in order."""
    asked = [user("call weather {}"), {"role": "assistant", "content": None, "tool_calls": []}]
    reply = compose([*asked, tool("sunny"), tool("12 degrees")], tools=TOOLS)
    assert reply.text == "The tool said: sunny\n12 degrees"
    assert compose([*asked, tool("")], tools=TOOLS).text == "The tool said: nothing"
    assert compose([tool("alone")]).text == "The tool said: alone"
    assert compose([*asked, tool("sunny"), user("thanks")], tools=TOOLS).text == "You said: thanks"


def test_max_tokens_cuts_the_text_and_says_so() -> None:
    """The cut answer costs what is allowed and ends for its length; one that just fits does not."""
    cut = compose([user("a long story")], max_tokens=3)
    assert (cut.text, cut.finish_reason, cut.completion_tokens) == ("You said: a ", "length", 3)
    assert compose([user("ab")], max_tokens=3).finish_reason == "stop"


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("ü" * 8, 2)])
def test_a_token_is_four_characters(text: str, tokens: int) -> None:
    """Each four characters begun count one."""
    assert count_tokens(text) == tokens


def test_a_prompt_costs_its_texts_and_tool_calls() -> None:
    """Every message counts, an empty one as 1, calls with name and arguments."""
    function = {"name": "weather", "arguments": '{"city": "Bern"}'}
    calls: list[object] = [{"function": function}, {"function": None}, "odd", {"function": {"name": 3}}]
    assert prompt_tokens([user("abcd"), {"role": "assistant", "content": None}, user("")]) == 3
    assert prompt_tokens([{"role": "assistant", "content": None, "tool_calls": calls}]) == 2 + 4


def test_a_call_costs_prompt_and_answer() -> None:
    """`tokens` is the sum that limits and usage count."""
    reply = compose([user("abcd")])
    assert (reply.prompt_tokens, reply.completion_tokens, reply.tokens) == (1, 4, 5)
    called = compose([user("call sum {}")], tools=TOOLS)
    assert called.completion_tokens == 2


def test_content_may_be_text_or_parts() -> None:
    """Text parts are joined; images and odd values have no text."""
    parts = [
        {"type": "text", "text": "a"},
        {"type": "image_url"},
        "odd",
        {"type": "text", "text": "b"},
        {"text": 3},
    ]
    assert content_text(parts) == "a\nb"
    assert [content_text(odd) for odd in (None, 3, {"text": "a"})] == ["", "", ""]
    assert last_user_text([{"role": "user", "content": parts}]) == "a\nb"


@given(st.text())
def test_pieces_make_up_the_text(text: str) -> None:
    """Streaming loses and adds nothing, and sends no empty piece."""
    assert "".join(pieces(text)) == text
    assert all(pieces(text))


@given(st.text(max_size=80), st.integers(1, 10))
def test_answers_are_the_same_for_the_same_prompt(text: str, max_tokens: int) -> None:
    """Nothing random, and never more than asked for."""
    first, second = (compose([user(text)], tools=TOOLS, max_tokens=max_tokens) for _ in range(2))
    assert first == second
    assert first.tool_calls or first.completion_tokens <= max_tokens
