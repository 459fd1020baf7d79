"""The children of a session, started on behalf of its run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from tidings.bus import Bus, ChildResult, ChildStart, Event, Lease, Message, PayloadTooLarge, State, Unreachable, WorkerRef
from tidings.bus.messages import encode
from tidings.workers.child_starts import Children, check_children, patiently


def asked(child: str, text: str = "go") -> Message[ChildStart]:
    """A child that is written down."""
    return Message.of(ChildStart(name="helper", text=text or "x", child=child), id=f"e-{child}", session="p")


def reported(child: str) -> Message[ChildResult]:
    """What became of one."""
    return Message.of(ChildResult(child=child, name="helper", state=State.FINISHED), session="p")


@asynccontextmanager
async def held(**options: Any) -> AsyncIterator[tuple[Bus, Lease, Children]]:
    """A parent that a worker holds."""
    async with Bus.connect(f"memory://{uuid4().hex}", **options) as bus:
        claim = await bus.worker.claim(WorkerRef(name="w1"), session="p", create=True)
        assert claim is not None
        yield bus, claim, Children(bus, claim)


async def _asked_for(bus: Bus, session: str) -> list[str]:
    snapshot = await bus.controller.snapshot(session)
    return [command.id for command in snapshot.commands] if snapshot else []


async def test_each_child_is_asked_for_once() -> None:
    """However often: the command's id is that of the event."""
    async with held() as (bus, _, children):
        assert await children.start([asked("c1"), reported("c0"), asked("c2")]) is False
        assert await children.start([asked("c1")]) is False
        assert [await _asked_for(bus, child) for child in ("c0", "c1", "c2")] == [[], ["e-c1.start"], ["e-c2.start"]]


async def test_a_run_starts_what_another_has_only_written_down() -> None:
    """Not what has reported, and not what is a session already."""
    async with held() as (bus, _, children):
        known: Any = bus._context.connection.commands
        await known.hset(bus._context.names.children("p"), "c3", '{"child":"c3","name":"helper","state":"running"}')
        history: list[Message[Event]] = [asked("c1"), asked("c2"), asked("c3"), reported("c1")]
        assert await children.start_missing(history) is False
        assert [bool(await _asked_for(bus, child)) for child in ("c1", "c2", "c3")] == [False, True, False]
        assert await children.start_missing([]) is False


async def test_a_child_that_cannot_be_asked_for_is_told_as_a_result() -> None:
    """Its first message fits into the event and not into the command: nobody waits for ever."""
    async with held(payload_limit=1000) as (bus, claim, children):
        event = asked("c1", "x" * (bus.payload_limit - len(encode(asked("c1", ""))) - 10))
        (stored,) = await claim.append(event, after=0)
        assert await children.start([stored]) is True
        _, result = await bus.history("p")
        assert isinstance(result.data, ChildResult)
        assert (result.data.child, result.data.state, result.source) == ("c1", State.ERROR, "worker/w1")
        assert result.data.why.startswith("it was not started: session.start takes")


async def test_a_child_whose_session_was_deleted_is_told_as_a_result() -> None:
    """Its name is not used again, and nobody waits for it."""
    async with held() as (bus, _, children):
        redis: Any = bus._context.connection.commands
        await redis.hset(bus._context.names.record("c1"), mapping={"epoch": "e", "state": "deleted"})
        assert await children.start([asked("c1")]) is True
        (result,) = await bus.history("p")
        assert isinstance(result.data, ChildResult)
        assert "was deleted" in result.data.why


async def test_the_server_may_be_away_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked until it answers; other errors pass."""
    monkeypatch.setattr("tidings.workers.child_starts.AGAIN_S", 0.0)
    answers: list[Any] = [Unreachable("gone"), Unreachable("gone"), "here"]

    async def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    assert await patiently(ask) == "here"
    answers.append(PayloadTooLarge("session.start", 2, 1))
    with pytest.raises(PayloadTooLarge):
        await patiently(ask)


def test_each_child_has_a_session_of_its_own() -> None:
    """The second would wait for what the first has reported already."""
    check_children([asked("c1"), asked("c2"), reported("c1")])
    with pytest.raises(ValueError, match="'c1' was started before"):
        check_children([asked("c1"), reported("c1"), asked("c1")])
