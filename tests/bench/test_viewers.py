"""The benchmark of the gateway: that it runs, counts and prints. What it prints is nobody's test."""

from __future__ import annotations

import json

import pytest

from bench import viewers
from bench.viewers import Turn, summary, table


@pytest.mark.process
def test_it_runs_and_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """A quick run has both servers, each with figures of its own."""
    assert viewers.main(["--quick", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["turns"]) == {"gateway", "bare"}
    assert all(turn["p99_ms"] >= turn["p50_ms"] > 0 for turns in printed["turns"].values() for turn in turns)
    assert set(printed["figures"]) == set(Turn.__dataclass_fields__)


def test_ratios_are_taken_within_a_round() -> None:
    """A slow round of both does not change what they are to each other."""
    ours = [Turn(2, 30, 44, 60, 1), Turn(20, 300, 44, 60, 1), Turn(2, 33, 44, 60, 1)]
    bare = [Turn(2, 20, 40, 50, 0), Turn(20, 200, 40, 50, 0), Turn(2, 30, 40, 50, 0)]
    figures = summary({"gateway": ours, "bare": bare})
    assert figures["p99_ms"] == {"gateway": 33, "bare": 30, "ratio": 1.5, "ratio_low": 1.1, "ratio_high": 1.5}
    assert figures["idle_kb"]["ratio"] == pytest.approx(1.1)


def test_the_table_shows_goals_beside_what_was_measured() -> None:
    """The two figures with a goal have it in their row."""
    turns = [Turn(2, 30, 44, 60, 1)]
    lines = table(summary({"gateway": turns, "bare": turns}), 1000, 1).splitlines()
    goals = {line.split("|")[1].strip(): line.split("|")[-2].strip() for line in lines[2:]}
    assert [name for name, goal in goals.items() if goal] == ["publish to frame, p99, ms", "memory of an idle viewer, KiB"]
    assert lines[0].startswith("| 1,000 viewers")


@pytest.mark.parametrize("option", ["--viewers", "--messages", "--rounds"])
def test_nothing_is_not_measured(option: str) -> None:
    """A run without viewers, messages or rounds is refused."""
    with pytest.raises(SystemExit):
        viewers.main([option, "0"])
