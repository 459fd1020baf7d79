"""The agent with tools, run by the worker as `tidings worker --agent` runs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from examples.tool_agent import TOOLS, ToolAgent
from tests.waiting import eventually
from tidings.bus import (
    AgentMessage,
    AgentProgress,
    Bus,
    Ending,
    Event,
    Message,
    SessionStart,
    State,
    ToolCall,
    ToolResult,
    Trigger,
    UserMessage,
    WorkerRef,
)
from tidings.workers.agent import Next, load_agent
from tidings.workers.context import Context
from tidings.workers.controller import Controller
from tidings.workers.llm import Llm
from tidings.workers.provider import Provider
from tidings.workers.settings import Settings
from tidings.workers.worker import Worker

SAID = 'call write_note {"text": "buy milk"} and call count_words {"text": "one two three"}'


@pytest.fixture
async def worker(bus: Bus, settings: Settings, controller: Controller) -> AsyncIterator[Worker]:
    """A worker that has the agent by its name."""
    working = Worker(bus, load_agent("examples.tool_agent:ToolAgent", settings), settings, name="w1")
    task = asyncio.create_task(working.run())
    yield working
    working.drain()
    await task


async def _until_the_turn_is_over(bus: Bus, session: str) -> list[Message[Event]]:
    async def over() -> bool:
        return (await bus.status(session)).state is State.AWAITING_INPUT

    await eventually(over, message="the turn is over")
    return list(await bus.history(session))


async def test_tools_are_called_run_and_answered(
    bus: Bus, worker: Worker, provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn with two tools is in the history call by call, and the model gets their results."""
    monkeypatch.chdir(tmp_path)
    await bus.send("s", SessionStart(by="me", text=SAID))
    history = await _until_the_turn_is_over(bus, "s")
    types = ["user.message", "agent.message", "tool.call", "tool.call", "tool.result", "tool.result", "agent.message"]
    assert [event.type for event in history] == types
    calls = [event.data for event in history if isinstance(event.data, ToolCall)]
    assert [(call.name, call.idempotent) for call in calls] == [("write_note", False), ("count_words", True)]
    last = history[-1]
    assert isinstance(last.data, AgentMessage)
    assert last.data.text == "The tool said: noted\n3 words"
    assert (tmp_path / "notes.txt").read_text() == "buy milk\n"
    assert len(provider.requests) == 2


async def test_a_call_of_a_lost_worker_is_run_again_only_if_it_is_idempotent(
    bus: Bus, settings: Settings, controller: Controller, provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes over counts the words again and does not write the note again."""
    monkeypatch.chdir(tmp_path)
    await _left_behind(bus, "s")
    working = Worker(bus, load_agent("examples.tool_agent:ToolAgent", settings), settings, name="w2")
    task = asyncio.create_task(working.run())
    history = await _until_the_turn_is_over(bus, "s")
    working.drain()
    await task
    results = {event.data.name: event.data for event in history if isinstance(event.data, ToolResult)}
    assert results["write_note"].interrupted
    assert not (tmp_path / "notes.txt").exists()
    assert (results["count_words"].content, results["count_words"].interrupted) == ("3 words", False)


async def _left_behind(bus: Bus, session: str) -> None:
    """Leave a session as a worker does that is gone after it has stored its calls."""
    claim = await bus.worker.claim(WorkerRef(name="gone"), session=session, create=True)
    assert claim is not None
    events: list[Message[Event]] = [
        Message.of(UserMessage(text=SAID), session=session),
        Message.of(AgentMessage(text=""), session=session),
        _call("write_note", {"text": "buy milk"}),
        _call("count_words", {"text": "one two three"}, idempotent=True),
    ]
    await claim.append(*events, after=0)
    await claim.release(Ending(Trigger.HAND_BACK, read=4))


def _call(name: str, arguments: dict[str, str], *, idempotent: bool = False) -> Message[ToolCall]:
    data = ToolCall(call_id=f"call_{name}", name=name, arguments=dict(arguments), idempotent=idempotent)
    return Message.of(data, session="s")


@pytest.mark.parametrize(
    ("call", "content"),
    [
        (_call("fly", {"text": "home"}), "failed: there is no tool 'fly'"),
        (_call("count_words", {"_raw": '{"text'}), "failed: the argument text is missing"),
    ],
)
async def test_what_a_model_gets_wrong_is_told_to_it(call: Message[ToolCall], content: str) -> None:
    """A tool that is not there, and arguments that are no JSON, become results that say so."""
    step = await ToolAgent().step(Context("s", [call], Llm("openai/never-asked")))
    (result,) = step.events
    assert (getattr(result, "content", ""), getattr(result, "is_error", False)) == (content, True)
    assert step.next is Next.CONTINUE


async def test_it_tells_how_many_tools_have_run() -> None:
    """Before each of them."""
    told: list[AgentProgress] = []
    calls = [_call("count_words", {"text": "one"}), _call("count_words", {"text": "two"}), _call("fly", {"text": "home"})]
    await ToolAgent().step(Context("s", calls[1:], Llm("openai/never-asked"), told.append))
    assert [(one.doing, one.done, one.total) for one in told] == [("running tools", 0, 2), ("running tools", 1, 2)]


async def test_nothing_is_asked_before_somebody_speaks() -> None:
    """A session that was started without a message waits for one."""
    step = await ToolAgent().step(Context("s", [], Llm("openai/never-asked")))
    assert (list(step.events), step.next) == ([], Next.AWAIT_INPUT)


async def test_nothing_is_asked_twice() -> None:
    """A worker was lost right after it had stored the answer: who takes over adds nothing."""
    history: list[Message[Event]] = [
        Message.of(UserMessage(text="Hello"), session="s", offset=1),
        Message.of(AgentMessage(text="Hello yourself"), session="s", offset=2),
    ]
    step = await ToolAgent().step(Context("s", history, Llm("openai/never-asked")))
    assert (list(step.events), step.next) == ([], Next.AWAIT_INPUT)


def test_the_tools_that_are_offered_are_those_that_run(tmp_path: Path) -> None:
    """Each tool in the prompt can be used, and only what is declared so is idempotent."""
    agent = ToolAgent(tmp_path / "notes.txt")
    for tool in TOOLS:
        name = tool["function"]["name"]
        assert agent._run(_call(name, {"text": "a b"})).is_error is False
