"""The benchmark beside redis-py: that it runs and prints. What it prints is nobody's test."""

from __future__ import annotations

import json
import os

import pytest

from bench import speed
from bench.case import Case


@pytest.mark.full
@pytest.mark.parametrize("case", speed.CASES, ids=lambda case: case.name)
def test_each_case_runs_and_prints(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    """A quick run has every comparison under every load, with a figure on both sides."""
    assert speed.main(["--quick", "--json", "--only", case.name]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["quick"] is True
    assert printed["machine"]["cpus"] == os.cpu_count()
    rows = printed["rows"]
    assert [(row["ours"], row["reference"], row["bytes"]) for row in rows] == [
        (*pair, load.size) for load in case.loads for pair in case.pairs
    ]
    assert all(row["case"] == case.name and row["rounds"] == 1 for row in rows)
    assert all(row["ours_per_s"] > 0 and row["reference_per_s"] > 0 and row["ratio"] > 0 for row in rows)
