"""The picture of the states."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from xml.etree import ElementTree

import pytest

from bus.states import TABLE, State, Trigger
from docs import state_picture
from docs.state_picture import Frame, draw

SVG = "{http://www.w3.org/2000/svg}"


def test_it_shows_every_row_of_the_table_once() -> None:
    """Undoing the frames gives the table: nothing is left out, nothing is drawn twice, nothing is invented."""
    rows: Counter[tuple[State | None, Trigger, State]] = Counter()
    for (source, to), triggers in state_picture.edges().items():
        states = source.members if isinstance(source, Frame) else (source,)
        rows.update((state, trigger, to) for state in states for trigger in triggers)
    assert rows == Counter((state, trigger, to) for (state, trigger), to in TABLE.items())


def test_every_state_and_every_arrow_is_drawn() -> None:
    """The file is well-formed and has a box for each state and a label for each arrow."""
    root = ElementTree.fromstring(draw())
    texts = [text.text for text in root.iter(f"{SVG}text")]
    for state in State:
        assert state.replace("_", " ").upper() in texts
    for label in state_picture.arrows().values():
        assert label in texts
    assert "↺ say, limited, park" in texts
    assert len([path for path in root.iter(f"{SVG}path") if path.get("class") == "arrow"]) == len(state_picture.ROUTES)


def test_nothing_overlaps() -> None:
    """Labels and states keep clear of each other, also in a wide font, and nothing hangs over the edge."""
    boxes = list(state_picture.boxes())
    assert len(boxes) == len(State) + len(state_picture.ROUTES)
    for _, (left, top, right, bottom) in boxes:
        assert left >= 0 <= top
        assert right <= state_picture.WIDTH
        assert bottom <= state_picture.HEIGHT
    for (one, (left, top, right, bottom)), (other, (x0, y0, x1, y1)) in combinations(boxes, 2):
        apart = right <= x0 or x1 <= left or bottom <= y0 or y1 <= top
        assert apart, f"{one!r} lies on {other!r}"


def test_it_can_be_read_in_light_and_in_dark() -> None:
    """Both schemes colour the same things."""
    light, dark = draw().split("@media (prefers-color-scheme: dark)")
    for name in ("text", ".page", ".note", ".arrow", ".frame", ".ready", ".worker", ".person", ".trouble", ".final"):
        assert f"\n{name} {{" in light
        assert f"\n{name} {{" in dark


def test_a_row_without_a_way_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever adds a row to the table is told to draw it."""
    table = {**TABLE, (State.FINISHED, Trigger.RESUME): State.QUEUED}
    monkeypatch.setattr(state_picture, "TABLE", table)
    with pytest.raises(ValueError, match="finished -> queued"):
        draw()


def test_a_way_without_a_row_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes a row away is told to take its arrow away."""
    table = {key: to for key, to in TABLE.items() if key != (State.PAUSED, Trigger.REST)}
    monkeypatch.setattr(state_picture, "TABLE", table)
    with pytest.raises(ValueError, match="paused -> awaiting_input"):
        draw()


def test_a_frame_draws_only_what_all_its_states_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that does not accept a pause any more is not within a frame that says so."""
    table = {key: to for key, to in TABLE.items() if key != (State.ERROR, Trigger.PAUSE)}
    monkeypatch.setattr(state_picture, "TABLE", table)
    with pytest.raises(ValueError, match=r"Frame\.OPEN -> paused"):
        draw()
