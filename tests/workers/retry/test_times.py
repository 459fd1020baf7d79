"""Durations and instants as providers write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.workers.retry.times import BEIJING, duration_at, duration_s, instant, spans

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("6s", 6.0),
        ("1m2.5s", 62.5),
        ("120ms", 0.12),
        ("1h0m0s", 3600.0),
        ("161h39m41.300432511s", 581_981.300432511),
        ("2 seconds", 2.0),
        ("1 minute", 60.0),
        ("1 hour and 30 minutes", 5400.0),
        ("3 hours, 17 minutes, 52 seconds", 11_872.0),
        ("2 days", 172_800.0),
        ("1 week", 604_800.0),
        ("500 milliseconds", 0.5),
        ("1M30S", 90.0),
        ("1,234 seconds", 1234.0),
        ("1,5 Sekunden", 1.5),
        ("PT1M30S", 90.0),
        ("P1DT2H", 93_600.0),
        ("00:01:30", 90.0),
        ("5.03:23:11", 444_191.0),
        ("30 秒", 30.0),
        ("2小时5分钟", 7500.0),
        ("10分", 600.0),
        ("30초", 30.0),
        ("30 секунд", 30.0),
        ("2 heures", 7200.0),
        ("3 días", 259_200.0),
    ],
)
def test_durations(value: str, seconds: float) -> None:
    """Machines and people of several languages write them in their own ways."""
    assert duration_s(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "s",
        "6",
        "6x",
        "-6s",
        "6s later",
        "1.s.",
        "1h 2h 3h 4h 5h 6h",
        "1min.5",
        "1:00",
        "P",
        "PT",
        "00:61:00",
        "5 apples",
        "秒",
    ],
)
def test_no_durations(value: str) -> None:
    """What is only nearly a duration is none."""
    assert duration_s(value) is None


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-12-01T10:00:00Z", "2026-12-01T10:00:00+00:00"),
        ("2026-12-01T10:00:00.123456789Z", "2026-12-01T10:00:00+00:00"),
        ("2026-12-01T10:00:00+0800", "2026-12-01T02:00:00+00:00"),
        ("2026-12-01 10:00:00 +08:00", "2026-12-01T02:00:00+00:00"),
        ("2026-12-01 at 00:00 UTC", "2026-12-01T00:00:00+00:00"),
        ("2026-12-01", "2026-12-01T00:00:00+00:00"),
        ("2026/12/01 10:00", "2026-12-01T10:00:00+00:00"),
        ("2026年12月1日 10:00", "2026-12-01T10:00:00+00:00"),
        ("2026年12月1日10:00", "2026-12-01T10:00:00+00:00"),
        ("Dec 1st, 2026 3:05 PM UTC", "2026-12-01T15:05:00+00:00"),
        ("December 1, 2026", "2026-12-01T00:00:00+00:00"),
        ("01 Dec 2026 10:00:00 GMT", "2026-12-01T10:00:00+00:00"),
        ("10:30 PM (UTC)", "2026-11-22T22:30:00+00:00"),
        ("11:00 UTC", "2026-11-23T11:00:00+00:00"),
        ("12 AM UTC", "2026-11-23T00:00:00+00:00"),
        ("10:57 PM GMT-3", "2026-11-23T01:57:00+00:00"),
        ("midnight UTC", "2026-11-23T00:00:00+00:00"),
        ("1795352400", "2026-11-22T13:00:00+00:00"),
        ("1795352400000", "2026-11-22T13:00:00+00:00"),
    ],
)
def test_instants(value: str, moment: str) -> None:
    """With a zone, or in UTC; a clock alone means the next time that it shows that."""
    assert instant(value, now=NOW) == datetime.fromisoformat(moment)


def test_a_date_without_a_zone_is_in_the_zone_that_the_caller_knows() -> None:
    """Zhipu means Beijing's."""
    assert instant("2026-11-23 00:35:41", now=NOW, zone=BEIJING) == datetime(2026, 11, 22, 16, 35, 41, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "2026-13-01",
        "2026-12-32",
        "2026-12-01T25:00:00Z",
        "10:30",
        "10:30 PM",
        "3pm",
        "25:00 UTC",
        "0000-00-00",
        "123456789",
    ],
)
def test_no_instants(value: str) -> None:
    """A clock without a zone could be anywhere; what is no date is none."""
    assert instant(value, now=NOW) is None


def test_what_stands_in_a_text_is_found_with_its_end() -> None:
    """Durations and instants, in their order; other numbers are passed over."""
    text = "10 apples in 30s, at 2026-11-22T12:01:00Z or 1.5 h"
    assert [(seconds, text[end - 1]) for seconds, end in spans(text, now=NOW, zone=UTC)] == [
        (30.0, "s"),
        (60.0, "Z"),
        (5400.0, "h"),
    ]
    assert duration_at("in an hour", 3) == (3600.0, 10)


@given(st.text(alphabet="0123456789:-/.TZ日年月秒smhdw PAM+UTC,", max_size=60))
def test_any_text_is_read_or_not(text: str) -> None:
    """Nothing is raised, and what is read is finite and not negative."""
    seconds = duration_s(text)
    assert seconds is None or 0 <= seconds < float("inf")
    moment = instant(text, now=NOW)
    assert moment is None or moment.tzinfo is not None
    assert len(list(spans(text, now=NOW, zone=BEIJING))) <= 50


@given(hours=st.integers(0, 99), minutes=st.integers(0, 59), milliseconds=st.integers(0, 59_999))
def test_go_durations_come_back(hours: int, minutes: int, milliseconds: int) -> None:
    """Every duration as Go prints it is read as what it is."""
    text = f"{hours}h{minutes}m{milliseconds / 1000}s"
    assert duration_s(text) == pytest.approx(hours * 3600 + minutes * 60 + milliseconds / 1000)
