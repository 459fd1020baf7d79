"""What goes wrong is decided by the seed."""

from __future__ import annotations

import random

import pytest

from tests.chaos.faults import SERVER, Family, Planned, schedule
from tests.chaos.server import Durability

ACTORS = ("worker-1", "controller-1", "person-1")
MORTAL = ACTORS[:2]


def drawn(seed: int, durability: Durability = Durability.ALWAYS, family: Family = Family.ALL) -> list[Planned]:
    """Draw what goes wrong in a minute."""
    return schedule(random.Random(seed), durability, family, 60.0, ACTORS, MORTAL)


def test_the_same_seed_draws_the_same() -> None:
    """And another one something else."""
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


@pytest.mark.parametrize("seed", range(20))
def test_faults_come_in_order_and_end_in_time(seed: int) -> None:
    """None begins before the one that stands before it, and none outlasts the time of the faults."""
    faults = drawn(seed)
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)
    assert all(fault.at_s + fault.lasts_s <= 60.01 for fault in faults)


@pytest.mark.parametrize("family", [Family.NETWORK, Family.SERVER, Family.PROCESS])
def test_each_family_meets_what_is_its_own(family: Family) -> None:
    """Processes of people and readers are never killed, and only the server's faults are done to it."""
    targets = {fault.target for seed in range(20) for fault in drawn(seed, family=family)}
    expected = {Family.NETWORK: {*ACTORS, "everyone"}, Family.SERVER: {SERVER}, Family.PROCESS: set(MORTAL)}
    assert targets == expected[family]


def test_everything_is_drawn_now_and_then() -> None:
    """All families together have each kind of each."""
    apart = {
        fault.kind
        for family in (Family.NETWORK, Family.SERVER, Family.PROCESS)
        for seed in range(20)
        for fault in drawn(seed, family=family)
    }
    assert {fault.kind for seed in range(40) for fault in drawn(seed)} == apart


def test_what_was_flushed_stays_away() -> None:
    """All data go at most once in a run, and never where a crash could bring them back."""
    counts = [sum(fault.kind == "flush-all" for fault in drawn(seed)) for seed in range(40)]
    assert set(counts) == {0, 1}
    assert not any(fault.kind == "flush-all" for seed in range(40) for fault in drawn(seed, Durability.EVERYSEC))
