"""The look of states."""

from __future__ import annotations

from rich.cells import cell_len

from tidings.bus import State
from tidings.workers.view import LATER, LOOKS, NEEDS_YOU, PARKED, TOLD, look_of


def test_every_state_has_a_look_of_its_own() -> None:
    """No two states share word and sign, so nobody depends on the colour."""
    assert set(LOOKS) == set(State)
    looks = [*LOOKS.values(), PARKED, LATER]
    assert len({look.word for look in looks}) == len(looks)
    assert len({look.sign for look in looks}) == len(looks)
    assert len({look.ascii_sign for look in looks}) == len(looks)
    assert all(cell_len(look.sign) == 1 and look.ascii_sign.isascii() for look in looks)


def test_parked_is_told_apart_from_waiting() -> None:
    """For a limit and for an outage, each with a word of its own; one that needs a person is the most urgent of all."""
    assert look_of(State.RETRYING, parked=True) is LATER
    assert look_of(State.RATE_LIMITED) is LOOKS[State.RATE_LIMITED]
    assert look_of(State.RATE_LIMITED, parked=True) is PARKED
    assert look_of(State.RATE_LIMITED, parked=True, needs_you=True) is NEEDS_YOU
    assert TOLD[0] is NEEDS_YOU
    assert set(TOLD) == {*LOOKS.values(), PARKED, LATER, NEEDS_YOU}
