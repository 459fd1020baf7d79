"""Rows and processes as JSON: what the description of the API says, for every row there can be."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.bus import LlmRetry, Member, Presence, Progress, Reason, Role, State, Wait
from tidings.workers.board import Row
from tidings.workers.gateway.charts import Charts
from tidings.workers.gateway.frames import LIMIT, as_json
from tidings.workers.gateway.models import FleetView, RowView
from tidings.workers.gateway.views import SESSIONS, TEXT, WAITS, fleet_view, row_view

NOW = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_TIMES = st.none() | st.integers(0, 10_000).map(lambda seconds: NOW + timedelta(seconds=seconds))
_WAITS = st.builds(
    Wait, llm=_TEXT, model=st.none() | _TEXT, reason=st.sampled_from(Reason), retry_at=_TIMES, message=_TEXT, action=_TEXT
)
_ROWS = st.builds(
    Row,
    session=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True),
    state=st.none() | st.sampled_from(State),
    reason=st.none() | st.sampled_from(Reason),
    why=_TEXT,
    since=_TIMES,
    by=_TEXT,
    waits=st.dictionaries(_TEXT, _WAITS, max_size=2),
    resume_at=_TIMES,
    message=_TEXT,
    action=_TEXT,
    model=_TEXT,
    worker=_TEXT,
    parent=st.sampled_from(["", "mother"]),
    name=_TEXT,
    progress=st.none() | st.builds(Progress, doing=_TEXT.filter(bool), done=st.none() | st.integers(0, 9), total=st.none()),
)


@given(_ROWS)
def test_every_row_is_as_described(row: Row) -> None:
    """No member is missing, none is unknown, and all text arrives as it is."""
    view = RowView.model_validate_json(as_json(row_view(row, 3)))
    assert (view.session, view.state, view.why, view.message, view.events) == (row.session, row.state, row.why, row.message, 3)
    assert (view.needs_you, view.parked, view.since) == (row.needs_you, row.parked, row.since)
    assert (view.by, view.parent, view.name) == (row.by or None, row.parent or None, row.name or None)
    assert len(view.waits) == len(row.waits)
    assert (view.wait is None) is (row.wait is None)
    assert (view.progress.model_dump() if view.progress else None) == (row.progress.model_dump() if row.progress else None)


def test_a_wait_says_all_that_a_countdown_needs() -> None:
    """Attempt, of how many, until when, why, and what to do; a retry's own fields stay inside."""
    wait = LlmRetry(
        model="openai/x",
        reason=Reason.RATE_LIMIT,
        attempt=2,
        max_attempts=6,
        wait_s=8,
        retry_at=NOW,
        message="slow",
        status_code=429,
    )
    view = json.loads(as_json(row_view(Row("a", state=State.RATE_LIMITED, waits={"agent": wait}, worker="w1"))))
    assert view["wait"] == {
        "llm": "agent",
        "model": "openai/x",
        "reason": "rate_limit",
        "attempt": 2,
        "max_attempts": 6,
        "wait_s": 8.0,
        "waited_s": 0.0,
        "retry_at": "2026-11-23T01:02:03Z",
        "asked_at": None,
        "message": "slow",
        "action": "",
    }
    assert (view["word"], view["urgency"], view["legal"]) == (
        "rate limited",
        2,
        ["session.say", "session.resume", "session.pause", "session.stop", "session.delete"],
    )


def test_the_fleet_is_as_described() -> None:
    """Processes by what they do; states in which nobody is are left out."""
    roll = [
        Member(Presence(role=role, name=f"{role}-1", sessions=("a",), model="m"), NOW, live=True)
        for role in (Role.WORKER, Role.CONTROLLER, Role.GATEWAY)
    ]
    fleet = fleet_view(NOW, {State.QUEUED: 2, State.ERROR: 0}, roll, Charts(NOW).view(NOW))
    view = FleetView.model_validate_json(as_json(fleet))
    assert view.by_state == {State.QUEUED: 2}
    assert [one.name for one in (*view.workers, *view.controllers, *view.gateways)] == ["worker-1", "controller-1", "gateway-1"]
    assert view.sessions == 2
    assert view.charts.retries == [None] * 14 + [0]


@pytest.mark.full
def test_however_many_processes_there_are_the_fleet_fits_into_a_frame() -> None:
    """Those that live come first, those that are left out are counted; a process names some of its sessions."""
    held = tuple(f"session-{number:04}" for number in range(1000))
    false = [
        Member(Presence(role=Role.WORKER, name=f"false-{number}" + "x" * 150, sessions=held), NOW, live=False)
        for number in range(3000)
    ]
    true = Member(Presence(role=Role.CONTROLLER, name="c1"), NOW, live=True)
    fleet = fleet_view(NOW, {}, [*false, true], Charts(NOW).view(NOW))
    view = FleetView.model_validate_json(as_json(fleet))
    assert len(as_json(fleet)) < LIMIT + 10_000
    assert [one.name for one in view.controllers] == ["c1"]
    assert view.left_out == 3000 - len(view.workers) > 0
    assert (view.workers[0].held, view.workers[0].sessions) == (1000, list(held[:SESSIONS]))


def test_a_row_has_no_more_of_a_text_than_people_read() -> None:
    """Whatever a provider or a person has written, and however many waits there are."""
    waits = {str(number): Wait(llm=str(number), reason=Reason.RATE_LIMIT, message="y" * 10_000) for number in range(100)}
    row = Row("a", why="x" * 1_000_000, message="z" * TEXT, by="b" * (TEXT + 1), waits=waits)
    view = RowView.model_validate_json(as_json(row_view(row)))
    assert (view.why, view.message, view.by) == ("x" * (TEXT - 1) + "…", "z" * TEXT, "b" * (TEXT - 1) + "…")
    assert (len(view.waits), len(view.waits[0].message)) == (WAITS, TEXT)
