"""Whole runs: real processes and a real server meet what the seed draws, and the checker finds nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.processes import environment

TIMEOUT_S = 120.0
"""A guard; a run of five seconds of faults takes some twelve."""


def chaos(*words: str) -> subprocess.CompletedProcess[str]:
    """Do runs as `make chaos` does them."""
    command = [sys.executable, "-m", "tests.chaos", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=TIMEOUT_S, check=False)


@pytest.mark.process
@pytest.mark.timeout(TIMEOUT_S + 10)
def test_what_is_promised_is_kept_while_everything_breaks() -> None:
    """Two runs side by side: one on a server that loses nothing, one on a server that loses its last second."""
    ended = chaos("--seconds=5", "--seed=1", "--mode=always,everysec", "--jobs=2")
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.process
@pytest.mark.timeout(TIMEOUT_S + 10)
@pytest.mark.parametrize("mode", ["rdb", "none"])
def test_what_is_promised_is_kept_by_a_server_that_forgets(mode: str) -> None:
    """What is lost is a whole tail, and is told."""
    ended = chaos("--seconds=5", "--seed=1", f"--mode={mode}")
    assert ended.returncode == 0, ended.stdout + ended.stderr
