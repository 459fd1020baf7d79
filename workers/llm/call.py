"""A run: one call to a model with its attempts, what is decided after each, and what is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, NoReturn, Self

from tenacity import AsyncRetrying, RetryCallState

from tidings.bus.messages import LlmAttempt, LlmRecovered, LlmRetry, Reason, Wait
from tidings.bus.redaction import EXCERPT, one_line, redact
from tidings.workers.errors import (
    AnswerTooLong,
    BrokenAnswer,
    ErrorInAnswer,
    LlmCallFailed,
    LlmCallLimited,
    LlmCallParked,
    LlmError,
)
from tidings.workers.llm.answers import Completion
from tidings.workers.llm.callback import Callback, RetryNotice
from tidings.workers.llm.gate import GuardedGate
from tidings.workers.llm.retry_now import RetryNow
from tidings.workers.llm.secrets import known_secrets, scrub
from tidings.workers.llm.usage import Usage
from tidings.workers.retry import MESSAGE_LIMIT, Failure, GiveUp, Park, Retry, RetryPlan, Verdict, advice, classify
from tidings.workers.retry.evidence import causes
from tidings.workers.retry.rules import RETRYABLE

_MODEL_LIMIT = 200
"""Characters of a model's name in a notice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One way from an agent to a model: what its runs have in common.

    Attributes:
        name: of the path, within the agent.
        model: as litellm is asked for it.
        params: what else litellm is asked with; looked through for secrets.
        waits: calls that failed under an earlier worker, by name of the path; the first call of a path takes its own.
        now: server time.
        rng: 0 to 1, for the jitter.
        sleep: waits the seconds given.
    """

    name: str
    model: str
    params: Mapping[str, Any] = field(repr=False)
    plan: RetryPlan
    retry_now: RetryNow
    on_notice: Callback[RetryNotice]
    on_give_up: Callback[str]
    gate: GuardedGate
    usage: Usage
    waits: dict[str, Wait]
    now: Callable[[], datetime]
    rng: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]


class Call:
    """Makes the attempts of one call, by a tenacity loop of its own: it holds state and is never shared.

    It is a context manager: leaving it ends the wait that it has told of.
    """

    def __init__(self, path: Path, params: Mapping[str, Any]) -> None:
        self._path = path
        self._params = {**path.params, **params}
        self._failures = 0
        self._in_vain = 0
        """Answers of a kind that more requests do not change."""
        self._waited_s = 0.0
        self._failure: Failure | None = None
        self._verdict: Verdict = GiveUp()
        self._cut_short = path.retry_now.next
        self._waited_for = False
        self._earlier = path.waits.pop(path.name, None)
        if self._earlier is not None:
            # Said to be over if it ends without success, also where it is another model's.
            self._waited_for = True
            if self._earlier.model in (None, path.model[:_MODEL_LIMIT]):
                # Where this worker's plan has fewer attempts, there is one left all the same.
                self._failures, self._waited_s = min(self._earlier.attempt, path.plan.attempts - 1), self._earlier.waited_s
            else:
                self._earlier = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Say that a wait that was told of is over, where no success has said it."""
        if self._waited_for:
            self._path.on_give_up(lambda: self._path.name)

    @property
    def attempt(self) -> int:
        """The attempt under way; the first is 1."""
        return self._failures + 1

    def retrying(self) -> AsyncRetrying:
        """Return the loop. It ends by the success, an `LlmError`, or whatever is not an `Exception`."""
        return AsyncRetrying(
            retry=self._has_failed,
            stop=self._is_over,
            wait=self._wait_s,
            before_sleep=self._announce,
            sleep=self._back_off,
            retry_error_callback=self._give_up,
        )

    async def begin(self) -> None:
        """Wait out what an earlier worker was told, let the attempt pass the gate, count it, and tell it if one failed before."""
        earlier, self._earlier = self._earlier, None
        if earlier is not None and earlier.retry_at is not None:
            left_s = (earlier.retry_at - self._path.now()).total_seconds()
            if left_s > 0:
                await self._sleep(left_s)
        await self._path.gate.acquire(self._path.model)
        self._path.usage.attempts += 1
        if self._failures:
            reason = self._failure.reason if self._failure else earlier.reason if earlier else Reason.UNKNOWN
            self._path.on_notice(lambda: self._attempt(reason))

    def succeed(self, completion: Completion) -> None:
        """Note the answer, and tell it if something was told before."""
        self._path.usage.spend(completion.tokens)
        if self._failures:
            self._waited_for = False
            self._path.on_notice(self._recovery)
        self._path.gate.settle(self._path.model, completion.tokens)

    def _has_failed(self, state: RetryCallState) -> bool:
        """Decide what follows; what is not the attempt's own (a cancellation, the gate's refusal) passes."""
        error = state.outcome.exception() if state.outcome else None
        if not isinstance(error, Exception) or isinstance(error, LlmError):
            return False
        path = self._path
        self._failures += 1
        path.usage.failed += 1
        self._failure = failure = self._judge(error)
        self._verdict = path.plan.decide(failure, attempt=self._failures, waited_s=self._waited_s, rng=path.rng)
        path.gate.refuse(path.model, failure)
        return True

    def _judge(self, error: Exception) -> Failure:
        # The libraries wrap what is raised while they read an answer.
        too_long = next((cause for cause in causes(error) if isinstance(cause, AnswerTooLong)), None)
        secrets = known_secrets(self._params)
        if too_long is None and (isinstance(error, ErrorInAnswer) or not isinstance(error, BrokenAnswer)):
            return classify(error, now=self._path.now(), secrets=secrets)
        broken = too_long or error
        assert isinstance(broken, BrokenAnswer)
        retryable = broken.reason in RETRYABLE
        if broken.tries is not None:
            # The last attempt too is the end of it: such an answer is no outage to wait for.
            self._in_vain += 1
            retryable = retryable and self._in_vain < broken.tries and self._failures < self._path.plan.attempts
        message = one_line(redact(str(broken), secrets, EXCERPT), MESSAGE_LIMIT)
        return Failure(broken.reason, retryable, None, None, message, None, broken.action)

    def _is_over(self, _: RetryCallState) -> bool:
        return not isinstance(self._verdict, Retry)

    def _wait_s(self, _: RetryCallState) -> float:
        return self._verdict.wait_s if isinstance(self._verdict, Retry) else 0.0

    def _announce(self, _: RetryCallState) -> None:
        """Tell the wait before it begins."""
        # Taken first: who is told may set it at once.
        self._cut_short = self._path.retry_now.next
        self._waited_for = True
        self._path.on_notice(self._retry)

    async def _back_off(self, seconds: float) -> None:
        """Wait, and count it."""
        started = time.monotonic()
        await self._sleep(seconds)
        self._waited_s += min(seconds, time.monotonic() - started) if self._cut_short.is_set() else seconds

    async def _sleep(self, seconds: float) -> None:
        """Wait; "retry now" or a cancellation ends it at once."""
        waits: tuple[asyncio.Future[Any], ...] = (
            asyncio.ensure_future(self._path.sleep(seconds)),
            asyncio.ensure_future(self._cut_short.wait()),
        )
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        for wait in done:
            wait.result()

    def _retry(self) -> RetryNotice:
        path, failure, verdict = self._path, self._failure, self._verdict
        assert failure is not None
        assert isinstance(verdict, Retry)
        return LlmRetry(
            llm=path.name,
            model=path.model[:_MODEL_LIMIT],
            reason=failure.reason,
            attempt=self._failures,
            max_attempts=path.plan.attempts,
            wait_s=verdict.wait_s,
            waited_s=self._waited_s + verdict.wait_s,
            retry_at=path.now() + timedelta(seconds=verdict.wait_s),
            message=failure.message,
            action=failure.action,
            status_code=failure.status,
            retry_after_s=failure.retry_after_s,
        )

    def _attempt(self, reason: Reason) -> RetryNotice:
        return LlmAttempt(
            llm=self._path.name,
            model=self._path.model[:_MODEL_LIMIT],
            reason=reason,
            attempt=self.attempt,
            max_attempts=self._path.plan.attempts,
        )

    def _recovery(self) -> RetryNotice:
        return LlmRecovered(llm=self._path.name, model=self._path.model[:_MODEL_LIMIT], attempt=self.attempt)

    def _give_up(self, state: RetryCallState) -> NoReturn:
        """End the run.

        Raises:
            LlmError: always.
        """
        assert state.outcome is not None
        assert self._failure is not None
        cause = state.outcome.exception()
        assert cause is not None
        scrub(cause, known_secrets(self._params))
        raise _ending(self._verdict, self._failure, self._failures, self._path) from cause


def _ending(verdict: Verdict, failure: Failure, attempt: int, path: Path) -> LlmError:
    """Make the error that a run ends with."""
    if isinstance(verdict, Park) and verdict.reason is not failure.reason:
        # A limit that asks for days is a quota, whatever it is called.
        failure = replace(failure, reason=verdict.reason, retryable=False, action=advice.QUOTA_ENDS)
    text = (
        f"{path.name} ({path.model}): attempt {attempt} of {path.plan.attempts} failed: "
        f"{failure.reason}: {failure.message} - {failure.action}"
    )
    told: dict[str, Any] = {
        "failure": failure,
        "attempt": attempt,
        "max_attempts": path.plan.attempts,
        "model": path.model,
        "llm": path.name,
        "plan": path.plan,
    }
    if not isinstance(verdict, Park):
        return LlmCallFailed(text, **told)
    kind = LlmCallLimited if failure.reason.is_rate_limit else LlmCallParked
    schedule = verdict.wait_s is None and verdict.reason is not Reason.QUOTA_EXHAUSTED
    return kind(text, **told, resume_in_s=verdict.wait_s, schedule=schedule)
