"""What is said between parents and children, and under which ids."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given

from tests import strategies
from tidings.bus import ChildStart, ChildState, Message, Reason, Record, SessionStart, State
from tidings.bus.messages import encode, is_session
from tidings.workers.family import (
    child_id,
    child_state,
    derived,
    mark_of,
    owes_report,
    refused_start,
    report_of,
    shown_as,
    start_of,
    stop_of,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SOURCE = "controller/c1"
CHILD = Record("c", State.AWAITING_INPUT, "e" * 16, parent="p", name="helper", events=2, why="the turn is over")


@given(strategies.sessions, strategies.sessions, strategies.ids)
def test_the_id_of_a_child_is_a_session_id_and_always_the_same(parent: str, name: str, event_id: str) -> None:
    """Whoever starts it again starts the same."""
    found = child_id(parent, name, event_id)
    assert is_session(found)
    assert found == child_id(parent, name, event_id)
    assert found != child_id(parent, name, event_id + "x")


@given(strategies.sessions, strategies.sessions, strategies.ids)
def test_every_command_can_be_sent(parent: str, name: str, event_id: str) -> None:
    """However long the names and ids are, each has an id that is bounded and the same each time."""
    child = child_id(parent, name, event_id)
    event = Message.of(ChildStart(name=name, text="go", child=child), id=event_id, session=parent)
    record = replace(CHILD, session=child, parent=parent, name=name)
    known = ChildState(child=child, name=name, state=State.RUNNING)
    start = start_of(event, SOURCE)
    for make in (
        lambda: start_of(event, SOURCE),
        lambda: report_of(record, "done", SOURCE, NOW),
        lambda: refused_start(start, "no", SOURCE, NOW),
        lambda: stop_of(known, replace(record, session=parent, state=State.STOPPED), SOURCE, NOW),
    ):
        one, two = make(), make()
        assert one.id == two.id
        assert len(one.id) <= 128
        assert encode(one)


def test_a_derived_id_is_never_too_long() -> None:
    """And still differs by what it is derived from."""
    assert derived("c1", "said") == "c1.said"
    one, two = derived("c" * 128, "said"), derived("d" * 128, "said")
    assert one != two
    assert max(len(one), len(two)) <= 128


def test_a_start_says_who_asks_and_what() -> None:
    """The first thing said to the child is said by its parent."""
    event = Message.of(ChildStart(name="helper", text="go", child="c"), id="e1", session="p")
    start = start_of(event, "worker/w1")
    assert (start.id, start.session, start.source) == ("e1.start", "c", "worker/w1")
    assert (start.data.parent, start.data.name, start.data.text, start.data.by) == ("p", "helper", "go", "session/p")


def test_what_cannot_be_said_is_an_error() -> None:
    """An event without a session, a report to nobody, a start without a parent."""
    with pytest.raises(ValueError, match="names its session"):
        start_of(Message.of(ChildStart(name="helper", text="go"), session="p"), SOURCE)
    with pytest.raises(ValueError, match="nobody to report to"):
        report_of(replace(CHILD, parent=None), "", SOURCE, NOW)
    with pytest.raises(ValueError, match="only a child"):
        refused_start(Message.of(SessionStart(), session="c"), "no", SOURCE, NOW)


@pytest.mark.parametrize("state", State)
def test_a_turn_that_is_over_is_reported(state: State) -> None:
    """To whoever asked for it; until it has been."""
    record = replace(CHILD, state=state)
    over = state in (State.AWAITING_INPUT, State.ERROR, State.STOPPED, State.FINISHED, State.DELETED)
    assert owes_report(record) == over
    assert not owes_report(replace(record, parent=None))
    assert not owes_report(replace(record, reported=mark_of(record)))
    assert owes_report(replace(record, reported=mark_of(record), events=3)) == over


def test_a_child_that_waits_for_its_own_children_has_nothing_to_report() -> None:
    """Unless it ended otherwise."""
    assert not owes_report(replace(CHILD, awaits=1))
    assert owes_report(replace(CHILD, awaits=1, state=State.ERROR))


def test_a_pause_and_a_resume_are_no_news() -> None:
    """The version grows, and what there is to report stays the same: it would be told twice."""
    assert mark_of(replace(CHILD, version=9)) == mark_of(CHILD)
    assert report_of(replace(CHILD, version=9), "", SOURCE, NOW).id == report_of(CHILD, "", SOURCE, NOW).id


def test_a_report_says_how_it_ended() -> None:
    """State, reason, one line and the newest that was said."""
    report = report_of(replace(CHILD, state=State.ERROR, reason=Reason.AUTH, why="w" * 900, name=None), "half", SOURCE, NOW)
    told = report.data
    assert (report.session, told.child, told.name, told.by) == ("p", "c", "c", "session/c")
    assert (told.state, told.reason, told.text, told.why) == (State.ERROR, Reason.AUTH, "half", "w" * 500)


def test_a_refused_start_is_reported_as_an_error() -> None:
    """With the reason of the refusal."""
    start = Message.of(SessionStart(parent="p", name="helper"), id="s1", session="c")
    report = refused_start(start, "no", SOURCE, NOW)
    assert (report.id, report.session) == ("s1.refused", "p")
    assert (report.data.child, report.data.name, report.data.state) == ("c", "helper", State.ERROR)
    assert report.data.why == "it was not started: no"


def test_people_are_shown_what_differs() -> None:
    """Whatever they would see of it."""
    child = ChildState(child="c", name="helper", state=State.RUNNING)
    assert shown_as(child) == shown_as(ChildState(child="c", name="helper", state=State.RUNNING))
    assert shown_as(child) != shown_as(child.model_copy(update={"why": "another"}))
    notice = child_state(child, "p", SOURCE, NOW)
    assert (notice.session, notice.source, notice.time, notice.data) == ("p", SOURCE, NOW, child)
