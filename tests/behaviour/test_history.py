"""The history: each thing once, nothing that is not of the conversation, and nothing that was said left unanswered."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.behaviour.agents import Failing, Gate, Lingering, ToolUser, TwoSteps
from tests.fleet import Fleet
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import (
    AgentError,
    AgentMessage,
    Ending,
    Lease,
    LeaseLost,
    Message,
    Notice,
    Reason,
    State,
    ToolResult,
    UserMessage,
    WorkerLost,
    WorkerRef,
    carries,
)


async def assert_clean(fleet: Fleet, *sessions: str) -> None:
    """No notice is in a history or in anything that the provider received."""
    histories = [event for session in sessions for event in await fleet.history(session)]
    marks = {notice.id for notice in fleet.told} | {notice.type for notice in fleet.told}
    texts = {event.data.text for event in histories if isinstance(event.data, UserMessage | AgentMessage)}
    assert fleet.told
    assert not any(isinstance(event.data, Notice) for event in histories)
    received = [message for request in fleet.provider.requests for message in request.messages]
    assert {message["content"] for message in received} <= texts
    for text in (json.dumps(received), "".join(event.model_dump_json() for event in histories)):
        assert [mark for mark in marks if mark in text] == []


async def test_no_notice_reaches_the_model(redis_url: str) -> None:
    """Not after retries, not after a park, not after a pause, and not when another worker replays the history."""
    async with Fleet(redis_url, workers=0, reap_at_once=True, max_inline_wait_s=0.1) as fleet:
        first = await fleet.add_worker()
        fleet.script("429:retry-after=0.02", "503", "429:retry-after=0.2", "500")
        await fleet.start("s", "one")
        await fleet.until("s", State.AWAITING_INPUT)
        await fleet.pause("s")
        await fleet.say("s", "two")
        fleet.script("timeout")
        await fleet.resume("s")
        await fleet.until_requests(6)
        first.cut_off()
        await fleet.expire("s")
        await fleet.add_worker()
        await fleet.until_told("s", WorkerLost)
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: one", "agent: You said: one", "user: two", "agent: You said: two"]
        await assert_clean(fleet, "s")


async def test_a_session_goes_on_elsewhere_and_nothing_is_there_twice(redis_url: str) -> None:
    """The answer of the worker that was cut off is refused, and that of the next is there once."""
    gate = Gate()
    async with Fleet(redis_url, workers=0, reap_at_once=True) as fleet:
        first = await fleet.add_worker(lambda: Lingering(gate))
        await fleet.start("s")
        await gate.reached()
        first.cut_off()
        await fleet.expire("s")
        await fleet.add_worker()
        await fleet.until("s", State.AWAITING_INPUT)
        gate.open()
        await eventually(lambda: first.part.sessions == 0, PATIENCE_S)
        history = await fleet.history("s")
        assert [event.offset for event in history] == [1, 2]
        assert len({event.id for event in history}) == 2
        assert [event.source for event in history] == ["controller/c1", "worker/w2"]
        (lost,) = await fleet.until_told("s", WorkerLost)
        assert lost.data.worker is not None
        assert (lost.data.worker.name, lost.data.losses) == ("w1", 1)
        assert len(fleet.provider.requests) == 2


async def test_an_answer_that_was_stored_is_not_given_again(redis_url: str) -> None:
    """A worker that is lost between its answer and its release leaves nothing to answer."""
    async with Fleet(redis_url, workers=0, reap_at_once=True) as fleet:
        first = await fleet.add_worker()

        async def never(*_: object) -> Any:
            raise LeaseLost("s")

        first.bus.worker.release = never
        await fleet.start("s")
        await eventually(lambda: _says(fleet, "s", ["user: hello", "agent: You said: hello"]), PATIENCE_S)
        await first.end()
        await fleet.expire("s")
        await fleet.add_worker()
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: hello", "agent: You said: hello"]
        assert len(fleet.provider.requests) == 1


async def _says(fleet: Fleet, session: str, wanted: list[str]) -> bool:
    return await fleet.said(session) == wanted


async def test_two_workers_never_both_append(redis_url: str) -> None:
    """Whoever comes late with the older token is refused, whatever it believes."""
    async with Fleet(redis_url, workers=0, reap_at_once=True) as fleet:
        await fleet.start("s")
        early = await fleet.bus.worker.claim(WorkerRef(name="early"), lease_s=0.5)
        assert early is not None
        await fleet.until_told("s", WorkerLost)
        late = await fleet.bus.worker.claim(WorkerRef(name="late"), lease_s=5)
        assert late is not None
        words = {name: Message.of(AgentMessage(text=name), session="s") for name in ("early", "late")}
        await late.append(words["late"], after=1)
        with pytest.raises(LeaseLost):
            await early.append(words["early"], after=1)
        assert await fleet.said("s") == ["user: hello", "agent: late"]


async def test_something_said_while_an_answer_is_made_is_answered(redis_url: str) -> None:
    """It stands before that answer in the log; in the prompt it comes after it."""
    gate = Gate()
    async with Fleet(redis_url, agent=lambda: Lingering(gate)) as fleet:
        await fleet.start("s", "one")
        await gate.reached()
        await fleet.say("s", "two")
        gate.open()
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: one", "user: two", "agent: You said: one", "agent: You said: two"]
        _, second = fleet.provider.requests
        assert [message["content"] for message in second.messages] == ["one", "You said: one", "two"]


async def test_something_said_while_a_run_is_closing_is_answered(redis_url: str) -> None:
    """Also in the moment between the last look at the history and the release."""
    async with Fleet(redis_url, workers=0) as fleet:
        worker = await fleet.add_worker()
        release, spoken = worker.bus.worker.release, asyncio.Event()

        async def late(claim: Lease, how: Ending) -> Any:
            if not spoken.is_set():
                spoken.set()
                await fleet.say("s", "two")
            return await release(claim, how)

        worker.bus.worker.release = late
        await fleet.start("s", "one")
        await fleet.until_requests(2)
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: one", "agent: You said: one", "user: two", "agent: You said: two"]


async def test_a_word_between_two_steps_is_no_conflict(redis_url: str) -> None:
    """The step under way is stored, and the next one knows of the word."""
    gate = Gate()
    async with Fleet(redis_url, agent=lambda: TwoSteps(gate)) as fleet:
        await fleet.start("s", "one")
        await gate.reached()
        await fleet.say("s", "two")
        gate.open()
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: one", "user: two", "agent: I think", "agent: You said: two"]
        (request,) = fleet.provider.requests
        assert [message["content"] for message in request.messages] == ["one", "I think", "two"]


async def test_an_agent_that_raises_is_an_error_of_its_own(redis_url: str) -> None:
    """It is in the history for people, not in a prompt; a person resumes the session at that step."""
    agent = Failing(KeyError("no such tool"))
    async with Fleet(redis_url, agent=lambda: agent) as fleet:
        await fleet.start("s")
        record = await fleet.until("s", State.ERROR)
        assert record.reason is Reason.UNKNOWN
        assert "KeyError: 'no such tool'" in record.why
        (error,) = [event for event in await fleet.history("s") if carries(event, AgentError)]
        assert error.data.kind == "KeyError"
        assert error.data.message.startswith("'no such tool' (tests/behaviour/agents.py:")
        agent.error = None
        await fleet.resume("s")
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: hello", "agent.error", "agent: You said: hello"]
        (request,) = fleet.provider.requests
        assert request.messages == [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize("idempotent", [False, True])
async def test_a_tool_of_a_lost_worker(redis_url: str, idempotent: bool) -> None:
    """It runs again if it is declared idempotent; if not, its result says that nobody knows how far it got."""
    gate = Gate()
    agent = ToolUser(gate, idempotent=idempotent)
    async with Fleet(redis_url, workers=0, agent=lambda: agent, reap_at_once=True) as fleet:
        first = await fleet.add_worker()
        await fleet.start("s")
        await gate.reached()
        assert await fleet.said("s") == ["user: hello", "tool.call"]
        first.cut_off()
        await fleet.expire("s")
        await fleet.add_worker()
        await fleet.until("s", State.AWAITING_INPUT)
        assert (await fleet.said("s"))[:3] == ["user: hello", "tool.call", "tool.result"]
        (result,) = [event for event in await fleet.history("s") if carries(event, ToolResult)]
        assert (result.data.interrupted, result.data.is_error) == (not idempotent, not idempotent)
        assert agent.runs == (2 if idempotent else 1)
        (request,) = fleet.provider.requests
        assert [message["role"] for message in request.messages] == ["user", "assistant", "tool"]
