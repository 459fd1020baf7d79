"""How long providers ask us to wait."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.retry import LONGEST_HINT_S, retry_after
from workers.retry.times import duration_s

NOW = datetime(2026, 11, 22, 11, 0, tzinfo=UTC)
DATE = "Sun, 22 Nov 2026 12:00:00 GMT"


def hint(headers: dict[str, str] | None = None, body: object = None, text: str = "") -> float | None:
    """Ask for the hint as it counts for a rate limit."""
    return retry_after(headers, body, text, now=NOW)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("2.5", 2.5),
        ("20s", 20.0),
        ("Sun, 22 Nov 2026 11:00:30 GMT", 30.0),
        ("Sunday, 22-Nov-26 11:00:30 GMT", 30.0),
        ("Sun Nov 22 11:00:30 2026", 30.0),
        ("Sun, 22 Nov 2026 10:00:00 GMT", 0.0),
        ("999999999999", LONGEST_HINT_S),
    ],
)
def test_retry_after_header(value: str, seconds: float) -> None:
    """Seconds, fractions and the three forms of HTTP dates are read; a past date is now, an age is a year."""
    assert hint({"Retry-After": value}) == seconds


def test_date_counts_from_the_answers_own_date() -> None:
    """With a `Date` in the answer it does not matter what our clock says."""
    assert hint({"retry-after": "Sun, 22 Nov 2026 12:00:10 GMT", "date": DATE}) == 10.0


@pytest.mark.parametrize(
    "value",
    ["", "-1", "+1", "nan", "inf", "1e3", "soon", "７", "1 2", "7 apples", "9" * 400, "2026-22-11", "1:00"],
)
def test_garbage_is_passed_over(value: str) -> None:
    """What cannot be read counts as not said, in every header."""
    for name in (
        "retry-after",
        "retry-after-ms",
        "x-ratelimit-reset-requests",
        "anthropic-ratelimit-tokens-reset",
    ):
        assert hint({name: value}) is None


def test_milliseconds_are_the_most_explicit() -> None:
    """`retry-after-ms` is finer than `retry-after` beside it."""
    assert hint({"retry-after-ms": "1500", "retry-after": "2"}) == 1.5


def test_unreadable_milliseconds_give_way_to_seconds() -> None:
    """Garbage in one place does not hide what another says."""
    assert hint({"retry-after-ms": "soon", "retry-after": "2"}) == 2.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("6s", 6.0),
        ("1m2.5s", 62.5),
        ("120ms", 0.12),
        ("1h0m0s", 3600.0),
        ("2 seconds", 2.0),
        ("1 minute", 60.0),
        ("1 hour and 30 minutes", 5400.0),
        ("2 days", 172_800.0),
        ("500 milliseconds", 0.5),
        ("1M30S", 90.0),
    ],
)
def test_durations(value: str, seconds: float) -> None:
    """Durations are read as Go writes them and as people write them."""
    assert duration_s(value) == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["", "s", "6", "6x", "-6s", "6s later", "1.s.", "1h 2h 3h 4h 5h 6h", "1min.5"])
def test_no_durations(value: str) -> None:
    """What is only nearly a duration is none."""
    assert duration_s(value) is None


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
    ],
)
def test_text_is_read(text: str, seconds: float) -> None:
    """The wait may stand in the message only."""
    assert hint(text=text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["Please try again later", "after 5s", "retry 5", "try again in -3s", "wait a moment"])
def test_text_without_a_wait(text: str) -> None:
    """Advice without a number, and numbers without advice, are no hint."""
    assert hint(text=text) is None


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"details": [{"@type": "x"}, {"retryDelay": "37s"}]}},
        [{"error": {"details": [{"retryDelay": "37s"}]}}],
        {"details": [{"retryDelay": "37s"}]},
    ],
)
def test_delay_in_the_body(body: object) -> None:
    """Gemini's delay is found, also in the list that its streams send."""
    assert hint({}, body) == 37.0


@pytest.mark.parametrize(
    "body",
    [
        None,
        "text",
        [],
        [1],
        {"error": "x"},
        {"error": {"details": "x"}},
        {"details": [1, {"retryDelay": 37}]},
        {"details": [{"retryDelay": "later"}]},
    ],
)
def test_body_without_a_delay(body: object) -> None:
    """Bodies of other shapes say nothing."""
    assert hint({}, body) is None


RESETS = {
    "x-ratelimit-remaining-requests": "0",
    "x-ratelimit-reset-requests": "6s",
    "x-ratelimit-remaining-tokens": "149984",
    "x-ratelimit-reset-tokens": "1m2.5s",
}


def test_exhausted_allowance_decides() -> None:
    """The allowance at zero made the provider refuse, so its reset counts, though another takes longer."""
    assert hint(RESETS) == 6.0


def test_longest_reset_where_none_is_exhausted() -> None:
    """A request can be larger than what is left; then the longer wait is the safe one."""
    assert hint({**RESETS, "x-ratelimit-remaining-requests": "1"}) == 62.5


def test_longest_of_several_exhausted() -> None:
    """Both must be full again."""
    assert hint({**RESETS, "x-ratelimit-remaining-tokens": "0"}) == 62.5


def test_anthropic_resets_are_instants() -> None:
    """RFC 3339 instants count from the answer's date, whatever their offset, UTC if they have none; a past one is now."""
    headers = {"date": DATE, "anthropic-ratelimit-input-tokens-remaining": "0"}
    name = "anthropic-ratelimit-input-tokens-reset"
    assert hint({**headers, name: "2026-11-22T12:00:30Z"}) == 30.0
    assert hint({**headers, name: "2026-11-22T13:00:30+01:00"}) == 30.0
    assert hint({**headers, name: "2026-11-22T11:00:00Z"}) == 0.0
    assert hint({**headers, name: "2026-11-22T12:00:30"}) == 30.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("30", 30.0), (str(int(NOW.timestamp()) + 40), 40.0), (f"{int(NOW.timestamp()) + 50}000", 50.0)],
)
def test_plain_reset_is_a_duration_or_a_unix_time(value: str, seconds: float) -> None:
    """`x-ratelimit-reset` comes as seconds, as a Unix time and as one in milliseconds."""
    assert hint({"x-ratelimit-reset": value}) == pytest.approx(seconds)


def test_order_from_explicit_to_inferred() -> None:
    """Header, then body, then text, then resets."""
    body = {"error": {"details": [{"retryDelay": "37s"}]}}
    text = "Please try again in 20s"
    assert hint({**RESETS, "retry-after": "60"}, body, text) == 60.0
    assert hint(RESETS, body, text) == 37.0
    assert hint(RESETS, None, text) == 20.0
    assert hint(RESETS) == 6.0


def test_resets_can_be_left_out() -> None:
    """For failures that are no rate limits the caller leaves the resets out."""
    assert retry_after(RESETS, None, "", now=NOW, resets=False) is None
    assert retry_after({**RESETS, "retry-after": "1"}, None, "", now=NOW, resets=False) == 1.0


def test_no_headers_at_all() -> None:
    """There may be nothing to read."""
    assert retry_after(None, None, "", now=NOW) is None


NAMES = st.sampled_from(
    [
        "retry-after",
        "Retry-After",
        "retry-after-ms",
        "date",
        "x-ratelimit-reset",
        "x-ratelimit-reset-tokens",
        "x-ratelimit-remaining-tokens",
        "anthropic-ratelimit-requests-reset",
    ]
)
VALUES = (
    st.text()
    | st.integers().map(str)
    | st.floats().map(str)
    | st.datetimes().map(lambda instant: instant.isoformat() + "Z")
    | st.datetimes().map(lambda instant: instant.strftime("%a, %d %b %Y %H:%M:%S GMT"))
    | st.from_regex(r"\A([0-9]{1,4}(\.[0-9])?(ms|s|m|h|d)){1,3}\Z")
)


@given(headers=st.dictionaries(NAMES, VALUES), delay=VALUES, text=VALUES)
def test_any_answer_gives_a_usable_hint_or_none(headers: dict[str, str], delay: str, text: str) -> None:
    """Whatever the answer holds, nothing is raised and the hint is a number of seconds that can be slept."""
    body = {"error": {"details": [{"retryDelay": delay}]}}
    found = hint(headers, body, f"Please try again in {text}")
    assert found is None or 0.0 <= found <= LONGEST_HINT_S


@given(hours=st.integers(0, 99), minutes=st.integers(0, 59), milliseconds=st.integers(0, 59_999))
def test_go_durations_come_back(hours: int, minutes: int, milliseconds: int) -> None:
    """Every duration as Go prints it is read as what it is."""
    text = f"{hours}h{minutes}m{milliseconds / 1000}s"
    assert duration_s(text) == pytest.approx(hours * 3600 + minutes * 60 + milliseconds / 1000)
