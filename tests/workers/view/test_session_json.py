"""Sessions as JSON: one shape for the gateway and the command line, whatever is in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from pydantic import TypeAdapter

from tests.workers.cli.stage import WORKER, waiting
from tests.workers.view.drawn import NOW, SESSIONS
from tidings.bus import LlmRetry, Picture, Reason, Record, State, Wait
from tidings.workers.view import FamilyView, SessionView, view_json
from tidings.workers.view.session import TEXT, WAITS

_READ = TypeAdapter(SessionView)
_SCHEMA = _READ.json_schema(mode="serialization")


@given(SESSIONS)
def test_every_session_can_be_read_back(row: SessionView) -> None:
    """No member is missing, none is unknown, and all text arrives as it is."""
    told = json.loads(view_json(row))
    assert _READ.validate_json(view_json(row)) == row
    assert list(told) == list(_SCHEMA["properties"]) == _SCHEMA["required"]
    assert (told["word"], told["urgency"], told["needs_you"]) == (row.word, row.urgency, row.needs_you)
    assert (told["parked"], told["legal"]) == (row.parked, list(row.legal))
    assert (told["wait"] is None) is (row.wait is None)


def test_what_is_not_known_is_null() -> None:
    """There is no empty text."""
    told = json.loads(view_json(SessionView("demo")))
    assert {name: value for name, value in told.items() if value is not None} == {
        "session": "demo",
        "waits": [],
        "word": "starting",
        "urgency": 1,
        "needs_you": False,
        "parked": False,
        "work": {"queue": "default", "priority": "person", "labels": {}},
        "legal": ["session.start"],
    }


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
    view = json.loads(view_json(SessionView("a", state=State.RATE_LIMITED, waits=(wait,), worker="w1")))
    assert view["waits"] == [view["wait"]]
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
        1,
        ["session.say", "session.resume", "session.pause", "session.stop", "session.delete"],
    )


def test_a_session_has_no_more_of_a_text_than_people_read() -> None:
    """Whatever a provider or a person has written, and however many waits there are."""
    waits = tuple(Wait(llm=str(number), reason=Reason.RATE_LIMIT, message="y" * 10_000) for number in range(100))
    row = SessionView("a", why="x" * 1_000_000, message="z" * TEXT, by="b" * (TEXT + 1), waits=waits)
    view = _READ.validate_json(view_json(row))
    assert (view.why, view.message, view.by) == ("x" * (TEXT - 1) + "…", "z" * TEXT, "b" * (TEXT - 1) + "…")
    assert (len(view.waits), len(view.waits[0].message)) == (WAITS, TEXT)
    assert len(json.loads(view_json(row))["wait"]["message"]) == TEXT


AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def test_a_family_is_a_session_and_more() -> None:
    """The members of a session, then its place in the history, its newest notice as on the wire, and its children."""
    record = Record(
        session="demo",
        state=State.RATE_LIMITED,
        epoch="e",
        version=3,
        why="waits",
        status=5,
        events=2,
        since=AT,
        worker=WORKER,
        picture=Picture(model="openai/y", waits={"agent": waiting(AT)}),
        parent="p",
        name="helper",
    )
    last = record.as_notice(AT)
    assert last is not None
    record = Record(**{name: getattr(record, name) for name in record.__slots__} | {"last": last})
    row, child = SessionView.of(record, AT), SessionView("c", state=State.QUEUED, parent="demo", name="one")
    told = json.loads(view_json(FamilyView.of_record(row, record, [child])))
    more = ["version", "events", "cursor", "last", "children", "children_total"]
    assert [name for name in told if name in more] == more
    assert {name: value for name, value in told.items() if name not in more} == json.loads(view_json(row))
    assert (told["version"], told["events"], told["cursor"]) == (3, 2, "e-2")
    assert told["last"] == json.loads(last.model_dump_json(by_alias=True))
    assert told["last"]["data"]["from"] == "rate_limited"
    assert (told["children"], told["children_total"]) == ([json.loads(view_json(child))], 1)
    assert (told["reason"], told["why"], told["model"], told["worker"]) == ("rate_limit", "waits", "openai/x", "w1")
    assert (told["wait"]["attempt"], told["wait"]["max_attempts"], told["wait"]["wait_s"]) == (2, 6, 8.0)
    assert datetime.fromisoformat(told["wait"]["retry_at"]) > AT
    assert (told["parent"], told["name"]) == ("p", "helper")


def test_a_family_without_children_has_an_empty_list() -> None:
    """And null for what has not happened."""
    record = Record(session="demo", state=State.QUEUED, epoch="e")
    told = json.loads(view_json(FamilyView.of_record(SessionView.of(record, AT), record, ())))
    assert (told["children"], told["children_total"], told["last"], told["cursor"]) == ([], 0, None, "e-0")
