"""How long providers ask us to wait."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.workers.retry import LONGEST_HINT_S, retry_after
from tidings.workers.retry.retry_after import renewed_after

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


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("30, 120", 120.0), ("30, 30", 30.0), ("1.5, 20", 20.0)],
)
def test_of_a_header_that_came_twice_the_longest_counts(value: str, seconds: float) -> None:
    """A provider and the proxy before it may each add one; HTTP libraries join them by a comma."""
    assert hint({"retry-after": value}) == seconds


def test_milliseconds_are_the_most_explicit() -> None:
    """`retry-after-ms` is finer than `retry-after` beside it."""
    assert hint({"retry-after-ms": "1500", "retry-after": "2"}) == 1.5


def test_unreadable_milliseconds_give_way_to_seconds() -> None:
    """Garbage in one place does not hide what another says."""
    assert hint({"retry-after-ms": "soon", "retry-after": "2"}) == 2.0


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


def test_the_unit_is_in_a_headers_name() -> None:
    """Azure's milliseconds, and a Unix time in the place of seconds."""
    assert hint({"x-ms-retry-after-ms": "90000"}) == 90.0
    assert hint({"x-retry-after": "90", "retry-after": "30"}) == 30.0
    assert hint({"retry-after": str(int(NOW.timestamp()) + 40)}) == 40.0
    assert hint({"x-retry-count": "3", "x-should-retry": "1"}) is None


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "Too many requests", "retry_after": 90}},
        {"error": {"metadata": {"limits": [{"name": "a", "resets_in_seconds": 90}]}}},
        {"error": {"message": '{"error": {"retryAfterMs": 90000}}'}},
        {"error": {"retry": {"after_seconds": 90}}},
        {"detail": [{"errors": [{"data": {"wait_seconds": "90"}}]}]},
        {"resets_at": int(NOW.timestamp()) + 90, "plan": "plus"},
        {"windows": [{"used_percent": 100, "resets_in": 90}, {"used_percent": 20, "resets_in": 9000}]},
        {"reset_in": 5000, "remaining": 3, "error": {"retry_after": "90s"}},
        {"reset": 40, "retry_after": 90},
        {"resets_at": int(NOW.timestamp()) + 9000, "resets_in_seconds": 90},
    ],
)
def test_a_wait_is_found_wherever_a_body_has_it(body: object) -> None:
    """Nested, in JSON that is passed on as text, beside what is not used up; when to ask again before when a limit is reset."""
    assert hint({}, body) == 90.0


@pytest.mark.parametrize(
    "body",
    [
        {"request": {"retry_after": 90}},
        {"error": {"input": '{"retry_after": 90}', "messages": [{"retry_after": 90}]}},
        {"retry_count": 3, "max_retry_delay": 600, "window_seconds": 60, "created_at": 2_000_000_000},
        {"reset": {"limit": 100, "remaining": 0}},
        {"reset_at": "2020-01-01T00:00:00Z", "retry_after": -1},
        {"reset_at": "9999-12-31T23:59:59Z"},
        {"reset_at": 1e300, "retry_after": float("nan")},
        {"retry_after": LONGEST_HINT_S + 1},
    ],
)
def test_no_other_number_of_a_body_is_a_wait(body: object) -> None:
    """What repeats the request, counts, is past or absurd."""
    assert hint({}, body) is None


def test_a_body_without_an_end_is_read_to_a_bound() -> None:
    """Depth and width are bounded; the outer fields are the first that are read."""
    deep: dict[str, object] = {"retry_after": 90}
    for _ in range(50):
        deep = {"inner": deep}
    assert hint({}, deep) is None
    wide: dict[str, object] = {f"field_{number}": {"inner": [{}] * 1000} for number in range(1000)}
    assert hint({}, {"retry_after": 90, **wide}) == 90.0


@pytest.mark.parametrize(
    ("headers", "body", "text", "seconds"),
    [
        ({}, {"resets_in_seconds": 529_498}, "", 529_498.0),
        ({}, None, "Your access resets in 5 minutes", 300.0),
        ({}, None, "no credit, retry in 60 seconds", None),
        ({}, {"error": {"details": [{"retryDelay": "37s"}]}}, "", None),
        ({}, {"error": {"details": [{"retryDelay": "581981s"}]}}, "", 581_981.0),
        ({"retry-after": "60"}, None, "", None),
        ({"retry-after": "60"}, {"resets_at": "2026-11-23T00:00:00Z"}, "", 46_800.0),
        ({"retry-after": "86400"}, None, "", 86_400.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6s"}, None, "", None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "7h"}, None, "", 25_200.0),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "7h"}, None, "", None),
        ({}, {"resets_at": "2020-01-01T00:00:00Z"}, "", None),
    ],
)
def test_when_a_used_up_quota_is_back(headers: dict[str, str], body: object, text: str, seconds: float | None) -> None:
    """What says when it is reset counts; what says when to ask again only from an hour on, else it is about the minute."""
    assert renewed_after(headers, body, text, now=NOW) == seconds


KEYS = st.sampled_from(["retry_after", "resets_at", "resetsInSeconds", "retryDelay", "details", "error", "remaining", "wait"])
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | VALUES,
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=10,
)


@given(body=TREES)
def test_any_body_gives_a_usable_hint_or_none(body: object) -> None:
    """The fields that are about waiting may hold anything."""
    for found in (hint({}, body), renewed_after({}, body, "", now=NOW)):
        assert found is None or 0 < found <= LONGEST_HINT_S
