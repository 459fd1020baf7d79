"""How times are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.workers.view import clock, day_and_clock, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0, "0s"),
        (0.1, "1s"),
        (8, "8s"),
        (59.5, "1m 00s"),
        (65, "1m 05s"),
        (3599, "59m 59s"),
        (7380, "2h 03m"),
        (86_400 * 3 + 3600 * 4, "3d 04h"),
    ],
)
def test_durations_are_short_words(seconds: float, text: str) -> None:
    """Rounded up: a countdown shows 0 only when the time has come."""
    assert duration(seconds) == text


@given(st.floats(-1e9, 1e9))
def test_durations_fit_their_column(seconds: float) -> None:
    """Up to a thousand days they take at most eight columns."""
    assert len(duration(seconds)) <= 8


def test_instants_have_a_date_only_where_it_is_another() -> None:
    """Today the time of day is enough."""
    now = datetime.now(UTC).astimezone().replace(hour=12)
    assert day_and_clock(now, now) == clock(now) == now.strftime("%H:%M:%S")
    assert day_and_clock(now + timedelta(days=1), now).startswith((now + timedelta(days=1)).strftime("%Y-%m-%d"))
