"""The JSON lines of the command line: stable fields, null where empty."""

from __future__ import annotations

import json

from tidings.bus import Gap, Message, Outcome, Result, State, UserMessage
from tidings.bus.messages import as_stored
from tidings.workers.cli.view import OutcomeView, wire_line


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
