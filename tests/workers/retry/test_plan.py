"""Whether to wait, to park or to give up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.bus.messages import Reason
from tidings.workers.retry import Failure, GiveUp, Park, Retry, RetryPlan, Verdict

PLAN = RetryPlan()
PASSING = [Reason.OVERLOADED, Reason.TIMEOUT, Reason.CONNECTION, Reason.SERVER_ERROR]
LASTING = [Reason.AUTH, Reason.BAD_REQUEST, Reason.CONTEXT_WINDOW, Reason.CONTENT_POLICY, Reason.UNKNOWN]


def failed(reason: Reason, retry_after_s: float | None = None) -> Failure:
    """Make a failure with nothing in it but what the plan looks at."""
    retryable = reason is Reason.RATE_LIMIT or reason in PASSING
    return Failure(reason, retryable, None, None, "", retry_after_s, "")


def always(value: float) -> Callable[[], float]:
    """Make a random number that is not."""
    return lambda: value


def decide(failure: Failure, attempt: int = 1, waited_s: float = 0.0, rng: float = 1.0, plan: RetryPlan = PLAN) -> Verdict:
    """Ask the plan, with as much jitter as there can be unless told otherwise."""
    return plan.decide(failure, attempt=attempt, waited_s=waited_s, rng=always(rng))


def test_defaults_are_those_of_the_architecture() -> None:
    """The numbers of one run, of holding, of parking, and of what counts as a quota."""
    assert dataclasses.astuple(PLAN) == (6, 1.0, 30.0, 300.0, 60.0, 60.0, 900.0, 86_400.0, 86_400.0)


@pytest.mark.parametrize(("attempt", "bound"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 16.0)])
def test_bound_of_the_jitter_doubles(attempt: int, bound: float) -> None:
    """The wait lies anywhere between nothing and the doubled base."""
    for share in (0.0, 0.5, 1.0):
        assert decide(failed(Reason.TIMEOUT), attempt, rng=share) == Retry(share * bound)


def test_bound_of_the_jitter_is_capped() -> None:
    """However many attempts there are, the back-off stays at its cap."""
    plan = RetryPlan(attempts=100_000, budget_s=1e9)
    assert decide(failed(Reason.TIMEOUT), 6, plan=plan) == Retry(30.0)
    assert decide(failed(Reason.TIMEOUT), 99_999, plan=plan) == Retry(30.0)


def test_retry_after_is_a_floor_that_jitter_adds_to() -> None:
    """What the provider asks for is kept, and those that were refused together come back apart."""
    assert decide(failed(Reason.RATE_LIMIT, 7.0), 3, rng=0.0) == Retry(7.0)
    assert decide(failed(Reason.RATE_LIMIT, 7.0), 3, rng=0.5) == Retry(9.0)


def test_wait_beyond_the_hold_limit_parks_for_that_long() -> None:
    """A worker's slot is not held for a long wait."""
    assert decide(failed(Reason.RATE_LIMIT, 60.0), rng=0.0) == Retry(60.0)
    assert decide(failed(Reason.RATE_LIMIT, 120.0), rng=0.5) == Park(Reason.RATE_LIMIT, 120.5)
    assert decide(failed(Reason.OVERLOADED, 120.0), rng=0.5) == Park(Reason.OVERLOADED, 120.5)


def test_a_jitter_beyond_the_hold_limit_is_no_hint() -> None:
    """A wait that the provider did not name goes by the schedule of parks, whatever the back-off grows to."""
    plan = RetryPlan(base_s=90.0, cap_s=90.0)
    assert decide(failed(Reason.RATE_LIMIT), plan=plan) == Park(Reason.RATE_LIMIT, None)


@pytest.mark.parametrize("reason", [Reason.RATE_LIMIT, *PASSING])
def test_what_outlasts_the_attempts_parks(reason: Reason) -> None:
    """With the provider's hint if there is one, else by the schedule of parks: neither a limit nor an outage ends a session."""
    assert isinstance(decide(failed(reason), 5), Retry)
    assert decide(failed(reason), 6) == Park(reason, None)
    assert decide(failed(reason, 7.0), 6, rng=0.0) == Park(reason, 7.0)
    assert decide(failed(reason, 0.0), 6, rng=0.0) == Park(reason, None)


@pytest.mark.parametrize("reason", [Reason.RATE_LIMIT, *PASSING])
def test_what_outlasts_the_budget_parks(reason: Reason) -> None:
    """A floor that does not fit into what is left of the budget parks, as does a budget used up."""
    assert decide(failed(reason), 2, waited_s=300.0) == Park(reason, None)
    assert decide(failed(reason, 20.0), 2, waited_s=290.0, rng=0.0) == Park(reason, 20.0)


def test_jitter_is_cut_to_what_is_left_of_the_budget() -> None:
    """The budget is used to its end, but not beyond."""
    assert decide(failed(Reason.TIMEOUT), 5, waited_s=290.0) == Retry(10.0)


@pytest.mark.parametrize("reason", LASTING)
def test_what_will_not_pass_is_asked_once(reason: Reason) -> None:
    """A failure that waiting cannot cure is told at once."""
    assert decide(failed(reason)) == GiveUp()


def test_exhausted_quota_is_asked_once() -> None:
    """It parks until it is back if that is known, else without a time: then a person must act."""
    assert decide(failed(Reason.QUOTA_EXHAUSTED)) == Park(Reason.QUOTA_EXHAUSTED, None)
    assert decide(failed(Reason.QUOTA_EXHAUSTED, 529_498.0), rng=0.5) == Park(Reason.QUOTA_EXHAUSTED, 529_498.5)
    assert decide(failed(Reason.QUOTA_EXHAUSTED, 1.0), rng=0.5) == Park(Reason.QUOTA_EXHAUSTED, 60.5)


def test_retry_after_over_a_day_is_an_exhausted_quota() -> None:
    """A limit that asks for more than a day is none by the minute; its end is known all the same, and waited for."""
    assert decide(failed(Reason.RATE_LIMIT, 86_400.0), rng=0.0) == Park(Reason.RATE_LIMIT, 86_400.0)
    assert decide(failed(Reason.RATE_LIMIT, 86_401.0), rng=0.0) == Park(Reason.QUOTA_EXHAUSTED, 86_401.0)


def test_single_attempt_never_waits() -> None:
    """With one attempt a run is one request."""
    assert decide(failed(Reason.TIMEOUT), plan=RetryPlan(attempts=1)) == Park(Reason.TIMEOUT, None)


@pytest.mark.parametrize(("attempt", "waited_s"), [(0, 0.0), (-1, 0.0), (1, -0.1), (1, float("nan"))])
def test_progress_must_make_sense(attempt: int, waited_s: float) -> None:
    """Attempts count from 1 and waiting from 0; anything else is a defect of the caller."""
    with pytest.raises(ValueError, match=r"attempt is|waited_s is"):
        decide(failed(Reason.TIMEOUT), attempt, waited_s)


def test_parks_without_a_hint_double_up_to_a_cap_and_end() -> None:
    """60 s, doubling to 900 s, for a day."""
    parked_s, delays = 0.0, []
    while (delay := PLAN.park_delay_s(parked_s)) is not None:
        delays.append(delay)
        parked_s += delay
    assert delays[:6] == [60.0, 120.0, 240.0, 480.0, 900.0, 900.0]
    assert set(delays[4:]) == {900.0}
    assert 86_400.0 <= parked_s < 86_400.0 + 900.0


@pytest.mark.parametrize("parked_s", [-1.0, float("nan")])
def test_parks_count_up_from_nothing(parked_s: float) -> None:
    """Anything else is a defect of the caller."""
    with pytest.raises(ValueError, match="counts up from 0"):
        PLAN.park_delay_s(parked_s)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"attempts": 0}, "attempts is 0: give at least 1"),
        ({"attempts": 2.5}, "attempts is 2.5: give a whole number"),
        ({"attempts": True}, "attempts is True: give a whole number"),
        ({"park_for_s": -1}, "park_for_s is -1: give a finite number"),
        ({"base_s": -1.0}, "base_s is -1.0: give a finite number"),
        ({"cap_s": float("inf")}, "cap_s is inf: give a finite number"),
        ({"budget_s": float("nan")}, "budget_s is nan: give a finite number"),
        ({"max_inline_wait_s": "60"}, "max_inline_wait_s is '60': give a number"),
        ({"park_base_s": 0.0}, "park_base_s is 0: give more"),
        ({"base_s": 31.0}, r"base_s \(31.0\) is larger than cap_s \(30.0\)"),
        ({"park_base_s": 901.0}, r"park_base_s \(901.0\) is larger than park_cap_s"),
        ({"max_inline_wait_s": 1e6}, r"max_inline_wait_s \(1000000.0\) is larger than quota_after_s"),
    ],
)
def test_senseless_plan_is_refused(settings: dict[str, Any], text: str) -> None:
    """A plan that cannot work says which value is wrong and what to give."""
    with pytest.raises(ValueError, match=text):
        RetryPlan(**settings)


SECONDS = st.floats(0, 1e6)


@st.composite
def plans(draw: st.DrawFn) -> RetryPlan:
    """Draw any plan that is accepted."""
    base_s, cap_s = sorted((draw(SECONDS), draw(SECONDS)))
    max_inline_wait_s, quota_after_s = sorted((draw(SECONDS), draw(SECONDS)))
    return RetryPlan(
        attempts=draw(st.integers(1, 50)),
        base_s=base_s,
        cap_s=cap_s,
        budget_s=draw(SECONDS),
        max_inline_wait_s=max_inline_wait_s,
        quota_after_s=quota_after_s,
    )


FAILURES = st.builds(failed, st.sampled_from(list(Reason)), st.none() | st.floats(0, 1e8))


@given(plan=plans(), failures=st.lists(FAILURES, min_size=51, max_size=51), rng=st.floats(0, 1))
def test_any_run_keeps_the_plan(plan: RetryPlan, failures: list[Failure], rng: float) -> None:
    """No run makes more requests or waits longer than allowed, or comes back before its time."""
    waited_s = 0.0
    for attempt, failure in enumerate(failures, start=1):
        verdict = plan.decide(failure, attempt=attempt, waited_s=waited_s, rng=always(rng))
        floor = failure.retry_after_s or 0.0
        if not isinstance(verdict, Retry):
            break
        assert attempt < plan.attempts
        assert failure.retryable
        assert verdict.wait_s >= floor
        assert verdict.wait_s <= plan.max_inline_wait_s
        waited_s += verdict.wait_s
        assert waited_s <= plan.budget_s * (1 + 1e-9)
    assert attempt <= plan.attempts


@given(plan=plans(), failure=FAILURES, attempt=st.integers(1, 60), waited_s=SECONDS, rng=st.floats(0, 1))
def test_what_waiting_helps_ends_no_session(plan: RetryPlan, failure: Failure, attempt: int, waited_s: float, rng: float) -> None:
    """A limit and an outage never end in an error, all else does at once, and a park is not shorter than asked for."""
    verdict = plan.decide(failure, attempt=attempt, waited_s=waited_s, rng=always(rng))
    helps = failure.retryable or failure.reason is Reason.QUOTA_EXHAUSTED
    assert isinstance(verdict, GiveUp) is not helps
    if isinstance(verdict, Park) and verdict.wait_s is not None:
        assert verdict.wait_s >= (failure.retry_after_s or 0.0)
