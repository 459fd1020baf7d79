"""What a command adds to the history."""

from __future__ import annotations

from datetime import UTC, datetime

from tidings.bus import (
    ChildResult,
    Command,
    Message,
    Reason,
    SessionPause,
    SessionReport,
    SessionSay,
    SessionStart,
    State,
    UserMessage,
    carries,
)
from tidings.workers.controller.saying import event_of

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def _event(command: Message[Command], data: Command) -> object:
    return event_of(command, data, "controller/c1", NOW)


def test_what_a_person_says_is_a_user_message() -> None:
    """With who said it, under an id that is the same each time, and with the trace of who caused it."""
    data = SessionSay(by="ann", text="more")
    command = Message.of(data, id="c1", session="s", traceparent="00-1")
    event = _event(command, data)
    assert carries(event, UserMessage)
    assert event == _event(command, data)
    assert (event.id, event.session, event.source, event.time) == ("c1.said", "s", "controller/c1", NOW)
    assert (event.data.text, event.data.by, event.traceparent) == ("more", "ann", "00-1")
    first = _event(Message.of(SessionStart(), id="c0", session="s"), SessionStart(text="hello"))
    assert carries(first, UserMessage)


def test_what_a_child_reports_is_a_result() -> None:
    """With all that the report says, and nothing of who sent it."""
    data = SessionReport(
        by="session/c", why="no key", child="c", name="helper", state=State.ERROR, reason=Reason.AUTH, text="half"
    )
    event = _event(Message.of(data, id="r1", session="p", traceparent="00-1"), data)
    assert carries(event, ChildResult)
    assert (event.id, event.session, event.traceparent) == ("r1.said", "p", "00-1")
    told = event.data
    assert (told.child, told.name, told.state, told.reason) == ("c", "helper", State.ERROR, Reason.AUTH)
    assert (told.text, told.why) == ("half", "no key")


def test_other_commands_say_nothing() -> None:
    """Nor does a start without a text."""
    assert _event(Message.of(SessionPause(), session="s"), Command(by="ann")) is None
    assert _event(Message.of(SessionStart(), session="s"), SessionStart()) is None
