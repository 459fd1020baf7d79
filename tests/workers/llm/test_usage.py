"""Counting requests and tokens."""

from __future__ import annotations

from tidings.workers.llm import Tokens, Usage


def test_answers_and_waste_are_counted_apart() -> None:
    """What was not reported counts nothing."""
    usage = Usage(attempts=3)
    usage.spend(Tokens(10, 4))
    usage.spend(Tokens(None, 2))
    usage.waste(Tokens(5, None))
    assert usage == Usage(3, 2, 0, 10, 6, 5)
