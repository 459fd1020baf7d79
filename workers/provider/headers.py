"""How limits are told in HTTP headers: Retry-After in its several spellings, and `x-ratelimit-*`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from email.utils import formatdate
from typing import Literal

from tidings.workers.provider.limits import Resource, Standing

RetryAfterStyle = Literal["seconds", "float", "date", "ms", "none"]


def retry_after_headers(style: RetryAfterStyle, wait_s: float | None, wall_s: float) -> dict[str, str]:
    """Spell a wait; rounded up, so that a client that obeys is not early.

    Args:
        style: `seconds` (`Retry-After: 2`), `float` (`Retry-After: 1.250`), `date` (an HTTP date, RFC 9110
            section 10.2.3), `ms` (`retry-after-ms: 1250`, as OpenAI sends it) or `none`.
        wait_s: Seconds to wait; None where waiting does not help, and then nothing is said.
        wall_s: The present moment in seconds since 1970, for the date.
    """
    if wait_s is None or style == "none":
        return {}
    if style == "seconds":
        return {"Retry-After": str(_seconds(wait_s))}
    if style == "date":
        return {"Retry-After": formatdate(_seconds(wall_s + wait_s), usegmt=True)}
    milliseconds = _milliseconds(wait_s)
    if style == "float":
        return {"Retry-After": f"{milliseconds // 1000}.{milliseconds % 1000:03d}"}
    return {"retry-after-ms": str(milliseconds)}


def ratelimit_headers(standings: Mapping[Resource, Standing]) -> dict[str, str]:
    """Spell where each resource stands, as OpenAI does: its limit, what remains, when all is back."""
    headers: dict[str, str] = {}
    for resource, standing in standings.items():
        headers[f"x-ratelimit-limit-{resource}"] = str(standing.limit)
        headers[f"x-ratelimit-remaining-{resource}"] = str(standing.remaining)
        headers[f"x-ratelimit-reset-{resource}"] = duration(standing.reset_s)
    return headers


def duration(seconds: float) -> str:
    """Spell a duration as OpenAI does, rounded up to milliseconds: `120ms`, `6s`, `1m2.5s`, `1h0m0s`."""
    milliseconds = _milliseconds(seconds)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest_ms = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest_ms / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


# Rounding to nanoseconds and microseconds first: 0.1 + 0.2 s is 300 ms, not 301. What that can take off is
# less than the limits forgive (limits.TICK_S).
def _milliseconds(seconds: float) -> int:
    return math.ceil(round(seconds * 1e3, 6))


def _seconds(seconds: float) -> int:
    return math.ceil(round(seconds, 6))
