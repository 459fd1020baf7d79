"""What a wait that failed has to say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidings.bus import LlmRetry, Message, Picture, Reason, Record, SessionState, State, Wait, WorkerRef
from tidings.workers.provider import RequestRecord
from tidings.workers.testing import NotInTime
from tidings.workers.testing.report import at_rest, describe

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WAIT = Wait(model="openai/x", reason=Reason.RATE_LIMIT, attempt=2, max_attempts=6, wait_s=31.0, message="slow down")


def _record(session: str = "s", state: State | None = State.RUNNING, **fields: Any) -> Record:
    return Record(session=session, state=state, epoch="e", **fields)


def _told(*records: Record, **more: Any) -> str:
    fields: dict[str, Any] = {"now": NOW, "left": {}, "states": {}, "requests": [], "scripted": []}
    return describe("not within 1 s: a wish", records, **fields | more)


@pytest.mark.parametrize(
    ("record", "resting"),
    [
        *((_record(state=state), True) for state in (State.AWAITING_INPUT, State.PAUSED, State.ERROR)),
        *((_record(state=state), True) for state in (State.STOPPED, State.FINISHED)),
        *((_record(state=state), False) for state in (None, State.QUEUED, State.RUNNING)),
        (_record(state=State.RATE_LIMITED), True),
        (_record(state=State.RETRYING, resume_at=NOW), False),
        (_record(state=State.RETRYING, worker=WorkerRef(name="w1")), False),
        (_record(state=State.RATE_LIMITED, resume_at=NOW), False),
        (_record(state=State.RATE_LIMITED, worker=WorkerRef(name="w1")), False),
        (_record(state=State.AWAITING_INPUT, commands=2, handled=1), False),
    ],
)
def test_a_session_rests_when_nothing_goes_on_by_itself(record: Record, resting: bool) -> None:
    """A person is next, or nobody; a time, a worker or a command that waits is something to do."""
    assert at_rest(record) is resting


def test_every_session_is_shown_with_what_brings_it_on() -> None:
    """The state and since when, the wait and how far the clock must move, who holds it, and how it came there."""
    waiting = _record(
        state=State.RATE_LIMITED,
        since=NOW - timedelta(seconds=1.5),
        why="openai/x: rate limit",
        worker=WorkerRef(name="w1"),
        picture=Picture(model="openai/x", waits={"agent": WAIT}),
        last=Message.of(LlmRetry(**WAIT.model_dump()), session="s", source="worker/w1"),
    )
    text = _told(waiting, left={"s": 31.0}, states={"s": [State.QUEUED, State.RUNNING, State.RATE_LIMITED]})
    assert text.splitlines() == [
        "not within 1 s: a wish",
        "  s: rate_limited for 1.5 s: openai/x: rate limit",
        "    attempt 2 of 6 failed: rate_limit: slow down; goes on when the clock has moved 31.000 s",
        "    held by w1",
        "    came by queued > running > rate_limited",
        "    last told: llm.retry (slow down)",
        "  the provider received 0 requests",
        '  Waits pass only when the clock is moved: fleet.idle(), fleet.skip_wait("s") or fleet.advance(seconds).',
    ]


def test_the_last_state_is_not_said_twice() -> None:
    """The newest notice is shown by its text only where the record does not say the same."""
    told = Message.of(SessionState(to=State.RUNNING, version=1, why="taken up"), session="s", source="c")
    assert "last told: session.state\n" in _told(_record(why="taken up", last=told))
    assert "last told: session.state (running: taken up)\n" in _told(_record(why="something else", last=told))


def test_what_waits_for_a_person_says_so() -> None:
    """A park without a time, and commands that nobody has handled."""
    assert "    parked; goes on when a person resumes it" in _told(_record(state=State.RATE_LIMITED))
    picture = Picture(waits={"agent": WAIT})
    assert "slow down; goes on when a person resumes it" in _told(_record(state=State.RATE_LIMITED, picture=picture))
    assert "    1 command not handled yet" in _told(_record(commands=3, handled=2))
    assert "    held by w, 2 commands not handled yet" in _told(_record(worker=WorkerRef(name="w"), commands=3, handled=1))
    assert "parked; goes on when the clock has moved 5.000 s" not in _told(_record(state=State.RATE_LIMITED))
    assert "    waits; goes on when the clock has moved 5.000 s" in _told(_record(state=State.RATE_LIMITED), left={"s": 5.0})


def test_an_attempt_under_way_is_said() -> None:
    """It does not go on with the clock: the provider answers, or does not."""
    asked = Picture(waits={"agent": WAIT.model_copy(update={"asked_at": NOW})})
    text = _told(_record(picture=asked, worker=WorkerRef(name="w1")))
    assert "    attempt 2 of 6 failed: rate_limit: slow down; the next is under way\n" in text


def test_the_provider_tells_what_it_received_and_what_it_still_has() -> None:
    """Requests by their status, or by what became of them; the newest dozen of them."""
    requests = [
        RequestRecord(1, 0.0, "k", status=429),
        RequestRecord(2, 0.0, "k", fault="timeout"),
        RequestRecord(3, 0.0, "k"),
    ]
    text = _told(
        requests=requests, scripted=[{"kind": "status", "status": 503, "left": 2}, {"kind": "cut", "status": None, "left": None}]
    )
    assert "  the provider received 3 requests (429, timeout, in_flight); scripted and not asked for yet: 503x2, cutx*" in text
    assert "  there is no session: nothing was started" in text
    assert "(..., 200, " in _told(requests=[RequestRecord(number, 0.0, "k", status=200) for number in range(13)])
    assert "received 1 request (200)" in _told(requests=[RequestRecord(1, 0.0, "k", status=200)])


def test_texts_from_elsewhere_are_cut_and_cannot_move_the_cursor() -> None:
    """What an agent or a provider said stands on its own line."""
    text = _told(_record(why="one\n\x1b[2Jtwo" + "x" * 1000))
    (line,) = [line for line in text.splitlines() if "one" in line]
    assert "one  [2Jtwo" in line
    assert len(line) < 400
    assert "came by ... > running" in _told(_record(), states={"s": [State.RUNNING] * 20})


def test_it_is_a_failed_assertion() -> None:
    """A test runner shows it as a failure of the test, not as an error of the code."""
    assert issubclass(NotInTime, AssertionError)
