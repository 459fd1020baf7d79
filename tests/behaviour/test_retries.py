"""A call that fails and is tried again: what the provider sees, and what people are told."""

from __future__ import annotations

import pytest

from tests.behaviour.agents import Condensing, Gate, Lingering, Witness
from tests.fleet import Fleet
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import LlmAttempt, LlmFailed, LlmParked, LlmRateLimited, LlmRecovered, LlmRetry, Message, Notice, Reason, State
from tidings.bus.publisher import NoticeQueue, Proof
from tidings.workers.cli.exits import Exit
from tidings.workers.cli.wait import Waiting
from tidings.workers.llm import LlmCallLimited, LlmCallParked
from tidings.workers.provider import Fault


async def test_one_refusal_then_success(redis_url: str) -> None:
    """One notice, two requests, and the answer is there."""
    async with Fleet(redis_url) as fleet:
        fleet.script("429")
        await fleet.start("s", "hello")
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: hello", "agent: You said: hello"]
        assert len(fleet.provider.requests) == 2
        (recovered,) = await fleet.until_told("s", LlmRecovered)
        assert recovered.data.attempt == 2
        assert len(fleet.of("s", LlmRetry)) == 1


async def test_a_huge_error_costs_no_lease(redis_url: str) -> None:
    """A megabyte of a provider's words is one failure like another: the worker that met it goes on, in the same claim."""
    async with Fleet(redis_url) as fleet:
        huge = Fault(
            kind="status", status=429, times=2, body="slow down, api_key=abcdef " * 40_000, headers={"Retry-After": "0.1"}
        )
        fleet.provider.script(huge)
        await fleet.start("s", "hello")
        record = await fleet.until("s", State.AWAITING_INPUT)
        told = [notice.data for notice in fleet.of("s", LlmRetry)]
        assert [(data.attempt, data.reason, data.retry_after_s) for data in told] == [
            (1, Reason.RATE_LIMIT, 0.1),
            (2, Reason.RATE_LIMIT, 0.1),
        ]
        assert record.token == 2  # raised by one claim and one release


async def test_each_retry_is_a_notice_of_its_own(redis_url: str) -> None:
    """With its attempt, its wait and its deadline, told before that wait is over."""
    async with Fleet(redis_url) as fleet:
        fleet.script("429:retry-after=0.02", "503:retry-after=0.04", "429:retry-after=0.06")
        await fleet.start("s")
        await fleet.until("s", State.AWAITING_INPUT)
        await fleet.until_told("s", LlmRecovered)
        told = [notice.data for notice in fleet.of("s", LlmRetry)]
        assert [(data.attempt, data.max_attempts) for data in told] == [(1, 6), (2, 6), (3, 6)]
        assert [data.reason for data in told] == [Reason.RATE_LIMIT, Reason.OVERLOADED, Reason.RATE_LIMIT]
        assert len({data.wait_s for data in told}) == len({data.retry_at for data in told}) == 3
        assert all(data.wait_s >= (data.retry_after_s or 0) > 0 for data in told)
        assert len({notice.id for notice in fleet.told}) == len(fleet.told)
        assert len(fleet.provider.requests) == 4


@pytest.mark.parametrize(("failure", "state"), [("429", State.RATE_LIMITED), ("500", State.RETRYING)])
async def test_the_state_says_so_while_it_waits_and_clears_by_itself(redis_url: str, failure: str, state: State) -> None:
    """Before the first sleep ends, and afterwards without anybody's help."""
    gate = Gate()
    async with Fleet(redis_url, agent=lambda: Lingering(gate)) as fleet:
        fleet.script(f"{failure}:retry-after=1")
        await fleet.start("s")
        record = await fleet.until("s", state)
        assert len(fleet.provider.requests) == 1
        assert record.wait is not None
        assert (record.wait.attempt, record.held) == (1, True)
        await gate.reached()
        record = await fleet.until("s", State.RUNNING)
        assert (record.picture.wait_at(fleet.bus.now()), record.reason) == (None, None)
        gate.open()
        await fleet.until("s", State.AWAITING_INPUT)
        assert fleet.states("s")[:4] == [State.QUEUED, State.RUNNING, state, State.RUNNING]


async def test_an_outage_parks_and_comes_back_by_itself(redis_url: str) -> None:
    """RetryNotice as what it is: retrying without a worker, with its reason and its time; then the session goes on."""
    agent = Witness()
    async with Fleet(redis_url, agent=lambda: agent, attempts=3, park_base_s=0.5) as fleet:
        fleet.script("503x3")
        await fleet.start("s")
        (parked,) = await fleet.until_told("s", LlmParked)
        (error,) = agent.errors
        assert type(error) is LlmCallParked
        assert (error.attempt, error.max_attempts, error.schedule) == (3, 3, True)
        assert getattr(error.__cause__, "status_code", None) == 503
        assert (parked.data.reason, parked.data.attempt, parked.data.parks) == (Reason.OVERLOADED, 3, 1)
        assert parked.data.resume_at is not None
        assert "choose another model" in parked.data.action
        assert [notice.data.attempt for notice in fleet.of("s", LlmRetry)] == [1, 2]
        assert [notice.data.attempt for notice in fleet.of("s", LlmAttempt)] == [2, 3]
        record = await fleet.until("s", State.AWAITING_INPUT)
        assert len(fleet.provider.requests) == 4
        assert (record.parks, record.parked_s) == (0, 0)
        assert await fleet.said("s") == ["user: hello", "agent: You said: hello"]


async def test_an_outage_that_outlasts_the_schedule_is_an_error(redis_url: str) -> None:
    """After so much parking without a time; waiting for the session ends, and a person's resume begins a new row."""
    async with Fleet(redis_url, attempts=1, park_base_s=0.05, park_cap_s=0.1, park_for_s=0.1) as fleet:
        fleet.script("503x*")
        await fleet.start("s")
        record = await fleet.until("s", State.ERROR)
        assert (record.reason, record.held, record.parks) == (Reason.OVERLOADED, False, 0)
        parks = await fleet.until_told("s", LlmParked, 2)
        assert [notice.data.parks for notice in parks] == [1, 2]
        (failed,) = await fleet.until_told("s", LlmFailed)
        assert (failed.data.attempt, failed.data.status_code) == (1, 503)
        assert "It has been so for 2 waits" in record.why
        verdict = await Waiting(fleet.bus, "s", frozenset({State.AWAITING_INPUT})).run(PATIENCE_S)
        assert verdict.code is Exit.REFUSED
        assert len(fleet.provider.requests) == 3
        await fleet.resume("s")
        await fleet.until_told("s", LlmParked, 3)
        assert await fleet.said("s") == ["user: hello"]


async def test_a_broken_connection_ends_no_session(redis_url: str) -> None:
    """A provider that cannot be reached is an outage, too."""
    async with Fleet(redis_url, attempts=1) as fleet:
        fleet.script("disconnectx*")
        await fleet.start("s")
        record = await fleet.until("s", State.RETRYING)
        (parked,) = await fleet.until_told("s", LlmParked)
        assert (record.parked, parked.data.reason) == (True, Reason.CONNECTION)


async def test_a_limit_that_outlasts_the_retries_parks(redis_url: str) -> None:
    """The same for a rate limit: it is known to end, so the session waits for that and no worker does."""
    agent = Witness()
    async with Fleet(redis_url, agent=lambda: agent, attempts=3) as fleet:
        fleet.script("429x*")
        await fleet.start("s")
        await fleet.until_told("s", LlmRateLimited)
        record = await fleet.until("s", State.RATE_LIMITED)
        assert (record.parked, record.parks) == (True, 1)
        assert record.resume_at is not None
        assert record.resume_at > fleet.bus.now()
        assert len(fleet.provider.requests) == 3
        (error,) = agent.errors
        assert isinstance(error, LlmCallLimited)
        assert getattr(error.__cause__, "status_code", None) == 429
        verdict = await Waiting(fleet.bus, "s", frozenset({State.RATE_LIMITED})).run(PATIENCE_S)
        assert verdict.code is Exit.DONE


async def test_what_cannot_succeed_is_asked_once(redis_url: str) -> None:
    """One request and no retry: a wrong key, a bad request, a model that is not there."""
    async with Fleet(redis_url) as fleet:
        for number, status in enumerate(("401", "400", "404"), 1):
            fleet.script(status)
            await fleet.start(f"s{number}")
            await fleet.until(f"s{number}", State.ERROR)
            assert len(fleet.provider.requests) == number
            await fleet.until_told(f"s{number}", LlmFailed)
            assert fleet.of(f"s{number}", LlmRetry) == []


async def test_a_lost_recovery_is_repaired_by_the_next_renewal(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to have seen one particular notice."""
    put, lost, gate = NoticeQueue.put, [], Gate()

    def lossy(queue: NoticeQueue, notice: Message[Notice], proof: Proof | None = None) -> None:
        if isinstance(notice.data, LlmRecovered):
            lost.append(notice)
        else:
            put(queue, notice, proof)

    monkeypatch.setattr(NoticeQueue, "put", lossy)
    async with Fleet(redis_url, agent=lambda: Lingering(gate)) as fleet:
        fleet.script("429:retry-after=0.5")
        await fleet.start("s")
        await fleet.until("s", State.RATE_LIMITED)
        await gate.reached()
        await fleet.until("s", State.RUNNING)
        assert len(lost) == 1
        gate.open()
        await fleet.until("s", State.AWAITING_INPUT)


async def test_a_failure_that_the_agent_does_without_leaves_the_picture(redis_url: str) -> None:
    """Its wait is over when the call has ended, however it ended."""
    gate = Gate()
    async with Fleet(redis_url, agent=lambda: Condensing(gate), attempts=2) as fleet:
        fleet.script("503x*:retry-after=0.5,contains=condense")
        await fleet.start("s")
        record = await fleet.until("s", State.RETRYING)
        assert set(record.picture.waits) == {"condenser"}
        await gate.reached()

        async def gone() -> bool:
            record = await fleet.bus.status("s")
            return (record.state, record.picture.waits) == (State.RUNNING, {})

        await eventually(gone, PATIENCE_S)
        gate.open()
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: hello", "agent: You said: hello"]
