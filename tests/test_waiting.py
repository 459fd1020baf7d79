"""Bounded waiting."""

from __future__ import annotations

import pytest

from tests.waiting import eventually


async def test_it_returns_the_first_true_value() -> None:
    """A plain predicate is asked again until its value is true, and that value comes back."""
    tries: list[int] = []

    def third_time() -> list[int] | None:
        tries.append(1)
        return tries if len(tries) == 3 else None

    assert await eventually(third_time) == [1, 1, 1]


async def test_it_awaits_async_predicates_and_takes_assertions_for_not_yet() -> None:
    """An async predicate may be written with assert."""
    tries: list[int] = []

    async def second_time() -> bool:
        tries.append(1)
        assert len(tries) == 2, "too early"
        return True

    assert await eventually(second_time)


async def test_it_fails_with_what_was_wanted_and_what_was_seen() -> None:
    """The report names the wish and the last value."""
    with pytest.raises(AssertionError, match=r"not within 0\.02 s: a miracle \(last: 0\)"):
        await eventually(lambda: 0, timeout=0.02, message="a miracle")


async def test_it_fails_with_the_last_assertion() -> None:
    """An assertion that never held is the cause of the failure."""

    def never() -> bool:
        raise AssertionError("still closed")

    with pytest.raises(AssertionError, match="still closed") as failure:
        await eventually(never, timeout=0.02)
    assert isinstance(failure.value.__cause__, AssertionError)


async def test_other_errors_are_not_waited_out() -> None:
    """A bug in the predicate is told at once."""
    with pytest.raises(ZeroDivisionError):
        await eventually(lambda: 1 // 0)
