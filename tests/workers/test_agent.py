"""What a user brings, and the way from the history to a prompt."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import (
    AgentError,
    AgentErrorData,
    AgentMessage,
    AgentMessageData,
    Event,
    LlmRecovered,
    LlmRecoveredData,
    SessionPause,
    ToolCall,
    ToolCallData,
    ToolResult,
    ToolResultData,
    UnknownEvent,
    UserMessage,
    UserMessageData,
)
from workers.agent import Agent, BadAgent, ChatAgent, Next, Step, answer, as_event, load_agent, open_calls, to_prompt, unanswered
from workers.llm import Completion, ToolRequest
from workers.settings import Settings

SETTINGS = Settings(system_prompt="Be brief.")


def user(text: str) -> Event:
    """Something a person said."""
    return UserMessage(subject="s", data=UserMessageData(text=text))


def said(text: str, read: int | None = None) -> Event:
    """Something the agent said."""
    return AgentMessage(subject="s", data=AgentMessageData(text=text, read=read))


def call(call_id: str, **arguments: Any) -> Event:
    """A tool that the agent calls."""
    return ToolCall(subject="s", data=ToolCallData(call_id=call_id, name="look", arguments=arguments))


def result(call_id: str, content: str = "found", *, interrupted: bool = False) -> Event:
    """What the tool gave back."""
    data = ToolResultData(call_id=call_id, name="look", content=content, interrupted=interrupted)
    return ToolResult(subject="s", data=data)


def log(*events: Event) -> list[Event]:
    """Events as they stand in the log: numbered."""
    return [event.model_copy(update={"offset": index}) for index, event in enumerate(events, 1)]


def told(prompt: Sequence[dict[str, Any]]) -> list[str]:
    """A prompt in short: roles with contents, tool calls by their ids."""
    shown = []
    for message in prompt:
        calls = "+".join(call["id"] for call in message.get("tool_calls", ()))
        shown.append(f"{message['role']}:{message.get('tool_call_id') or calls or message['content']}")
    return shown


def completion(text: str, *calls: ToolRequest) -> Completion:
    """An answer of a model."""
    return Completion(text, calls, "stop", "openai/x", 5, 7, 1)


class ScriptedLlm:
    """Answers with what it was given and keeps the prompts."""

    def __init__(self, *answers: Completion) -> None:
        self._answers = list(answers)
        self.prompts: list[Any] = []

    async def complete(self, messages: Any) -> Completion:
        """Answer."""
        self.prompts.append(messages)
        return self._answers.pop(0)


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
    [LlmRecovered(subject="s", data=LlmRecoveredData(attempt=2)), SessionPause(subject="s"), "hello", {"role": "user"}, None],
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
    error = AgentError(subject="s", data=AgentErrorData(kind="KeyError", message="'x'"))
    history = [user("a"), error, UnknownEvent(type="agent.dance", subject="s"), said("b")]
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
    st.sampled_from([user("u"), said("m"), said("m", 1), call("a"), call("b"), result("a"), result("b")]), max_size=12
)


@given(events)
def test_every_history_gives_a_prompt_that_providers_accept(drawn: list[Event]) -> None:
    """Each call is followed by exactly its results before anybody else speaks; nothing that was said is lost."""
    prompt = to_prompt(log(*drawn))
    due: list[str] = []
    for message in prompt:
        if message["role"] == "tool":
            assert message["tool_call_id"] in due
            due.remove(message["tool_call_id"])
            continue
        assert due == []
        due = [call["id"] for call in message.get("tool_calls", ())]
    assert due == []
    for role, kind in (("user", UserMessage), ("assistant", AgentMessage)):
        spoken = [message for message in prompt if message["role"] == role and message["content"] in ("u", "m")]
        assert len(spoken) == sum(isinstance(event, kind) for event in drawn)


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


# what an agent adds


@pytest.mark.parametrize(
    "data",
    [
        AgentMessageData(text="hi"),
        ToolCallData(call_id="a", name="look"),
        ToolResultData(call_id="a", name="look"),
        AgentErrorData(kind="KeyError"),
    ],
)
def test_what_an_agent_adds_is_put_into_an_envelope(data: Any) -> None:
    """With session, source and a fresh id."""
    one, two = as_event(data, "s", "worker/w1"), as_event(data, "s", "worker/w1")
    assert (one.subject, one.source) == ("s", "worker/w1")
    assert one.id != two.id
    assert one.model_dump()["data"] == data.model_dump()


def test_what_an_agent_says_notes_what_it_knew() -> None:
    """Unless the agent says so itself."""
    noted = as_event(AgentMessageData(text="hi"), "s", "w", read=3)
    assert isinstance(noted, AgentMessage)
    assert noted.data.read == 3
    own = as_event(AgentMessageData(text="hi", read=1), "s", "w", read=3)
    assert isinstance(own, AgentMessage)
    assert own.data.read == 1


@pytest.mark.parametrize("stranger", [UserMessageData(text="I am you"), LlmRecoveredData(attempt=1), "hi", None])
def test_nothing_else_can_be_added(stranger: Any) -> None:
    """No words in a person's mouth, and no notice."""
    with pytest.raises(TypeError, match="cannot add"):
        as_event(stranger, "s", "worker/w1")


def test_an_answer_becomes_a_message_and_its_calls() -> None:
    """Tools that may run twice without harm are marked so."""
    requests = ToolRequest("a", "look", {"x": 1}), ToolRequest("b", "write", {})
    message, look, write = answer(completion("I look", *requests), frozenset({"look"}))
    assert message == AgentMessageData(text="I look", model="openai/x", prompt_tokens=5, completion_tokens=7)
    assert look == ToolCallData(call_id="a", name="look", arguments={"x": 1}, idempotent=True)
    assert write == ToolCallData(call_id="b", name="write", arguments={}, idempotent=False)


# the chat agent


async def test_the_chat_agent_answers_what_was_said() -> None:
    """With its system prompt, and then it is a person's turn."""
    llm: Any = ScriptedLlm(completion("hi"))
    step = await ChatAgent.from_settings(SETTINGS).step(log(user("hello")), llm)
    assert [data.text for data in step.events if isinstance(data, AgentMessageData)] == ["hi"]
    assert step.next is Next.AWAIT_INPUT
    assert told(llm.prompts[0]) == ["system:Be brief.", "user:hello"]


@pytest.mark.parametrize("history", [log(), log(user("hello"), said("hi", read=1))], ids=["empty", "answered"])
async def test_the_chat_agent_says_nothing_when_nothing_was_said(history: list[Event]) -> None:
    """A session may start without a message; and an answer that was stored is not given a second time."""
    llm: Any = ScriptedLlm()
    assert await ChatAgent().step(history, llm) == Step()


# loading an agent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder, with what was imported from it forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("my_"):
            del sys.modules[name]


def test_an_agent_of_the_current_folder_is_found(folder: Path) -> None:
    """Each run gets one of its own."""
    (folder / "my_agent.py").write_text("class Mine:\n    async def step(self, history, llm):\n        ...\n")
    make = load_agent("my_agent:Mine", SETTINGS)
    assert load_agent("my_agent:Mine", SETTINGS) is make
    one, two = make(), make()
    assert isinstance(one, Agent)
    assert type(one).__name__ == "Mine"
    assert one is not two


def test_an_agent_that_wants_the_settings_gets_them() -> None:
    """The default does."""
    agent = load_agent("workers.agent:ChatAgent", SETTINGS)()
    assert isinstance(agent, ChatAgent)
    assert agent._system_prompt == "Be brief."


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("my_missing:Mine", "cannot be imported: ModuleNotFoundError"),
        ("my_broken:Mine", "cannot be imported: ZeroDivisionError"),
        ("my_agent:Other", "has no class 'Other'"),
        ("my_agent:VALUE", "has no class 'VALUE'"),
        ("my_agent", "has no class ''"),
        ("my_agent:Stepless", "has no method step"),
        (":Mine", "cannot be imported"),
    ],
)
def test_an_agent_that_cannot_be_used_is_told_as_such(folder: Path, spec: str, words: str) -> None:
    """Which, and what is wrong with it."""
    (folder / "my_agent.py").write_text("VALUE = 1\nclass Stepless: ...\n")
    (folder / "my_broken.py").write_text("1 / 0\n")
    with pytest.raises(BadAgent) as told_error:
        load_agent(spec, SETTINGS)
    assert words in str(told_error.value)
    assert repr(spec) in str(told_error.value)
