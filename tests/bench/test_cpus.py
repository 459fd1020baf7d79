"""On which CPUs the benchmark runs."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from bench.cpus import pinned

SERVER = 4711


@pytest.fixture
def affinity(monkeypatch: pytest.MonkeyPatch) -> dict[int, set[int]]:
    """Stand in for the kernel: the CPUs of each process, 0 is ours."""
    held = {0: {1, 3, 5}, SERVER: {1, 3, 5}}

    def hold(pid: int, cpus: Iterable[int]) -> None:
        held[pid] = set(cpus)

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(held[pid]), raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", hold, raising=False)
    return held


def test_one_thing_after_the_other_shares_a_cpu(affinity: dict[int, set[int]]) -> None:
    """Client and server are on the same one, and are let go afterwards."""
    with pinned(SERVER, together=True) as how:
        assert affinity[0] == affinity[SERVER]
        assert len(affinity[0]) == 1
        assert how == "one CPU"
    assert affinity == {0: {1, 3, 5}, SERVER: {1, 3, 5}}


def test_many_things_at_a_time_have_two(affinity: dict[int, set[int]]) -> None:
    """Client and server work at the same time."""
    with pinned(SERVER, together=False) as how:
        assert len(affinity[0]) == len(affinity[SERVER]) == 1
        assert affinity[0].isdisjoint(affinity[SERVER])
        assert how == "two CPUs"


def test_we_are_let_go_after_a_failure(affinity: dict[int, set[int]]) -> None:
    """A failing case does not leave the process on one CPU."""
    with pytest.raises(KeyError), pinned(SERVER, together=True):
        raise KeyError
    assert affinity[0] == {1, 3, 5}


def test_with_one_cpu_the_report_says_so(affinity: dict[int, set[int]]) -> None:
    """What was asked for and cannot be had is not claimed."""
    affinity[0] = {2}
    with pinned(SERVER, together=False) as how:
        assert how == "one CPU"


def test_without_the_call_nothing_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS there is no such call, and the report says so."""
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    with pinned(SERVER, together=True) as how:
        assert how == "not pinned"
