"""Rate limits as arithmetic: token buckets and fixed windows that are told the time and never ask for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

TICK_S = 1e-6
"""A wait this short counts as none: a client that waits exactly as long as told must not fail by a rounding error."""

Resource = Literal["requests", "tokens"]


class Limit(BaseModel):
    """Say what one API key may use of one model.

    Attributes:
        requests_per_minute: Calls a minute; None is no limit.
        tokens_per_minute: Tokens a minute, prompt and answer together; None is no limit.
        kind: `bucket` refills steadily and starts full; `window` forgets everything at the end of a minute,
            which begins with the first call after the last one ended.
        window_s: How many seconds this provider's minute lasts. 60 in real life; tests and demos shorten it,
            for a bucket as well: 3 requests a minute with a minute of 1.5 s refill 2 a second.
        burst: Calls at once, for a bucket: its capacity. None is a minute's worth.
        refused_count: A refused call uses up what is left, up to what it asked for, as if it had been served.
            Clients that keep hammering are then never admitted by a bucket.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    kind: Literal["bucket", "window"] = "bucket"
    window_s: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    burst: int | None = Field(default=None, ge=1)
    refused_count: bool = False

    @model_validator(mode="after")
    def _burst_belongs_to_a_bucket_of_requests(self) -> Self:
        if self.burst is not None and (self.kind == "window" or self.requests_per_minute is None):
            raise ValueError("burst is the capacity of a bucket of requests: set requests_per_minute and kind='bucket'")
        return self


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: holds up to `capacity`, refills by `refill_per_s`; `level` is what it held at `as_of`."""

    capacity: float
    refill_per_s: float
    level: float
    as_of: float

    def available(self, now: float) -> float:
        """Return what could be taken at `now`."""
        return min(self.capacity, self.level + max(0.0, now - self.as_of) * self.refill_per_s)

    def wait_s(self, amount: float, now: float) -> float:
        """Return the seconds until `amount` can be taken if no other call takes any; infinite if it never can."""
        if amount > self.capacity:
            return math.inf
        return max(0.0, (amount - self.available(now)) / self.refill_per_s)

    def reset_s(self, now: float) -> float:
        """Return the seconds until the bucket is full again."""
        return (self.capacity - self.available(now)) / self.refill_per_s

    def take(self, amount: float, now: float) -> Bucket:
        """Return the bucket without `amount`, or empty if it held less."""
        level = max(0.0, self.available(now) - amount)
        return replace(self, level=level, as_of=max(self.as_of, now))


@dataclass(frozen=True, slots=True)
class Window:
    """A fixed window: `used` of `capacity` since `opened_at`; while that is None, the next call opens one."""

    capacity: float
    window_s: float
    used: float = 0.0
    opened_at: float | None = None

    def _left_s(self, now: float) -> float:
        return 0.0 if self.opened_at is None else max(0.0, self.opened_at + self.window_s - now)

    def available(self, now: float) -> float:
        """Return what could be taken at `now`."""
        return self.capacity if self._left_s(now) <= TICK_S else self.capacity - self.used

    def wait_s(self, amount: float, now: float) -> float:
        """Return the seconds until `amount` can be taken if no other call takes any; infinite if it never can."""
        if amount > self.capacity:
            return math.inf
        return 0.0 if amount <= self.available(now) else self._left_s(now)

    def reset_s(self, now: float) -> float:
        """Return the seconds until the window ends."""
        return self._left_s(now)

    def take(self, amount: float, now: float) -> Window:
        """Return the window with `amount` used, or used up if less was left; a new one if it has ended."""
        if self._left_s(now) <= TICK_S:
            return replace(self, used=min(self.capacity, amount), opened_at=now)
        return replace(self, used=min(self.capacity, self.used + amount))


Allowance = Bucket | Window


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one resource stands: what is granted a minute, what is left, the seconds until all is back."""

    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class Admission:
    """What the limits say to one call.

    Attributes:
        admitted: Whether the call may be served.
        wait_s: Seconds after which this call would be admitted if no other call came; 0 when admitted; None
            when it asks for more tokens than the limit can ever grant.
        short_of: What was missing, None when admitted.
        standings: Where each limited resource stands after the call.
    """

    admitted: bool
    wait_s: float | None
    short_of: Resource | None
    standings: dict[Resource, Standing]


@dataclass(frozen=True, slots=True)
class Meter:
    """What one key has used of one model. Immutable: a call gives a decision and the next meter."""

    limit: Limit
    allowances: dict[Resource, Allowance]

    @classmethod
    def fresh(cls, limit: Limit, now: float) -> Meter:
        """Return an unused meter for `limit`."""
        allowances: dict[Resource, Allowance] = {}
        if limit.requests_per_minute is not None:
            allowances["requests"] = _allowance(limit, limit.requests_per_minute, limit.burst, now)
        if limit.tokens_per_minute is not None:
            allowances["tokens"] = _allowance(limit, limit.tokens_per_minute, None, now)
        return cls(limit, allowances)

    def admit(self, tokens: int, now: float) -> tuple[Meter, Admission]:
        """Decide on one call.

        Args:
            tokens: What the call uses, prompt and answer.
            now: Seconds on any steady clock.
        """
        costs: dict[Resource, int] = {"requests": 1, "tokens": tokens}
        waits = {name: allowance.wait_s(costs[name], now) for name, allowance in self.allowances.items()}
        short_of = max(waits, key=lambda name: waits[name], default=None)
        admitted = short_of is None or waits[short_of] <= TICK_S
        meter = self._charge(costs, now) if admitted or self.limit.refused_count else self
        if admitted or short_of is None:
            return meter, Admission(True, 0.0, None, meter.standings(now))
        wait_s = max(allowance.wait_s(costs[name], now) for name, allowance in meter.allowances.items())
        told = None if math.isinf(wait_s) else wait_s
        return meter, Admission(False, told, short_of, meter.standings(now))

    def standings(self, now: float) -> dict[Resource, Standing]:
        """Return where each limited resource stands at `now`."""
        granted = {"requests": self.limit.requests_per_minute, "tokens": self.limit.tokens_per_minute}
        return {
            name: Standing(granted[name] or 0, math.floor(allowance.available(now) + TICK_S), allowance.reset_s(now))
            for name, allowance in self.allowances.items()
        }

    def _charge(self, costs: dict[Resource, int], now: float) -> Meter:
        charged = {name: allowance.take(costs[name], now) for name, allowance in self.allowances.items()}
        return replace(self, allowances=charged)


def _allowance(limit: Limit, a_minute: int, capacity: int | None, now: float) -> Allowance:
    if limit.kind == "window":
        return Window(capacity=a_minute, window_s=limit.window_s)
    held = float(capacity or a_minute)
    return Bucket(capacity=held, refill_per_s=a_minute / limit.window_s, level=held, as_of=now)
