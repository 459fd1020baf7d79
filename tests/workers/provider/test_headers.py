"""How limits are told in headers."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.workers.provider.headers import RetryAfterStyle, duration, ratelimit_headers, retry_after_headers
from tidings.workers.provider.limits import TICK_S, Standing

WALL_S = 1_795_000_000.25


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("seconds", {"Retry-After": "2"}),
        ("float", {"Retry-After": "1.250"}),
        ("ms", {"retry-after-ms": "1250"}),
        ("date", {"Retry-After": "Wed, 18 Nov 2026 11:06:42 GMT"}),
        ("none", {}),
    ],
)
def test_a_wait_is_spelt_as_set(style: RetryAfterStyle, expected: dict[str, str]) -> None:
    """Each style has its header, rounded up to its precision."""
    assert retry_after_headers(style, 1.25, WALL_S) == expected


def test_nothing_is_told_where_waiting_does_not_help() -> None:
    """No wait, no header, in any style."""
    styles: tuple[RetryAfterStyle, ...] = ("seconds", "float", "date", "ms", "none")
    assert [retry_after_headers(style, None, WALL_S) for style in styles] == [{}] * 5


@given(wait_s=st.floats(0, 1e6))
def test_no_spelling_is_early(wait_s: float) -> None:
    """Obeying any style is not too early for the limits, nor late by more than the style's precision."""
    seconds = float(retry_after_headers("seconds", wait_s, WALL_S)["Retry-After"])
    precise = float(retry_after_headers("float", wait_s, WALL_S)["Retry-After"])
    milliseconds = int(retry_after_headers("ms", wait_s, WALL_S)["retry-after-ms"]) / 1000
    date = parsedate_to_datetime(retry_after_headers("date", wait_s, WALL_S)["Retry-After"])
    dated = date.timestamp() - WALL_S
    for told, precision in ((seconds, 1.0), (precise, 0.001), (milliseconds, 0.001), (dated, 1.0)):
        assert wait_s - TICK_S <= told <= wait_s + precision + TICK_S


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0004, "1ms"),
        (0.12, "120ms"),
        (0.1 + 0.2, "300ms"),
        (0.9999, "1s"),
        (6, "6s"),
        (59.9996, "1m0s"),
        (62.5, "1m2.5s"),
        (3600, "1h0m0s"),
        (7325.125, "2h2m5.125s"),
    ],
)
def test_durations_are_spelt_as_openai_does(seconds: float, text: str) -> None:
    """Go's notation, rounded up to milliseconds."""
    assert duration(seconds) == text


@given(seconds=st.floats(0, 1e6))
def test_durations_say_what_they_mean(seconds: float) -> None:
    """Read back, a duration is the one spelt, to the millisecond."""
    factors = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    parts = re.findall(r"([0-9.]+)(ms|h|m|s)", duration(seconds))
    assert "".join(number + unit for number, unit in parts) == duration(seconds)
    assert sum(float(number) * factors[unit] for number, unit in parts) == pytest.approx(seconds, abs=0.0011)


def test_limits_are_told_for_each_resource() -> None:
    """Three headers a resource, and none for what is not limited."""
    assert ratelimit_headers({}) == {}
    assert ratelimit_headers({"tokens": Standing(limit=500, remaining=20, reset_s=57.6)}) == {
        "x-ratelimit-limit-tokens": "500",
        "x-ratelimit-remaining-tokens": "20",
        "x-ratelimit-reset-tokens": "57.6s",
    }
