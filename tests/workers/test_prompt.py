"""The way from the history to a prompt, and what in a history is still open."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.bus import (
    AgentError,
    AgentMessage,
    ChildResult,
    ChildStart,
    Event,
    HistoryCondensed,
    LlmRecovered,
    Message,
    SessionPause,
    State,
    ToolCall,
    ToolResult,
    UserMessage,
)
from tidings.workers.prompt import child_results, open_calls, open_children, to_prompt, unanswered


def user(text: str) -> Message[Event]:
    """Something a person said."""
    return Message.of(UserMessage(text=text), session="s")


def said(text: str, read: int | None = None) -> Message[Event]:
    """Something the agent said."""
    return Message.of(AgentMessage(text=text, read=read), session="s")


def call(call_id: str, **arguments: Any) -> Message[Event]:
    """A tool that the agent calls."""
    return Message.of(ToolCall(call_id=call_id, name="look", arguments=arguments), session="s")


def result(call_id: str, content: str = "found", *, interrupted: bool = False) -> Message[Event]:
    """What the tool gave back."""
    data = ToolResult(call_id=call_id, name="look", content=content, interrupted=interrupted)
    return Message.of(data, session="s")


def log(*events: Message[Event]) -> list[Message[Event]]:
    """Events as they stand in the log: numbered."""
    return [event.model_copy(update={"offset": index}) for index, event in enumerate(events, 1)]


def told(prompt: Sequence[dict[str, Any]]) -> list[str]:
    """A prompt in short: roles with contents, tool calls by their ids."""
    shown = []
    for message in prompt:
        calls = "+".join(call["id"] for call in message.get("tool_calls", ()))
        shown.append(f"{message['role']}:{message.get('tool_call_id') or calls or message['content']}")
    return shown


def asked(name: str, text: str = "do it", child: str | None = None) -> Message[Event]:
    """A child that the agent starts."""
    return Message.of(ChildStart(name=name, text=text, child=child or name), session="s")


def reported(
    name: str, text: str = "done", state: State = State.AWAITING_INPUT, why: str = "", child: str | None = None
) -> Message[Event]:
    """What a child reports."""
    data = ChildResult(child=child or name, name=name, state=state, text=text, why=why)
    return Message.of(data, session="s")


def condensed(text: str, through: int) -> Message[Event]:
    """A summary of what came before."""
    return Message.of(HistoryCondensed(text=text, through=through), session="s")


# prompts


def test_a_conversation_is_told_in_order() -> None:
    """With what the system has to say before it."""
    history = [user("hello"), said("hi"), user("and now?")]
    assert to_prompt(history, "Be brief.") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "and now?"},
    ]
    assert told(to_prompt(history))[0] == "user:hello"


@pytest.mark.parametrize(
    "stranger",
    [Message.of(LlmRecovered(attempt=2), session="s"), Message.of(SessionPause(), session="s"), "hello", {"role": "user"}, None],
    ids=["notice", "command", "text", "mapping", "nothing"],
)
def test_a_prompt_is_built_from_events_alone(stranger: Any) -> None:
    """Whatever else is passed is an error, a notice first of all."""
    with pytest.raises(TypeError, match="events alone"):
        to_prompt([user("hello"), stranger])


def test_calls_and_their_results_stand_together() -> None:
    """The calls belong to the message that made them; each result names its call."""
    prompt = to_prompt([user("go"), said("I look"), call("a", x=1), call("b"), result("a", "1"), result("b", "2"), said("done")])
    assert told(prompt) == ["user:go", "assistant:a+b", "tool:a", "tool:b", "assistant:done"]
    assert prompt[1]["content"] == "I look"
    assert prompt[1]["tool_calls"][0] == {
        "id": "a",
        "type": "function",
        "function": {"name": "look", "arguments": json.dumps({"x": 1})},
    }
    assert prompt[2]["content"] == "1"


def test_an_answer_that_only_calls_has_no_content() -> None:
    """Providers refuse an empty text beside calls."""
    assert to_prompt([said(""), call("a"), result("a")])[0]["content"] is None


@pytest.mark.parametrize("blank", ["", " \n\t"])
def test_no_text_of_a_prompt_is_blank(blank: str) -> None:
    """Anthropic, Gemini and Bedrock refuse one, for ever: it stays in the history."""
    history = log(user("go"), said(blank), user(blank), said(blank), call("a"), result("a", blank), said(blank), said("done"))
    prompt = to_prompt(history, blank)
    assert told(prompt) == ["user:go", "user:(an empty message)", "assistant:a", "tool:a", "assistant:done"]
    assert prompt[2]["content"] is None
    assert prompt[3]["content"] == "(no output)"


def test_a_child_is_asked_beside_a_blank_text() -> None:
    """Nothing stands before what it was asked."""
    assert told(to_prompt([user("go"), said(" "), asked("kim")])) == ["user:go", "assistant:To kim: do it"]


def test_a_call_without_a_message_gets_one() -> None:
    """An agent may call without having said anything, also right after a result."""
    history = [user("go"), call("a"), result("a"), call("b"), result("b")]
    assert told(to_prompt(history)) == ["user:go", "assistant:a", "tool:a", "assistant:b", "tool:b"]


def test_what_is_said_while_a_tool_runs_comes_after_its_result() -> None:
    """Providers want the result right after the call."""
    history = [user("go"), said("I look"), call("a"), user("hurry"), said("yes"), result("a"), user("so?")]
    assert told(to_prompt(history)) == ["user:go", "assistant:a", "tool:a", "user:hurry", "assistant:yes", "user:so?"]


def test_a_call_made_while_another_is_open_joins_it() -> None:
    """Two messages with calls in a row would leave the first without its results."""
    history = [call("a"), call("b"), result("a"), call("c"), result("b"), result("c")]
    assert told(to_prompt(history)) == ["assistant:a+b+c", "tool:a", "tool:b", "tool:c"]


def test_a_call_that_is_there_twice_is_told_once() -> None:
    """It has one result."""
    assert told(to_prompt([call("a"), call("a"), result("a")])) == ["assistant:a", "tool:a"]


def test_a_call_without_a_result_gets_one_that_says_so() -> None:
    """A prompt with a dangling call is refused by every provider."""
    prompt = to_prompt([user("go"), said("I look"), call("a"), user("well?")])
    assert told(prompt) == ["user:go", "assistant:a", "tool:a", "user:well?"]
    assert "no result" in prompt[2]["content"]


def test_a_result_without_a_call_is_left_out() -> None:
    """Nobody could say what it belongs to; nor can it come twice."""
    assert told(to_prompt([result("x"), call("a"), result("a", "1"), result("a", "2")])) == ["assistant:a", "tool:a"]


def test_an_interrupted_result_says_so() -> None:
    """In its own words, or in ours where it has none."""
    assert to_prompt([call("a"), result("a", "", interrupted=True)])[-1]["content"] == "interrupted"
    assert to_prompt([call("a"), result("a", "half of it", interrupted=True)])[-1]["content"] == "half of it"


def test_what_is_for_people_is_left_out() -> None:
    """Errors of the agent's code, and events of types that nobody knows."""
    error = Message.of(AgentError(kind="KeyError", message="'x'"), session="s")
    history = [user("a"), error, Message.unknown("events", "agent.dance", session="s"), said("b")]
    assert told(to_prompt(history)) == ["user:a", "assistant:b"]


def test_what_was_said_while_an_answer_was_made_comes_after_it() -> None:
    """It stands before the answer in the log; the answer did not know of it."""
    history = log(user("one"), user("two"), said("to one", read=1))
    assert told(to_prompt(history)) == ["user:one", "assistant:to one", "user:two"]


def test_it_also_comes_after_the_calls_of_that_answer() -> None:
    """And before the next answer, which knows of it."""
    history = log(user("one"), user("two"), said("I look", read=1), call("a"), result("a"), said("to both", read=5))
    assert told(to_prompt(history)) == ["user:one", "assistant:a", "tool:a", "user:two", "assistant:to both"]


events = st.lists(
    st.sampled_from(
        [
            user("u"),
            user(" "),
            said("m"),
            said(" ", 1),
            said("m", 1),
            call("a"),
            call("b"),
            result("a"),
            result("b", "\n"),
            asked("k"),
            reported("k"),
            *(condensed("c", through) for through in (1, 3, 6)),
        ]
    ),
    max_size=12,
)


@given(events)
def test_every_history_gives_a_prompt_that_providers_accept(drawn: list[Message[Event]]) -> None:
    """Each call is followed by exactly its results before anybody else speaks; nothing that was said is lost."""
    prompt = to_prompt(log(*drawn))
    kept = [event for event in drawn if not isinstance(event.data, HistoryCondensed)]
    assert _in_order(prompt)
    assert all(message["content"].strip() if message["content"] is not None else message["tool_calls"] for message in prompt)
    for texts, kind in ((("u", "(an empty message)"), UserMessage), (("From k: done",), ChildResult)):
        spoken = [message for message in to_prompt(log(*kept)) if message["content"] in texts]
        assert len(spoken) == sum(isinstance(event.data, kind) for event in kept)


def _in_order(prompt: Sequence[dict[str, Any]]) -> bool:
    """Whether each call is followed by exactly its results."""
    due: list[str] = []
    for message in prompt:
        if message["role"] == "tool":
            assert message["tool_call_id"] in due
            due.remove(message["tool_call_id"])
            continue
        assert due == []
        due = [call["id"] for call in message.get("tool_calls", ())]
    assert due == []
    return True


# children


def test_what_is_asked_of_a_child_and_what_it_reports_are_named() -> None:
    """The one is said by the agent, the other to it; what it asks of several is one message."""
    history = log(user("find out"), said("I ask"), asked("ann", "north?"), asked("bob", "south?"), reported("bob", "warm"))
    assert told(to_prompt(history)) == [
        "user:find out",
        "assistant:I ask\n\nTo ann: north?\n\nTo bob: south?",
        "user:From bob: warm",
    ]
    bare = log(user("go"), asked("ann", "north?"), said("asked"))
    assert told(to_prompt(bare)) == ["user:go", "assistant:To ann: north?", "assistant:asked"]


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (reported("ann", "cold", State.FINISHED), "From ann: cold"),
        (reported("ann", "", State.ERROR, "no key"), "From ann (error: no key)"),
        (reported("ann", "half of it", State.STOPPED, "stopped by bob"), "From ann (stopped: stopped by bob): half of it"),
    ],
)
def test_a_child_that_failed_says_so(event: Message[Event], shown: str) -> None:
    """With what it had said by then."""
    assert told(to_prompt([event])) == [f"user:{shown}"]


def test_children_do_not_come_between_a_call_and_its_result() -> None:
    """Whatever is told of them meanwhile stands after it."""
    history = log(said("I look"), call("a"), asked("ann"), reported("ann"), result("a"))
    assert told(to_prompt(history)) == ["assistant:a", "tool:a", "assistant:To ann: do it", "user:From ann: done"]


def test_a_report_is_something_to_answer() -> None:
    """Also one that came while an answer was being made."""
    history = log(user("go"), reported("ann"), said("yes", read=1))
    assert [event.offset for event in unanswered(history)] == [2]
    assert told(to_prompt(history)) == ["user:go", "assistant:yes", "user:From ann: done"]


def test_open_children_are_those_that_have_not_reported() -> None:
    """A second report of one changes nothing."""
    history = log(asked("ann"), asked("bob"), asked("eve"), reported("bob"), reported("bob", "again"))
    assert [event.data.name for event in open_children(history)] == ["ann", "eve"]
    assert open_children([]) == []


def test_the_newest_result_of_each_child_counts() -> None:
    """In the order in which they first reported."""
    history = log(reported("bob", "1"), reported("ann", "2"), reported("bob", "3"))
    assert [(event.data.name, event.data.text) for event in child_results(history)] == [("bob", "3"), ("ann", "2")]


# condensing


def test_a_summary_stands_for_what_came_before() -> None:
    """The system prompt stays, the newer events too; the summary is where the events were."""
    history = log(user("one"), said("1"), user("two"), condensed("they counted", 2), said("2"))
    assert told(to_prompt(history, "Be brief.")) == [
        "system:Be brief.",
        "user:What came before, condensed:\n\nthey counted",
        "user:two",
        "assistant:2",
    ]


def test_the_summary_that_reaches_furthest_counts() -> None:
    """Of two that reach equally far the newer one."""
    history = log(user("one"), said("1"), condensed("a", 1), condensed("b", 2), condensed("c", 2), condensed("d", 1), user("two"))
    assert told(to_prompt(history)) == ["user:What came before, condensed:\n\nc", "user:two"]


def test_a_summary_never_parts_a_call_from_its_result() -> None:
    """Where it would, the call and all that follows stay in; where nothing is left to stand for, the summary is left out."""
    history = log(user("one"), said("I look"), call("a"), user("two"), result("a"), condensed("cut", 4), said("found"))
    assert told(to_prompt(history)) == [
        "user:What came before, condensed:\n\ncut",
        "assistant:a",
        "tool:a",
        "user:two",
        "assistant:found",
    ]
    assert told(to_prompt(log(call("a"), user("two"), result("a"), condensed("cut", 2)))) == ["assistant:a", "tool:a", "user:two"]


def test_a_summary_answers_nobody() -> None:
    """What was not answered is still to be answered, whatever stands for it in the prompt."""
    assert [event.offset for event in unanswered(log(user("one"), condensed("they spoke", 1)))] == [1]


# what is there to do


def test_what_came_after_the_last_answer_is_unanswered() -> None:
    """User messages and results of tools."""
    history = log(user("one"), said("1", read=1), call("a"), result("a"), user("two"))
    assert [event.offset for event in unanswered(history)] == [4, 5]
    assert unanswered(log(user("one"), said("1", read=1))) == []
    assert unanswered([]) == []


def test_what_came_while_an_answer_was_made_is_unanswered() -> None:
    """Although it stands before it in the log; where nobody noted what was known, the log's order counts."""
    assert [event.offset for event in unanswered(log(user("one"), user("two"), said("1", read=1)))] == [2]
    assert unanswered(log(user("one"), user("two"), said("1"))) == []
    assert unanswered([user("one"), said("1", read=1)]) == []


def test_open_calls_are_those_without_a_result() -> None:
    """In the order of the calls, also where an id is used again."""
    history = [call("a"), call("b"), result("a"), call("c"), call("a"), result("x")]
    assert [event.data.call_id for event in open_calls(history)] == ["b", "c", "a"]
