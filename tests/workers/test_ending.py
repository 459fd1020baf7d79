"""How a turn ends whose call was given up: the release, its notice, its wait and its place on the schedule."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tidings.bus import Ending, LlmFailed, LlmParked, LlmRateLimited, Reason, Trigger, WorkerRef, carries
from tidings.workers import errors
from tidings.workers.errors import ending
from tidings.workers.retry import Failure, RetryPlan

NOW = datetime(2026, 12, 1, 12, 0, 0, 123456, tzinfo=UTC)
PLAN = RetryPlan(max_inline_wait_s=10, park_base_s=60, park_cap_s=900, park_for_s=400)
LEASE: Any = SimpleNamespace(session="s", worker=WorkerRef(name="w1"), parks=0, parked_s=0.0)
LIMIT = Failure(Reason.RATE_LIMIT, True, 429, None, "slow down", None, "Wait.")
OUTAGE = Failure(Reason.OVERLOADED, True, 503, None, "no room", None, "Wait, or choose another model.")
REFUSED = Failure(Reason.AUTH, False, 401, None, "who are you?", None, "Give a valid key.")


def limited(**fields: Any) -> errors.LlmCallLimited:
    """What an Llm raises when a limit outlasts it."""
    given: dict[str, Any] = {"failure": LIMIT, "attempt": 2, "max_attempts": 6, "model": "openai/x"} | fields
    return errors.LlmCallLimited("slow down", **given)


def troubled(**fields: Any) -> errors.LlmCallParked:
    """What an Llm raises when an outage outlasts it."""
    given: dict[str, Any] = {"failure": OUTAGE, "attempt": 6, "max_attempts": 6, "model": "openai/x", "schedule": True} | fields
    return errors.LlmCallParked("no room", **given)


def refused(**fields: Any) -> errors.LlmCallFailed:
    """What an Llm raises where waiting does not help."""
    given: dict[str, Any] = {"failure": REFUSED, "attempt": 1, "max_attempts": 6, "model": "openai/x"} | fields
    return errors.LlmCallFailed("no", **given)


def end(error: errors.LlmError, parks: int = 0, parked_s: float = 0.0, *, achieved: bool = False) -> Ending:
    """End a turn of a session that has been parked so often and so long before."""
    lease: Any = SimpleNamespace(**{**vars(LEASE), "parks": parks, "parked_s": parked_s})
    return ending(error, lease, PLAN, 7, NOW, achieved=achieved)


@pytest.mark.parametrize(
    ("error", "parked_s", "least", "most", "counted"),
    [
        (limited(resume_in_s=50.0), 180.0, 50, 55, 180),
        (limited(resume_in_s=5.0), 180.0, 5, 5.5, 180),
        (limited(resume_in_s=36_000.0), 0.0, 36_000, 36_060, 0),
        (limited(schedule=True), 0.0, 60, 66, 60),
        (limited(schedule=True), 180.0, 240, 264, 420),
        (troubled(), 0.0, 60, 66, 60),
        (troubled(resume_in_s=120.0, schedule=False), 60.0, 120, 132, 60),
    ],
    ids=["hint", "short hint", "long hint", "first", "third", "outage", "outage with a hint"],
)
def test_a_park_has_its_time(error: errors.LlmCallParked, parked_s: float, least: float, most: float, counted: float) -> None:
    """The provider's at its word, without doubling; else the schedule's. A little later, so that not all come back together."""
    release = end(error, 2, parked_s)
    assert release.resume_at is not None
    assert NOW + timedelta(seconds=least) <= release.resume_at <= NOW + timedelta(seconds=most, milliseconds=1)
    assert release.resume_at.microsecond % 1000 == 0
    assert (release.read, release.parks, release.parked_s) == (7, 3, counted)


def test_a_limit_is_told_as_a_limit_and_an_outage_as_an_outage() -> None:
    """Both say what helps, in the notice and in what the record keeps."""
    limit, outage = end(limited(schedule=True)), end(troubled())
    assert (limit.trigger, limit.reason, outage.trigger, outage.reason) == (
        Trigger.PARK,
        Reason.RATE_LIMIT,
        Trigger.OUTAGE,
        Reason.OVERLOADED,
    )
    (told,), (other,) = limit.notices, outage.notices
    assert carries(told, LlmRateLimited)
    assert carries(other, LlmParked)
    for release, notice in ((limit, told), (outage, other)):
        wait = release.waits["agent"]
        assert (notice.data.resume_at, notice.data.parks) == (release.resume_at, 1)
        assert (wait.retry_at, wait.message, wait.action) == (None, notice.data.message, notice.data.action)
        assert wait.action.startswith("Wait")
        assert release.why == f"parked: openai/x: {notice.data.message}"


@pytest.mark.parametrize(
    ("schedule", "parked_s", "words"), [(False, 0.0, "Wait."), (True, 400.0, "has outlasted 3 waits")], ids=["quota", "limit"]
)
def test_a_park_without_a_time_says_what_to_do(schedule: bool, parked_s: float, words: str) -> None:
    """A quota that is used up, and a limit that outlasts the schedule, need a person."""
    release = end(limited(schedule=schedule), 3, parked_s)
    assert (release.trigger, release.resume_at) == (Trigger.PARK, None)
    assert words in release.waits["agent"].action
    assert words in release.why


def test_an_outage_that_outlasts_the_schedule_is_an_error() -> None:
    """It says for how long it has been so, and the schedule begins anew once a person resumes."""
    release = end(troubled(), 3, 400.0)
    assert (release.trigger, release.reason, release.parks, release.parked_s) == (Trigger.FAIL, Reason.OVERLOADED, 0, 0.0)
    assert "It has been so for 3 waits" in release.why
    assert isinstance(release.notices[0].data, LlmFailed)


@pytest.mark.parametrize(
    ("parks", "words"),
    [(0, "openai/x: no room. Look at the provider"), (1, "It has been so for 1 wait: look"), (2, "for 2 waits")],
)
def test_the_end_of_the_schedule_counts_the_waits_that_there_were(parks: int, words: str) -> None:
    """With a bound of 0 s there was none, and none is spoken of; the same of a limit."""
    assert words in end(troubled(), parks, 400.0).why
    limit = end(limited(schedule=True), parks, 400.0).waits["agent"].action
    assert limit.startswith(f"the limit has outlasted {parks} wait" if parks else "raise the limit or wait")


def test_a_park_lasts_until_no_other_call_waits() -> None:
    """Two calls at once: the told instant of the other one holds as well, and the notice says it."""
    later = NOW + timedelta(seconds=45)
    release = ending(limited(resume_in_s=5.0), LEASE, PLAN, 7, NOW, achieved=False, not_before=later)
    assert release.resume_at is not None
    assert release.resume_at >= later
    (notice,) = release.notices
    assert isinstance(notice.data, LlmRateLimited)
    assert notice.data.resume_at == release.resume_at
    longer = ending(limited(resume_in_s=50.0), LEASE, PLAN, 7, NOW, achieved=False, not_before=later).resume_at
    assert longer is not None
    assert longer > later
    assert ending(limited(), LEASE, PLAN, 7, NOW, achieved=False, not_before=later).resume_at is None


def test_an_outage_with_a_known_end_is_never_an_error() -> None:
    """The bound counts waits without an instant; a provider that names one is waited for."""
    assert end(troubled(resume_in_s=120.0, schedule=False), 300, 400.0).trigger is Trigger.OUTAGE


@pytest.mark.parametrize("error", [limited(schedule=True), troubled()])
def test_what_was_achieved_begins_a_new_row_of_parks(error: errors.LlmError) -> None:
    """A turn that brought something ends the row before it."""
    release = end(error, 3, 400.0, achieved=True)
    assert (release.parks, release.parked_s) == (1, 60.0)
    assert release.resume_at is not None


def test_a_name_that_is_longer_than_a_notice_holds_is_cut() -> None:
    """It fails nothing."""
    assert end(limited(model="m" * 300, schedule=True)).waits["agent"].model == "m" * 200


@pytest.mark.parametrize("message", ["Incorrect API key provided.", "Incorrect API key provided"])
def test_what_the_provider_said_and_what_to_do_are_two_sentences(message: str) -> None:
    """Whether the provider ends its own with a full stop or not."""
    assert end(refused(failure=replace(REFUSED, message=message))).why == (
        "openai/x: Incorrect API key provided. Give a valid key."
    )


def test_a_call_that_failed_is_told() -> None:
    """With what a person can do, by notice and in what the record keeps."""
    release = end(refused(llm="condenser"), 2, 120.0)
    assert (release.trigger, release.read, release.reason, release.parks) == (Trigger.FAIL, 7, Reason.AUTH, 0)
    (notice,) = release.notices
    assert isinstance(notice.data, LlmFailed)
    assert (notice.data.llm, notice.data.status_code, notice.data.action) == ("condenser", 401, "Give a valid key.")
    assert (release.waits["condenser"].attempt, release.waits["condenser"].action) == (1, "Give a valid key.")
