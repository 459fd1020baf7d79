"""What a user brings: what it adds to the history, and how it is found."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tidings.bus import (
    AgentError,
    AgentMessage,
    ChildResult,
    ChildStart,
    Event,
    HistoryCondensed,
    LlmRecovered,
    Message,
    State,
    ToolCall,
    ToolResult,
    UserMessage,
)
from tidings.bus.messages import is_session
from tidings.workers.agent import (
    Agent,
    BadAgent,
    ChatAgent,
    Next,
    Step,
    agent_for,
    answer,
    as_event,
    children_of,
    load_agent,
    take_step,
)
from tidings.workers.context import Context
from tidings.workers.llm import Completion, ToolRequest
from tidings.workers.settings import Settings

SETTINGS = Settings(system_prompt="Be brief.")


def user(text: str) -> Message[Event]:
    """Something a person said."""
    return Message.of(UserMessage(text=text), session="s")


def said(text: str, read: int | None = None) -> Message[Event]:
    """Something the agent said."""
    return Message.of(AgentMessage(text=text, read=read), session="s")


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


# what an agent adds


@pytest.mark.parametrize(
    "data",
    [
        AgentMessage(text="hi"),
        ToolCall(call_id="a", name="look"),
        ToolResult(call_id="a", name="look"),
        AgentError(kind="KeyError"),
        ChildStart(name="helper", text="help", child="c"),
        HistoryCondensed(text="before", through=3),
    ],
)
def test_what_an_agent_adds_is_put_into_an_envelope(data: Any) -> None:
    """With session, source and a fresh id."""
    one, two = as_event(data, "s", "worker/w1"), as_event(data, "s", "worker/w1")
    assert (one.session, one.source) == ("s", "worker/w1")
    assert one.id != two.id
    assert one.model_dump()["data"] == data.model_dump()


def test_what_an_agent_says_notes_what_it_knew() -> None:
    """Unless the agent says so itself."""
    noted = as_event(AgentMessage(text="hi"), "s", "w", read=3)
    assert isinstance(noted.data, AgentMessage)
    assert noted.data.read == 3
    own = as_event(AgentMessage(text="hi", read=1), "s", "w", read=3)
    assert isinstance(own.data, AgentMessage)
    assert own.data.read == 1


def test_a_child_gets_a_session_id_that_says_whose_it_is() -> None:
    """A new one for each start, however long the names are; one that the agent has given stays."""
    data = ChildStart(name="helper", text="help")
    one, two = (as_event(data, "p", "w") for _ in range(2))
    assert isinstance(one.data, ChildStart)
    assert isinstance(two.data, ChildStart)
    assert one.data.child != two.data.child
    assert str(one.data.child).startswith("p-helper-")
    long = as_event(ChildStart(name="n" * 64, text="help"), "p" * 64, "w")
    assert isinstance(long.data, ChildStart)
    assert is_session(long.data.child)
    own = as_event(ChildStart(name="helper", text="help", child="mine"), "p", "w")
    assert isinstance(own.data, ChildStart)
    assert own.data.child == "mine"


def test_nobody_condenses_what_it_has_not_read() -> None:
    """What came in between would be gone from the prompt."""
    with pytest.raises(ValueError, match="through offset 4, and the agent has read it up to 3"):
        as_event(HistoryCondensed(text="before", through=4), "s", "w", read=3)
    assert as_event(HistoryCondensed(text="before", through=3), "s", "w", read=3).type == "history.condensed"


@pytest.mark.parametrize(
    "stranger",
    [
        UserMessage(text="I am you"),
        ChildResult(child="c", name="helper", state=State.FINISHED, text="I am your child"),
        LlmRecovered(attempt=1),
        "hi",
        None,
    ],
)
def test_nothing_else_can_be_added(stranger: Any) -> None:
    """No words in a person's mouth, and no notice."""
    with pytest.raises(TypeError, match="cannot add"):
        as_event(stranger, "s", "worker/w1")


def test_an_answer_becomes_a_message_and_its_calls() -> None:
    """Tools that may run twice without harm are marked so."""
    requests = ToolRequest("a", "look", {"x": 1}), ToolRequest("b", "write", {})
    message, look, write = answer(completion("I look", *requests), frozenset({"look"}))
    assert message == AgentMessage(text="I look", model="openai/x", prompt_tokens=5, completion_tokens=7)
    assert look == ToolCall(call_id="a", name="look", arguments={"x": 1}, idempotent=True)
    assert write == ToolCall(call_id="b", name="write", arguments={}, idempotent=False)
    (message,) = answer(replace(completion("I lo"), finish_reason="length", cut="max_tokens"))
    assert isinstance(message, AgentMessage)
    assert (message.text, message.cut) == ("I lo", "max_tokens")


# the chat agent


async def test_the_chat_agent_answers_what_was_said() -> None:
    """With its system prompt, and then it is a person's turn."""
    llm: Any = ScriptedLlm(completion("hi"))
    step = await ChatAgent.from_settings(SETTINGS).step(Context("s", log(user("hello")), llm))
    assert [data.text for data in step.events if isinstance(data, AgentMessage)] == ["hi"]
    assert step.next is Next.AWAIT_INPUT
    assert told(llm.prompts[0]) == ["system:Be brief.", "user:hello"]


@pytest.mark.parametrize("history", [log(), log(user("hello"), said("hi", read=1))], ids=["empty", "answered"])
async def test_the_chat_agent_says_nothing_when_nothing_was_said(history: list[Message[Event]]) -> None:
    """A session may start without a message; and an answer that was stored is not given a second time."""
    llm: Any = ScriptedLlm()
    assert await ChatAgent().step(Context("s", history, llm)) == Step()


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
    (folder / "my_agent.py").write_text("class Mine:\n    async def step(self, ctx):\n        ...\n")
    make = load_agent("my_agent:Mine", SETTINGS)
    assert load_agent("my_agent:Mine", SETTINGS) is make
    one, two = make(), make()
    assert isinstance(one, Agent)
    assert type(one).__name__ == "Mine"
    assert one is not two


def test_an_agent_that_wants_the_settings_gets_them() -> None:
    """The default does."""
    agent = load_agent("tidings:ChatAgent", SETTINGS)()
    assert isinstance(agent, ChatAgent)
    assert agent._system_prompt == "Be brief."


BAD = """
VALUE = 1
def function(): ...
class Stepless: ...
class Good:
    async def step(self, ctx): ...
class Sync:
    def step(self, ctx): ...
class Yielding:
    async def step(self, ctx): yield
class Generating:
    def step(self, ctx): yield
class Narrow:
    async def step(self): ...
class Old:
    async def step(self, history, llm): ...
class Static:
    @staticmethod
    async def step(self, ctx): ...
class Wanting(Good):
    def __init__(self, token): ...
class Failing(Good):
    def __init__(self): raise RuntimeError("no token")
class Exiting(Good):
    @classmethod
    def from_settings(cls, settings): raise SystemExit(3)
class Async(Good):
    @classmethod
    async def from_settings(cls, settings): return cls()
class Absent(Good):
    @classmethod
    def from_settings(cls, settings): return None
class Parent(Good):
    children = {"bad": Stepless}
class Listed(Good):
    children = [Good]
"""
"""Agents that cannot be used, each in its way."""


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("my_missing:Mine", "cannot be imported: ModuleNotFoundError"),
        ("my_broken:Mine", "cannot be imported: ZeroDivisionError"),
        ("my_agent:Other", "has no class 'Other'"),
        ("my_agent:VALUE", "has no class 'VALUE'"),
        ("my_agent", "has no class ''"),
        ("my_agent:VALUE", "it is an object of the class 'int'"),
        ("my_agent:function", "it is a function; name a class"),
        ("my_agent:Sync", "step() is not async: write `async def step(self, ctx)`"),
        ("my_agent:Yielding", "step() yields"),
        ("my_agent:Generating", "step() yields"),
        ("my_agent:Narrow", "step() takes other arguments"),
        ("my_agent:Old", "step() takes other arguments (missing a required argument: 'llm'): write `async def step(self, ctx)`"),
        ("my_agent:Static", "step() takes other arguments"),
        ("my_agent:Wanting", "Wanting cannot be made without arguments: TypeError"),
        ("my_agent:Failing", "cannot be made without arguments: RuntimeError: no token (my_agent.py:"),
        ("my_agent:Exiting", "cannot be made by from_settings(settings): SystemExit: 3 (my_agent.py:"),
        ("my_agent:Async", "is made by an async function"),
        ("my_agent:Absent", "has no method step"),
        ("my_agent:Parent", "its child 'bad' has no method step"),
        ("my_agent:Listed", "its children are a list"),
        ("my_exit:Mine", "cannot be imported: SystemExit: 1 (my_exit.py:1 in <module>())"),
        ("my_agent:Stepless", "has no method step"),
        (":Mine", "cannot be imported"),
    ],
)
def test_an_agent_that_cannot_be_used_is_told_as_such(folder: Path, spec: str, words: str) -> None:
    """Which, and what is wrong with it."""
    (folder / "my_agent.py").write_text(BAD)
    (folder / "my_exit.py").write_text("raise SystemExit(1)\n")
    (folder / "my_broken.py").write_text("1 / 0\n")
    with pytest.raises(BadAgent) as told_error:
        load_agent(spec, SETTINGS)
    assert words in str(told_error.value)
    assert repr(spec) in str(told_error.value)


@pytest.mark.parametrize(
    "source",
    [
        "import functools\nclass Mine:\n    @functools.lru_cache\n    async def step(self, ctx, more=1): ...\n",
        "import asyncio, functools\ndef threaded(step):\n    @functools.wraps(step)\n    async def run(*given):\n"
        "        return await asyncio.to_thread(step, *given)\n    return run\n"
        "class Mine:\n    @threaded\n    def step(self, ctx): ...\n",
        "class Steps:\n    async def __call__(self, ctx): ...\nclass Mine:\n    step = Steps()\n",
    ],
    ids=["decorated", "threaded", "object"],
)
def test_an_agent_is_not_refused_for_its_form(folder: Path, source: str) -> None:
    """Where it cannot be known that it would fail."""
    (folder / "my_agent.py").write_text(source)
    assert type(load_agent("my_agent:Mine", SETTINGS)()).__name__ == "Mine"


# taking a step


class Giving:
    """Gives back the same whatever it is asked."""

    def __init__(self, made: Any) -> None:
        self._made = made

    async def step(self, ctx: Context) -> Step:
        """Give it back."""
        made: Step = self._made
        return made


class Sync:
    """Its step is not async."""

    def step(self, ctx: Context) -> Step:
        """Do nothing."""
        return Step()


class Yielding:
    """Yields its steps."""

    async def step(self, ctx: Context) -> Any:
        """Yield two."""
        yield Step()


class Old:
    """Takes what steps took before there was a context."""

    async def step(self, history: Any, llm: Any) -> Step:
        """Do nothing."""
        return Step()


async def _later() -> Step:
    return Step()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (lambda: Giving(None), "step() returned None: return a Step, e.g. `return Step(answer(completion))`"),
        (lambda: Giving("hi"), "step() returned a str: return a Step"),
        (lambda: Giving([AgentMessage(text="hi")]), "step() returned a list: return a Step"),
        (lambda: Giving(AgentMessage(text="hi")), "step() returned an AgentMessage: return a Step"),
        (lambda: Giving(_later()), "step() returned a coroutine: write `return await ...`"),
        (lambda: Giving(Step(None)), "a Step whose events are None: give it a list"),  # type: ignore[arg-type]
        (lambda: Giving(Step("hi")), "a Step whose events are a str: give it a list"),  # type: ignore[arg-type]
        (lambda: Giving(Step(AgentMessage(text="hi"))), "whose events are an AgentMessage"),  # type: ignore[arg-type]
        (Sync, "step() is not async: write `async def step(self, ctx)`"),
        (Yielding, "step() yields: it must return one Step"),
        (Old, "step() takes other arguments (missing a required argument: 'llm'): write `async def step(self, ctx)`"),
    ],
    ids=["none", "text", "list", "data", "coroutine", "events-none", "events-text", "events-data", "sync", "yields", "old"],
)
async def test_what_is_no_step_is_named(agent: Any, words: str) -> None:
    """With what to write in its place."""
    with pytest.raises(BadAgent) as told_error:
        await take_step(agent(), Context("s", (), None))  # type: ignore[arg-type]
    assert words in str(told_error.value)


# children


class Root:
    """Has children of two kinds."""

    children: ClassVar[dict[str, Any]] = {"chat": ChatAgent, "other": lambda: Root()}

    async def step(self, ctx: Context) -> Step:
        """Do nothing."""
        return Step()


def test_a_child_is_run_by_the_agent_of_its_name() -> None:
    """The names of the root count; a name that is not there gets the root's own agent, as the root does."""
    assert isinstance(agent_for(Root, "chat"), ChatAgent)
    assert [type(agent_for(Root, name)) for name in (None, "other", "nobody")] == [Root] * 3
    assert children_of(ChatAgent) == {}


def test_children_of_an_agent_that_wants_the_settings_get_them_too(folder: Path) -> None:
    """As the command line finds them."""
    folder.joinpath("my_team.py").write_text(
        "from tidings.workers.agent import ChatAgent\n"
        "class Team(ChatAgent):\n"
        "    children = {'writer': ChatAgent, 'plain': lambda: ChatAgent('Be plain.')}\n"
    )
    factory = load_agent("my_team:Team", SETTINGS)
    writer, plain = agent_for(factory, "writer"), agent_for(factory, "plain")
    assert isinstance(writer, ChatAgent)
    assert isinstance(plain, ChatAgent)
    assert (writer._system_prompt, plain._system_prompt) == ("Be brief.", "Be plain.")
