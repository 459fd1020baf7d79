"""A limit that is longer than a worker waits for: the session waits by itself."""

from __future__ import annotations

import pytest

from tests.conftest import MakeServer
from tests.fleet import Fleet
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import LlmRateLimited, LlmRetry, Reason, State, WorkerClaimed
from tidings.workers.cli.exits import Exit
from tidings.workers.cli.wait import Waiting


async def test_a_long_limit_frees_the_worker(redis_url: str) -> None:
    """The session is parked with its time after one request, and the one slot there is works on another session."""
    async with Fleet(redis_url, max_inline_wait_s=5) as fleet:
        fleet.script("429:retry-after=3600")
        await fleet.start("s")
        record = await fleet.until("s", State.RATE_LIMITED)
        assert (record.parked, record.reason, record.held) == (True, Reason.RATE_LIMIT, False)
        assert record.resume_at is not None
        assert 3500 < (record.resume_at - fleet.bus.now()).total_seconds() < 3600 * 1.2
        assert record.wait is not None
        assert record.wait.attempt == 1
        await fleet.start("t")
        await fleet.until("t", State.AWAITING_INPUT)
        (parked,) = await fleet.until_told("s", LlmRateLimited)
        assert parked.data.resume_at == record.resume_at
        assert fleet.of("s", LlmRetry) == []
        assert len(fleet.provider.requests) == 2


async def test_a_parked_session_goes_on_when_its_time_has_come(redis_url: str) -> None:
    """Nobody has to do anything, and nothing is added to the history."""
    async with Fleet(redis_url, max_inline_wait_s=0.1) as fleet:
        fleet.script("429:retry-after=0.4")
        await fleet.start("s")
        record = await fleet.until("s", State.RATE_LIMITED)
        resume_at = record.resume_at
        await fleet.until("s", State.AWAITING_INPUT)
        assert resume_at is not None
        assert fleet.bus.now() >= resume_at
        assert await fleet.said("s") == ["user: hello", "agent: You said: hello"]
        assert len(fleet.provider.requests) == 2
        await fleet.until_told("s", WorkerClaimed, 2)


async def test_a_parked_session_survives_the_restart_of_all_controllers(redis_url: str) -> None:
    """Its deadline is not in anybody's memory."""
    async with Fleet(redis_url, controllers=2, max_inline_wait_s=0.1) as fleet:
        fleet.script("429:retry-after=0.6")
        await fleet.start("s")
        record = await fleet.until("s", State.RATE_LIMITED)
        for controller in fleet.controllers:
            await controller.end()
        resume_at = record.resume_at
        assert resume_at is not None
        await eventually(lambda: fleet.bus.now() > resume_at, PATIENCE_S)
        assert (await fleet.bus.status("s")).parked
        await fleet.add_controller()
        await fleet.until("s", State.AWAITING_INPUT)
        assert len(fleet.provider.requests) == 2


async def test_a_parked_session_survives_the_restart_of_redis(make_server: MakeServer) -> None:
    """Of one with an append-only file: controllers and workers find it again and go on."""
    server = make_server(appendonly=True)
    async with Fleet(server.url, max_inline_wait_s=0.1) as fleet:
        fleet.script("429:retry-after=1")
        await fleet.start("s")
        before = await fleet.until("s", State.RATE_LIMITED)
        server.kill()
        server.start()
        after = await fleet.until("s", State.RATE_LIMITED, State.QUEUED, State.RUNNING, State.AWAITING_INPUT)
        if after.state is State.RATE_LIMITED:
            assert (after.resume_at, after.wait) == (before.resume_at, before.wait)
        await fleet.until("s", State.AWAITING_INPUT)
        assert fleet.bus.now() >= (before.resume_at or fleet.bus.now())
        assert await fleet.said("s") == ["user: hello", "agent: You said: hello"]
        assert len(fleet.provider.requests) == 2


async def test_an_exhausted_quota_is_asked_once(redis_url: str) -> None:
    """It is parked without a time, says what a person must do, and goes on when one has done it."""
    async with Fleet(redis_url) as fleet:
        fleet.script("quota")
        await fleet.start("s")
        record = await fleet.until("s", State.RATE_LIMITED)
        assert (record.parked, record.resume_at, record.reason) == (True, None, Reason.QUOTA_EXHAUSTED)
        (parked,) = await fleet.until_told("s", LlmRateLimited)
        assert (parked.data.resume_at, bool(parked.data.action)) == (None, True)
        verdict = await Waiting(fleet.bus, "s", frozenset({State.AWAITING_INPUT})).run(PATIENCE_S)
        assert verdict.code is Exit.REFUSED
        assert (len(fleet.provider.requests), fleet.of("s", LlmRetry)) == (1, [])
        await fleet.resume("s")
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: hello", "agent: You said: hello"]


async def test_a_limit_that_outlasts_every_park_needs_a_person(redis_url: str) -> None:
    """Parks without a hint follow a schedule; when that is used up there is no time any more. One success begins anew."""
    async with Fleet(redis_url, attempts=1, park_base_s=0.05, park_cap_s=0.1, park_for_s=0.1) as fleet:
        fleet.script("429x*")
        await fleet.start("s")
        parks = await fleet.until_told("s", LlmRateLimited, 3)
        assert [notice.data.parks for notice in parks] == [1, 2, 3]
        assert [notice.data.resume_at is None for notice in parks] == [False, False, True]
        assert "outlasted 2 waits" in parks[-1].data.action
        assert len(fleet.provider.requests) == 3
        fleet.provider.clear_script()
        await fleet.resume("s")
        record = await fleet.until("s", State.AWAITING_INPUT)
        assert record.parks == 0


@pytest.mark.parametrize("hint", ["", ":retry-after=2"])
async def test_what_is_said_to_a_parked_session_waits_with_it(redis_url: str, hint: str) -> None:
    """The limit holds for whatever is asked; both words are answered when it is over."""
    async with Fleet(redis_url, attempts=1, park_base_s=2, park_cap_s=2) as fleet:
        fleet.script(f"429{hint}")
        await fleet.start("s", "one")
        await fleet.until("s", State.RATE_LIMITED)
        await fleet.say("s", "two")
        assert (await fleet.bus.status("s")).parked
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: one", "user: two", "agent: You said: two"]
        assert len(fleet.provider.requests) == 2
