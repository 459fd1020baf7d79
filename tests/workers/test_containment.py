"""An agent that would end the process ends its session."""

from __future__ import annotations

import asyncio
import contextvars
import signal
from collections.abc import AsyncIterator, Coroutine
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from tidings.bus import Bus, Lease, WorkerRef
from tidings.workers.containment import AgentExit, contain_exits, is_ctrl_c, to_its_end


@pytest.fixture
async def lease() -> AsyncIterator[Lease]:
    """A session held on a loop whose agents are contained; SIGINT is told to the loop, as in a worker's process."""
    loop = asyncio.get_running_loop()
    before, factory = signal.getsignal(signal.SIGINT), loop.get_task_factory()
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    contain_exits(loop)
    async with Bus.connect(f"memory://{uuid4().hex}") as bus:
        claimed = await bus.worker.claim(WorkerRef(name="w1"), session="s", create=True)
        assert claimed is not None
        yield claimed
    loop.set_task_factory(factory)
    loop.remove_signal_handler(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


async def within(lease: Lease, work: Coroutine[Any, Any, None]) -> None:
    """Do some work under a lease, as a worker does."""
    async with lease:
        await to_its_end(work, lease.session)


async def _raise(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


async def _alone(error: BaseException) -> None:
    await _raise(error)


async def _gathered(error: BaseException) -> None:
    await asyncio.gather(_raise(error), asyncio.sleep(0))


async def _timed(error: BaseException) -> None:
    await asyncio.wait_for(_raise(error), 60)


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()], ids=["exit", "interrupt"])
@pytest.mark.parametrize("work", [_alone, _gathered, _timed])
async def test_it_comes_out_where_the_task_is_waited_for(lease: Lease, work: Any, error: BaseException) -> None:
    """In the agent's own task, and in those that it makes; the loop goes on."""
    with pytest.raises(AgentExit) as told:
        await within(lease, work(error))
    assert told.value.__cause__ is error
    await asyncio.sleep(0)


async def test_tasks_are_what_they_were(lease: Lease) -> None:
    """Names, contexts, cancellation and results, and what other code on the loop makes."""
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    context = contextvars.Context()

    async def work() -> None:
        task = asyncio.create_task(_value(), name="mine")
        assert (task.get_name(), await task) == ("mine", 7)
        assert "_value" in repr(task)
        inner = contextvars.copy_context()
        inner.run(variable.set, 3)
        assert await asyncio.create_task(_get(variable), context=inner) == 3
        cancelled = asyncio.create_task(_raise(KeyError()))
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled

    async def _value() -> int:
        return 7

    await within(lease, work())
    assert await asyncio.create_task(_get(variable), context=context) == 0


async def _get(variable: contextvars.ContextVar[int]) -> int:
    return variable.get()


async def test_a_task_factory_of_the_users_goes_on() -> None:
    """And is put in front of once."""
    loop = asyncio.get_running_loop()
    made: list[str] = []

    def factory(on: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **given: Any) -> asyncio.Task[Any]:
        made.append("task")
        return asyncio.Task(work, loop=on, **given)

    loop.set_task_factory(factory)  # type: ignore[arg-type]
    try:
        contain_exits(loop)
        first = loop.get_task_factory()
        contain_exits(loop)
        assert loop.get_task_factory() is first
        await asyncio.create_task(asyncio.sleep(0))
        assert made == ["task"]
    finally:
        loop.set_task_factory(None)


def test_ctrl_c_is_told_from_an_agents_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    """By whether SIGINT would raise it here: with Python's handler and with that of asyncio.run, not with another one."""

    def handled_by(handler: object) -> bool:
        monkeypatch.setattr(signal, "getsignal", lambda number: handler)
        return is_ctrl_c(KeyboardInterrupt())

    assert handled_by(signal.default_int_handler)
    assert handled_by(partial(asyncio.Runner()._on_sigint, main_task=None))  # type: ignore[attr-defined]
    assert not handled_by(lambda *_: None)
    assert not handled_by(signal.SIG_IGN)
    assert not is_ctrl_c(SystemExit(1))
