"""The arithmetic of limits."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tidings.workers.provider.limits import TICK_S, Admission, Bucket, Limit, Meter, Window

START = 5000.0
limits = st.builds(
    Limit,
    requests_per_minute=st.integers(1, 50),
    tokens_per_minute=st.none() | st.integers(1, 500),
    kind=st.sampled_from(["bucket", "window"]),
    window_s=st.floats(0.5, 120),
    refused_count=st.booleans(),
)
calls = st.lists(st.tuples(st.floats(0, 30), st.integers(1, 60)), min_size=1, max_size=60)


def admit_all(limit: Limit, calls: list[tuple[float, int]]) -> list[tuple[float, int, Admission]]:
    """Put calls of (seconds since the one before, tokens) to a fresh meter."""
    meter, now, decided = Meter.fresh(limit, START), START, []
    for pause_s, tokens in calls:
        now += pause_s
        meter, decision = meter.admit(tokens, now)
        decided.append((now, tokens, decision))
    return decided


def burst(limit: Limit, count: int, *, tokens: int = 1) -> list[bool]:
    """Say which of so many calls at one instant are admitted."""
    return [decision.admitted for _, _, decision in admit_all(limit, [(0.0, tokens)] * count)]


@pytest.mark.parametrize("kind", ["bucket", "window"])
def test_a_minute_grants_what_it_says_and_no_more(kind: Literal["bucket", "window"]) -> None:
    """At one instant the limit's number of calls passes; the next one does not."""
    assert burst(Limit(requests_per_minute=3, kind=kind), 5) == [True, True, True, False, False]


def test_no_limit_refuses_nothing() -> None:
    """A limit without numbers admits every call and has nothing to tell."""
    decided = admit_all(Limit(), [(0.0, 10**9)] * 100)
    assert all(decision == Admission(True, 0.0, None, {}) for _, _, decision in decided)


def test_burst_is_the_capacity_of_the_bucket() -> None:
    """A burst smaller than the minute's worth limits what passes at once."""
    assert burst(Limit(requests_per_minute=60, burst=2), 3) == [True, True, False]


def test_a_bucket_refills_steadily() -> None:
    """After a full burst, one call passes for each share of the minute that goes by."""
    limit = Limit(requests_per_minute=6, window_s=3)
    decided = admit_all(limit, [(0.0, 1)] * 6 + [(0.4, 1), (0.1, 1), (0.0, 1), (0.5, 1)])
    assert [decision.admitted for _, _, decision in decided[6:]] == [False, True, False, True]


def test_a_window_begins_with_a_call_and_forgets_all_at_its_end() -> None:
    """Nothing passes until a minute after the first call; then the whole number passes again."""
    limit = Limit(requests_per_minute=2, kind="window", window_s=10)
    decided = admit_all(limit, [(7.0, 1), (5.0, 1), (4.9, 1), (0.1, 1), (0.0, 1), (0.0, 1)])
    assert [decision.admitted for _, _, decision in decided] == [True, True, False, True, True, False]


def test_tokens_are_limited_apart_from_requests() -> None:
    """A call needs both; the decision names what was short."""
    meter = Meter.fresh(Limit(requests_per_minute=100, tokens_per_minute=10), START)
    meter, first = meter.admit(8, START)
    meter, second = meter.admit(8, START)
    assert (first.admitted, second.admitted, second.short_of) == (True, False, "tokens")
    assert second.standings["requests"].remaining == 99
    assert second.standings["tokens"].remaining == 2


def test_the_longest_wait_is_told() -> None:
    """Where requests and tokens are both short, the wait is for the later of the two."""
    meter = Meter.fresh(Limit(requests_per_minute=1, tokens_per_minute=60), START)
    meter, _ = meter.admit(30, START)
    _, decision = meter.admit(60, START)
    assert decision.wait_s == pytest.approx(60)
    assert decision.short_of == "requests"


def test_a_call_larger_than_the_limit_is_told_no_time() -> None:
    """Waiting cannot help a call that asks for more tokens than a minute grants."""
    for kind in ("bucket", "window"):
        _, decision = Meter.fresh(Limit(tokens_per_minute=5, kind=kind), START).admit(6, START)
        assert (decision.admitted, decision.wait_s, decision.short_of) == (False, None, "tokens")


def test_refused_calls_that_count_keep_a_hammering_client_out() -> None:
    """One that asks twice a second of a bucket that gives one a second is never admitted again."""
    calls = [(0.0, 1)] * 60 + [(0.5, 1)] * 100
    counting = admit_all(Limit(requests_per_minute=60, refused_count=True), calls)
    ignoring = admit_all(Limit(requests_per_minute=60), calls)
    assert not any(decision.admitted for _, _, decision in counting[60:])
    assert sum(decision.admitted for _, _, decision in ignoring[60:]) == 50


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    """An earlier time than the last one neither refills nor drains."""
    bucket = Bucket(capacity=10, refill_per_s=1, level=5, as_of=100)
    assert bucket.available(50) == 5
    assert bucket.take(1, 50) == Bucket(capacity=10, refill_per_s=1, level=4, as_of=100)


def test_an_unused_allowance_is_all_there() -> None:
    """Fresh ones have nothing to reset, and taking more than is there empties them."""
    for allowance in (Bucket(4, 1, 4, START), Window(4, 10)):
        assert (allowance.available(START), allowance.reset_s(START), allowance.wait_s(4, START)) == (4, 0, 0)
        assert allowance.take(9, START).available(START) == 0
        assert math.isinf(allowance.wait_s(5, START))


@given(limit=limits, calls=calls)
def test_whoever_waits_as_told_is_admitted(limit: Limit, calls: list[tuple[float, int]]) -> None:
    """After the told wait, and not clearly before it, the same call passes if nobody else called."""
    meter, now = Meter.fresh(limit, START), START
    for pause_s, tokens in calls:
        now += pause_s
        meter, decision = meter.admit(tokens, now)
        if decision.admitted or decision.wait_s is None:
            continue
        assert meter.admit(tokens, now + decision.wait_s)[1].admitted
        if decision.wait_s > 1e-3:
            assert not meter.admit(tokens, now + decision.wait_s - 1e-3)[1].admitted


@given(limit=limits, calls=calls)
def test_no_span_of_time_gets_more_than_the_limit(limit: Limit, calls: list[tuple[float, int]]) -> None:
    """A bucket admits its capacity and its refill at most, a window a minute's worth for each it touches."""
    admitted = [(now, tokens) for now, tokens, decision in admit_all(limit, calls) if decision.admitted]
    for granted, costs in (
        (limit.requests_per_minute, [(now, 1) for now, _ in admitted]),
        (limit.tokens_per_minute, admitted),
    ):
        for index, (begin, _) in enumerate(costs):
            used = 0
            for now, cost in costs[index:]:
                used += cost
                minutes = (now - begin + TICK_S * len(costs)) / limit.window_s
                most = (granted or math.inf) * (1 + minutes if limit.kind == "bucket" else 2 + math.floor(minutes))
                assert used <= most + 1e-6


@given(limit=limits, calls=calls)
def test_standings_stay_within_the_limit(limit: Limit, calls: list[tuple[float, int]]) -> None:
    """What remains is never negative nor more than granted, and all of it is back within a minute."""
    for _, _, decision in admit_all(limit, calls):
        for standing in decision.standings.values():
            assert 0 <= standing.remaining <= standing.limit
            assert 0 <= standing.reset_s <= limit.window_s + TICK_S


@given(calls=calls, rate=st.integers(1, 20))
def test_refused_calls_change_nothing_unless_they_count(calls: list[tuple[float, int]], rate: int) -> None:
    """Without `refused_count` a refusal leaves the meter as it was; with it, never fuller."""
    for counting in (False, True):
        meter, now = Meter.fresh(Limit(requests_per_minute=rate, refused_count=counting), START), START
        for pause_s, tokens in calls:
            now += pause_s
            before, (meter, decision) = meter, meter.admit(tokens, now)
            if decision.admitted:
                continue
            left = [m.allowances["requests"].available(now) for m in (before, meter)]
            assert (meter is before) is not counting
            assert all(later <= earlier for earlier, later in pairwise(left))


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests_per_minute": 0},
        {"tokens_per_minute": -1},
        {"window_s": 0},
        {"window_s": math.inf},
        {"burst": 3},
        {"requests_per_minute": 3, "burst": 3, "kind": "window"},
        {"kind": "sliding"},
        {"rpm": 3},
    ],
)
def test_a_limit_without_sense_is_refused(wrong: dict[str, Any]) -> None:
    """Settings that would be ignored or could never admit a call are errors."""
    with pytest.raises(ValidationError):
        Limit.model_validate(wrong)
