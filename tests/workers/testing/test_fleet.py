"""The fleet: what tests of agents say, see and wait for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from examples.tool_agent import ToolAgent
from tidings.bus import (
    AgentMessage,
    Bus,
    ChildStart,
    CommandExpired,
    CommandRefused,
    Decision,
    LlmFailed,
    LlmRateLimited,
    LlmRecovered,
    LlmRetry,
    Message,
    Record,
    Snapshot,
    StaleDecision,
    State,
    ToolResult,
    UnknownSession,
    WorkerLost,
    WorkerRef,
)
from tidings.workers.agent import Agent, ChatAgent, Next, Step, answer, open_children, to_prompt, unanswered
from tidings.workers.context import Context
from tidings.workers.llm import LlmError
from tidings.workers.provider import Fault, Limit, Provider, ProviderSettings
from tidings.workers.testing import Clock, Fleet, NotInTime, StartFleet, memory_bus, reply
from tidings.workers.testing.in_process import InProcess


class Gate:
    """An agent that waits, in the middle of its step, until it is let go."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.inside = asyncio.Event()
        self.cancelled = 0

    async def step(self, ctx: Context) -> Step:
        """Answer once the gate is open."""
        if not unanswered(ctx.history):
            return Step()
        self.inside.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return Step([AgentMessage(text="through")])


class Final:
    """An agent that says one thing and is done, or fails when it is asked to."""

    async def step(self, ctx: Context) -> Step:
        """Finish."""
        if "fail" in str(to_prompt(ctx.history)):
            raise ValueError("asked to fail")
        return Step([AgentMessage(text="done")], Next.FINISH)


class Condensing:
    """An agent that uses a second path, and does without what that fails to bring."""

    async def step(self, ctx: Context) -> Step:
        """Condense, then answer."""
        if not unanswered(ctx.history):
            return Step()
        with contextlib.suppress(LlmError):
            await ctx.llm.named("condenser").complete([{"role": "user", "content": "condense"}])
        return Step(answer(await ctx.llm.complete(to_prompt(ctx.history))))


def script(provider: Provider, *faults: str) -> None:
    """Have the next calls fail."""
    provider.script(*map(Fault.parse, faults))


async def test_a_session_is_started_spoken_to_and_seen(tidings_fleet: StartFleet, tidings_provider: Provider) -> None:
    """History, prompts, states and notices are all there when a wait has returned."""
    fleet = await tidings_fleet()
    await fleet.start("s", "hello")
    record = await fleet.until("s", State.AWAITING_INPUT)
    assert record.state is State.AWAITING_INPUT
    await fleet.say("s", "and you?")
    await fleet.until("s", State.AWAITING_INPUT)
    history = await fleet.history("s")
    assert [event.type for event in history] == ["user.message", "agent.message"] * 2
    assert [event.data.text for event in history if isinstance(event.data, AgentMessage)] == [
        "You said: hello",
        "You said: and you?",
    ]
    assert fleet.prompts[0] == [{"role": "user", "content": "hello"}]
    assert len(fleet.prompts) == len(tidings_provider.requests) == 2
    assert fleet.states("s") == [State.QUEUED, State.RUNNING, State.AWAITING_INPUT] * 2
    assert [notice.offset for notice in fleet.notices] == list(range(1, (await fleet.status("s")).status + 1))


async def test_a_long_history_is_returned_whole(tidings_fleet: StartFleet, tidings_bus: Bus) -> None:
    """In order, page by page."""
    fleet = await tidings_fleet(workers=0)
    claim = await tidings_bus.worker.claim(WorkerRef(name="other"), session="s", create=True)
    assert claim is not None
    said = [Message.of(AgentMessage(text=str(number)), session="s") for number in range(501)]
    await claim.append(*said, after=0)
    assert [event.offset for event in await fleet.history("s")] == list(range(1, 502))


async def test_commands_are_refused_with_the_controllers_reason(tidings_fleet: StartFleet) -> None:
    """A test sees what a person would see."""
    fleet = await tidings_fleet()
    with pytest.raises(UnknownSession):
        await fleet.say("s", "hello")
    await fleet.start("s")
    await fleet.stop("s")
    with pytest.raises(CommandRefused, match="the session is stopped, and that is final"):
        await fleet.resume("s")
    with pytest.raises(UnknownSession):
        await fleet.history("t")


async def test_waits_stand_still_until_the_clock_is_moved(tidings_fleet: StartFleet, tidings_provider: Provider) -> None:
    """A session stays rate limited however slow the machine is, and goes on when its wait has passed."""
    script(tidings_provider, "429:retry-after=30")
    fleet = await tidings_fleet()
    await fleet.start("s", "hello")
    record = await fleet.until("s", State.RATE_LIMITED)
    assert record.wait is not None
    assert record.wait.wait_s == 31.0
    await fleet.advance(30.9)
    assert len(fleet.prompts) == 1
    assert (await fleet.status("s")).state is State.RATE_LIMITED
    await fleet.advance(0.1)
    await fleet.until("s", State.AWAITING_INPUT)
    assert [told.data.attempt for told in fleet.told(LlmRecovered)] == [2]


async def test_idle_skips_every_wait(tidings_fleet: StartFleet, tidings_provider: Provider) -> None:
    """Back-offs, hints of the provider and parks pass, of all sessions; every state between is told."""
    script(tidings_provider, "429:contains=a,retry-after=30", "503x2:contains=a", "429:contains=b,retry-after=4000")
    fleet = await tidings_fleet()
    await fleet.start("a", "a")
    await fleet.start("b", "b")
    await fleet.idle()
    assert [told.data.wait_s for told in fleet.told(LlmRetry, "a")] == [31.0, 2.0, 4.0]
    running, limited, retrying = State.RUNNING, State.RATE_LIMITED, State.RETRYING
    # While an attempt is under way the session runs.
    assert fleet.states("a")[:6] == [State.QUEUED, running, limited, running, retrying, running]
    assert fleet.states("b") == [State.QUEUED, running, limited, State.QUEUED, running, State.AWAITING_INPUT]
    assert len(fleet.told(LlmRateLimited, "b")) == 1
    assert {record.state async for record in fleet.bus.sessions()} == {State.AWAITING_INPUT}


async def test_idle_ends_where_a_person_is_needed(tidings_fleet: StartFleet, tidings_provider: Provider) -> None:
    """An exhausted quota, an error, a pause, an agent that has finished: nothing goes on by itself."""
    script(tidings_provider, "quota", "401")
    fleet = await tidings_fleet(concurrency=1)
    await fleet.idle()
    await fleet.start("quota", "hello")
    await fleet.idle()
    await fleet.start("error", "hello")
    await fleet.idle()
    await fleet.start("paused")
    await fleet.pause("paused")
    await fleet.idle()
    states = {record.session: (record.state, record.parked) async for record in fleet.bus.sessions()}
    assert states == {
        "quota": (State.RATE_LIMITED, True),
        "error": (State.ERROR, False),
        "paused": (State.PAUSED, False),
    }
    assert [told.data.status_code for told in fleet.told(LlmFailed)] == [401]


async def test_idle_waits_for_agents_at_work_and_does_not_skip_them(tidings_fleet: StartFleet) -> None:
    """While one session works, another's wait is not moved; a cancelled agent is waited for too."""
    gate = Gate()
    fleet = await tidings_fleet(gate)
    await fleet.start("s", "hello")
    await gate.inside.wait()
    with pytest.raises(NotInTime, match="the fleet is idle\n  s: running"):
        await fleet.idle(timeout_s=0.05)
    await fleet.pause("s")
    await fleet.idle()
    assert gate.cancelled == 1
    gate.open.set()
    await fleet.resume("s")
    await fleet.idle()
    assert [event.type for event in await fleet.history("s")] == ["user.message", "agent.message"]


async def test_idle_gives_up_on_what_never_ends(tidings_fleet: StartFleet, tidings_provider: Provider) -> None:
    """A provider that always asks for more time is told as what it is."""
    script(tidings_provider, "429x*:retry-after=100")
    fleet = await tidings_fleet(timeout_s=0.5)
    await fleet.start("s", "hello")
    with pytest.raises(NotInTime, match="scripted and not asked for yet: 429x\\*"):
        await fleet.idle()


@pytest.mark.parametrize("as_class", [True, False])
async def test_idle_waits_for_children(tidings_fleet: StartFleet, tidings_provider: Provider, as_class: bool) -> None:
    """From the moment in which one is asked for until its parent has heard of it; their waits are skipped too."""
    tidings_provider.script(Fault.parse("429:retry-after=300"), Fault.parse("429:retry-after=20"))
    fleet = await tidings_fleet(Parent if as_class else Parent())
    await fleet.start("p", "hello")
    await fleet.idle()
    types = [event.type for event in await fleet.history("p")]
    assert types == ["user.message", "child.start", "child.result", "agent.message"]
    assert [prompt[0]["content"] for prompt in fleet.prompts] == ["Help."] * 3 + ["hello"]


async def test_idle_does_not_wait_for_a_child_that_a_person_holds(tidings_fleet: StartFleet, tidings_provider: Provider) -> None:
    """It is paused, and its parent waits; nothing goes on by itself."""
    tidings_provider.script(Fault.parse("429:retry-after=20"))
    fleet = await tidings_fleet(Parent)
    await fleet.start("p", "hello")
    (child,) = await fleet.eventually(lambda: fleet.bus.children("p"))
    await fleet.pause(child.child)
    await fleet.idle()
    assert fleet.states("p")[-1] is State.AWAITING_INPUT
    await fleet.resume(child.child)
    await fleet.idle()
    assert (await fleet.history("p"))[-1].type == "agent.message"


class Parent(ChatAgent):
    """Asks a child before it answers."""

    children: ClassVar[dict[str, Any]] = {"helper": lambda: ChatAgent("Help.")}

    async def step(self, ctx: Context) -> Step:
        """Start the child, wait for it, answer."""
        if len(ctx.history) == 1:
            return Step([ChildStart(name="helper", text="help")])
        return Step() if open_children(ctx.history) else await super().step(ctx)


async def test_a_wait_is_skipped_with_its_attempt(tidings_fleet: StartFleet, tidings_provider: Provider) -> None:
    """Each skip is one wait; after it the next wait, or what came of the call, is there to be seen."""
    script(tidings_provider, "503x2", "429:retry-after=120")
    fleet = await tidings_fleet()
    await fleet.start("s", "hello")
    assert await fleet.skip_wait("s") == 1.0
    assert [told.data.attempt for told in fleet.told(LlmRetry)] == [1, 2]
    assert await fleet.skip_wait("s") == 2.0
    await fleet.until("s", State.RATE_LIMITED)
    parked = await fleet.skip_wait("s")
    assert 100 < parked < 140
    await fleet.until("s", State.AWAITING_INPUT)
    assert len(fleet.prompts) == 4


async def test_skipping_needs_a_wait(tidings_fleet: StartFleet) -> None:
    """A session that waits for a person has none, and the text says so."""
    fleet = await tidings_fleet()
    await fleet.start("s", "hello")
    await fleet.until("s", State.AWAITING_INPUT)
    with pytest.raises(NotInTime, match="session 's' waits for a time\n  s: awaiting_input"):
        await fleet.skip_wait("s", timeout_s=0.05)


async def test_a_wait_of_any_path_of_an_agent_is_skipped(tidings_fleet: StartFleet, tidings_provider: Provider) -> None:
    """A condenser's back-off is one of its session."""
    script(tidings_provider, "503:contains=condense", "400:contains=condense", "503:contains=hello")
    fleet = await tidings_fleet(Condensing)
    await fleet.start("s", "hello")
    await fleet.idle()
    assert [(told.data.llm, told.data.wait_s) for told in fleet.told(LlmRetry)] == [("condenser", 1.0), ("agent", 1.0)]
    assert (await fleet.status("s")).state is State.AWAITING_INPUT


async def test_workers_keep_their_sessions_however_far_the_clock_is_moved(
    tidings_fleet: StartFleet, tidings_provider: Provider
) -> None:
    """A move of a day is made in steps that are shorter than a lease; nobody is lost by it."""
    gate = Gate()
    fleet = await tidings_fleet(gate, lease_s=600.0)
    await fleet.start("s", "hello")
    await gate.inside.wait()
    before = fleet.bus.now()
    await fleet.advance(6000.0)
    assert (fleet.bus.now() - before).total_seconds() >= 6000
    gate.open.set()
    await fleet.until("s", State.AWAITING_INPUT)
    assert fleet.told(WorkerLost) == []
    assert gate.cancelled == 0


async def test_the_providers_limits_go_by_the_same_clock(tidings_clock: Clock, tidings_bus: Bus) -> None:
    """A minute's allowance is full again when the clock was moved by a minute, and not before."""
    settings = ProviderSettings(limit=Limit(requests_per_minute=1, kind="window"))
    provider = Provider(settings, clock=tidings_clock.monotonic, wall_clock=tidings_clock.time)
    async with provider, Fleet(tidings_bus, provider, clock=tidings_clock) as fleet:
        await fleet.start("a", "hello")
        await fleet.until("a", State.AWAITING_INPUT)
        await fleet.start("b", "hello")
        await fleet.until("b", State.RATE_LIMITED)
        await fleet.idle()
        assert [request.status for request in provider.requests] == [200, 429, 200]


async def test_a_lost_worker_is_followed_by_another_run(tidings_fleet: StartFleet) -> None:
    """Its step is cancelled, and the next run begins where the history ends."""
    gate = Gate()
    fleet = await tidings_fleet(gate, workers=2)
    await fleet.start("s", "hello")
    await gate.inside.wait()
    await fleet.lose_worker("s")
    await fleet.eventually(lambda: gate.cancelled, "the agent's step is cancelled")
    gate.open.set()
    await fleet.until("s", State.AWAITING_INPUT)
    assert [told.data.losses for told in fleet.told(WorkerLost)] == [1]
    assert [event.type for event in await fleet.history("s")] == ["user.message", "agent.message"]
    assert gate.cancelled == 1
    with pytest.raises(NotInTime, match="is held by a worker"):
        await fleet.lose_worker("t", timeout_s=0.05)


async def test_losing_a_worker_is_decided_anew_when_something_came_between(
    tidings_fleet: StartFleet, tidings_bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision that rests on what is not so any more is made again, as a controller does."""
    gate = Gate()
    fleet = await tidings_fleet(gate)
    await fleet.start("s", "hello")
    await gate.inside.wait()
    decide, tries = tidings_bus.controller.decide, list[Snapshot]()

    async def stale_once(snapshot: Snapshot, decision: Decision) -> int:
        tries.append(snapshot)
        if len(tries) == 1:
            raise StaleDecision("s")
        return await decide(snapshot, decision)

    monkeypatch.setattr(tidings_bus.controller, "decide", stale_once)
    await fleet.lose_worker("s")
    gate.open.set()
    await fleet.idle()
    assert len(tries) > 1
    assert len(fleet.told(WorkerLost)) == 1


async def test_a_person_ends_a_wait(tidings_fleet: StartFleet, tidings_provider: Provider) -> None:
    """Resume is for a session that waits what it is elsewhere: the next attempt goes out now, and the clock is not needed."""
    script(tidings_provider, "429:retry-after=30")
    fleet = await tidings_fleet()
    await fleet.start("s", "hello")
    await fleet.until("s", State.RATE_LIMITED)
    await fleet.resume("s")
    await fleet.until("s", State.AWAITING_INPUT)
    assert fleet.clock is not None
    assert fleet.clock.monotonic() == 0.0
    assert fleet.clock.sleepers() == ()


async def test_an_agent_with_tools_gets_the_answers_that_were_scripted(
    tidings_fleet: StartFleet, tidings_provider: Provider, tmp_path: Path
) -> None:
    """The model's part of a dialogue is written down in the test, and the tools are really run."""
    notes = tmp_path / "notes.txt"
    tidings_provider.script(
        reply(calls=[("write_note", {"text": "buy milk"})]), Fault.parse("429:retry-after=5"), reply("Noted.")
    )
    fleet = await tidings_fleet(lambda: ToolAgent(notes))
    await fleet.start("s", "milk!")
    await fleet.idle()
    history = await fleet.history("s")
    assert [event.type for event in history] == ["user.message", "agent.message", "tool.call", "tool.result", "agent.message"]
    assert [event.data.content for event in history if isinstance(event.data, ToolResult)] == ["noted"]
    assert notes.read_text() == "buy milk\n"


async def test_a_state_that_cannot_come_any_more_is_not_waited_for(tidings_fleet: StartFleet) -> None:
    """In error, or in a final state, a session is told at once, with the agent's own words."""
    fleet = await tidings_fleet(Final)
    await fleet.start("s", "hello")
    with pytest.raises(NotInTime, match="session 's' will not be paused or retrying: it is finished"):
        await fleet.until("s", State.PAUSED, State.RETRYING, timeout_s=60)
    await fleet.start("t", "please fail")
    with pytest.raises(NotInTime, match=r"session 't' will not be awaiting_input: it is error\n(?s:.*)asked to fail"):
        await fleet.until("t", State.AWAITING_INPUT, timeout_s=60)
    assert (await fleet.until("t", State.ERROR)).state is State.ERROR


async def test_a_wait_that_fails_shows_every_session(tidings_fleet: StartFleet, tidings_provider: Provider) -> None:
    """Who forgot to move the clock reads how far and by what."""
    script(tidings_provider, "429:retry-after=30")
    fleet = await tidings_fleet()
    await fleet.start("s", "hello")
    await fleet.until("s", State.RATE_LIMITED)
    with pytest.raises(NotInTime) as failure:
        await fleet.until("s", State.AWAITING_INPUT, timeout_s=0.05)
    text = str(failure.value)
    assert text.startswith("not within 0.05 s: session 's' is awaiting_input\n  s: rate_limited for ")
    assert "goes on when the clock has moved 31.000 s" in text
    assert "came by queued > running > rate_limited" in text
    assert "the provider received 1 request (429)" in text
    with pytest.raises(NotInTime, match="session 'nobody' is running"):
        await fleet.until("nobody", State.RUNNING, timeout_s=0.05)
    with pytest.raises(ValueError, match="at least one"):
        await fleet.until("s")


async def test_anything_can_be_waited_for(tidings_fleet: StartFleet) -> None:
    """Plain and async functions; what they return comes back, and a failure names them."""
    fleet = await tidings_fleet()

    async def known() -> list[Record]:
        """The session is known."""
        return [record async for record in fleet.bus.sessions()]

    with pytest.raises(NotInTime, match=r"not within 0\.02 s: The session is known\."):
        await fleet.eventually(known, timeout_s=0.02)
    await fleet.start("s", "hello")
    assert [record.session for record in await fleet.eventually(known)] == ["s"]
    assert await fleet.eventually(lambda: fleet.prompts, "the model was asked") == [[{"role": "user", "content": "hello"}]]
    with pytest.raises(NotInTime, match=r"not within 0\.02 s: what was waited for"):
        await fleet.eventually(lambda: False, timeout_s=0.02)
    with pytest.raises(ZeroDivisionError):
        await fleet.eventually(lambda: 1 // 0)


async def test_a_worker_that_crashes_fails_the_test(
    tidings_bus: Bus, tidings_provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waits end at once with its error, and so do a command that nobody handles and the end of the fleet."""

    async def crash(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("tidings.workers.controller.Controller.run", crash)
    async with contextlib.AsyncExitStack() as stack:
        fleet = await stack.enter_async_context(Fleet(tidings_bus, tidings_provider, command_timeout_s=0.05))
        with pytest.raises(RuntimeError, match="c1 of the fleet has ended on its own"):
            await fleet.start("s", "hello")
        with pytest.raises(RuntimeError, match="c1 of the fleet has ended on its own"):
            await fleet.until("s", State.QUEUED, timeout_s=60)
        with pytest.raises(RuntimeError, match="c1 of the fleet has ended on its own"):
            await stack.aclose()


async def test_a_command_that_nobody_answers_expires(tidings_fleet: StartFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a controller that lives and does nothing, a test hears what a person would hear."""

    async def nothing(*_: object) -> None:
        pass

    monkeypatch.setattr("tidings.workers.controller.Controller._settle", nothing)
    fleet = await tidings_fleet(command_timeout_s=0.05)
    with pytest.raises(CommandExpired):
        await fleet.start("s", "hello")


async def test_a_failing_test_is_not_covered_up_by_a_crash(tidings_bus: Bus, tidings_provider: Provider) -> None:
    """What the test itself raises comes out of the fleet."""

    async def failing() -> None:
        async with Fleet(tidings_bus, tidings_provider) as fleet:
            assert isinstance(fleet._members, InProcess)
            fleet._members._tasks["w1"].cancel()
            await asyncio.sleep(0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await failing()


async def test_a_fleet_that_cannot_listen_is_not_begun(
    tidings_bus: Bus, tidings_provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with an error in bounded time and leaves nothing behind."""

    async def deaf(subscriber: object) -> None:
        pass

    monkeypatch.setattr(tidings_bus.controller, "on_change", deaf)
    with pytest.raises(TimeoutError):
        async with Fleet(tidings_bus, tidings_provider, timeout_s=0.05):
            pass
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("tidings-testing")]


async def test_without_a_clock_time_is_real(tidings_provider: Provider) -> None:
    """On a server whose time nobody moves, waits pass by themselves, and moving them is refused."""
    script(tidings_provider, "503")
    async with memory_bus() as bus, Fleet(bus, tidings_provider, backoff_base_s=0.01) as fleet:
        await fleet.start("s", "hello")
        await fleet.idle()
        assert (await fleet.status("s")).state is State.AWAITING_INPUT
        for move in (fleet.advance(1.0), fleet.skip_wait("s")):
            with pytest.raises(RuntimeError, match=r"the time of memory://test-[0-9a-f]+ cannot be moved"):
                await move


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
async def test_a_clock_is_never_moved_back(tidings_fleet: StartFleet, seconds: float) -> None:
    """Nor by what is no time."""
    fleet = await tidings_fleet()
    with pytest.raises(ValueError, match="moved ahead"):
        await fleet.advance(seconds)


@pytest.fixture
async def left_alone() -> AsyncIterator[None]:
    """Fails when a task of ours outlives the test."""

    def tasks() -> set[str]:
        return {name for task in asyncio.all_tasks() if (name := task.get_name()).startswith("tidings")}

    assert tasks() == set()
    yield
    assert tasks() == set()


async def test_a_fleet_leaves_nothing_running(left_alone: None, tidings_bus: Bus, tidings_provider: Provider) -> None:
    """Sessions that wait, and those in the middle of a step, are handed back."""
    gate, clock = Gate(), Clock()
    script(tidings_provider, "429:retry-after=30")

    class Either:
        async def step(self, ctx: Context) -> Step:
            agent: Agent = ChatAgent() if ctx.history[0].session == "s" else gate
            return await agent.step(ctx)

    async with Fleet(tidings_bus, tidings_provider, Either, clock=clock, drain_timeout_s=0.05) as fleet:
        await fleet.start("s", "hello")
        await fleet.start("t", "hello")
        await fleet.until("s", State.RATE_LIMITED)
        await gate.inside.wait()
    for session, state in (("s", State.RATE_LIMITED), ("t", State.QUEUED)):
        record = await tidings_bus.status(session)
        assert (record.state, record.worker) == (state, None)
    assert clock.sleepers() == ()
