"""The soak: that it runs and answers each session once. How much anything grows is nobody's test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import soak
from bench.soak import ROLES

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="processes are read through /proc")


@pytest.mark.full
@pytest.mark.process
def test_a_short_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Every session is answered once, over the retries, and worker and controller are read after each batch."""
    assert soak.main(["--sessions", "20", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["problems"] == []
    assert printed["calls"] == {"200": 20, "429": 3, "503": 2}
    assert printed["parked"] == 1
    assert [sample["sessions"] for sample in printed["samples"]] == [4, 8, 12, 16, 20]
    for reading in (sample["readings"][role] for sample in printed["samples"] for role in ROLES):
        assert set(reading) == {"memory", "blocks", "tasks", "threads", "fds"}
        assert min(reading.values()) > 0
    assert set(printed["growth"]) == set(ROLES)
    assert (printed["judged"], printed["good"]) == (False, True)
