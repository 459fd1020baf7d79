"""Read out of a provider's answer how long it asks us to wait.

Providers say it in many ways. From the most to the least explicit:

1. the header `retry-after-ms`, in milliseconds;
2. the header `retry-after`: seconds, whole or not, or an HTTP date (RFC 9110, section 10.2.3);
3. `retryDelay` in the body (`google.rpc.RetryInfo`, Gemini), `estimated_time` (Hugging Face, while a model loads);
4. the text: "Please try again in 1m30s", "Please retry after 2 seconds";
5. the times at which the allowances are full again: `x-ratelimit-reset-requests` and `-tokens` (`6s`,
   `1m2.5s`, `120ms`), `anthropic-ratelimit-…-reset` (RFC 3339), `x-ratelimit-reset` (seconds, or a Unix
   time).

The first of these that can be read wins. Of several resets it is the allowance with nothing remaining that
made the provider refuse, so the longest reset among those counts; if none is at zero (a request may be
larger than what is left), the longest of all, unless `spent_only`.

A date counts from the answer's own `Date` header if there is one, so that a wrong clock on either side does
not matter. What is negative, infinite, not a number or not understood is passed over; a date in the past
means 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from workers.retry.answer import error_details

LONGEST_HINT_S: Final = 366 * 86_400.0
"""A longer hint is cut to a leap year, so that adding it to an instant cannot overflow."""

_NUMBER: Final = r"[0-9]{1,15}(?:\.[0-9]{0,15})?"
_PART: Final = rf"{_NUMBER}\ ?(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)(?![a-z])"
_PARTS: Final = re.compile(rf"({_NUMBER})\ ?([a-z]+)")
_PLAIN_NUMBER: Final = re.compile(_NUMBER)
_DURATION: Final = re.compile(rf"{_PART}(?:,?\ ?(?:and\ )?{_PART}){{0,4}}", re.IGNORECASE)
_ADVICE: Final = re.compile(
    rf"(?:try\ again|retry|retrying|wait)(?:\ again)?(?:\ (?:in|after|for|another|at\ least|about)){{0,2}}\ "
    rf"({_DURATION.pattern})",
    re.IGNORECASE,
)
_UNIT_S: Final = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0}

_RESET: Final = re.compile(
    r"x-ratelimit-reset(?:-(requests|tokens))?"
    r"|anthropic-ratelimit-((?:requests|tokens|input-tokens|output-tokens))-reset"
)
_UNIX_TIME_S: Final = 1_000_000_000
_UNIX_TIME_MS: Final = 1_000_000_000_000
_TEXT_LIMIT: Final = 16_384


def retry_after(
    headers: Mapping[str, str] | None,
    body: object,
    text: str,
    *,
    now: datetime,
    resets: bool = True,
    spent_only: bool = False,
) -> float | None:
    """Find the wait that a provider asks for.

    Args:
        headers: Of the answer; names in any case.
        body: The parsed JSON of the answer, or anything else.
        text: The message for people, in which some providers hide the wait.
        now: An aware instant, for dates in an answer that carries no `Date`.
        resets: Whether the reset times of allowances count. They say when a *rate limit* ends; after an
            overload or a broken connection they say nothing about when to come back.
        spent_only: Whether the reset of an allowance that has something left counts for nothing. With a limit by the
            day it does: the allowance of the minute, which is full again in a moment, stands beside it.

    Returns:
        Seconds, finite, from 0 to `LONGEST_HINT_S`; None if the answer does not say. It never raises,
        whatever the answer holds.
    """
    known = {str(name).lower(): str(value).strip() for name, value in (headers or {}).items()}
    since = _http_date(known.get("date", "")) or now
    explicit = _explicit(known, since)
    if explicit is None:
        explicit = _retry_delay(body)
    if explicit is None:
        explicit = _advice(text)
    if explicit is None and resets:
        explicit = _reset(known, since, spent_only)
    return None if explicit is None else min(explicit, LONGEST_HINT_S)


def duration_s(text: str) -> float | None:
    """Read a duration as Go writes it (`1h0m0s`, `1m2.5s`, `120ms`) or in words (`2 seconds`); else None."""
    text = text.strip()
    if not _DURATION.fullmatch(text):
        return None
    total = 0.0
    for amount, unit in _PARTS.findall(text.lower()):
        total += float(amount) * (0.001 if unit.startswith(("ms", "milli")) else _UNIT_S[unit[0]])
    return total


def _explicit(headers: Mapping[str, str], since: datetime) -> float | None:
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    seconds = _number(value)
    if seconds is None:
        seconds = duration_s(value)
    return _until(_http_date(value), since) if seconds is None else seconds


def _retry_delay(body: object) -> float | None:
    """Read `error.details[].retryDelay`, a duration as JSON writes it in `google.rpc.RetryInfo`: "37s"; or seconds."""
    for detail in error_details(body):
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and (seconds := duration_s(delay)) is not None:
            return seconds
    estimated = body.get("estimated_time") if isinstance(body, Mapping) else None
    return _number(str(estimated)) if isinstance(estimated, int | float) else None


def _advice(text: str) -> float | None:
    found = _ADVICE.search(text[:_TEXT_LIMIT])
    return duration_s(found[1]) if found else None


class _Allowance(NamedTuple):
    reset_s: float
    spent: bool


def _reset(headers: Mapping[str, str], since: datetime, spent_only: bool) -> float | None:
    allowances = list(_allowances(headers, since))
    spent = [allowance for allowance in allowances if allowance.spent]
    return max((allowance.reset_s for allowance in spent or (() if spent_only else allowances)), default=None)


def _allowances(headers: Mapping[str, str], since: datetime) -> Iterator[_Allowance]:
    for name, value in headers.items():
        if not _RESET.fullmatch(name):
            continue
        seconds = _reset_s(value, since)
        if seconds is not None:
            yield _Allowance(seconds, _number(headers.get(name.replace("reset", "remaining"), "")) == 0)


def _reset_s(value: str, since: datetime) -> float | None:
    number = _number(value)
    if number is None:
        seconds = duration_s(value)
        return _until(_internet_date(value), since) if seconds is None else seconds
    if number >= _UNIX_TIME_MS:
        number /= 1000
    return max(0.0, number - since.timestamp()) if number >= _UNIX_TIME_S else number


def _number(value: str) -> float | None:
    """Read a plain decimal; no sign, no exponent, no `inf`."""
    return float(value) if _PLAIN_NUMBER.fullmatch(value) else None


def _until(instant: datetime | None, since: datetime) -> float | None:
    return None if instant is None else max(0.0, (instant - since).total_seconds())


def _http_date(value: str) -> datetime | None:
    """Read any of the three forms that RFC 9110, section 5.6.7, obliges a recipient to accept."""
    try:
        instant = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # "-0000" and the asctime form come back naive; HTTP dates are always in UTC.
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _internet_date(value: str) -> datetime | None:
    """Read an RFC 3339 date and time; one without an offset is not one."""
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    return instant if instant.tzinfo else None
