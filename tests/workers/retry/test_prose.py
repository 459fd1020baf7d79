"""How long to wait, in words for people."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.workers.retry.answer import TEXT_LIMIT
from tidings.workers.retry.prose import waits, zone_of

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def named(text: str) -> tuple[float, bool] | None:
    """Return the first wait that a text names, and whether it says when a limit is reset."""
    found = next(waits(text, now=NOW, zone=zone_of(text)), None)
    return None if found is None else (found.seconds, found.resets)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please try again in 1.5s.", 1.5),
        ("Please try again in 20ms. Visit https://example.com", 0.02),
        ("please TRY AGAIN IN 1m30s", 90.0),
        ("Please retry after 2 seconds.", 2.0),
        ("Please retry in 37.482s.", 37.482),
        ("Please wait 1 minute before trying again", 60.0),
        ("Retry after 1 day", 86_400.0),
        ("You may retry again in about 5 minutes, or not", 300.0),
        ("Please try your request again in 20s.", 20.0),
        ("Please retry your request after 20 seconds.", 20.0),
        ("Sorry, please wait 71 minutes before trying again.", 4260.0),
        ("You may retry 30 seconds from now", 30.0),
        ("In 5 minutes you can try again", 300.0),
        ("Try again in 3 hours, 17 minutes, 52 seconds.", 11_872.0),
        ("try again in an hour", 3600.0),
        ("try again in 3 to 5 minutes", 300.0),
        ("wait 5-10 minutes", 600.0),
        ("try again at 2026-11-22T13:00:00Z", 3600.0),
        ("Please try after 2026-11-22T12:03:57.071Z.", 237.0),
        ("try again at Nov 22nd, 2026 3:05 PM.", 11_100.0),
        ("Try again at 10:30 PM (UTC)", 37_800.0),
        ("Retry-After: 30", 30.0),
        ("Error code: 429 - {'error': {'message': 'slow', 'retry_after': 12.5}}", 12.5),
        ('cut: {"error": {"retry_after_ms": 1500, "mess', 1.5),
        ("请在 30 秒后重试", 30.0),
        ("请等待30秒后再试", 30.0),
        ("请 5 分钟后重试", 300.0),
        ("30秒後に再試行してください", 30.0),
        ("30초 후 다시 시도하세요", 30.0),
        ("Versuchen Sie es in 30 Sekunden erneut.", 30.0),
        ("Réessayez dans 30 secondes", 30.0),
        ("Inténtelo de nuevo en 2 minutos", 120.0),
        ("повторите попытку через 30 секунд", 30.0),
    ],
)
def test_when_to_ask_again_is_read(text: str, seconds: float) -> None:
    """After the words or before them, in seconds or as an instant, in several languages."""
    found = named(text)
    assert found is not None
    assert found[0] == pytest.approx(seconds)
    assert not found[1]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("resets in 3h 12m", 11_520.0),
        ("Available again in 5 minutes.", 300.0),
        ("Your quota will reset after 12h34m16s.", 45_256.0),
        ("Quota will be replenished in 02:15:27.", 8127.0),
        ("Resets at 15:30 UTC. Top up", 12_600.0),
        ("Access resets at 10:57 PM GMT-3.", 50_220.0),
        ("Resets at midnight UTC", 43_200.0),
        ("You will regain access on 2026-12-01 at 00:00 UTC.", 734_400.0),
        ("Your limit will reset at 2026-11-23 00:35:41", 16_541.0),
        ("Your limit will reset at 2026-11-22 19:59:30", 5.0),
        ("Your limit will reset at 2026-11-22 13:00:00", 3600.0),
        ("您的限额将在 2026-11-23 00:35:41 重置。", 16_541.0),
        ("额度将于2026年11月23日 10:00重置", 50_400.0),
        ("约 2 小时后恢复", 7200.0),
        ("30 seconds until your limit resets", 30.0),
        ("usage limit reached|1795352400", 3600.0),
    ],
)
def test_when_a_limit_is_reset_is_read(text: str, seconds: float) -> None:
    """That counts for a used-up quota too."""
    found = named(text)
    assert found is not None
    assert found[0] == pytest.approx(seconds)
    assert found[1]


@pytest.mark.parametrize(
    "text",
    [
        "Please try again later",
        "try again tomorrow",
        "Please try again in a few seconds",
        "after 5s",
        "retry 5",
        "try again in -3s",
        "try again in 0 seconds",
        "try again at 2020-01-01T00:00:00Z",
        "try again at 10:30 PM",
        "wait a moment",
        "Wait 3 times",
        "retry up to 3 times",
        "Request timed out after 30 seconds. Please try again.",
        "after waiting 60s the request timed out",
        "the longest, max wait 60 seconds",
        "Do not retry within 5 minutes",
        "Your quota resets every 5 hours",
        "limit resets daily",
        "The quota was refreshed 5 minutes ago",
        "This preview is available until 2026-12-31",
        "available in 12 regions",
        "the token expires in 30 minutes",
        "retry_count=3, max_retries: 5",
        "次数已用完，请于明天再试",
        "",
    ],
)
def test_a_number_that_is_no_wait_is_none(text: str) -> None:
    """What has happened, what is a limit, what is past or without a number says nothing."""
    assert named(text) is None


PIECES = ["try again", "in", "at", "resets", "30", "s", "2026-12-01", "10:00", "UTC", "秒", "后", "重试", "|", "retry_after="]


@given(st.lists(st.sampled_from(PIECES)))
def test_any_words_are_read(words: list[str]) -> None:
    """Nothing is raised, and every wait is of the future."""
    for joined in (" ".join(words), "".join(words)):
        assert all(wait.seconds > 0 for wait in waits(joined, now=NOW, zone=UTC))


@pytest.mark.parametrize("piece", [*PIECES, "1", "1 ", "try again in ", "wait 1 ", "1s", "1h2m3s", "30秒后", "2026-12-01 ", "a_"])
def test_the_longest_text_is_looked_through_in_one_go(piece: str) -> None:
    """Patterns begin at a word or a digit, and what follows is bounded."""
    assert all(wait.seconds > 0 for wait in waits(piece * (TEXT_LIMIT // len(piece)), now=NOW, zone=UTC))
