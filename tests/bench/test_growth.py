"""Whether a process grows: the line through its readings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.growth import BOUND_BLOCKS, BOUND_BYTES, Growth, Reading, Sample, growth, slope


def sample(sessions: int, memory: int, blocks: int = 0) -> Sample:
    """Make a sample of one process."""
    return Sample(sessions, {"worker": Reading(memory=memory, blocks=blocks, tasks=1, threads=1, fds=1)})


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.lists(st.integers(0, 10_000), min_size=2, max_size=30, unique=True))
def test_the_slope_of_a_line_is_found(start: float, rise: float, at: list[int]) -> None:
    """Wherever it begins and however it is sampled."""
    assert slope([float(x) for x in at], [start + rise * x for x in at]) == pytest.approx(rise, abs=1e-6 + abs(start) * 1e-6)


def test_a_line_needs_two_places() -> None:
    """One reading says nothing about growth, and a verdict on it would be a guess."""
    with pytest.raises(ValueError, match="two places"):
        slope([1.0, 1.0], [1.0, 2.0])


def test_what_happens_while_it_warms_up_is_no_growth() -> None:
    """Caches that fill in the first sessions are not counted, what comes with each later session is."""
    samples = [sample(0, 0), sample(100, 50_000_000, 9000), sample(200, 50_000_100, 9300), sample(300, 50_000_200, 9600)]
    assert growth(samples, "worker", warm_up=100) == Growth(bytes_each=1.0, blocks_each=3.0)


@pytest.mark.parametrize(
    ("found", "bounded"),
    [
        (Growth(0, 0), True),
        (Growth(-5000, -100), True),
        (Growth(BOUND_BYTES, BOUND_BLOCKS), True),
        (Growth(BOUND_BYTES + 1, 0), False),
        (Growth(0, BOUND_BLOCKS + 0.1), False),
    ],
)
def test_both_bounds_hold(found: Growth, bounded: bool) -> None:
    """Memory that Python does not account for is seen by the one, a few small objects by the other."""
    assert found.bounded is bounded
    assert found.as_json()["bounded"] is bounded
