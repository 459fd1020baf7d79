"""Tell from the name of a field whether it says how long to wait, and read it: in headers, in bodies, in words.

What counts is the name's own words, however they are joined: `resets_in_seconds`, `retryAfterMs`, `x-ms-retry-after-ms`,
`quotaResetTimeStamp`. Each word must be known to be about waiting: a `retry_count`, a `max_retry_delay` and a
`window_seconds` are numbers, but not a wait.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Final, NamedTuple

from tidings.workers.retry import times

_RETRY: Final = frozenset({"retry", "wait", "cooldown", "backoff", "unblock", "unblocked"})
_RESET: Final = frozenset(
    {"reset", "resets", "renew", "renews", "renewal", "refill", "refills", "replenish", "replenished", "available"}
)
_INSTANT: Final = frozenset({"at", "on", "until", "till", "date", "datetime", "timestamp", "stamp", "epoch", "unix"})
_UNITS: Final = {
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "milliseconds"), 0.001),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("mins", "minutes"), 60.0),
    **dict.fromkeys(("hrs", "hours"), 3_600.0),
    "days": 86_400.0,
}
_WHEN: Final = frozenset({"after", "in", "delay", "time", "hint", "for", *_INSTANT, *_UNITS})
_BESIDE: Final = frozenset(
    {
        *("x", "ratelimit", "rate", "limit", "quota", "usage", "requests", "request", "tokens", "token", "input", "output"),
        *("api", "the", "of", "to", "by", "before", "next", "again", "left", "remaining", "recommended", "suggested"),
        *("estimated", "required", "utc", "iso", "ts", "ms", "primary", "secondary", "credits"),
    }
)
_PERIODS: Final = frozenset({"day", "days", "hour", "minute", "week", "month", "daily", "weekly", "monthly"})
_KNOWN: Final = _RETRY | _RESET | _WHEN | _BESIDE | _PERIODS
_JOINED: Final = {
    "retryafter": ("retry", "after"),
    "retryin": ("retry", "in"),
    "resetat": ("reset", "at"),
    "resetsat": ("resets", "at"),
    "resetin": ("reset", "in"),
    "resettime": ("reset", "time"),
    "timestamp": ("timestamp",),
}
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_ABSURD: Final = 1e20
_NAME_LIMIT: Final = 80


class WaitHint(NamedTuple):
    """How long an answer asks to wait, or how long it says that a limit lasts."""

    seconds: float
    resets: bool
    """Whether it says when an allowance is full again; else when to ask again, which of a used-up quota says nothing."""


def words(name: str) -> tuple[str, ...]:
    """Split a name into its words, in lower case: `retryAfterMs`, `retry_after_ms` and `Retry-After-Ms` are one."""
    if len(name) > _NAME_LIMIT:
        return ()
    split = [word.lower() for word in _WORD.findall(name)]
    return tuple(part for word in split for part in _JOINED.get(word, (word,)))


def asks(name: tuple[str, ...]) -> bool:
    """Whether a name says when to ask again: `retry_after`, `wait_seconds`, Hugging Face's `estimated_time`."""
    if name == ("estimated", "time"):
        return True
    return (
        bool(_RETRY.intersection(name))
        and _KNOWN.issuperset(name)
        and (bool(_WHEN.intersection(name)) or name[-1] in ("wait", "cooldown"))
    )


def resets(name: tuple[str, ...]) -> bool:
    """Whether a name says when an allowance is full again: `resets_at`, `quotaResetDelay`, `available_in`."""
    if not _RESET.intersection(name) or not _KNOWN.issuperset(name):
        return False
    return "available" not in name or bool(_WHEN.intersection(name))


def is_instant(name: tuple[str, ...]) -> bool:
    """Whether a name says an instant: `resets_at`, not `resets_in_seconds`."""
    return bool(_INSTANT.intersection(name))


def says_when(name: tuple[str, ...]) -> bool:
    """Whether a name says a time, if not of what: `after_seconds` within `retry`."""
    return bool(_WHEN.intersection(name))


def wait(name: tuple[str, ...], value: object, *, now: datetime, zone: timezone) -> WaitHint | None:
    """Read a field that is about waiting; None if it is not, or if its value is none: negative, past, over a year."""
    asking = asks(name)
    if not (asking or resets(name)) or (name[-1] in _PERIODS - _UNITS.keys() and not isinstance(value, str)):
        return None  # `reset_day: 15` is a day of the month
    seconds = _of_mapping(value) if isinstance(value, Mapping) else seconds_of(name, value, now=now, zone=zone)
    return None if seconds is None or seconds <= 0 else WaitHint(seconds, not asking)


def seconds_of(name: tuple[str, ...], value: object, *, now: datetime, zone: timezone) -> float | None:
    """Read a value by the unit in its name: a number, a duration, or an instant, which counts from `now`."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _of_number(name, value, now)
    if not isinstance(value, str) or len(value) > _NAME_LIMIT:
        return None
    if (number := plain_number(value.strip())) is not None:
        return _of_number(name, number, now)
    seconds = times.duration_s(value)
    if seconds is not None:
        return seconds
    instant = times.instant(value, now=now, zone=zone)
    return None if instant is None else times.until(instant, now)


def plain_number(value: str) -> float | None:
    """Read a plain decimal; no sign, no exponent, no `inf`."""
    return float(value) if re.fullmatch(r"[0-9]{1,19}(?:\.[0-9]{0,15})?", value, re.ASCII) else None


def _of_number(name: tuple[str, ...], number: float, now: datetime) -> float | None:
    if not 0 <= number < _ABSURD:  # nor NaN
        return None
    unit = next((_UNITS[word] for word in reversed(name) if word in _UNITS), None)
    if times.is_unix_time(number) and (unit != 0.001 or times.is_unix_time(number / 1000)):
        left = times.until(times.unix_time(number), now)
        return left if left > 0 or _INSTANT.intersection(name) or number < 1e11 else number
    if unit is not None:
        return number * unit
    # A small number is no instant; and a delay without a unit may be in milliseconds (JavaScript's) or in seconds.
    return None if is_instant(name) or "delay" in name or name[-1] == "backoff" else number


def _of_mapping(value: Mapping[str, object]) -> float | None:
    """Read a duration as protocol buffers write it: `{"seconds": 37, "nanos": 0}`."""
    seconds = value.get("seconds")
    number = plain_number(seconds) if isinstance(seconds, str) else seconds
    return float(number) if isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number < 1e9 else None
