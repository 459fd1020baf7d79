"""Several queues, agents and models in one installation, and what people are told where no worker serves one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests import actors
from tests.fleet import Fleet, Running
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import (
    AgentMessage,
    Bus,
    ChildStart,
    CommandRefused,
    Ending,
    Message,
    Priority,
    SessionChange,
    SessionDelete,
    SessionPause,
    SessionStart,
    State,
    Trigger,
    Wanted,
    Work,
    read_archives,
)
from tidings.workers.agent import Agent, ChatAgent, Next, Step, unanswered
from tidings.workers.context import Context
from tidings.workers.worker import Worker


class Signs:
    """Says its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def step(self, ctx: Context) -> Step:
        """Say it once."""
        return Step([AgentMessage(text=self._name)] if unanswered(ctx.history) else [])


class Parent:
    """Starts one child, and waits for it."""

    async def step(self, ctx: Context) -> Step:
        """Start it; or say that it has reported."""
        if len(ctx.history) == 1:
            return Step([ChildStart(name="helper", text="help", agent="second")], Next.AWAIT_INPUT)
        return Step([AgentMessage(text="heard")] if unanswered(ctx.history) else [])


@asynccontextmanager
async def worker(fleet: Fleet, name: str, *agents: str, **settings: object) -> AsyncIterator[Worker]:
    """A worker with agents that say their names."""
    running = Running(fleet.url)
    makes = {agent: (lambda agent=agent: Signs(agent)) for agent in agents}
    await running.begin(lambda bus: Worker(bus, makes, fleet.settings(**settings), name=name))
    try:
        yield running.part
    finally:
        await running.end()


async def said(bus: Bus, session: str) -> list[str]:
    """What the agents have said."""
    return [event.data.text for event in await bus.history(session) if isinstance(event.data, AgentMessage)]


async def test_a_worker_takes_what_its_queues_and_agents_are_for(redis_url: str) -> None:
    """Each session is run by the agent that it names, or by the first one of a worker of its queue."""
    async with Fleet(redis_url, workers=0) as fleet, worker(fleet, "w1", "first", "second", queue="default,gpu"):
        bus = fleet.bus
        wants = {
            "a": Wanted(),
            "b": Wanted(agent="second"),
            "c": Wanted(queue="gpu"),
            "d": Wanted(queue="gpu", agent="second"),
            "e": Wanted(queue="other"),
            "f": Wanted(agent="third"),
        }
        for name, wanted in wants.items():
            outcome = await bus.start(name, "hello", wanted=wanted)
            assert bool(outcome.warning) == (name in "ef"), outcome.warning
        for name, agent in {"a": "first", "b": "second", "c": "first", "d": "second"}.items():
            await fleet.until(name, State.AWAITING_INPUT)
            assert await said(bus, name) == [agent]
        assert [(await bus.status(name)).state for name in "ef"] == [State.QUEUED, State.QUEUED]


async def test_what_no_worker_serves_is_told_at_once_and_served_when_one_comes(redis_url: str) -> None:
    """The answer to the start says it; so does a change, and a worker that comes takes it."""
    async with Fleet(redis_url, workers=0) as fleet:
        bus = fleet.bus
        outcome = await bus.start("a", "hello", wanted=Wanted(queue="gpu", agent="coder"))
        assert outcome.warning == "no live worker serves queue 'gpu' with agent 'coder'"
        outcome = await bus.change("a", Wanted(queue="cpu"))
        assert outcome.warning == "no live worker serves queue 'cpu' with agent 'coder'"
        async with worker(fleet, "w1", "coder", queue="cpu"):
            await fleet.until("a", State.AWAITING_INPUT)
        assert await said(bus, "a") == ["coder"]


async def test_a_queued_session_moves_and_stands_in_one_queue(redis_url: str) -> None:
    """Its old place is empty; what is set is in the record, and is told with its state."""
    async with Fleet(redis_url, workers=0) as fleet:
        bus = fleet.bus
        await bus.start("a", "hello")
        labels = {"customer": "acme", "run": "7"}
        await bus.change("a", Wanted(queue="gpu", model="openai/y", priority=Priority.BACKGROUND, tenant="t", labels=labels))
        await bus.change("a", Wanted(labels={"run": ""}))
        record = await bus.status("a")
        assert record.state is State.QUEUED
        assert record.work == Work(
            queue="gpu", model="openai/y", priority=Priority.BACKGROUND, tenant="t", labels={"customer": "acme"}
        )
        assert [(await bus.admin.queues([(queue, None)])).ready.length for queue in ("default", "gpu")] == [0, 1]
        notice = record.as_notice(bus.now())
        assert notice is not None
        assert notice.data.work == record.work
        claim = await bus.worker.claim(actors.WORKER, model="openai/x", places=[("gpu", None)])
        assert claim is not None
        assert (claim.session, claim.work, claim.model) == ("a", record.work, "openai/y")
        assert (await bus.status("a")).picture.model is None
        await claim.release(Ending(Trigger.HAND_BACK, read=0))


async def test_what_is_held_moves_when_it_is_let_go(redis_url: str) -> None:
    """It is not taken from its worker; it is queued again in the other queue."""
    async with Fleet(redis_url, workers=0) as fleet:
        bus = fleet.bus
        await bus.start("a", "hello")
        claim = await bus.worker.claim(actors.WORKER)
        assert claim is not None
        await bus.change("a", Wanted(queue="gpu", agent="coder"))
        assert (await bus.status("a")).held
        await claim.release(Ending(Trigger.HAND_BACK, read=0))
        assert await bus.worker.claim(actors.WORKER) is None
        again = await bus.worker.claim(actors.WORKER, places=[("gpu", "coder")])
        assert again is not None
        assert again.work.place == ("gpu", "coder")
        # By its name a session is found in any queue.
        await again.release(Ending(Trigger.HAND_BACK, read=0))
        named = await bus.worker.claim(actors.WORKER, session="a")
        assert named is not None


async def test_a_resume_may_choose_another_model(redis_url: str) -> None:
    """What was in error goes on with that; the request names it."""
    async with Fleet(redis_url, agent=ChatAgent) as fleet:
        fleet.script("401")
        await fleet.start("a")
        await fleet.until("a", State.ERROR)
        await fleet.bus.resume("a", wanted=Wanted(model="openai/other"))
        await fleet.until("a", State.AWAITING_INPUT)
        assert [request.model for request in fleet.provider.requests][-1] == "other"


async def test_children_are_worked_on_as_their_parent_is(redis_url: str) -> None:
    """Queue and model are the same, the tenant is the root; labels are their own, and so is what they name."""
    async with Fleet(redis_url, workers=0) as fleet:
        running = Running(fleet.url)
        makes: dict[str, Callable[[], Agent]] = {"parent": Parent, "second": lambda: Signs("second")}
        await running.begin(lambda bus: Worker(bus, makes, fleet.settings(queue="gpu"), name="w1"))
        bus = fleet.bus
        await bus.start("p", "go", wanted=Wanted(queue="gpu", model="openai/y", labels={"customer": "acme"}))

        async def heard() -> bool:
            return await said(bus, "p") == ["heard"]

        await eventually(heard, PATIENCE_S)
        [child] = await bus.children("p")
        record = await bus.status(child.child)
        assert record.work == Work(queue="gpu", agent="second", model="openai/y", tenant="p")
        assert await said(bus, child.child) == ["second"]
        await running.end()


async def test_a_loop_of_ones_own_has_a_queue_of_its_own(redis_url: str) -> None:
    """No other worker takes its session, also after a person has resumed it."""
    async with Fleet(redis_url, workers=0) as fleet, worker(fleet, "w1", "other"):
        bus = fleet.bus
        async with bus.worker.lease("poem", create=True, queue="loops") as lease:
            await lease.append(actors.spoken("poem"))
        await bus.say("poem", "more")
        outcome = await bus.resume("poem")
        assert outcome.warning == "no live worker serves queue 'loops'"
        async with bus.worker.lease("poem") as again:
            assert again.work.queue == "loops"


async def test_a_change_is_refused_where_there_is_nothing_to_change(redis_url: str) -> None:
    """Of a session that is not there or was deleted; and too many labels are."""
    async with Fleet(redis_url, workers=0) as fleet:
        await fleet.start("a")
        many = {f"l{number}": "x" for number in range(16)}
        await fleet.bus.change("a", Wanted(labels=many))
        with pytest.raises(CommandRefused, match="at most 16 labels"):
            await fleet.bus.change("a", Wanted(labels={"one": "more"}))
        await fleet.send(Message.of(SessionPause(), session="a"))
        assert (await fleet.bus.change("a", Wanted(queue="gpu"))).state is State.PAUSED
        await fleet.send(Message.of(SessionDelete(), session="a"))
        with pytest.raises(LookupError):
            await fleet.send(Message.of(SessionChange(queue="x"), session="a"))


async def test_an_export_keeps_it(redis_url: str) -> None:
    """Queue, agent, model and labels come back with the session."""
    async with Bus.connect(redis_url) as bus, Fleet(redis_url, workers=0) as fleet:
        wanted = SessionStart(text="hi", queue="gpu", agent="coder", model="openai/y", labels={"customer": "acme"})
        await fleet.send(Message.of(wanted, session="a"))
        [archive] = list(read_archives([line async for line in bus.admin.export("a")]))
        await bus.admin.restore(archive, "b")
        assert (await bus.status("b")).work == (await bus.status("a")).work
