"""Which fields say how long to wait."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tidings.workers.retry.fields import wait, words

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOON = 1_795_348_800


@pytest.mark.parametrize(
    ("name", "value", "seconds", "resets"),
    [
        ("retry_after", 90, 90.0, False),
        ("retryAfter", "90", 90.0, False),
        ("retryafter", 1.5, 1.5, False),
        ("retry_after_ms", 1500, 1.5, False),
        ("retryAfterMs", 1500, 1.5, False),
        ("retryDelay", "37s", 37.0, False),
        ("retryDelay", {"seconds": "37", "nanos": 5}, 37.0, False),
        ("next_retry_at", "2026-11-22T12:01:00Z", 60.0, False),
        ("retry_at", NOON + 60, 60.0, False),
        ("wait_seconds", 5, 5.0, False),
        ("wait", 5, 5.0, False),
        ("cooldown_minutes", 2, 120.0, False),
        ("estimated_time", 20.5, 20.5, False),
        ("resets_in_seconds", 13872, 13872.0, True),
        ("resets_at", NOON + 60, 60.0, True),
        ("resets_at", NOON, 5.0, True),
        ("resets_at", NOON - 59, 5.0, True),
        ("resetAt", (NOON + 60) * 1000, 60.0, True),
        ("reset_at_ms", (NOON + 60) * 1000, 60.0, True),
        ("reset", 90, 90.0, True),
        ("reset_time", "2026-11-22 12:01:00", 60.0, True),
        ("quotaResetTimeStamp", "2026-11-22T12:01:00Z", 60.0, True),
        ("quotaResetDelay", "9h22m20s", 33_740.0, True),
        ("available_in", "5 minutes", 300.0, True),
        ("time_to_reset", "PT1M", 60.0, True),
        ("secondsUntilReset", 12, 12.0, True),
        ("rate_limit_reset_requests", "1m30s", 90.0, True),
    ],
)
def test_a_name_that_speaks_of_waiting_is_read(name: str, value: object, seconds: float, resets: bool) -> None:
    """The unit is in the name, or in the value; a number that can only be one is an instant."""
    found = wait(words(name), value, now=NOW, zone=UTC)
    assert found is not None
    assert found.seconds == pytest.approx(seconds)
    assert found.resets is resets


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retry_count", 3),
        ("max_retries", 3),
        ("max_retry_delay", 600),
        ("retry", 3),
        ("retryable", True),
        ("should_retry_after", 5),
        ("retry_after", True),
        ("retry_after", None),
        ("retry_after", -5),
        ("retry_after", 0),
        ("retry_after", float("nan")),
        ("retry_after", float("inf")),
        ("retry_after", "soon"),
        ("retry_after", "9" * 400),
        ("retry_after", [5]),
        ("retryDelay", 37),
        ("reset_at", 90),
        ("resets_at", NOON - 61),
        ("reset_day", 15),
        ("reset_password_url", "5s"),
        ("window_seconds", 60),
        ("timeout_seconds", 60),
        ("created_at", NOON + 60),
        ("expires_at", NOON + 60),
        ("remaining", 5),
        ("available", 5),
        ("available_tokens", 5),
        ("limit", 90),
        ("seconds", 90),
        ("", 5),
        ("retry_after" * 20, 5),
    ],
)
def test_no_other_number_is_a_wait(name: str, value: object) -> None:
    """Neither other fields, nor what is negative, past, endless or of no unit that can be told."""
    assert wait(words(name), value, now=NOW, zone=UTC) is None


def test_a_name_is_its_words() -> None:
    """However they are joined."""
    assert words("retryAfterMs") == words("retry_after_ms") == words("Retry-After-MS") == ("retry", "after", "ms")
