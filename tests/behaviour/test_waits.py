"""Waits that outlive their worker: the instant, the attempts and the seconds are the session's, whichever worker goes on."""

from __future__ import annotations

from tests.fleet import Fleet, Running
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import LlmAttempt, LlmRecovered, LlmRetry, Reason, Record, SessionState, State, WorkerLost, carries

HINT_S = 3.0
"""What the provider asks for; long enough for six workers to come and go in it."""


async def _ended(worker: Running) -> None:
    """Have a worker drain, and wait until it has gone."""
    worker.part.drain()
    await worker.task


async def _lost(fleet: Fleet) -> None:
    """Have the newest worker lost, and start another."""
    fleet.workers[-1].cut_off()
    await fleet.expire("s")
    await fleet.until_told("s", WorkerLost)
    await fleet.workers[-1].end()
    await fleet.add_worker()


async def _waits(fleet: Fleet) -> Record:
    """Wait until the first attempt has failed, and return the record."""
    await fleet.until_told("s", LlmRetry)
    return await fleet.until("s", State.RATE_LIMITED)


async def test_six_rolling_restarts_within_a_wait_make_one_request(redis_url: str) -> None:
    """No worker asks before the told instant, none holds a slot for it, and until then it is "1 of 6"."""
    async with Fleet(redis_url, drain_timeout_s=0) as fleet:
        fleet.script(f"429:retry-after={HINT_S:g}")
        await fleet.start("s")
        told_at = (await _waits(fleet)).picture.waits["agent"].retry_at
        assert told_at is not None
        for turn in range(6):
            await _ended(fleet.workers[-1])
            record = await fleet.bus.status("s")
            assert (record.state, record.held, record.parked) == (State.RATE_LIMITED, False, True), turn
            assert record.wait is not None
            assert (record.wait.attempt, record.wait.max_attempts, record.wait.retry_at) == (1, 6, told_at)
            assert record.resume_at is not None
            assert abs((record.resume_at - told_at).total_seconds()) < 0.001
            await fleet.add_worker()
        assert len(fleet.provider.requests) == 1
        await fleet.until_requests(2)
        assert fleet.bus.now() >= told_at
        record = await fleet.until("s", State.AWAITING_INPUT)
        assert (record.parks, len(fleet.provider.requests)) == (0, 2)
        assert [notice.data.attempt for notice in fleet.of("s", LlmAttempt)] == [2]
        assert [notice.data.attempt for notice in fleet.of("s", LlmRecovered)] == [2]
        assert len(fleet.of("s", LlmRetry)) == 1


async def test_a_wait_outlives_a_lost_worker(redis_url: str) -> None:
    """The controllers take the session from it, and the wait goes on."""
    async with Fleet(redis_url, reap_at_once=True) as fleet:
        fleet.script("429:retry-after=2", "503:retry-after=0.01")
        await fleet.start("s")
        told_at = (await _waits(fleet)).picture.waits["agent"].retry_at
        await _lost(fleet)
        record = await fleet.bus.status("s")
        assert (record.parked, record.losses, record.reason) == (True, 1, Reason.RATE_LIMIT)
        assert "the wait goes on" in record.why
        assert fleet.of("s", SessionState)[-1].data.wait == record.wait
        await fleet.until("s", State.AWAITING_INPUT)
        assert told_at is not None
        assert fleet.of("s", LlmAttempt)[0].time >= told_at
        # Both counts go on: what failed with one worker is not asked six times more by the next.
        assert [notice.data.attempt for notice in fleet.of("s", LlmRetry)] == [1, 2]
        first, second = fleet.of("s", LlmRetry)
        assert second.data.waited_s >= first.data.waited_s >= 2
        assert [notice.data.attempt for notice in fleet.of("s", LlmAttempt)] == [2, 3]


async def test_an_attempt_cut_short_is_no_failure_of_the_provider(redis_url: str) -> None:
    """A worker that ends, or is lost, in the middle of attempt 2: the next one makes attempt 2."""
    async with Fleet(redis_url, reap_at_once=True, drain_timeout_s=0, llm_timeout_s=4 * PATIENCE_S) as fleet:
        fleet.script("429:retry-after=0.01", "timeout", "timeout")
        await fleet.start("s")
        await fleet.until_requests(2)
        await fleet.until_told("s", LlmAttempt)
        await _ended(fleet.workers[0])
        await fleet.add_worker()
        await fleet.until_requests(3)
        await fleet.until_told("s", LlmAttempt, 2)
        await _lost(fleet)
        await fleet.until("s", State.AWAITING_INPUT)
        assert [notice.data.attempt for notice in fleet.of("s", LlmRetry)] == [1]
        assert [notice.data.attempt for notice in fleet.of("s", LlmAttempt)] == [2, 2, 2]


async def test_the_session_runs_while_the_next_attempt_is_under_way(redis_url: str) -> None:
    """From the moment the request goes out, for who listens and for who comes then."""
    async with Fleet(redis_url) as fleet:
        fleet.script("429:retry-after=0.01", "timeout")
        await fleet.start("s")
        (attempt,) = await fleet.until_told("s", LlmAttempt)
        assert (attempt.data.attempt, attempt.data.max_attempts, attempt.data.reason) == (2, 6, Reason.RATE_LIMIT)

        async def runs() -> bool:
            record = await fleet.bus.status("s")
            return record.state is State.RUNNING and record.wait is not None and record.wait.asked_at is not None

        await eventually(runs, PATIENCE_S)
        async with fleet.bus.follow("s") as notices:
            drawn = await anext(notices)
        assert carries(drawn, SessionState)
        assert drawn.data.wait is not None
        assert (drawn.data.to, drawn.data.wait.attempt, drawn.data.reason) == (State.RUNNING, 1, None)
        assert fleet.states("s")[-2:] == [State.RATE_LIMITED, State.RUNNING]


async def test_a_call_with_one_failure_tells_three_notices(redis_url: str) -> None:
    """The failure, the attempt, the success: the controllers do not say the same in other words."""
    async with Fleet(redis_url) as fleet:
        fleet.script("429:retry-after=0.3")
        await fleet.start("s")
        await fleet.until("s", State.AWAITING_INPUT)
        await fleet.until_told("s", LlmRecovered)
        told = [notice.type for notice in fleet.told if notice.session == "s"]
        first, last = told.index("llm.retry"), told.index("llm.recovered")
        assert told[first : last + 1] == ["llm.retry", "llm.attempt", "llm.recovered"]
        assert told[last + 1 :] == ["worker.released", "session.state"]


async def test_a_resume_ends_a_wait_without_a_worker(redis_url: str) -> None:
    """A person may ask sooner than the provider said; the call is then a new one."""
    async with Fleet(redis_url, drain_timeout_s=0) as fleet:
        fleet.script("429:retry-after=50")
        await fleet.start("s")
        await _waits(fleet)
        await _ended(fleet.workers[0])
        await fleet.add_worker()
        await fleet.resume("s")
        await fleet.until("s", State.AWAITING_INPUT)
        assert len(fleet.provider.requests) == 2
        assert fleet.of("s", LlmAttempt) == []
