"""Loads of the benchmark."""

from __future__ import annotations

from bench.case import LARGE, TASKS, Load


def test_a_quick_load_is_small_and_still_shares() -> None:
    """It keeps its size and gives each task something to do."""
    quick = Load(2_000, TASKS, LARGE).quick()
    assert quick.size == LARGE
    assert 1 < quick.tasks <= quick.operations < 100


def test_a_quick_load_of_one_stays_alone() -> None:
    """One by one stays one by one, also where nothing is left to shrink."""
    quick = Load(20).quick()
    assert quick.alone
    assert quick.operations == 1
