"""The page of the states is drawn from their table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import make_states
from tidings.bus.states import State, Trigger

CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_page_and_the_picture_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever changes the table draws them anew: `python docs/make_states.py`."""
    assert make_states.main(["--check"]) == 0, capsys.readouterr().err


def test_the_page_explains_every_state_and_every_trigger() -> None:
    """The part written by hand leaves none out."""
    text = (CHECKOUT / "docs" / "states.md").read_text(encoding="utf-8")
    by_hand = re.sub(r"<!-- begin.*?<!-- end", "", text, flags=re.DOTALL)
    cells = {line.split("|")[1] for line in by_hand.splitlines() if line.startswith("| ")}
    explained = {word for cell in cells for word in re.findall(r"`(\w+)`", cell)}
    assert explained >= {*State, *Trigger}
