"""Whole runs: real processes and a real server meet what the seed draws, and the checker finds nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.processes import environment
from tidings.workers.testing.patience import stretch

TIMEOUT_S = 200.0
"""A guard; a run with five seconds of faults takes some ten."""
LONGEST_S = TIMEOUT_S + 20


def chaos(*words: str) -> subprocess.CompletedProcess[str]:
    """Do runs as `make chaos` does them."""
    command = [sys.executable, "-m", "tests.chaos", *words]
    limit_s = TIMEOUT_S * stretch()
    return subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=limit_s, check=False)


@pytest.mark.process
@pytest.mark.timeout(LONGEST_S)
def test_what_is_promised_is_kept_while_everything_breaks() -> None:
    """Two runs side by side: on a server that loses nothing, and on one that loses its last second; both crash."""
    ended = chaos("--seconds=5", "--seed=6", "--mode=always,everysec", "--jobs=2")
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.full
@pytest.mark.process
@pytest.mark.timeout(LONGEST_S)
@pytest.mark.parametrize(
    ("mode", "seed"),
    [
        ("rdb", 12),  # snapshots, two crashes: one fencing token was given twice
        ("none", 6),
        ("none", 8),  # FLUSHALL
        ("everysec", 4),  # a crash while readers are away: a log lost and written again; a wrong password
        ("everysec", 14),  # BUSY in a pipeline ended workers and readers
        ("always", 2),  # the same
        ("always", 9),
    ],
)
def test_what_is_promised_is_kept_by_each_server(mode: str, seed: int) -> None:
    """What is lost is a whole tail, and is told; of a flushed server too."""
    ended = chaos("--seconds=5", f"--seed={seed}", f"--mode={mode}")
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.full
@pytest.mark.process
@pytest.mark.timeout(LONGEST_S)
@pytest.mark.parametrize("seed", [901, 902])
def test_a_loss_between_reading_and_writing_is_met(seed: int) -> None:
    """A worker goes on with what the server has lost meanwhile (901), a reader with a picture of it (902): both were found so."""
    ended = chaos("--seconds=8", f"--seed={seed}", "--mode=rdb", "--family=server")
    assert ended.returncode == 0, ended.stdout + ended.stderr
