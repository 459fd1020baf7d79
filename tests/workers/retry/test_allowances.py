"""Which allowance refuses, and when it is full again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.workers.retry.allowances import has_some_left, is_nothing_allowed, reset_s

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOON = 1_795_348_800


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"ratelimit-remaining": "0", "ratelimit-reset": "90"}, 90.0),
        ({"ratelimit": '"default";r=0;t=90'}, 90.0),
        ({"ratelimit": '"minute";r=0;t=20, "day";r=500;t=40000'}, 20.0),
        ({"ratelimit": "limit=100, remaining=0, reset=90"}, 90.0),
        ({"x-ratelimit-reset-after": "90"}, 90.0),
        ({"x-ratelimit-timeremaining": "4732"}, 4732.0),
        ({"x-rate-limit-remaining": "0", "x-rate-limit-reset": str(NOON + 90)}, 90.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m2.5s"}, 62.5),
        ({"x-ratelimit-reset-requests-ms": "1500", "x-ratelimit-remaining-requests": "0"}, 1.5),
        ({"ratelimitbysize-remaining": "0", "ratelimitbysize-reset": "25"}, 25.0),
        (
            {
                "anthropic-ratelimit-unified-5h-status": "rejected",
                "anthropic-ratelimit-unified-5h-reset": str(NOON + 7200),
                "anthropic-ratelimit-unified-7d-status": "rejected",
                "anthropic-ratelimit-unified-7d-reset": str(NOON + 300_000),
            },
            300_000.0,
        ),
        (
            {
                "anthropic-ratelimit-unified-5h-utilization": "1.08",
                "anthropic-ratelimit-unified-5h-reset": str(NOON + 7200),
                "anthropic-ratelimit-unified-7d-utilization": "0.4",
                "anthropic-ratelimit-unified-7d-reset": str(NOON + 300_000),
            },
            7200.0,
        ),
    ],
)
def test_each_family_is_read(headers: dict[str, str], seconds: float) -> None:
    """What refuses is the allowance of which nothing is left, and of several the one that takes longest."""
    assert reset_s(headers, NOW, spent_only=False) == seconds
    if "x-ratelimit-reset-after" not in headers and "x-ratelimit-timeremaining" not in headers:
        assert reset_s(headers, NOW, spent_only=True) == seconds


def test_a_day_that_has_something_left_refuses_nothing() -> None:
    """But of a minute a request can ask for more than what is left."""
    headers = {
        "x-ratelimit-remaining-requests-day": "14399",
        "x-ratelimit-reset-requests-day": "33011.382",
        "x-ratelimit-remaining-tokens-minute": "500",
        "x-ratelimit-reset-tokens-minute": "11.382",
    }
    assert reset_s(headers, NOW, spent_only=False) == 11.382
    assert reset_s(headers, NOW, spent_only=True) is None
    del headers["x-ratelimit-reset-tokens-minute"]
    assert reset_s(headers, NOW, spent_only=False) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ratelimit-limit": "0"},
        {"x-ratelimit-limit-requests": "0", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset": "60"},
    ],
)
def test_a_limit_of_zero_allows_nothing(headers: dict[str, str]) -> None:
    """No time changes that."""
    assert is_nothing_allowed(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "0"},
        {"x-ratelimit-limit": "0", "retry-after": "5"},
        {"x-ratelimit-limit": "0", "x-ratelimit-remaining": "7"},
        {"x-ratelimit-limit-tokens": "0", "x-ratelimit-limit-requests": "10", "x-ratelimit-remaining-requests": "0"},
        {"content-length": "0", "x-limit": "0"},
    ],
)
def test_a_zero_that_stands_for_no_limit_is_none(headers: dict[str, str]) -> None:
    """Where another allowance is used up, something is left, or a time to come back is named."""
    assert not is_nothing_allowed(headers)


def test_an_object_says_whether_something_is_left() -> None:
    """By the fields that providers write."""
    assert has_some_left({"remaining": 5})
    assert has_some_left({"used_percent": "80%"})
    assert not has_some_left({"remaining": 0, "used_percent": 100, "time_remaining": 5, "name": "x"})


NAMES = st.sampled_from(
    ["ratelimit", "x-ratelimit-reset", "ratelimit-remaining", "x-ratelimit-limit", "a-unified-5h-status", "x-codex-used-percent"]
)


@given(st.dictionaries(NAMES | st.text(max_size=30), st.text(alphabet='0123456789;=,rt":"smhxé.-', max_size=30)))
def test_any_headers_are_read(headers: dict[str, str]) -> None:
    """Nothing is raised, and a wait is never negative."""
    seconds = reset_s(headers, NOW, spent_only=False)
    assert seconds is None or seconds >= 0
    assert is_nothing_allowed(headers) in (True, False)
