"""Bounded waiting, in place of sleeps. How long is said here and nowhere else."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

from tidings.workers.testing.patience import stretch

T = TypeVar("T")

PATIENCE_S = 30.0 * stretch()
"""A guard against waiting for ever, not a measure of speed: what is waited for takes a moment."""

_POLL_S = 0.005


@overload
async def eventually(predicate: Callable[[], Awaitable[T]], timeout: float = ..., message: str = ...) -> T: ...


@overload
async def eventually(predicate: Callable[[], T], timeout: float = ..., message: str = ...) -> T: ...


async def eventually(
    predicate: Callable[[], T | Awaitable[T]],
    timeout: float = PATIENCE_S,
    message: str = "",
) -> T:
    """Wait until `predicate` holds and return its value.

    Args:
        predicate: A plain or async function. It holds when its value is true; an AssertionError counts as
            "not yet", so it may be written with `assert`.
        timeout: Seconds after which the wait fails.
        message: What was waited for, for the report of a failure.

    Raises:
        AssertionError: It never held in that time. The text has the last value or the last assertion.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while True:
        failed: AssertionError | None = None
        last: T | None = None
        try:
            value = predicate()
            last = await value if inspect.isawaitable(value) else value
            if last:
                return last
        except AssertionError as error:
            failed = error
        if loop.time() >= deadline:
            wanted = message or inspect.getdoc(predicate) or repr(predicate)
            raise AssertionError(f"not within {timeout:g} s: {wanted} (last: {failed or last!r})") from failed
        await asyncio.sleep(_POLL_S)
