"""The errors of calls to models."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tidings.bus.messages import Reason
from tidings.workers.errors import BrokenAnswer, LlmCallFailed, LlmCallLimited, LlmError
from tidings.workers.retry import classify

FAILURE = classify(TimeoutError(), now=datetime(2026, 11, 22, tzinfo=UTC))


@pytest.mark.parametrize("kind", [LlmCallFailed, LlmCallLimited])
def test_an_error_carries_what_happened(kind: type[LlmError]) -> None:
    """On attributes; the text is for people."""
    error = kind("text", failure=FAILURE, attempt=2, max_attempts=6, model="openai/x", llm="condenser")
    assert str(error) == "text"
    assert (error.failure, error.attempt, error.max_attempts) == (FAILURE, 2, 6)
    assert (error.model, error.llm) == ("openai/x", "condenser")
    assert isinstance(error, LlmError)


def test_a_rate_limit_says_when_to_go_on() -> None:
    """Nothing said is an exhausted quota: no time, no schedule."""
    error = LlmCallLimited("text", failure=FAILURE, attempt=1, max_attempts=6, model="openai/x")
    assert (error.resume_in_s, error.schedule, error.llm) == (None, False, "agent")


def test_a_broken_answer_is_none_of_them() -> None:
    """It is a cause; callers catch LlmError."""
    error = BrokenAnswer("half", Reason.CONNECTION)
    assert not isinstance(error, LlmError)
    assert error.reason is Reason.CONNECTION
