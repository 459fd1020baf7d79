"""One run: the steps of an agent from a claim to its release."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from tidings.bus import (
    AgentError,
    AgentMessage,
    Bus,
    ChildStart,
    Ending,
    Event,
    LeaseLost,
    LlmRecovered,
    Message,
    Reason,
    ToolCall,
    ToolResult,
    Trigger,
    Unreachable,
    UserMessage,
    WorkerRef,
)
from tidings.bus.messages import encode
from tidings.workers import errors
from tidings.workers.agent import Next, Step, open_calls
from tidings.workers.context import Context
from tidings.workers.retry import Failure
from tidings.workers.settings import Settings
from tidings.workers.turn import Turn

SETTINGS = Settings(model="openai/x", max_inline_wait_s=10, park_base_s=60, park_cap_s=900, park_for_s=400)
FAILURE = Failure(Reason.RATE_LIMIT, True, 429, None, "slow down", None, "Wait.")

Act = Callable[[Sequence[Message[Event]], Any], Any]


class Acting:
    """An agent that does one thing a step, in order; the last one again and again."""

    def __init__(self, *acts: Act) -> None:
        self._acts = list(acts)
        self.seen: list[int] = []

    async def step(self, ctx: Context) -> Step:
        """Do the next thing."""
        self.seen.append(len(ctx.history))
        act = self._acts.pop(0) if len(self._acts) > 1 else self._acts[0]
        made = act(ctx.history, ctx.llm)
        step: Step = await made if asyncio.iscoroutine(made) else made
        return step


def says(text: str, follow: Any = Next.AWAIT_INPUT) -> Act:
    """Say something."""
    return lambda *_: Step([AgentMessage(text=text)], follow)


def raises(error: BaseException) -> Act:
    """Raise something."""

    def act(*_: object) -> Step:
        raise error

    return act


def limited(**fields: Any) -> errors.LlmCallLimited:
    """What an Llm raises when a limit outlasts it."""
    given: dict[str, Any] = {"failure": FAILURE, "attempt": 2, "max_attempts": 6, "model": "openai/x"} | fields
    return errors.LlmCallLimited("slow down", **given)


@asynccontextmanager
async def running(agent: Any, *, texts: Sequence[str] = ("hello",), parks: int = 0, limit: int = 65536) -> AsyncIterator[Turn]:
    """A run of a session of our own making, in memory."""
    async with Bus.connect(f"memory://{uuid4().hex}", payload_limit=limit) as bus:
        claim = await bus.worker.claim(WorkerRef(name="w1"), session="s", create=True)
        assert claim is not None
        said = [Message.of(UserMessage(text=text), session="s") for text in texts]
        await claim.append(*said, after=0)
        claim.parks = parks
        async with claim:
            yield Turn(bus, claim, agent, SETTINGS)


async def turn(agent: Any, **fields: Any) -> tuple[Ending, tuple[Message[Event], ...]]:
    """Take a turn; returns the release and the history."""
    async with running(agent, **fields) as run:
        release = await run.turn()
        return release, await history_of(run)


async def history_of(run: Turn) -> tuple[Message[Event], ...]:
    """Read the history as people read it."""
    return tuple(await run._lease.history())


def last(history: Sequence[Message[Event]]) -> Any:
    """What the newest event says."""
    return history[-1].data


# turns


@pytest.mark.parametrize(
    ("follow", "trigger"), [(Next.AWAIT_INPUT, Trigger.YIELD), (Next.FINISH, Trigger.FINISH), ("finish", Trigger.FINISH)]
)
async def test_a_turn_ends_as_the_agent_says(follow: Any, trigger: Trigger) -> None:
    """A person's turn, or the end; a word will do for the constant."""
    release, history = await turn(Acting(says("hi", follow)), parks=2)
    assert (release.trigger, release.read, release.parks) == (trigger, 1, 0)
    assert isinstance(history[-1].data, AgentMessage)
    assert (history[-1].data.text, history[-1].data.read, history[-1].source) == ("hi", 1, "worker/w1")


async def test_a_turn_takes_as_many_steps_as_the_agent_wants() -> None:
    """Each one knows all that went before it."""
    agent = Acting(says("one", Next.CONTINUE), says("two", "continue"), says("three"))
    release, history = await turn(agent)
    assert agent.seen == [1, 2, 3]
    assert (release.read, len(history)) == (3, 4)


@pytest.mark.parametrize(
    ("names", "why"), [((), "the turn is over"), (("a",), "it waits for 1 child"), ("ab", "it waits for 2 children")]
)
async def test_a_turn_that_leaves_children_at_work_says_so(names: Sequence[str], why: str) -> None:
    """In the record and for people; each of them has been asked for."""
    agent = Acting(lambda *_: Step([ChildStart(name=name, text="go", child=f"child-{name}") for name in names]))
    async with running(agent) as run:
        release = await run.turn()
        assert (release.trigger, release.awaits, release.why) == (Trigger.YIELD, len(names), why)
        for event in (await history_of(run))[1:]:
            assert isinstance(event.data, ChildStart)
            assert event.data.child is not None
            snapshot = await run._children._bus.controller.snapshot(event.data.child)
            assert snapshot is not None
            assert [command.id for command in snapshot.commands] == [f"{event.id}.start"]


async def test_a_child_that_cannot_be_asked_for_gets_the_agent_another_step() -> None:
    """Its result is in the history by then, and nobody else would wake the session for it."""
    size = 65536 - len(encode(Message.of(ChildStart(name="a", text="x", child="c"), session="s"))) - 40
    agent = Acting(lambda *_: Step([ChildStart(name="a", text="x" * size, child="c")]), says("so be it"))
    release, history = await turn(agent)
    assert [event.type for event in history] == ["user.message", "child.start", "child.result", "agent.message"]
    assert agent.seen == [1, 3]
    assert (release.awaits, release.why) == (0, "the turn is over")


async def test_a_child_whose_session_is_taken_is_the_agents_fault() -> None:
    """Two children in one session could not be told apart."""
    start = ChildStart(name="a", text="go", child="c")
    release, history = await turn(Acting(lambda *_: Step([start, start])))
    assert release.trigger is Trigger.FAIL
    assert [event.type for event in history] == ["user.message", "agent.error"]
    assert "child 'c' was started before" in release.why


async def test_children_that_another_run_wrote_down_are_asked_for() -> None:
    """Before the agent takes its first step."""
    async with running(Acting(lambda *_: Step())) as run:
        event = Message.of(ChildStart(name="a", text="go", child="c"), id="e1", session="s")
        await run._lease.append(event, after=1)
        assert (await run.turn()).awaits == 1
        assert await run._children._bus.controller.snapshot("c") is not None


async def test_a_long_history_is_read_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it."""
    monkeypatch.setattr("tidings.bus.worker.face.PAGE", 2)
    agent = Acting(says("hi"))
    await turn(agent, texts=[str(number) for number in range(5)])
    assert agent.seen == [5]


async def test_the_history_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is away for a moment does not end a run; the lease bounds the wait."""
    monkeypatch.setattr("tidings.workers.child_starts.AGAIN_S", 0.001)
    agent = Acting(says("hi"))
    async with running(agent) as run:
        history, away = run._lease.history, 3

        async def shaky(*args: Any) -> Any:
            nonlocal away
            away -= 1
            if away > 0:
                raise Unreachable("gone")
            return await history(*args)

        monkeypatch.setattr(run._lease, "history", shaky)
        assert (await run.turn()).trigger is Trigger.YIELD
    assert agent.seen == [1]


async def test_a_lease_that_was_lost_passes() -> None:
    """It is no fault of the agent's."""
    async with running(Acting(says("hi"))) as run:
        await run._lease.release(Ending(Trigger.YIELD, read=1))
        with pytest.raises(LeaseLost):
            await run.turn()
        assert len(await history_of(run)) == 1


async def test_calls_that_another_run_left_open_get_a_result() -> None:
    """Those that may run twice stay open, for the agent to run again."""
    async with running(Acting(says("hi"))) as run:
        calls = [ToolCall(call_id=name, name="look", idempotent=name == "b") for name in ("a", "b", "c")]
        await run._store(*calls)
        await run.turn()
        history = await history_of(run)
    results = [event.data for event in history if isinstance(event.data, ToolResult)]
    assert [(data.call_id, data.interrupted, data.is_error) for data in results] == [("a", True, True), ("c", True, True)]
    assert [call.data.call_id for call in open_calls(history)] == ["b"]


# the agent's own faults


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (raises(KeyError("x")), "KeyError"),
        (raises(Unreachable("a bus of its own")), "Unreachable"),
        (raises(asyncio.CancelledError()), "CancelledError"),
        (raises(SystemExit(3)), "SystemExit"),
        (raises(KeyboardInterrupt()), "KeyboardInterrupt"),
        (lambda *_: None, "BadAgent"),
        (lambda *_: Step([], "later"), "ValueError"),  # type: ignore[arg-type]
        (lambda *_: Step([LlmRecovered(attempt=1)]), "TypeError"),  # type: ignore[list-item]
        (says("x" * 70_000), "PayloadTooLarge"),
        (lambda *_: Step([], Next.CONTINUE), "RuntimeError"),
    ],
    ids=["raises", "bus", "cancelled", "exits", "interrupts", "nothing", "next", "notice", "large", "idle"],
)
@pytest.mark.usefixtures("signal_handled")
async def test_what_the_agent_does_wrong_is_an_error_of_its_own(act: Act, kind: str) -> None:
    """It is appended for people to read, and the session can be resumed at this step."""
    release, history = await turn(Acting(act))
    assert (release.trigger, release.read, release.reason) == (Trigger.FAIL, 1, Reason.UNKNOWN)
    assert isinstance(history[-1].data, AgentError)
    assert last(history).kind == kind
    assert f"the agent's own code failed: {kind}" in release.why
    assert len(history) == 2


@pytest.fixture
async def signal_handled() -> AsyncIterator[None]:
    """SIGINT is told to the loop, as in a worker's process, and raises nothing."""
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGINT)
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    yield
    loop.remove_signal_handler(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


async def test_ctrl_c_is_none_of_the_agents() -> None:
    """Where it raises an exception, as in a program without a handler of its own, that one ends the program."""
    async with running(Acting(raises(KeyboardInterrupt()))) as run:
        with pytest.raises(KeyboardInterrupt):
            await run.turn()
        assert len(await history_of(run)) == 1


async def _in_a_group(error: BaseException) -> Step:
    async def tool() -> None:
        raise error

    async with asyncio.TaskGroup() as group:
        group.create_task(tool())
    return Step()


async def test_a_limit_that_comes_out_of_a_task_group_parks() -> None:
    """As one that the agent has let pass by itself."""
    release, history = await turn(Acting(lambda *_: _in_a_group(limited(resume_in_s=500.0))))
    assert (release.trigger, release.reason, len(history)) == (Trigger.PARK, Reason.RATE_LIMIT, 1)


async def test_an_error_of_the_agents_names_its_line() -> None:
    """In the history and in the reason; the innermost that is neither ours nor a library's, also in a task of the agent's."""
    line = raises(None).__code__.co_firstlineno + 1  # type: ignore[arg-type]
    release, history = await turn(Acting(raises(KeyError("x"))))
    place = f"(tests/workers/test_turn.py:{line} in act())"
    assert release.why == f"the agent's own code failed: KeyError: 'x' {place}"
    assert last(history).message == f"'x' {place}"

    release, _ = await turn(Acting(lambda *_: Step(json.loads("{"))))
    assert re.search(r"JSONDecodeError: .* \(tests/workers/test_turn.py:\d+ in <lambda>\(\)\)", release.why)

    release, _ = await turn(Acting(lambda *_: _in_a_group(ValueError("deep"))))
    assert re.search(r"ValueError: deep \(tests/workers/test_turn.py:\d+ in tool\(\)\)", release.why)

    release, _ = await turn(Acting(raises(ValueError("long " * 1000))))
    assert release.why.endswith(place)
    assert len(release.why) <= 500


async def test_what_was_stored_before_the_fault_stays() -> None:
    """It was paid for."""
    release, history = await turn(Acting(says("one", Next.CONTINUE), raises(KeyError("x"))))
    assert [event.type for event in history] == ["user.message", "agent.message", "agent.error"]
    assert release.read == 2


async def test_a_cancellation_of_the_run_is_none_of_the_agents() -> None:
    """It passes, and nothing is appended."""
    begun = asyncio.Event()

    async def stay(*_: object) -> Step:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with running(Acting(stay)) as run:
        work = asyncio.create_task(run.turn())
        await begun.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert len(await history_of(run)) == 1


async def test_a_secret_of_the_environment_stays_out(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Of the event, of what people are told, and of the log."""
    monkeypatch.setenv("SOME_API_KEY", "planted-value")
    release, history = await turn(Acting(raises(RuntimeError("cannot use planted-value"))))
    for text in (history[-1].model_dump_json(), release.why, caplog.text):
        assert "planted-value" not in text
        assert "cannot use [redacted]" in text


# parking


async def test_a_success_begins_a_new_row_of_parks() -> None:
    """Also one of a path of the agent's own, which counts for itself: something was added."""
    agent = Acting(says("one", Next.CONTINUE), raises(limited(schedule=True)))
    release, _ = await turn(agent, parks=3)
    assert (release.parks, release.read) == (1, 2)


async def test_a_tool_takes_two_steps() -> None:
    """The call is in the history before the tool runs."""
    looks: list[list[str]] = []

    async def look(history: Sequence[Message[Event]], _: object) -> Step:
        looks.append([event.type for event in history])
        return Step([ToolResult(call_id="a", name="look", content="found")], Next.CONTINUE)

    agent = Acting(lambda *_: Step([ToolCall(call_id="a", name="look")], Next.CONTINUE), look, says("done"))
    _, history = await turn(agent)
    assert looks == [["user.message", "tool.call"]]
    assert [event.type for event in history][1:] == ["tool.call", "tool.result", "agent.message"]
