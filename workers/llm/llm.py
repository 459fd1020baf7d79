"""The Llm: calls a model, plain or streaming, and repeats the call as its plan says."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Self

from tidings.bus.messages import Wait
from tidings.bus.worker.lease import Lease
from tidings.workers.errors import AnswerTooLong
from tidings.workers.llm import library
from tidings.workers.llm.answers import (
    Assembly,
    Completion,
    Delta,
    Restart,
    broken_off,
    ended_early,
    read_completion,
    read_tokens,
    stream_tokens,
    told_error,
)
from tidings.workers.llm.bounds import ANSWER_BYTES, bounded
from tidings.workers.llm.call import Call, Path
from tidings.workers.llm.callback import Callback, RetryNotice
from tidings.workers.llm.gate import Gate, GuardedGate
from tidings.workers.llm.received import Received
from tidings.workers.llm.request import (
    Messages,
    Tools,
    build_request,
    check_params,
    check_prompt,
    checked_name,
)
from tidings.workers.llm.retry_now import RetryNow
from tidings.workers.llm.usage import Usage
from tidings.workers.retry import RetryPlan

STREAM_TIMEOUTS = 30
"""Time-outs that a stream is waited for in all, an hour by default: a long answer takes minutes, a trickle has no end."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Llm:
    """One path from an agent to a model.

    A call makes up to `RetryPlan.attempts` attempts; each is one HTTP request. Before each wait a
    `LlmRetry` is told, when the next attempt goes out a `LlmAttempt`, after the success that follows a
    `LlmRecovered`. A call that ends otherwise,
    by an `LlmError` or a cancellation, tells nothing more, it only calls ``on_give_up``: leaving it is the end of
    its wait. Whoever catches it says more (by parking or failing the session).

    Pausing and stopping are cancellations of the task that calls; they end a wait and a request at once. One
    path may be called by several tasks at the same time, but what it tells is told by path: give parallel
    calls paths of their own (`named`).

    Args:
        model: as litellm is asked for it, e.g. ``openai/gpt-4o``; calls with one that it does not know fail.
        name: of this path within the agent: ``agent``, ``condenser``, ...; 1 to 64 characters.
        on_notice: gets what there is to tell; it is called between attempts, so it must return at once, and is
            never awaited. What it raises is logged once and harms nothing.
        on_give_up: gets the name of a path whose call told a wait and then ended without success; otherwise like ``on_notice``.
        plan: how often, how long and in which rhythm.
        waits: calls that failed under an earlier worker, by name of the path (`Lease.waits`): the first call of a path asks
            no sooner than was told then, and counts on.
        retry_now: ends the waits under way when it is set.
        now: server time (`bus.Bus.now`), for the instants that are told.
        timeout_s: how long an attempt may go without its answer: a plain one until the answer is complete, a
            stream until the next piece of it. In all a stream is waited for `STREAM_TIMEOUTS` times as long.
        max_answer_bytes: of one answer, decompressed; a plain one, and each event of a stream, may have an eighth. A longer one
            is given up.
        api_base: where the provider is, if not where litellm thinks; without a user and a password in it.
        rng: gives 0 to 1, for the jitter.
        sleep: waits the seconds given.
        gate: paces attempts and learns from them; None for no pacing.
        params: passed to litellm with each request, untouched.

    Raises:
        TypeError: a parameter is one of those that are not passed on, or ``on_notice`` is async.
        ValueError: ``name``, ``timeout_s`` or ``max_answer_bytes`` is none, or a user and a password are in ``api_base``.
    """

    def __init__(
        self,
        model: str,
        *,
        name: str = "agent",
        on_notice: Callable[[RetryNotice], None] | None = None,
        on_give_up: Callable[[str], None] | None = None,
        plan: RetryPlan | None = None,
        waits: Mapping[str, Wait] | None = None,
        retry_now: RetryNow | None = None,
        now: Callable[[], datetime] = _utc_now,
        timeout_s: float = 120.0,
        max_answer_bytes: int = ANSWER_BYTES,
        api_base: str | None = None,
        rng: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        gate: Gate | None = None,
        **params: Any,
    ) -> None:
        if not timeout_s > 0:
            raise ValueError(f"timeout_s is {timeout_s}: give the seconds that an attempt may take")
        if not max_answer_bytes > 0:
            raise ValueError(f"max_answer_bytes is {max_answer_bytes}: give the bytes that an answer may have")
        self._timeout_s, self._max_answer_bytes = timeout_s, max_answer_bytes
        params = params if api_base is None else {**params, "api_base": api_base}
        check_params(params)
        self._path = Path(
            name=checked_name(name),
            model=model,
            params=params,
            plan=plan or RetryPlan(),
            retry_now=retry_now or RetryNow(),
            on_notice=Callback(on_notice),
            on_give_up=Callback(on_give_up),
            gate=GuardedGate(gate),
            usage=Usage(),
            waits=dict(waits or {}),
            now=now,
            rng=rng,
            sleep=sleep,
        )

    @classmethod
    def on(cls, lease: Lease, model: str, **options: Any) -> Self:
        """Make one for the work under a lease: its waits are told and kept, and a person's resume ends them.

        It goes on with the calls that failed under an earlier worker: it asks no sooner than was told then, and counts on.

        Args:
            lease: the session in hand.
            model: as litellm is asked for it.
            options: further arguments of the constructor.
        """
        given: dict[str, Any] = {"on_notice": lease.tell, "on_give_up": lease.clear, "waits": lease.waits, "now": lease.now}
        made = cls(model, **given | options)
        lease.on_retry_now(made.retry_now.set)
        lease.counts(lambda: made.usage.succeeded)
        return made

    def __repr__(self) -> str:
        return f"Llm({self.model!r}, name={self.name!r})"

    @property
    def name(self) -> str:
        """Name of this path within the agent."""
        return self._path.name

    @property
    def model(self) -> str:
        """The model, as litellm is asked for it."""
        return self._path.model

    @property
    def plan(self) -> RetryPlan:
        """How often, how long and in which rhythm calls are repeated."""
        return self._path.plan

    @property
    def retry_now(self) -> RetryNow:
        """What ends the waits under way."""
        return self._path.retry_now

    @property
    def usage(self) -> Usage:
        """Running totals of this path alone."""
        return self._path.usage

    def named(self, name: str, model: str | None = None) -> Llm:
        """Return another path (a condenser, a title) that shares all but name, usage and, if given, model.

        Raises:
            ValueError: the name is none.
        """
        sibling = copy.copy(self)
        sibling._path = replace(
            self._path,
            name=checked_name(name),
            model=self.model if model is None else model,
            usage=Usage(),
        )
        return sibling

    async def complete(self, messages: Messages, *, tools: Tools | None = None, **params: Any) -> Completion:
        """Ask the model and return its answer.

        Args:
            messages: the prompt, in OpenAI's form.
            tools: in OpenAI's form; None or none for no tools.
            params: passed to litellm with this call only, over those of the constructor.

        Raises:
            LlmCallFailed: waiting does not help; the provider's error is the ``__cause__``.
            LlmCallLimited: a limit outlasts what is waited for; likewise.
            LlmCallParked: an outage does; likewise.
            TypeError: a message is no mapping, or a parameter is not passed on; nothing was sent.
        """
        check_params(params)
        check_prompt(messages)
        await library.loaded_beside()
        with Call(self._path, params) as call:

            async def attempt() -> Completion:
                await call.begin()
                return await self._ask(self._request(messages, tools, params), call.attempt)

            completion: Completion = await call.retrying()(attempt)
            call.succeed(completion)
            return completion

    def stream(
        self, messages: Messages, *, tools: Tools | None = None, **params: Any
    ) -> AsyncGenerator[Delta | Restart | Completion]:
        """Ask the model and yield its answer as it comes; the last item is the `Completion`.

        A stream that breaks is begun anew within the same plan. Nothing of the broken one is kept: a
        `Restart` goes before what follows. Whoever leaves early closes it (``contextlib.aclosing``), which
        closes the connection. Args and Raises are those of `complete`; errors of the call come while
        iterating.
        """
        check_params(params)
        check_prompt(messages)
        return self._stream(messages, tools, params)

    async def _stream(
        self, messages: Messages, tools: Tools | None, params: Mapping[str, Any]
    ) -> AsyncGenerator[Delta | Restart | Completion]:
        await library.loaded_beside()
        with Call(self._path, params) as call:
            async with contextlib.aclosing(self._parts(call, messages, tools, params)) as parts:
                async for part in parts:
                    yield part

    async def _parts(
        self, call: Call, messages: Messages, tools: Tools | None, params: Mapping[str, Any]
    ) -> AsyncGenerator[Delta | Restart | Completion]:
        """Make the attempts of a stream and yield what they bring."""
        void = False
        async for attempt in call.retrying():
            shown = False
            completion: Completion | None = None
            try:
                await call.begin()
                request = self._stream_request(messages, tools, params)
                async with contextlib.aclosing(self._receive(request, call.attempt)) as parts:
                    async for part in parts:
                        if void:
                            void = False
                            yield Restart(call.attempt)
                        if isinstance(part, Completion):
                            completion = part
                            break
                        shown = True
                        yield part
            # Not by tenacity's context manager: to it, a reader who leaves (GeneratorExit) is a failure.
            except Exception as error:
                attempt.retry_state.set_exception((type(error), error, error.__traceback__))
                void = void or shown
            else:
                assert completion is not None
                call.succeed(completion)
                yield completion
                return

    async def _ask(self, request: Mapping[str, Any], attempt: int) -> Completion:
        """Make one attempt at a plain call."""
        received = Received()
        async with self._bounded("no complete answer", received, streaming=False):
            response = await library.ask(**request)
        try:
            return read_completion(response, received, model=self.model, attempts=attempt)
        except Exception:
            self.usage.waste(read_tokens(getattr(response, "usage", None)))
            raise

    async def _receive(self, request: Mapping[str, Any], attempt: int) -> AsyncGenerator[Delta | Completion]:
        """Make one attempt at a stream; it is closed before its completion is yielded."""
        assembly, received = Assembly(), Received()
        stream: Any = None
        completion: Completion | None = None
        waited_s = 0.0
        try:
            async with self._bounded("no answer began", received):
                stream = await library.ask(**request)
            while True:
                asked_at = time.monotonic()
                if (chunk := await self._next(stream, received)) is None:
                    break
                waited_s += time.monotonic() - asked_at
                if waited_s > STREAM_TIMEOUTS * self._timeout_s:
                    raise AnswerTooLong.in_seconds(STREAM_TIMEOUTS * self._timeout_s)
                if text := assembly.add(chunk):
                    yield Delta(text)
            completion = assembly.completion(stream, received, model=self.model, attempts=attempt)
        finally:
            if completion is None:
                self.usage.waste(stream_tokens(stream))
            await library.close_stream(stream)
        yield completion

    async def _next(self, stream: Any, received: Received) -> Any:
        """Return the next chunk, None at the end."""
        async with self._bounded("the answer stood still: nothing came", received):
            try:
                return await anext(stream, None)
            except Exception as error:
                if ended_early(stream, error):
                    raise broken_off() from error
                raise

    @contextlib.asynccontextmanager
    async def _bounded(self, what: str, received: Received, *, streaming: bool = True) -> AsyncIterator[None]:
        """Bound what happens inside in time and bytes: litellm's own time-outs are per read, and a trickle never meets them.

        Raises:
            BrokenAnswer: it failed, and the provider has said why where litellm did not look.
        """
        timer = asyncio.timeout(self._timeout_s)
        try:
            with bounded(self._max_answer_bytes, streaming=streaming, received=received):
                async with timer:
                    yield
        except Exception as error:
            if (told := told_error(received)) is not None:
                raise told from error
            if isinstance(error, TimeoutError) and timer.expired():
                raise TimeoutError(f"{what} within {self._timeout_s:g} s") from None
            raise

    def _request(self, messages: Messages, tools: Tools | None, params: Mapping[str, Any]) -> dict[str, Any]:
        return build_request(self.model, messages, tools, {**self._path.params, **params}, self._timeout_s)

    def _stream_request(self, messages: Messages, tools: Tools | None, params: Mapping[str, Any]) -> dict[str, Any]:
        request = self._request(messages, tools, params) | {"stream": True}
        if "stream_options" not in request and library.accepts(self.model, "stream_options"):
            request["stream_options"] = {"include_usage": True}
        return request
