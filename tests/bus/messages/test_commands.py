"""What is asked of a session, and what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import strategies as draw
from tidings.bus import messages as m
from tidings.bus import states
from tidings.bus.errors import InvalidMessage


def test_command_types_are_stable_words() -> None:
    """They travel on the wire, and the state table knows each of them."""
    types = [model.type for model in draw.COMMANDS]
    people = ["session.start", "session.say", "session.resume", "session.pause", "session.stop", "session.delete"]
    assert set(types) == {*people, "session.change", "session.report"}
    assert set(types) == {*states.COMMANDS, *states.ALWAYS, *states.INTERNAL}


def test_every_command_is_on_the_commands_plane() -> None:
    """None is a notice or an event, also the one of a type that nobody knows."""
    models: tuple[type[m.Body], ...] = (*draw.COMMANDS, m.UnknownCommand)
    for model in models:
        assert model.plane == "commands"
        assert issubclass(model, m.Command)
        assert not issubclass(model, m.Notice | m.Event)


@pytest.mark.parametrize("model", [m.SessionStart, m.SessionResume, m.SessionPause, m.SessionStop])
def test_a_command_may_be_bare(model: type[m.Command]) -> None:
    """Who asks is then unknown, and it expires when the bus says so."""
    data = m.decode_command(m.encode(m.Message.of(model(), session="demo"))).data
    assert isinstance(data, model)
    assert (data.by, data.why, data.expires_at) == ("unknown", "", None)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (m.SessionSay, {}),
        (m.SessionSay, {"text": ""}),
        (m.SessionStart, {"text": ""}),
        (m.SessionPause, {"by": ""}),
        (m.SessionPause, {"by": "x" * 201}),
        (m.SessionPause, {"why": "x" * 501}),
        (m.SessionPause, {"expires_at": datetime(2026, 11, 22)}),
    ],
)
def test_a_command_that_breaks_a_rule_is_refused(model: Any, fields: dict[str, Any]) -> None:
    """Something said is not empty, names and reasons fit a line, an expiry is an absolute time."""
    with pytest.raises(InvalidMessage, match=f"^{model.__name__}: "):
        m.build(model, **fields)


@given(
    st.builds(
        m.Outcome,
        command_id=draw.ids,
        session=draw.sessions,
        result=st.sampled_from(m.Result),
        reason=draw.texts,
        state=st.none() | draw.states,
        version=draw.counts,
        legal=st.lists(st.sampled_from(list(states.COMMANDS)), unique=True).map(tuple),
    )
)
def test_an_outcome_comes_back_as_it_was(outcome: m.Outcome) -> None:
    """It is kept as JSON for whoever asks again."""
    assert m.Outcome.model_validate_json(outcome.model_dump_json()) == outcome


def test_an_outcome_is_one_of_three() -> None:
    """Applied, refused or expired: there is no fourth way for a command to end."""
    assert sorted(m.Result) == ["applied", "expired", "refused"]
