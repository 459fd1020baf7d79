"""How many commands each token may send."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidings.workers.gateway.token_bucket import TokenBucket


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_minute_s_worth_at_once_then_one_by_one() -> None:
    """The answer says how long it takes until there is one."""
    clock = Clock()
    allowance = TokenBucket(6, clock)
    assert [allowance.take("a") for _ in range(6)] == [0.0] * 6
    assert allowance.take("a") == 10.0
    assert allowance.take("b") == 0.0
    clock.now = 4.0
    assert allowance.take("a") == 6.0
    clock.now = 10.0
    assert allowance.take("a") == 0.0
    assert allowance.take("a") == 10.0


@given(st.integers(1, 100), st.lists(st.floats(0, 30), max_size=80))
def test_no_more_than_the_rate_and_one_burst(rate: int, steps: list[float]) -> None:
    """Over any time, and coming back after the time that was named always works."""
    clock = Clock()
    allowance = TokenBucket(rate, clock)
    for taken, step in enumerate(steps, 1):
        clock.now += step
        wait_s = allowance.take("a")
        if wait_s:
            clock.now += wait_s + 1e-6
            assert allowance.take("a") == 0.0
        assert taken <= rate + clock.now * rate / 60 + 1e-3
