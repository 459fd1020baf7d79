"""A callback: what an Llm has to say is handed over, and what the callback raises does no harm to a call."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from tidings.bus.messages import LlmAttempt, LlmRecovered, LlmRetry

log = logging.getLogger("tidings.llm")

RetryNotice = LlmRetry | LlmAttempt | LlmRecovered
"""What an Llm tells while it works: a failure that will be retried, the next attempt going out, the success after such."""

T = TypeVar("T")


class Callback(Generic[T]):
    """Calls a function, which may raise; what it raises is logged the first time and swallowed always.

    Raises:
        TypeError: it is a coroutine function. It would have to be awaited, and a call to a model waits for no callback.
    """

    def __init__(self, function: Callable[[T], None] | None) -> None:
        if inspect.iscoroutinefunction(function):
            raise TypeError(
                "a callback of an Llm must not be async: it is never awaited; hand the notice to a queue (Lease.tell)"
            )
        self._function = function
        self._complained = False

    def __call__(self, make: Callable[[], T]) -> None:
        """Make what is to be told, and tell it; returns when the function does and never raises.

        It is made in here because a value that the wire refuses (a model's name of 300 characters) must not
        fail a call either.
        """
        if self._function is None:
            return
        try:
            self._function(make())
        # It is not awaited, so a CancelledError out of it is its own and not our task's.
        except (Exception, asyncio.CancelledError):
            if not self._complained:
                self._complained = True
                log.warning("llm.tell_failed", exc_info=True)
