"""Sessions that start sessions: seen under their parent, reported to it once, and stopped with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import ClassVar

import pytest

from tests.fleet import Fleet
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import (
    AgentMessage,
    ChildResult,
    ChildStart,
    ChildState,
    CommandRefused,
    Event,
    LeaseLost,
    LlmRetry,
    Message,
    Reason,
    Record,
    SessionDelete,
    SessionStart,
    SessionState,
    State,
    carries,
)
from tidings.workers.agent import AgentFactory, ChatAgent, Next, Step, child_results, open_children, unanswered
from tidings.workers.context import Context
from tidings.workers.view import SessionView


class Parent:
    """Sends out each child that it is told of, waits for all of them and then says what they said."""

    async def step(self, ctx: Context) -> Step:
        """Start, wait, or tell."""
        waiting = unanswered(ctx.history)
        if not waiting or open_children(ctx.history):
            return Step()
        results = child_results(ctx.history)
        if not results:
            names = str(getattr(waiting[-1].data, "text", "")).split()
            return Step([ChildStart(name=name, text=f"do {name}") for name in names])
        told = [f"{result.data.name} {result.data.state}: {result.data.text}" for result in results]
        return Step([AgentMessage(text="; ".join(sorted(told)))])


class Team(Parent):
    """A parent whose children are of their own kinds."""

    children: ClassVar[Mapping[str, AgentFactory]] = {
        "one": ChatAgent,
        "two": ChatAgent,
        "three": ChatAgent,
        "middle": lambda: Middle(),
    }


class Middle(Parent):
    """A child with a child of its own."""

    async def step(self, ctx: Context) -> Step:
        """Start one child, and tell what it said."""
        if not any(isinstance(event.data, ChildStart) for event in ctx.history):
            return Step([ChildStart(name="three", text="do three")])
        return await super().step(ctx)


async def _child(fleet: Fleet, parent: str, name: str) -> str:
    """Wait until a parent has a child of a name; returns its session."""

    async def found() -> str | None:
        return next((child.child for child in await fleet.bus.children(parent) if child.name == name), None)

    session = await eventually(found, PATIENCE_S, f"{parent} has a child {name}")
    assert session is not None
    return session


def _results(history: Sequence[Message[Event]]) -> list[tuple[str, State]]:
    return [(event.data.name, event.data.state) for event in history if isinstance(event.data, ChildResult)]


async def _until_said(fleet: Fleet, session: str) -> str:
    """Wait until the agent has said something and rests; returns that."""

    async def said() -> str | None:
        events = await fleet.history(session)
        texts = [event.data.text for event in events if isinstance(event.data, AgentMessage)]
        record = await fleet.bus.status(session)
        return texts[-1] if texts and record.state is State.AWAITING_INPUT else None

    found = await eventually(said, PATIENCE_S, f"{session} has said something")
    assert found is not None
    return found


async def test_a_parent_gets_what_its_children_found(redis_url: str) -> None:
    """Each child is a session with its parent and name, runs beside the others, and reports once."""
    async with Fleet(redis_url, agent=Team, concurrency=3) as fleet:
        await fleet.start("p", "one two")
        assert await _until_said(fleet, "p") == ("one awaiting_input: You said: do one; two awaiting_input: You said: do two")
        history = await fleet.history("p")
        assert [event.type for event in history] == [
            "user.message",
            "child.start",
            "child.start",
            "child.result",
            "child.result",
            "agent.message",
        ]
        assert sorted(_results(history)) == [("one", State.AWAITING_INPUT), ("two", State.AWAITING_INPUT)]
        record = await fleet.bus.status(await _child(fleet, "p", "one"))
        assert (record.parent, record.name) == ("p", "one")
        assert await fleet.said(record.session) == ["user: do one", "agent: You said: do one"]


async def test_the_waits_of_a_child_are_seen_under_its_parent(redis_url: str) -> None:
    """Each attempt, with the child's name, on the parent's own channel; afterwards it is seen that the wait is over."""
    async with Fleet(redis_url, agent=Team) as fleet:
        fleet.script(*["429:retry-after=0.4"] * 3)
        await fleet.start("p", "one")
        await _until_said(fleet, "p")
        child = await _child(fleet, "p", "one")
        told = [notice.data for notice in fleet.of("p", ChildState)]
        assert {(data.child, data.name) for data in told} == {(child, "one")}
        waiting = [data for data in told if data.wait and not data.wait.asked_at]
        waits = [data.wait for data in waiting if data.wait]
        assert [(wait.attempt, wait.max_attempts, wait.reason) for wait in waits] == [
            (1, 6, Reason.RATE_LIMIT),
            (2, 6, Reason.RATE_LIMIT),
            (3, 6, Reason.RATE_LIMIT),
        ]
        assert [data.state for data in waiting] == [State.RATE_LIMITED] * 3
        assert told[-1].state is State.AWAITING_INPUT
        assert told[-1].wait is None
        assert [notice.data.attempt for notice in fleet.of(child, LlmRetry)] == [1, 2, 3]
        assert {(notice.data.parent, notice.data.name) for notice in fleet.of(child, SessionState)} == {("p", "one")}
        assert fleet.of("p", LlmRetry) == []


async def test_who_attaches_later_sees_the_wait_of_a_child(redis_url: str) -> None:
    """What is known of the children is kept beside the parent, and goes with its pictures; so is its next attempt."""
    async with Fleet(redis_url, agent=Team) as fleet:
        fleet.script("429:retry-after=50", "timeout")
        await fleet.start("p", "one")
        child = await _child(fleet, "p", "one")
        await fleet.until(child, State.RATE_LIMITED)
        (known,) = await fleet.bus.children("p")
        assert (known.state, known.worker and known.worker.name) == (State.RATE_LIMITED, "w1")
        assert known.wait is not None
        assert (known.wait.llm, known.wait.attempt) == ("agent", 1)
        async with fleet.bus.follow(child) as notices:
            picture = await anext(notices)
        assert carries(picture, SessionState)
        assert (picture.data.parent, picture.data.name) == ("p", "one")
        await fleet.resume(child)

        async def asked_again() -> bool:
            (known,) = await fleet.bus.children("p")
            row = SessionView.of_child(known, "p")
            return (row.state, row.tried) == (State.RUNNING, "attempt 2 of 6 under way")

        await eventually(asked_again, PATIENCE_S)


async def test_the_error_of_a_child_does_not_end_its_parent(redis_url: str) -> None:
    """It is told of it like of any result, goes on, and hears again when a person has put the child right."""
    async with Fleet(redis_url, agent=Team) as fleet:
        fleet.script("401")
        await fleet.start("p", "one two")
        told = await _until_said(fleet, "p")
        assert sorted(part.split(":")[0] for part in told.split("; ")) in (
            ["one awaiting_input", "two error"],
            ["one error", "two awaiting_input"],
        )
        (failed,) = [
            event.data for event in await fleet.history("p") if isinstance(event.data, ChildResult) and event.data.reason
        ]
        assert (failed.state, failed.reason) == (State.ERROR, Reason.AUTH)
        await fleet.resume(failed.child)

        async def all_is_well() -> bool:
            return State.ERROR not in {result.data.state for result in child_results(await fleet.history("p"))}

        await eventually(all_is_well, PATIENCE_S, "the child reports again")
        assert len(_results(await fleet.history("p"))) == 3


async def test_a_parent_that_is_stopped_stops_its_children(redis_url: str) -> None:
    """In the middle of a back-off, and a child of a child as well; nobody starts anything any more."""
    async with Fleet(redis_url, agent=Team, concurrency=4) as fleet:
        fleet.script("429:retry-after=50", "429:retry-after=50")
        await fleet.start("p", "one middle")
        one, middle = await _child(fleet, "p", "one"), await _child(fleet, "p", "middle")
        three = await _child(fleet, middle, "three")
        await fleet.until(one, State.RATE_LIMITED)
        await fleet.until(three, State.RATE_LIMITED)
        await fleet.stop("p")
        records = [await fleet.until(session, State.STOPPED) for session in ("p", one, middle, three)]
        assert [record.why for record in records] == [
            "stopped by ann",
            "stopped by session/p: its parent is stopped",
            "stopped by session/p: its parent is stopped",
            f"stopped by session/{middle}: its parent is stopped",
        ]
        await _until_nothing_is_due(fleet)
        assert {child.state for child in await fleet.bus.children("p")} == {State.STOPPED}
        assert _results(await fleet.history("p")) == []


async def test_a_parent_that_finishes_stops_its_children(redis_url: str) -> None:
    """However it came to its end: nobody is left who would read what they find."""

    class Hasty(Team):
        async def step(self, ctx: Context) -> Step:
            if len(ctx.history) == 1:
                return Step([ChildStart(name="one", text="do one")])
            return Step(next=Next.FINISH) if len(ctx.history) == 3 else Step()

    async with Fleet(redis_url, agent=Hasty, concurrency=2) as fleet:
        fleet.script("429:retry-after=50")
        await fleet.start("p")
        child = await _child(fleet, "p", "one")
        await fleet.until(child, State.RATE_LIMITED)
        await fleet.say("p", "enough")
        await fleet.until("p", State.FINISHED)
        stopped = await fleet.until(child, State.STOPPED)
        assert stopped.why == "stopped by session/p: its parent is finished"
        await _until_nothing_is_due(fleet)


async def test_a_parent_that_is_deleted_stops_its_children(redis_url: str) -> None:
    """Its tombstone keeps them in mind until all of them are over, and then forgets them."""
    async with Fleet(redis_url, agent=Team, concurrency=2) as fleet:
        fleet.script("429:retry-after=50")
        await fleet.start("p", "one")
        child = await _child(fleet, "p", "one")
        await fleet.until(child, State.RATE_LIMITED)
        await fleet.send(Message.of(SessionDelete(by="ann"), session="p"))
        stopped = await fleet.until(child, State.STOPPED)
        assert stopped.why == "stopped by session/p: its parent is deleted"

        async def forgotten() -> bool:
            return await fleet.bus.children("p") == ()

        await eventually(forgotten, PATIENCE_S, "its children are forgotten")
        await _until_nothing_is_due(fleet)
        await fleet.send(Message.of(SessionDelete(by="ann"), session=child))
        await _until_nothing_is_due(fleet)
        assert await fleet.bus.children("p") == ()


async def test_a_parent_hears_that_its_child_was_deleted(redis_url: str) -> None:
    """As of any other end; it does not wait for ever."""
    async with Fleet(redis_url, agent=Team) as fleet:
        fleet.script("429:retry-after=50")
        await fleet.start("p", "one")
        child = await _child(fleet, "p", "one")
        await fleet.until(child, State.RATE_LIMITED)
        await fleet.send(Message.of(SessionDelete(by="ann"), session=child))
        assert await _until_said(fleet, "p") == "one deleted: "
        assert [known.state for known in await fleet.bus.children("p")] == [State.DELETED]
        await _until_nothing_is_due(fleet)


async def test_nothing_is_started_under_a_parent_that_is_not_there(redis_url: str) -> None:
    """Whoever asks is told so; the id is free for another start."""
    async with Fleet(redis_url, workers=0) as fleet:
        orphan = Message.of(SessionStart(by="ann", parent="nobody", name="one"), session="c")
        with pytest.raises(CommandRefused, match="there is no session 'nobody'"):
            await fleet.send(orphan)
        await fleet.start("c")
        assert (await fleet.bus.status("c")).parent is None


async def _until_nothing_is_due(fleet: Fleet) -> None:
    async def quiet() -> bool:
        return (await fleet.bus.admin.queues()).due.length == 0

    await eventually(quiet, PATIENCE_S, "no controller is needed any more")


async def test_a_child_of_a_child_is_waited_for(redis_url: str) -> None:
    """A child that waits for its own child has not done yet what it was asked: it reports when it has."""
    async with Fleet(redis_url, agent=Team, concurrency=3) as fleet:
        fleet.script("429:retry-after=0.5")
        await fleet.start("p", "middle")
        told = await _until_said(fleet, "p")
        assert told == "middle awaiting_input: three awaiting_input: You said: do three"
        assert _results(await fleet.history("p")) == [("middle", State.AWAITING_INPUT)]


async def test_a_paused_parent_keeps_what_its_children_report(redis_url: str) -> None:
    """They go on; what they report is there when a person lets the parent go on."""
    async with Fleet(redis_url, agent=Team) as fleet:
        fleet.script("429:retry-after=50")
        await fleet.start("p", "one")
        child = await _child(fleet, "p", "one")
        await fleet.until(child, State.RATE_LIMITED)
        await fleet.pause("p")
        await fleet.resume(child)
        await fleet.until(child, State.AWAITING_INPUT)
        await eventually(lambda: _has_result(fleet, "p"), PATIENCE_S, "the parent is told")
        assert (await fleet.bus.status("p")).state is State.PAUSED
        await fleet.resume("p")
        assert await _until_said(fleet, "p") == "one awaiting_input: You said: do one"


async def _has_result(fleet: Fleet, session: str) -> bool:
    return bool(_results(await fleet.history(session)))


# who is lost in between


async def test_a_child_is_started_by_whoever_takes_over(redis_url: str) -> None:
    """A worker that is lost between writing ``child.start`` and asking for the child leaves that to the next."""
    async with Fleet(redis_url, workers=0, agent=Team, reap_at_once=True) as fleet:
        lost = await fleet.add_worker()
        asked = asyncio.Event()

        async def hang(*_: object, **__: object) -> None:
            asked.set()
            await asyncio.Event().wait()

        lost.bus.submit = hang
        await fleet.start("p", "one")
        async with asyncio.timeout(PATIENCE_S):
            await asked.wait()
        assert [event.type for event in await fleet.history("p")] == ["user.message", "child.start"]
        assert await fleet.bus.children("p") == ()

        async def refused(*_: object) -> None:
            raise LeaseLost("p")

        lost.bus.worker.release = refused
        await lost.end()
        await fleet.expire("p")
        await fleet.add_worker()
        assert await _until_said(fleet, "p") == "one awaiting_input: You said: do one"
        assert len(await fleet.bus.children("p")) == 1


@pytest.mark.parametrize("before", ["the report", "the note of it"])
async def test_a_report_is_made_once_whatever_becomes_of_the_controller(redis_url: str, before: str) -> None:
    """One that dies before it has reported, or before it has noted that it did, is followed by another."""
    async with Fleet(redis_url, controllers=0, agent=Team) as fleet:
        lost = await fleet.add_controller()
        reached = asyncio.Event()
        decide, submit = lost.bus.controller.decide, lost.bus.submit

        async def hang() -> None:
            reached.set()
            await asyncio.Event().wait()

        async def submitting(session: str, command: object, **more: object) -> object:
            if before == "the report":
                await hang()
            return await submit(session, command, **more)

        async def deciding(snapshot: object, decision: object) -> object:
            if "reported" in getattr(decision, "fields"):  # noqa: B009 - an object is all that the signature promises
                await hang()
            return await decide(snapshot, decision)

        lost.bus.submit, lost.bus.controller.decide = submitting, deciding
        await fleet.start("p", "one")
        async with asyncio.timeout(PATIENCE_S):
            await reached.wait()
        await lost.end()
        await fleet.add_controller()
        await _until_said(fleet, "p")
        await _until_nothing_is_due(fleet)
        assert _results(await fleet.history("p")) == [("one", State.AWAITING_INPUT)]


async def test_many_controllers_tell_a_parent_once(redis_url: str) -> None:
    """Whoever looks first reports; the others find it noted, or send the same command."""
    async with Fleet(redis_url, controllers=3, workers=2, agent=Team, concurrency=3) as fleet:
        for number in range(4):
            await fleet.start(f"p{number}", "one two three")
        for number in range(4):
            await _until_said(fleet, f"p{number}")
            assert sorted(_results(await fleet.history(f"p{number}"))) == [
                ("one", State.AWAITING_INPUT),
                ("three", State.AWAITING_INPUT),
                ("two", State.AWAITING_INPUT),
            ]


# starts that fail


async def test_a_child_that_cannot_be_started_is_told_of(redis_url: str) -> None:
    """Its session exists already, say: the parent gets a result like any other, and does not wait for ever."""

    class Clumsy(Team):
        async def step(self, ctx: Context) -> Step:
            if len(ctx.history) == 1:
                return Step([ChildStart(name="one", text="do it", child="taken")])
            return await super().step(ctx)

    async with Fleet(redis_url, agent=Clumsy) as fleet:
        await fleet.start("taken", None)
        await fleet.until("taken", State.AWAITING_INPUT)
        await fleet.start("p", "one")
        await _until_said(fleet, "p")
        (result,) = child_results(await fleet.history("p"))
        assert (result.data.state, result.data.child) == (State.ERROR, "taken")
        assert result.data.why == "it was not started: the session exists already and is awaiting_input"
        assert (await fleet.bus.status("taken")).parent is None


async def test_no_child_outlives_a_parent_that_is_stopped_meanwhile(redis_url: str) -> None:
    """Whether it was started a moment before or comes a moment too late: it is stopped, or there is none."""

    class Busy(Team):
        async def step(self, ctx: Context) -> Step:
            if len(ctx.history) < 20:
                return Step([ChildStart(name="one", text="do it")], Next.CONTINUE)
            return Step()

    async with Fleet(redis_url, controllers=2, workers=2, agent=Busy, concurrency=4) as fleet:
        parents = [f"p{number}" for number in range(5)]
        await asyncio.gather(*(fleet.start(parent) for parent in parents))
        for parent in parents:
            await _child(fleet, parent, "one")
            await fleet.stop(parent)

        async def all_over() -> list[Record] | None:
            found = [record async for record in fleet.bus.sessions()]
            assert {record.state for record in found} == {State.STOPPED}
            return found

        records = await eventually(all_over, PATIENCE_S, "parents and children are stopped")
        await _until_nothing_is_due(fleet)
        assert records is not None
        assert {record.session for record in records if record.parent is None} == set(parents)
        assert len(records) > len(parents)
        assert (await fleet.bus.admin.queues()).ready.length == 0


# what the model reads


async def test_no_notice_of_a_child_reaches_a_model(redis_url: str) -> None:
    """Neither its own model nor its parent's reads of attempts, waits and states."""
    async with Fleet(redis_url, agent=ChatParent) as fleet:
        fleet.script("429:retry-after=0.2", "503")
        await fleet.start("p", "please")
        await _until_said(fleet, "p")
        prompts = [request.messages for request in fleet.provider.requests]
        child = [{"role": "user", "content": "do one"}]
        parent = [
            {"role": "user", "content": "please"},
            {"role": "assistant", "content": "To one: do one"},
            {"role": "user", "content": "From one: You said: do one"},
        ]
        assert prompts == [child, child, child, parent]


class ChatParent(ChatAgent):
    """Asks a child first, and then its model."""

    children: ClassVar[Mapping[str, AgentFactory]] = {"one": ChatAgent}

    async def step(self, ctx: Context) -> Step:
        """Start the child, wait for it, answer."""
        if len(ctx.history) == 1:
            return Step([ChildStart(name="one", text="do one")])
        return Step() if open_children(ctx.history) else await super().step(ctx)
