"""The benchmark beside redis-py: that it runs and prints. What it prints is nobody's test."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bench import claim, speed
from bench.case import Case


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


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="nothing is pinned here")
def test_afterwards_the_process_is_where_it_was() -> None:
    """Who calls it from a program goes on with all CPUs."""
    before = os.sched_getaffinity(0)
    speed.main(["--quick", "--only", "claim"])
    assert os.sched_getaffinity(0) == before


def test_people_get_tables(capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json there is a table for each case, and the progress is not in it."""
    speed.main(["--quick", "--only", "claim"])
    out, err = capsys.readouterr()
    assert out.startswith("**claim**: ")
    assert "| `Bus.claim` | `ZPOPMIN, HSET` |" in out
    assert err.splitlines() == ["claim: one by one", "claim: 16 at a time"]


def test_one_run_gives_tables_and_a_file_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file holds what --json prints."""
    file = tmp_path / "speed.json"
    assert speed.main(["--quick", "--only", "claim", "--json-file", str(file)]) == 0
    assert capsys.readouterr().out.startswith("**claim**: ")
    written = json.loads(file.read_text())
    assert set(written) == {"machine", "quick", "rows"}
    assert {row["case"] for row in written["rows"]} == {"claim"}


def test_the_page_of_the_docs_is_written_by_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It holds the tables that people get, as they get them, below what they are."""
    monkeypatch.setattr(speed, "CASES", (claim.CASE,))
    monkeypatch.setattr(speed, "BUDGET_S", 0.0)
    assert speed.main(["--rounds", "1", "--markdown", str(tmp_path / "performance.md")]) == 0
    written = (tmp_path / "performance.md").read_text()
    assert written.startswith("# Performance\n")
    assert written.endswith(capsys.readouterr().out)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rounds", "0"],
        ["--only", "nothing"],
        ["--quick", "--markdown", "x.md"],
        ["--only", "claim", "--markdown", "x.md"],
        ["--markdown", "no/such/folder/x.md"],
        ["--json-file", "no/such/folder/x.json"],
    ],
)
def test_what_cannot_be_measured_is_a_usage_error(arguments: list[str]) -> None:
    """A mistake in the arguments is told before anything starts."""
    with pytest.raises(SystemExit) as exit_:
        speed.main(arguments)
    assert exit_.value.code == 2
