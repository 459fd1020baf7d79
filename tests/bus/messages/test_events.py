"""The agent's history."""

from __future__ import annotations

from typing import Any

import pytest

from tests import strategies as draw
from tidings.bus import messages as m
from tidings.bus.errors import InvalidMessage


def test_event_types_are_stable_words() -> None:
    """They travel on the wire and stay in the history for ever."""
    assert [model.type for model in draw.EVENTS] == [
        "user.message",
        "agent.message",
        "tool.call",
        "tool.result",
        "agent.error",
        "child.start",
        "child.result",
        "history.condensed",
    ]


def test_every_event_is_on_the_events_plane() -> None:
    """None is a notice or a command, also the one of a type that nobody knows."""
    models: tuple[type[m.Body], ...] = (*draw.EVENTS, m.UnknownEvent)
    for model in models:
        assert model.plane == "events"
        assert issubclass(model, m.Event)
        assert not issubclass(model, m.Notice | m.Command)


def test_a_call_is_not_repeated_unless_it_says_so() -> None:
    """Whoever takes a session over reruns a dangling call only if it was declared idempotent."""
    call = m.ToolCall(call_id="c1", name="pay")
    assert call.idempotent is False
    assert call.arguments == {}


def test_calls_do_not_share_their_default_arguments() -> None:
    """Each has an object of its own."""
    one, two = (m.ToolCall(call_id="c1", name="pay") for _ in range(2))
    assert one.arguments is not two.arguments


def test_a_result_is_whole_and_good_unless_it_says_otherwise() -> None:
    """An interrupted or failed tool is told explicitly."""
    result = m.ToolResult(call_id="c1", name="pay")
    assert (result.content, result.is_error, result.interrupted) == ("", False, False)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (m.UserMessage, {}),
        (m.UserMessage, {"text": None}),
        (m.AgentMessage, {}),
        (m.AgentMessage, {"text": "hello", "prompt_tokens": "many"}),
        (m.ToolCall, {"name": "pay"}),
        (m.ToolCall, {"call_id": "", "name": "pay"}),
        (m.ToolCall, {"call_id": "c1", "name": ""}),
        (m.ToolResult, {"call_id": "", "name": "pay"}),
        (m.AgentError, {}),
    ],
)
def test_an_event_that_lacks_something_is_refused(model: Any, fields: dict[str, Any]) -> None:
    """A call has its id and its name, a message its text."""
    with pytest.raises(InvalidMessage, match=f"^{model.__name__}: "):
        m.build(model, **fields)
