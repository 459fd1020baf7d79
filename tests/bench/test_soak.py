"""The soak: that it runs, answers each session once and says what it found. How much anything grows is nobody's test."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from bench import soak, subject
from bench.growth import Reading, Sample
from bench.soak import ROLES, Soaked

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="processes are read through /proc")

ABOUT = {"system": "Linux", "processor": "x86_64", "cpus": 2, "python": "3.11.7", "server": "Redis 7.0.15"}


def found(sessions: int, bytes_each: int = 0, problems: tuple[str, ...] = ()) -> Soaked:
    """Make a result without a run."""
    readings = [(at, Reading(memory=2**20 + at * bytes_each, blocks=10, tasks=6, threads=4, fds=9)) for at in (0, sessions)]
    samples = [Sample(at, dict.fromkeys(ROLES, reading)) for at, reading in readings]
    return Soaked(sessions, 0, samples, {"200": sessions, "429": 2}, 1, list(problems), ABOUT, 12.0)


@pytest.mark.process
@pytest.mark.timeout(120)
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


@pytest.mark.process
async def test_a_process_that_ends_is_told_with_its_log() -> None:
    """It is never taken for one that does not grow."""
    variables = soak.environment("redis://127.0.0.1:1", "http://127.0.0.1:1", lease_s="soon")

    async def read_on() -> None:
        async with subject.subject("controller", variables) as started, asyncio.timeout(60):
            while True:
                await started.read()

    with pytest.raises(subject.SubjectLost, match=r"(?s)controller does not answer.*TIDINGS_LEASE_S"):
        await read_on()


def test_growth_fails_a_long_run_only() -> None:
    """A short one cannot tell growth from the steps in which memory is taken."""
    assert found(2000, bytes_each=2000).good
    assert not found(2000, bytes_each=3000).good
    assert found(200, bytes_each=3000).good


def test_a_session_that_was_not_answered_once_fails_any_run() -> None:
    """However short."""
    assert not found(20, problems=("soak-000003: the provider answered 2 times",)).good


def test_people_get_a_table_and_a_verdict() -> None:
    """Figures stand under their headings, and what is wrong is named."""
    text = soak.page(found(2000, bytes_each=3000, problems=("soak-000003: the provider answered 2 times",)))
    table, verdict = text.split("\n\n")
    assert len({len(line) for line in table.splitlines()}) == 1
    assert "worker: +3,000 bytes and +0.00 blocks" in verdict
    assert "OVER the bounds" in verdict
    assert "soak-000003: the provider answered 2 times" in verdict
    assert "every session was answered exactly once" in soak.page(found(20))


@pytest.mark.parametrize("sessions", ["0", "19", "100001", "many"])
def test_what_cannot_be_soaked_is_a_usage_error(sessions: str) -> None:
    """A mistake in the arguments is told before anything starts."""
    with pytest.raises(SystemExit) as exit_:
        soak.main(["--sessions", sessions])
    assert exit_.value.code == 2
