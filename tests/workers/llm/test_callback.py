"""Telling listeners."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tidings.bus.messages import LlmRecovered, LlmRetry, Reason
from tidings.workers.llm.callback import Callback, RetryNotice

RECOVERED = LlmRecovered(attempt=2)


def test_what_is_made_is_told() -> None:
    """As it is."""
    told: list[RetryNotice] = []
    Callback(told.append)(lambda: RECOVERED)
    assert told == [RECOVERED]


def test_without_a_listener_nothing_is_made() -> None:
    """Nor is it without."""
    Callback(None)(lambda: pytest.fail("made for nobody"))


@pytest.mark.parametrize("error", [ValueError("no"), asyncio.CancelledError()])
def test_a_listener_that_raises_is_logged_once(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """It is called again the next time."""
    calls = 0

    def tell(_: RetryNotice) -> None:
        nonlocal calls
        calls += 1
        raise error

    teller = Callback(tell)
    with caplog.at_level(logging.WARNING, "tidings.llm"):
        teller(lambda: RECOVERED)
        teller(lambda: RECOVERED)
    assert calls == 2
    assert [record.message for record in caplog.records] == ["llm.tell_failed"]


def test_what_cannot_be_made_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """A value that the wire refuses is like a listener that raises."""
    told: list[RetryNotice] = []
    with caplog.at_level(logging.WARNING, "tidings.llm"):
        Callback(told.append)(lambda: LlmRetry(reason=Reason.TIMEOUT, attempt=0))
    assert told == []
    assert [record.message for record in caplog.records] == ["llm.tell_failed"]


def test_a_listener_that_stops_the_process_may() -> None:
    """Only what it raises as an error is swallowed."""

    def tell(_: RetryNotice) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Callback(tell)(lambda: RECOVERED)


def test_an_async_listener_is_refused() -> None:
    """It would never run: nobody awaits it."""

    async def tell(_: RetryNotice) -> None:
        raise AssertionError

    with pytest.raises(TypeError, match="never awaited"):
        Callback(tell)  # type: ignore[arg-type]  # what a user without a type checker does
