"""Which tests there are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]


def _collected(seed: int, *arguments: str) -> list[str]:
    """Return the tests that a run with this seed for hashes finds, in order."""
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    done = subprocess.run(words, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if "::" in line]


@pytest.mark.full
def test_every_process_finds_the_same_tests() -> None:
    """Those that share a run must agree on the list, so no list may come from a set."""
    first = _collected(1, "--full")
    assert len(first) > 1000
    assert [_collected(seed, "--full") == first for seed in (2, 3)] == [True, True]
