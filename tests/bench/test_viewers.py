"""The benchmark of the gateway: that it runs, counts and prints. What it prints is nobody's test."""

from __future__ import annotations

import json

import pytest

from bench import viewers
from bench.viewers import Turn


@pytest.mark.full
@pytest.mark.process
def test_it_runs_and_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """A quick run has both servers, each with figures of its own."""
    assert viewers.main(["--quick", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["turns"]) == {"gateway", "bare"}
    assert all(turn["p99_ms"] >= turn["p50_ms"] > 0 for turns in printed["turns"].values() for turn in turns)
    assert set(printed["figures"]) == set(Turn.__dataclass_fields__)
