"""What a worker says in its log of the providers that refuse."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tests.fleet import Fleet
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import Ending, Reason, State, Trigger, Wait
from tidings.workers import refusals as module
from tidings.workers.refusals import OTHERS, Refusals

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WAIT = Wait(model="openai/x", reason=Reason.RATE_LIMIT, message="slow down", action="Fewer workers help.\n")


class Clock:
    """A clock that is moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


@pytest.fixture
def refusals(clock: Clock) -> Refusals:
    """Counts that begin now."""
    return Refusals(clock)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, int, dict[str, dict[str, int]]]]:
    """What was written of counts."""
    found = [record.__dict__ for record in caplog.records if record.message == "worker.refusals"]
    return [(one["seconds"], one["count"], one["by_model"]) for one in found]


def test_a_minute_is_one_line_with_counts_by_model_and_reason(
    refusals: Refusals, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """However many there were; the next line counts from there."""
    for _ in range(500):
        refusals.note("openai/x", Reason.RATE_LIMIT)
        refusals.tell()
    refusals.note("openai/x", Reason.TIMEOUT)
    refusals.note(None, Reason.RATE_LIMIT)
    clock.now += 59.9
    refusals.tell()
    assert lines(caplog) == []
    clock.now += 0.1
    refusals.tell()
    first = (60, 502, {"openai/x": {"rate_limit": 500, "timeout": 1}, "unknown": {"rate_limit": 1}})
    assert lines(caplog) == [first]
    refusals.note("openai/y", Reason.OVERLOADED)
    clock.now += 61
    refusals.tell()
    assert lines(caplog) == [first, (61, 1, {"openai/y": {"overloaded": 1}})]


def test_a_minute_without_any_is_silent(refusals: Refusals, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """And a first one after a long silence waits until its minute is over."""
    for _ in range(5):
        clock.now += 60
        refusals.tell()
    refusals.note("openai/x", Reason.RATE_LIMIT)
    clock.now += 30
    refusals.tell()
    assert lines(caplog) == []
    refusals.tell(now=True)
    assert lines(caplog) == [(30, 1, {"openai/x": {"rate_limit": 1}})]


def test_models_are_bounded(refusals: Refusals, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent may name any number of them."""
    monkeypatch.setattr(module, "MOST_MODELS", 2)
    for number in range(50):
        refusals.note(f"m{number}", Reason.RATE_LIMIT)
    refusals.tell(now=True)
    assert lines(caplog)[0][2] == {"m0": {"rate_limit": 1}, "m1": {"rate_limit": 1}, OTHERS: {"rate_limit": 48}}


@pytest.mark.parametrize(("resume_at", "level"), [(NOON, logging.INFO), (None, logging.WARNING)], ids=["with a time", "without"])
def test_a_park_is_one_line_that_says_what_helps(
    resume_at: datetime | None, level: int, refusals: Refusals, caplog: pytest.LogCaptureFixture
) -> None:
    """One that waits for a person is a warning. The call that it ended with counts as well."""
    caplog.set_level(logging.INFO)
    refusals.released("sea", Ending(Trigger.PARK, read=0, resume_at=resume_at, waits={"agent": WAIT}, reason=Reason.RATE_LIMIT))
    refusals.released("sea", Ending(Trigger.YIELD, read=0))
    (line,) = caplog.records
    told = {name: line.__dict__[name] for name in ("session", "model", "reason", "resume_at", "action")}
    assert (line.message, line.levelno) == ("worker.parked", level)
    assert told == {
        "session": "sea",
        "model": "openai/x",
        "reason": "rate_limit",
        "resume_at": "2026-11-22T12:00:00+00:00" if resume_at else None,
        "action": "Fewer workers help.",
    }
    refusals.tell(now=True)
    assert lines(caplog) == [(0, 1, {"openai/x": {"rate_limit": 1}})]


async def test_a_worker_says_what_was_refused_and_what_it_parked(caplog: pytest.LogCaptureFixture) -> None:
    """Each park when it happens; the counts hold every attempt that failed, and what is left of them is told at its end."""
    caplog.set_level(logging.INFO, "tidings.worker")
    async with Fleet(f"memory://{uuid4().hex}", max_inline_wait_s=1.0) as fleet:
        fleet.script("500x2", "429:retry-after=500")
        await fleet.start("sea")
        await fleet.until("sea", State.RATE_LIMITED)
        await eventually(lambda: "worker.parked" in caplog.messages, PATIENCE_S)
        await fleet.workers[0].end()
    parked = next(record.__dict__ for record in caplog.records if record.message == "worker.parked")
    assert (parked["session"], parked["model"], parked["reason"]) == ("sea", "openai/x", "rate_limit")
    ((_, count, by_model),) = lines(caplog)
    assert (count, by_model) == (3, {"openai/x": {"rate_limit": 1, "server_error": 2}})
