"""The first signal is a wish to end; it is heeded at once, and never loses what had been done."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from tests.waiting import eventually
from workers.demo.interruption import Interruption


async def test_work_is_done_when_nobody_interrupts() -> None:
    """Without a wish the work comes to its end."""
    done: list[str] = []

    async def work() -> None:
        done.append("done")

    with Interruption() as interruption:
        assert await interruption.spared(work())
    assert done == ["done"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_cancels_the_work(number: signal.Signals) -> None:
    """The work is cancelled, and its clearing up is waited for."""
    cleared = asyncio.Event()

    async def work() -> None:
        os.kill(os.getpid(), number)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleared.set()

    with Interruption() as interruption:
        assert not await interruption.spared(work())
        assert interruption.code == 128 + number
    assert cleared.is_set()


async def test_work_that_swallows_a_cancellation_is_cancelled_again() -> None:
    """A library may lose a cancellation; that does not keep anybody from leaving."""
    swallowed: list[str] = []

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        while len(swallowed) < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.append("one")

    with Interruption() as interruption:
        assert not await interruption.spared(work())
    assert len(swallowed) == 3


async def test_an_error_of_the_work_passes() -> None:
    """What goes wrong is not hidden."""

    async def work() -> None:
        raise ZeroDivisionError

    with Interruption() as interruption, pytest.raises(ZeroDivisionError):
        await interruption.spared(work())


async def test_the_second_signal_is_an_ordinary_one() -> None:
    """After the wish signals do again what they usually do, also after the first of two wishes."""
    before = signal.getsignal(signal.SIGTERM)
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        await eventually(lambda: signal.getsignal(signal.SIGTERM) == before)
        interruption.wish(signal.SIGINT)
        await interruption.wait()
        assert interruption.code == 128 + signal.SIGTERM


async def test_a_key_is_like_ctrl_c() -> None:
    """A wish without a signal ends with the code of Ctrl-C."""
    with Interruption() as interruption:
        interruption.wish()
        await interruption.wait()
        assert interruption.code == 130
