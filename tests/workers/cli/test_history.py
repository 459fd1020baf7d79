"""The history of a session on the command line."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.workers.cli.conftest import Tidings
from tests.workers.cli.stage import hold
from tidings.bus import (
    AgentError,
    AgentMessage,
    Bus,
    ChildResult,
    ChildStart,
    Event,
    Gap,
    HistoryCondensed,
    Message,
    SessionStop,
    State,
    ToolCall,
    ToolResult,
    UserMessage,
)
from tidings.bus.messages import as_stored
from tidings.workers.cli import history
from tidings.workers.cli.history import told


async def tell(bus: Bus, *texts: str, session: str = "demo") -> None:
    """Make a session whose agent has said these."""
    claim = await hold(bus, session)
    events = [Message.of(AgentMessage(text=text), session=session) for text in texts]
    await claim.append(*events, after=0)


def _result(state: State, text: str) -> Message[ChildResult]:
    """What a child has reported."""
    return Message.of(ChildResult(child="c", name="ann", state=state, text=text, why="no key"), session="s")


async def test_json_is_as_on_the_wire(server_bus: Bus, tidings: Tidings) -> None:
    """The very bytes that a subscriber of the channel gets, apart from the order of the fields."""
    await tell(server_bus, "one", "two \u2713")
    done = await tidings("history", "demo", "--json")
    assert (done.code, done.stderr) == (0, "")
    stored = await server_bus.history("demo")
    assert done.stdout.splitlines() == [as_stored(event) for event in stored]
    assert [json.loads(line)["offset"] for line in done.stdout.splitlines()] == [1, 2]
    assert all(json.loads(line)["epoch"] for line in done.stdout.splitlines())


async def test_a_part_of_it_can_be_asked_for(server_bus: Bus, tidings: Tidings) -> None:
    """After an offset, and at most so many."""
    await tell(server_bus, *"abcde")
    done = await tidings("history", "demo", "--json", "--after", "1", "--limit", "2")
    assert [json.loads(line)["offset"] for line in done.stdout.splitlines()] == [2, 3]
    done = await tidings("history", "demo", "--json", "--after", "99")
    assert (done.code, done.stdout) == (0, "")


async def test_long_histories_are_read_in_pages(server_bus: Bus, tidings: Tidings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event once, in order, across the pages."""
    monkeypatch.setattr(history, "PAGE", 3)
    await tell(server_bus, *(str(number) for number in range(10)))
    done = await tidings("history", "demo", "--json")
    assert [json.loads(line)["offset"] for line in done.stdout.splitlines()] == list(range(1, 11))


async def test_following_goes_on_with_what_comes(server_bus: Bus, tidings: Tidings) -> None:
    """What was there and what comes, as one sequence."""
    await tell(server_bus, "one")
    following = asyncio.create_task(tidings("history", "demo", "--json", "--follow", "--limit", "2"))
    claim = await hold(server_bus, "second")
    await claim.append(Message.of(UserMessage(text="x"), session="second"), after=0)
    assert not following.done()
    await _say(server_bus, "two")
    done = await following
    assert [json.loads(line)["data"]["text"] for line in done.stdout.splitlines()] == ["one", "two"]


async def _say(bus: Bus, text: str) -> None:
    """Have a controller's decision append a user message, as a command would."""
    from tidings.bus import Decision

    snapshot = await bus.controller.snapshot("demo")
    assert snapshot is not None
    message = Message.of(UserMessage(text=text), session="demo")
    await bus.controller.decide(snapshot, Decision(messages=(message,)))


async def test_people_read_a_conversation(server_bus: Bus, tidings: Tidings) -> None:
    """Who said what, line by line as it was said."""
    claim = await hold(server_bus, "demo")
    events: list[Message[Event]] = [
        Message.of(UserMessage(text="hello\n  there", by="ann"), session="demo"),
        Message.of(ToolCall(call_id="1", name="look", arguments={"at": "\u2713"}), session="demo"),
        Message.of(ToolResult(call_id="1", name="look", content="seen"), session="demo"),
        Message.of(AgentMessage(text="hi", model="openai/x"), session="demo"),
        Message.of(AgentError(kind="ValueError", message="oops"), session="demo"),
    ]
    await claim.append(*events, after=0)
    lines = (await tidings("history", "demo")).stdout.splitlines()
    assert [line.split("  ", 2)[2] if line.startswith("#") else line for line in lines] == [
        "user (ann)",
        "    hello",
        "      there",
        "tool call: look",
        '    {"at":"\u2713"}',
        "tool result: look",
        "    seen",
        "agent (openai/x)",
        "    hi",
        "agent error: ValueError",
        "    oops",
    ]
    assert [line.split()[0] for line in lines if line.startswith("#")] == ["#1", "#2", "#3", "#4", "#5"]


def heading(item: Message[Event]) -> str:
    """Return the first line of an event without offset and time."""
    return next(told(item)).plain.split("  ", 2)[2]


def test_results_say_how_they_ended() -> None:
    """An interrupted or failed tool is told apart from one that answered, and a text that was cut off from a whole one."""
    result = ToolResult(call_id="1", name="look")
    interrupted = result.model_copy(update={"interrupted": True})
    failed = result.model_copy(update={"is_error": True})
    assert heading(Message.of(interrupted, session="demo")) == "tool result: look interrupted"
    assert heading(Message.of(failed, session="demo")) == "tool result: look failed"
    assert heading(Message.of(AgentMessage(text=""), session="demo")) == "agent"
    cut = AgentMessage(text="It is", model="openai/x", cut="max_tokens")
    assert heading(Message.of(cut, session="demo")) == "agent (openai/x), cut off: max_tokens"
    assert heading(Message.of(UserMessage(text="x"), session="demo")) == "user"


@pytest.mark.parametrize(
    ("event", "heading", "body"),
    [
        (Message.of(ChildStart(name="ann", text="go", child="c"), session="s"), "to child ann", "go"),
        (_result(State.AWAITING_INPUT, "done"), "child ann: awaiting input", "done"),
        (_result(State.ERROR, ""), "child ann: error", "no key"),
        (
            Message.of(HistoryCondensed(text="they spoke", through=4), session="s"),
            "condensed for the prompt, up to #4",
            "they spoke",
        ),
    ],
)
def test_children_and_summaries_are_told_as_such(event: Message[Event], heading: str, body: str) -> None:
    """What a child was asked, what it reported or why it did not, and what a summary stands for."""
    first, second = told(event.model_copy(update={"offset": 7, "epoch": "e"}))
    assert first.plain.endswith(heading)
    assert second.plain.strip() == body


def test_other_messages_and_gaps_have_a_line_too() -> None:
    """A command on its channel, and what is no longer there."""
    first, second = told(Message.of(SessionStop(), session="demo"))
    assert first.plain.endswith("session.stop")
    assert '"by":"unknown"' in second.plain
    assert [line.plain for line in told(Gap("events.demo", "trimmed", 2, 4))] == ["-- 2 to 4 of events.demo are no longer there"]
    (reset,) = told(Gap("events.demo", "reset", 2, 1))
    assert "begins anew" in reset.plain


def test_nothing_that_a_terminal_obeys_gets_through() -> None:
    """Neither in a name nor in a text."""
    call = Message.of(ToolCall(call_id="1", name="x\x1b[2J\ny", arguments="\x1b]0;t\x07"), session="demo")
    message = Message.of(AgentMessage(text="[red]a[/red]\x1b[31m"), session="demo")
    text = "\n".join(line.plain for item in (call, message) for line in told(item))
    assert not set(text) & {"\x1b", "\x07"}
    assert "[red]a[/red]" in text
