"""Counts by minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tidings.workers.gateway.charts import STEPS, Charts

BEGAN = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)


def test_what_was_not_seen_is_not_told_as_nothing() -> None:
    """A gateway that began three minutes ago shows four minutes and eleven nulls."""
    charts = Charts(BEGAN)
    charts.retried(BEGAN + timedelta(seconds=10), refused=True)
    charts.retried(BEGAN + timedelta(seconds=70), refused=False)
    view = charts.view(BEGAN + timedelta(minutes=3))
    assert view["retries"] == [None] * 11 + [1, 1, 0, 0]
    assert view["refused"] == [None] * 11 + [1, 0, 0, 0]
    assert view["from"] == datetime(2026, 11, 23, 11, 49, tzinfo=UTC)
    assert view["step_s"] == 60


@given(st.lists(st.tuples(st.integers(0, 3600), st.booleans()), max_size=60))
def test_the_last_minutes_are_counted_and_old_ones_forgotten(told: list[tuple[int, bool]]) -> None:
    """Whatever the order in which notices come, within the time that is shown each counts once."""
    charts = Charts(BEGAN)
    now = BEGAN + timedelta(seconds=max((at for at, _ in told), default=0))
    for at, refused in told:
        charts.retried(BEGAN + timedelta(seconds=at), refused=refused)
    view = charts.view(now)
    first = view["from"]
    shown = [refused for at, refused in told if BEGAN + timedelta(seconds=at) >= first]
    assert sum(count or 0 for count in view["retries"]) == len(shown)
    assert sum(count or 0 for count in view["refused"]) == sum(shown)
    assert len(view["retries"]) == len(view["refused"]) == STEPS
