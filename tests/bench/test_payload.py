"""Messages that are measured with."""

from __future__ import annotations

import json

import pytest

from bench.case import LARGE, SMALL
from bench.payload import dump, event_maker, notice_maker, plain_maker
from bench.sessions import session_names
from bus.messages import encode


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_all_are_of_the_size_asked_for(size: int) -> None:
    """As many bytes go over the wire for us as for what stands beside us, in whatever session."""
    for session in session_names(100)[::33]:
        # The fraction of a time is left out once in a million times.
        assert len(encode(notice_maker(size)(session))) == pytest.approx(size, abs=7)
        assert len(encode(event_maker(size)(session))) == pytest.approx(size, abs=7)
        assert len(dump(plain_maker(size)(session))) == pytest.approx(size, abs=7)


def test_what_is_made_by_hand_reads_as_ours_does() -> None:
    """It has the members of our envelope that a reader needs."""
    plain = json.loads(dump(plain_maker(SMALL)("session-0001")))
    ours = json.loads(encode(event_maker(SMALL)("session-0001")))
    assert {name: plain[name] for name in ("subject", "type", "source")} == {
        name: ours[name] for name in ("subject", "type", "source")
    }
    assert plain.keys() == ours.keys()


def test_each_message_is_a_new_one() -> None:
    """The cost of making a message is measured too."""
    make = event_maker(SMALL)
    assert make("session-0001").id != make("session-0001").id


def test_a_size_below_the_envelope_is_refused() -> None:
    """A message of another size than announced is never measured."""
    with pytest.raises(ValueError, match="too few"):
        event_maker(100)
