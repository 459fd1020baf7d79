"""Gates that misbehave."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from tidings.workers.errors import LlmCallFailed
from tidings.workers.llm import Tokens
from tidings.workers.llm.gate import GuardedGate
from tidings.workers.retry import Failure, classify

FAILURE = classify(TimeoutError(), now=datetime(2026, 11, 22, tzinfo=UTC))


class Broken:
    """A gate that raises whatever it is asked."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def acquire(self, model: str) -> None:
        raise self.error

    def settle(self, model: str, usage: Tokens) -> None:
        raise self.error

    def refuse(self, model: str, failure: Failure) -> None:
        raise self.error


async def test_a_broken_gate_is_open(caplog: pytest.LogCaptureFixture) -> None:
    """It lets everything pass and is complained of once."""
    gate = GuardedGate(Broken(RuntimeError("no Redis")))
    with caplog.at_level(logging.WARNING, "tidings.llm"):
        await gate.acquire("openai/x")
        gate.settle("openai/x", Tokens(1, 1))
        gate.refuse("openai/x", FAILURE)
    assert [record.message for record in caplog.records] == ["llm.gate_failed"]


async def test_a_gate_that_refuses_is_heard() -> None:
    """An LlmError of acquire is meant."""
    refusal = LlmCallFailed("closed", failure=FAILURE, attempt=1, max_attempts=6, model="openai/x")
    with pytest.raises(LlmCallFailed):
        await GuardedGate(Broken(refusal)).acquire("openai/x")


async def test_no_gate_is_open() -> None:
    """Nothing is called."""
    gate = GuardedGate(None)
    await gate.acquire("openai/x")
    gate.settle("openai/x", Tokens())
    gate.refuse("openai/x", FAILURE)
