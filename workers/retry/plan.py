"""Decide after a failed attempt whether to wait and try again, to park the session, or to give up; pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

from tidings.bus.messages import Reason
from tidings.workers.retry.failure import Failure


@dataclass(frozen=True, slots=True)
class Retry:
    """Keep the session, wait, and make the same call again."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class Park:
    """Free the worker's slot; the session goes on when its time has come, or when a person resumes it."""

    reason: Reason
    """That of the failure; QUOTA_EXHAUSTED for a limit that asks for more than a day."""
    wait_s: float | None
    """Seconds until it should be queued again: when the provider said that the limit ends, also if that is days away. None:
    of an exhausted quota, no time is known and a person must act; of anything else, the provider named no time, so take
    `RetryPlan.park_delay_s`."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Tell the failure: waiting does not help; the session is in error until a person resumes it."""


Verdict = Retry | Park | GiveUp


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPlan:
    """How often, how long and in which rhythm failed calls are repeated.

    The waits are exponential back-off with full jitter: `rng() * min(cap_s, base_s * 2 ** (attempt - 1))`.
    What a provider asks for is a floor, and the same jitter is *added* to it, so that workers that were
    refused together do not come back together and none comes back too early.

    Raises:
        ValueError: A value makes no sense; the text says which and what to give.
    """

    attempts: int = 6
    """Requests of one run, the first included."""
    base_s: float = 1.0
    """Bound of the jitter after the first failure; it doubles with each further one."""
    cap_s: float = 30.0
    """Most that the jitter's bound grows to."""
    budget_s: float = 300.0
    """Most seconds of waiting in one run, all its waits together."""
    max_inline_wait_s: float = 60.0
    """A wait that is longer than this parks the session."""
    park_base_s: float = 60.0
    """How long the first park lasts if the provider named no time; it doubles with each further one."""
    park_cap_s: float = 900.0
    """Most that a park without a time grows to."""
    park_for_s: float = 24 * 3600.0
    """Seconds of parks without a time in a row after which a limit waits for a person, and an outage is an error."""
    quota_after_s: float = 24 * 3600.0
    """A rate limit that asks for more than this counts as an exhausted quota."""

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_number(field.name, getattr(self, field.name), whole=field.name == "attempts")
        if self.attempts < 1:
            raise ValueError(f"attempts is {self.attempts}: give at least 1, the first request counts")
        if self.park_base_s == 0:
            raise ValueError("park_base_s is 0: give more, or a parked session comes back at once, for ever")
        _check_order("base_s", self.base_s, "cap_s", self.cap_s)
        _check_order("park_base_s", self.park_base_s, "park_cap_s", self.park_cap_s)
        _check_order("max_inline_wait_s", self.max_inline_wait_s, "quota_after_s", self.quota_after_s)

    def decide(
        self,
        failure: Failure,
        *,
        attempt: int,
        waited_s: float,
        rng: Callable[[], float],
    ) -> Verdict:
        """Say what follows from a failed attempt.

        - An exhausted quota, and a rate limit that asks for more than `quota_after_s`, parks at once: until it is back, if
          the provider says when, and at least for `park_base_s`; else without a time.
        - What is not retryable is given up.
        - Anything else parks if the wait is longer than `max_inline_wait_s`, for that wait; and if attempts or budget are used
          up, for the wait that the provider named, else without one. So a limit and an outage end no session.

        Args:
            failure: What the attempt ended with.
            attempt: Which one it was; the first is 1.
            waited_s: Seconds waited in this run so far.
            rng: Gives a number from 0 to 1, for example `random.random`; called at most once.

        Returns:
            A wait never shorter than the provider asked for, and never longer than what is left of the
            budget.

        Raises:
            ValueError: `attempt` is below 1 or `waited_s` is negative.
        """
        _check_progress(attempt, waited_s)
        limited = failure.reason is Reason.RATE_LIMIT
        floor = failure.retry_after_s or 0.0
        if failure.reason is Reason.QUOTA_EXHAUSTED or (limited and floor > self.quota_after_s):
            known = failure.retry_after_s is not None
            # It parks after one request, so a provider that gives a wrong time would be asked again and again.
            wait = max(floor, self.park_base_s) + self._jitter_s(attempt, rng)
            return Park(Reason.QUOTA_EXHAUSTED, wait if known else None)
        if not failure.retryable:
            return GiveUp()
        wait = floor + self._jitter_s(attempt, rng)
        left = self.budget_s - waited_s
        if wait <= self.max_inline_wait_s and attempt < self.attempts and left > 0 and floor <= left:
            return Retry(min(wait, left))
        # A hint of no time at all has just failed, so it is none.
        return Park(failure.reason, wait if floor else None)

    def park_delay_s(self, parked_s: float) -> float | None:
        """Say how long a park lasts for which the provider named no time.

        Args:
            parked_s: Seconds of such parks in a row so far, without a success between them.

        Returns:
            Seconds: `park_base_s`, doubling up to `park_cap_s`. None once `park_for_s` has been spent so.

        Raises:
            ValueError: `parked_s` is negative.
        """
        if not parked_s >= 0:
            raise ValueError(f"parked_s is {parked_s}: it counts up from 0")
        if parked_s >= self.park_for_s:
            return None
        # 60, 120, 240: each park is as long as all before it and one more.
        return min(self.park_cap_s, parked_s + self.park_base_s)

    def _jitter_s(self, attempt: int, rng: Callable[[], float]) -> float:
        return rng() * _doubled(self.base_s, attempt, self.cap_s)


def _doubled(base_s: float, count: int, cap_s: float) -> float:
    return min(cap_s, base_s * 2.0 ** min(count - 1, 62))


def _check_number(name: str, value: float, *, whole: bool) -> None:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise ValueError(f"{name} is {value!r}: give a {'whole ' if whole else ''}number")
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} is {value!r}: give a finite number that is not negative")


def _check_order(low_name: str, low: float, high_name: str, high: float) -> None:
    if low > high:
        raise ValueError(f"{low_name} ({low}) is larger than {high_name} ({high}): lower it or raise {high_name}")


def _check_progress(attempt: int, waited_s: float) -> None:
    if attempt < 1:
        raise ValueError(f"attempt is {attempt}: the first is 1")
    if not waited_s >= 0:
        raise ValueError(f"waited_s is {waited_s}: it counts up from 0")
