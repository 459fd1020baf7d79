"""Keep an agent's code from ending the process: ``sys.exit()`` in a session is a failure of that session."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

from tidings.bus.worker.watchdog import WORK

log = logging.getLogger("tidings.worker")

T = TypeVar("T")

CANCEL_S = 5.0
"""How long work that was cancelled may take to end."""
EXITS = (SystemExit, KeyboardInterrupt)
"""What ends an event loop when any of its tasks raises it."""


class AgentExit(Exception):
    """A task of an agent's raised what would have ended the process; that is its ``__cause__``."""


def is_ctrl_c(error: BaseException) -> bool:
    """Whether an exception may be a person's Ctrl-C, which ends the process in every case.

    Where SIGINT has a handler of another kind, as in ``tidings worker``, it raises nothing.
    """
    if not isinstance(error, KeyboardInterrupt):
        return False
    handler = signal.getsignal(signal.SIGINT)
    # asyncio.run has a handler of its own, which raises it at the second Ctrl-C.
    by_asyncio = getattr(getattr(handler, "func", None), "__qualname__", "") == "Runner._on_sigint"
    return by_asyncio or handler is signal.default_int_handler


def root_of(error: BaseException) -> BaseException:
    """Return what a task of an agent's raised, where a task group or our own containment has put it into another exception."""
    while True:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        elif isinstance(error, AgentExit) and error.__cause__ is not None:
            error = error.__cause__
        else:
            return error


async def to_its_end(work: Coroutine[Any, Any, T], session: str) -> T:
    """Run an agent's work in a task of its own, and return what it returns.

    A cancellation reaches it at once; work that has not ended `CANCEL_S` later is left behind: its writes are refused by then.
    """
    task = asyncio.create_task(work, name=f"tidings-work-{session}")
    try:
        await asyncio.wait({task})
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_S)
        if not task.done():
            log.error("worker.work_does_not_end", extra={"session": session})
        elif not task.cancelled():
            task.exception()


def contain_exits(loop: asyncio.AbstractEventLoop) -> None:
    """Have the tasks that agents make on a loop raise ``AgentExit`` in place of what would end it.

    asyncio lets those two exceptions pass through the loop, so that nothing that waits for the task could catch them. A task
    factory that the loop has already goes on making the tasks.
    """
    make = loop.get_task_factory()
    if isinstance(make, _Containing):
        return
    loop.set_task_factory(_Containing(make))  # type: ignore[arg-type]  # its arguments differ from Python to Python


class _Containing:
    """A task factory."""

    def __init__(self, make: Any) -> None:
        self._make = make or _task

    def __call__(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **given: Any) -> Any:
        context = given.get("context")
        lease = WORK.get() if context is None else context.get(WORK)
        return self._make(loop, work if lease is None else _Contained(work), **given)


def _task(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **given: Any) -> asyncio.Task[Any]:
    return asyncio.Task(work, loop=loop, **given)


class _Contained(Coroutine[Any, Any, Any]):
    """A coroutine that ends no loop; it is sent, thrown into and closed as the one within."""

    def __init__(self, work: Coroutine[Any, Any, Any]) -> None:
        self._work = work

    def send(self, value: Any) -> Any:
        """Go on."""
        try:
            return self._work.send(value)
        except EXITS as error:
            raise _contained(error) from error

    def throw(self, *error: Any) -> Any:
        """Go on with an exception."""
        try:
            return self._work.throw(*error)
        except EXITS as error:
            raise _contained(error) from error

    def close(self) -> None:
        """End it."""
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._work.__await__()

    def __getattr__(self, name: str) -> Any:
        # What asyncio and debuggers show of a coroutine.
        return getattr(self._work, name)


def _contained(error: BaseException) -> BaseException:
    return error if is_ctrl_c(error) else AgentExit(repr(error))
