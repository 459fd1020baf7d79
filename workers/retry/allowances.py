"""Read from headers how much is left of each allowance and when it is full again.

Providers name them in families of one shape: `x-ratelimit-limit-requests`, `-remaining-` and `-reset-`; Anthropic's
`anthropic-ratelimit-tokens-remaining` and its unified limits, with a `-status` instead; `x-rate-limit-reset`;
`x-codex-primary-used-percent`; the fields of the IETF draft, `RateLimit-Reset` before its revision 8 and
`RateLimit: "default";r=0;t=90` since. So a header's words are sorted by the part that they play, and what is left is the
name of the allowance.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from tidings.workers.retry.fields import plain_number, seconds_of, words

PASSED_OVER_S: Final = 120.0
"""The reset of an allowance that has something left counts up to this: a request may be larger than what is left of a
minute, but a day that has something left is not what refuses it."""

_LIMITS: Final = 64
_RESETS: Final = frozenset({"reset", "resets", "timeremaining"})
_QUALIFIERS: Final = frozenset({"after", "at", "in", "ms", "seconds", "s", "time", "timestamp", "epoch", "percent"})
_REFUSED: Final = ("reject", "exceed", "block", "exhaust", "limited", "throttl")
_ITEM: Final = re.compile(r"(?:^|[;,\s])(r|t|remaining|reset|limit)=\"?([0-9]{1,19})")


@dataclass(slots=True)
class Allowance:
    """One limit of a provider, as far as its headers tell."""

    reset_s: float | None = None
    limit: float | None = None
    left: float | None = None
    spent: bool | None = None
    """Whether nothing is left of it; None if the headers do not say."""


def allowances(headers: Mapping[str, str], now: datetime) -> list[Allowance]:
    """Collect the allowances that headers tell of; names in lower case."""
    found: dict[tuple[str, ...], Allowance] = {}
    for name, value in list(headers.items())[: _LIMITS * 4]:
        _note(found, words(name.replace("rate-limit", "ratelimit")), value, now)
    listed = [item for name in ("ratelimit", "x-ratelimit") for item in _structured(headers.get(name, ""))]
    return [*found.values(), *listed]


def reset_s(headers: Mapping[str, str], now: datetime, *, spent_only: bool) -> float | None:
    """Say when the allowance that made the provider refuse is full again.

    Of several, those count of which nothing is left, and of these the longest: all must be full again. If none is said to
    be spent, the longest of the others, as far as `PASSED_OVER_S` lets them; none if `spent_only`.
    """
    known = [allowance for allowance in allowances(headers, now) if allowance.reset_s is not None]
    spent = [allowance for allowance in known if allowance.spent]
    if not spent and not spent_only:
        spent = [one for one in known if one.spent is None or (one.reset_s or 0.0) <= PASSED_OVER_S]
    return max((allowance.reset_s or 0.0 for allowance in spent), default=None)


def is_nothing_allowed(headers: Mapping[str, str]) -> bool:
    """Whether the limit itself is zero, which no time changes.

    Not where another allowance is what is used up, or where a time to ask again is named: some gateways write a zero for
    a limit that they do not have.
    """
    known = allowances(headers, datetime(1970, 1, 1, tzinfo=UTC))
    if any("retry" in name for name in headers) or any(one.spent and one.limit != 0 for one in known):
        return False
    return any(one.limit == 0 and not one.left for one in known)


def has_some_left(fields: Mapping[str, object]) -> bool:
    """Whether an object of a body is about a limit of which something is left, by its own fields."""
    for key, value in islice(fields.items(), _LIMITS):
        name = words(str(key))
        number = plain_number(value.strip().removesuffix("%")) if isinstance(value, str) else value
        if not isinstance(number, int | float) or isinstance(number, bool):
            continue
        if "remaining" in name and "time" not in name and number > 0:
            return True
        if "used" in name and "percent" in name and number < 100:
            return True
    return False


def _note(found: dict[tuple[str, ...], Allowance], name: tuple[str, ...], value: str, now: datetime) -> None:
    """Put what one header says to the allowance that it is about."""
    roles = _RESETS.union(("remaining", "status", "used", "utilization", "limit")).intersection(name)
    about_limits = _RESETS & roles or "used" in roles or any(word.startswith("ratelimit") for word in name)
    if not roles or not about_limits:
        return
    allowance = found.setdefault(tuple(word for word in name if word not in roles | _QUALIFIERS), Allowance())
    number = plain_number(value.partition(",")[0].strip())
    if _RESETS & roles:
        seconds = seconds_of(tuple(word for word in name if word not in ("at", "timestamp")), value, now=now, zone=UTC)
        allowance.reset_s = allowance.reset_s if seconds is None else max(0.0, seconds)
    elif "status" in roles:
        allowance.spent = any(sign in value.lower() for sign in _REFUSED)
    elif "remaining" in roles and number is not None:
        allowance.left, allowance.spent = number, number == 0
    elif "limit" in roles:
        allowance.limit = number
    elif number is not None and ("utilization" in roles or "percent" in name):
        full = 1.0 if "utilization" in roles else 100.0
        allowance.spent = number >= full if allowance.spent is None else allowance.spent


def _structured(value: str) -> Iterator[Allowance]:
    """Read the field `RateLimit` of the IETF draft: a list of items since revision 8, one dictionary before."""
    items = [value] if "reset=" in value else value.split(",")
    for item in items[:_LIMITS]:
        told = {key: float(number) for key, number in _ITEM.findall(item[:200])}
        left, reset = told.get("r", told.get("remaining")), told.get("t", told.get("reset"))
        if reset is not None:
            yield Allowance(reset, told.get("limit"), left, None if left is None else left == 0)
