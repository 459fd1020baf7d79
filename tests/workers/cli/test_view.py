"""The JSON lines of the command line: stable fields, null where empty."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from tests.workers.cli.stage import WORKER, waiting
from tidings.bus import ChildState, Gap, Message, Outcome, Picture, Reason, Record, Result, State, UserMessage
from tidings.bus.messages import as_stored
from tidings.workers.cli.view import FamilyView, OutcomeView, SessionView, wire_line

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
FIELDS = [
    "session",
    "state",
    "version",
    "reason",
    "why",
    "since",
    "attempt",
    "max_attempts",
    "wait_s",
    "retry_at",
    "asked_at",
    "resume_at",
    "paused_by",
    "worker",
    "model",
    "last",
    "parent",
    "name",
    "progress",
    "work",
]


def test_a_session_has_all_fields_and_null_where_empty() -> None:
    """Scripts can rely on every field being there."""
    told = json.loads(SessionView.of(Record(session="demo", state=State.QUEUED, epoch="e")).line())
    assert list(told) == FIELDS
    assert {name for name, value in told.items() if value is not None} == {"session", "state", "version", "work"}


def test_a_session_that_waits_tells_its_wait() -> None:
    """Attempt, length and end of it, why, and who waits."""
    record = Record(
        session="demo",
        state=State.RATE_LIMITED,
        epoch="e",
        version=3,
        why="waits",
        status=5,
        worker=WORKER,
        picture=Picture(model="openai/y", waits={"agent": waiting(NOW)}),
    )
    last = record.as_notice(NOW)
    told = json.loads(SessionView.of(record).line())
    assert told["worker"] == {"name": "w1", "host": "here", "pid": 7}
    assert (told["attempt"], told["max_attempts"], told["wait_s"]) == (2, 6, 8.0)
    assert datetime.fromisoformat(told["retry_at"]) > NOW
    assert (told["reason"], told["why"], told["model"]) == ("rate_limit", "waits", "openai/x")
    assert last is not None


def test_the_last_notice_is_whole() -> None:
    """It is the envelope as on the wire, its data included."""
    record = Record(session="demo", state=State.ERROR, epoch="e", status=5, reason=Reason.AUTH)
    last = record.as_notice(NOW)
    assert last is not None
    told = json.loads(SessionView.of(Record(session="demo", state=State.ERROR, epoch="e", last=last)).line())
    assert told["last"] == json.loads(last.model_dump_json(by_alias=True))
    assert told["last"]["data"]["from"] == "error"


def test_a_status_has_the_children_too() -> None:
    """Each with its own wait, as its parent's people see it; none is an empty list."""
    record = Record(session="demo", state=State.AWAITING_INPUT, epoch="e", parent="p", name="helper")
    child = ChildState(child="c", name="one", state=State.RATE_LIMITED, wait=waiting(NOW))
    told = json.loads(FamilyView.with_children(record, (child,)).line())
    assert list(told) == [*FIELDS, "children"]
    assert (told["parent"], told["name"]) == ("p", "helper")
    assert [(one["name"], one["wait"]["attempt"]) for one in told["children"]] == [("one", 2)]
    assert json.loads(FamilyView.with_children(record, ()).line())["children"] == []


def test_an_outcome_has_all_fields() -> None:
    """Applied, refused and expired have the same ones."""
    outcome = Outcome(command_id="i", session="demo", result=Result.APPLIED, state=State.QUEUED, version=2)
    applied = json.loads(OutcomeView.applied(outcome).line())
    expired = json.loads(OutcomeView(result=Result.EXPIRED, command_id="i", session="demo").line())
    assert list(applied) == list(expired)
    assert applied == {
        "result": "applied",
        "command_id": "i",
        "session": "demo",
        "reason": None,
        "state": "queued",
        "version": 2,
        "legal": [],
        "warning": None,
    }
    assert expired["legal"] == []


def test_messages_are_as_on_the_wire_and_gaps_are_objects() -> None:
    """A reader of lines tells them apart by the field `gap`."""
    event = Message.of(UserMessage(text="hi"), session="demo", offset=3, epoch="e")
    assert wire_line(event) == as_stored(event)
    assert json.loads(wire_line(Gap("status.demo", "trimmed", 2, 4))) == {
        "gap": {"channel": "status.demo", "why": "trimmed", "first": 2, "last": 4}
    }
