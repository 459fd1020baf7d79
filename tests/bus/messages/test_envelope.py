"""What every message shares."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests import strategies as draw
from tidings.bus import messages as m
from tidings.bus.errors import InvalidMessage, InvalidName


def _message(**fields: Any) -> m.Message[m.UserMessage]:
    return m.Message.of(m.UserMessage(text="hello"), **{"session": "demo"} | fields)


# session ids


@given(draw.sessions)
def test_a_session_id_passes_unchanged(name: str) -> None:
    """1 to 64 letters, digits, '_' and '-', beginning with a letter or a digit."""
    assert m.is_session(name)
    assert m.check_session(name) == name
    assert _message(subject=name).session == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-a",
        "_a",
        "a.b",
        "a b",
        "a*",
        "a\n",
        "a{b}",
        "ä",
        "a" * 65,
        "status.demo",
        "../a",
        None,
        7,
    ],
)
def test_other_names_are_refused(name: Any) -> None:
    """Nothing that could mean something in a key, a channel, a pattern or a path is a session id."""
    assert not m.is_session(name)
    with pytest.raises(InvalidName, match="is not a session id"):
        m.check_session(name)
    with pytest.raises(InvalidMessage, match="subject"):
        _message(subject=name)


@given(st.text())
def test_a_refused_name_is_shown_short(name: str) -> None:
    """The error shows what was typed, but never pages of it."""
    with pytest.raises(InvalidName) as caught:
        m.check_session(name + "!")
    assert len(str(caught.value)) < 200


# the envelope


def test_a_message_fills_in_its_envelope() -> None:
    """Id and time are made with the message; where it stands is known only after it was stored."""
    before = datetime.now(UTC)
    one, two = _message(), _message()
    assert one.specversion == "1.0"
    assert one.id != two.id
    assert len(one.id) == 32
    assert before <= one.time <= two.time <= datetime.now(UTC)
    assert (one.offset, one.epoch, one.traceparent) == (None, None, None)


def test_messages_are_frozen() -> None:
    """Neither a message nor what it says can be changed after it was made."""
    message = _message()
    with pytest.raises(ValidationError, match="frozen"):
        message.id = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        message.data.text = "other"  # type: ignore[misc]


def test_a_message_does_not_change_with_what_it_was_made_from() -> None:
    """JSON is copied in: the caller may go on using its own object."""
    arguments: dict[str, Any] = {"numbers": [1]}
    call = m.ToolCall(call_id="c1", name="add", arguments=arguments)
    arguments["numbers"].append(2)
    assert call.arguments == {"numbers": [1]}


@pytest.mark.parametrize(
    "field",
    [
        {"specversion": "0.3"},
        {"id": ""},
        {"id": "a b"},
        {"id": 'a"b'},
        {"id": "a\\b"},
        {"id": "a\n"},
        {"id": "ä"},
        {"id": "a" * 129},
        {"source": ""},
        {"source": "a" * 201},
        {"time": datetime(2026, 11, 22)},
        {"time": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))},
        {"traceparent": "a" * 129},
        {"offset": 0},
        {"offset": -1},
    ],
    ids=repr,
)
def test_an_envelope_that_breaks_a_rule_is_refused(field: dict[str, Any]) -> None:
    """Each attribute has its bounds, and the error names the attribute."""
    with pytest.raises(InvalidMessage, match=f"^UserMessage: {next(iter(field))}"):
        _message(**field)


def test_an_unknown_message_needs_a_type() -> None:
    """CloudEvents ask for one that is not empty."""
    for plane in draw.PLANES:
        with pytest.raises(InvalidMessage, match="type"):
            m.decode(plane, b'{"subject":"demo","data":{}}')
        with pytest.raises(InvalidMessage, match="type"):
            m.decode(plane, b'{"subject":"demo","type":"","data":{}}')


@given(draw.instants)
def test_times_are_kept_in_utc(when: datetime) -> None:
    """The same instant, whatever zone it was given in."""
    message = _message(time=when)
    assert message.time == when
    assert message.time.tzinfo is UTC


def test_a_cursor_exists_once_the_message_is_stored() -> None:
    """Epoch, offset and id say where a reader is; before that there is no place to point to."""
    with pytest.raises(ValueError, match="only after it was stored"):
        _ = _message().cursor
    with pytest.raises(ValueError, match="only after it was stored"):
        _ = _message(offset=3).cursor
    assert _message(id="m3", offset=3, epoch="e1").cursor == ("e1", 3, "m3")


def test_a_cursor_may_lack_the_id() -> None:
    """The place before the first message has none."""
    assert m.Cursor("e1", 0).id == ""


# JSON inside a message


@given(draw.json_values)
def test_json_is_kept_as_it_is(value: Any) -> None:
    """Every JSON value passes unchanged."""
    assert m.ToolCall(call_id="c1", name="f", arguments=value).arguments == value


def test_tuples_become_lists() -> None:
    """JSON has one kind of sequence."""
    call = m.build(m.ToolCall, call_id="c1", name="f", arguments=[(1, (2,))])
    assert call.arguments == [[1, [2]]]


@given(st.integers(min_value=0, max_value=3))
def test_a_value_that_holds_itself_is_refused(levels: int) -> None:
    """A cycle is endless depth."""
    cycle: list[Any] = []
    cycle.append(cycle)
    value: Any = cycle
    for _ in range(levels):
        value = {"a": value}
    with pytest.raises(InvalidMessage, match="deeper than 64"):
        m.build(m.ToolCall, call_id="c1", name="f", arguments=value)


def test_errors_made_by_a_model_itself_do_not_quote_the_input_either() -> None:
    """Who makes a message without `build` sees pydantic's error, still without the value."""
    for model, fields in (
        (m.Message, {"session": "sk-1/!"}),
        (m.WorkerRef, {"name": "", "pid": "sk-1/!"}),
    ):
        with pytest.raises(ValidationError) as caught:
            model.model_validate(fields)
        assert "sk-1/!" not in str(caught.value)
