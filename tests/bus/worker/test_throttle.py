"""What is told again and again: the newest counts, at most so often."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.hands import Hands
from tidings.bus.worker.throttle import Throttle

REST_S = 0.125


def test_the_first_is_passed_on_at_once() -> None:
    """And so is each that comes when the last one is long enough ago."""
    hands, seen = Hands(), list[str]()
    throttle = Throttle(REST_S, seen.append, hands)
    throttle.put("a")
    assert seen == ["a"]
    hands.move(REST_S)
    throttle.put("b")
    assert seen == ["a", "b"]
    assert hands.calls == []


def test_the_newest_takes_the_place_of_those_that_wait() -> None:
    """It is passed on when the time has come, and once."""
    hands, seen = Hands(), list[int]()
    throttle = Throttle(REST_S, seen.append, hands)
    for number in range(5):
        throttle.put(number)
    assert seen == [0]
    hands.move(REST_S / 2)
    assert seen == [0]
    hands.move(REST_S / 2)
    assert seen == [0, 4]
    hands.move(10)
    assert seen == [0, 4]


def test_what_waits_can_be_passed_on_now_or_forgotten() -> None:
    """Either way nothing happens later."""
    hands, seen = Hands(), list[str]()
    throttle = Throttle(REST_S, seen.append, hands)
    for value in "ab":
        throttle.put(value)
    throttle.flush()
    assert seen == ["a", "b"]
    throttle.put("c")
    throttle.drop()
    hands.move(10)
    throttle.flush()
    assert seen == ["a", "b"]


@given(st.lists(st.floats(0, 0.5, width=16), max_size=30))
def test_it_is_never_quicker_and_never_loses_the_last(pauses: list[float]) -> None:
    """However they come."""
    hands, seen = Hands(), list[tuple[int, float]]()
    throttle: Throttle[int] = Throttle(REST_S, lambda number: seen.append((number, hands.now)), hands)
    for number, pause in enumerate(pauses):
        hands.move(pause)
        throttle.put(number)
    hands.move(REST_S)
    assert [number for number, _ in seen] == sorted({number for number, _ in seen})
    assert [number for number, _ in seen][-1:] == list(range(len(pauses)))[-1:]
    assert all(later - earlier >= REST_S for (_, earlier), (_, later) in pairwise(seen))
