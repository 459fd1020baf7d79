"""The rows in the order of their last change: what a reader gets who comes again after any change."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tidings.bus import State
from tidings.workers.gateway import ledger as ledger_module
from tidings.workers.gateway.ledger import Ledger
from tidings.workers.view import Roster, SessionView, rank


def told(frames: list[bytes]) -> list[tuple[str, Any]]:
    """Return what frames say: the session with its state, or None where it is gone."""
    found: list[tuple[str, Any]] = []
    for frame in frames:
        kind, data = frame.decode().split("\n")[:2]
        body = json.loads(data.removeprefix("data: "))
        if kind == "event: gone":
            found.append((body["session"], None))
        else:
            found.append((body["row"]["session"], body["row"]["state"]))
    return found


_STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([State.QUEUED, State.RUNNING, State.ERROR, None]), st.booleans()),
    max_size=40,
)


@given(_STEPS)
def test_a_reader_that_comes_now_and_then_knows_the_newest(steps: list[tuple[str, State | None, bool]]) -> None:
    """Sessions come, change and go; whenever the reader looks, it knows of each what is true at that moment."""
    ledger, known, change = Ledger(), dict[str, Any](), 0
    truth: dict[str, Any] = {}
    for session, state, looks in steps:
        if state is None:
            ledger.remove(session)
            truth.pop(session, None)
        else:
            ledger.put(SessionView(session, state=state), "e", 1)
            truth[session] = state.value
        if looks:
            for name, value in told(ledger.after(change)):
                known[name] = value
            change = ledger.change
            assert {name: value for name, value in known.items() if value} == truth
    assert ledger.by_state.total() == len(truth) == len(ledger)


_FAMILIES = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from([None, "a", "b"]), st.sampled_from([State.QUEUED, State.ERROR, None])),
    max_size=40,
)


@given(_FAMILIES)
def test_children_are_known_by_their_parent(steps: list[tuple[str, str | None, State | None]]) -> None:
    """Whatever comes, changes, moves to another parent and goes: each child that is there, once, in order."""
    ledger, truth = Ledger(), dict[str, str | None]()
    for session, parent, state in steps:
        if state is None:
            removed = ledger.remove(session)
            assert (removed.parent if removed else None) == truth.pop(session, None)
        else:
            ledger.put(SessionView(session, state=state, parent=parent), "e", 1)
            truth[session] = parent
        for one in "ab":
            children = ledger.children(one)
            assert {child.row.session for child in children} == {name for name, of in truth.items() if of == one}
            assert [rank(child.row) for child in children] == sorted(rank(child.row) for child in children)
    assert ledger.children("") == []


def test_the_newest_wins() -> None:
    """A slow reader gets each session once, as it is now, and in the order of the last change."""
    ledger = Ledger()
    for state in (State.QUEUED, State.RUNNING, State.RATE_LIMITED):
        ledger.put(SessionView("a", state=state), "e", 1)
        ledger.put(SessionView("b", state=state), "e", 1)
    ledger.put(SessionView("a", state=State.ERROR), "e", 2)
    assert told(ledger.after(0)) == [("b", "rate_limited"), ("a", "error")]


def test_what_looks_the_same_is_no_change() -> None:
    """A notice that changes nothing that is shown wakes nobody."""
    ledger = Ledger()
    assert ledger.put(SessionView("a", state=State.QUEUED), "e", 1)
    assert not ledger.put(SessionView("a", state=State.QUEUED), "e", 2)
    entry = ledger.get("a")
    assert entry is not None
    assert (ledger.change, entry.offset) == (1, 2)
    assert not ledger.remove("b")


def test_a_frame_is_made_once_for_all() -> None:
    """Every reader of a change is given the same bytes."""
    ledger = Ledger()
    ledger.put(SessionView("a", state=State.QUEUED), "e", 1)
    [one], [other] = ledger.after(0), ledger.after(0)
    assert one is other
    entry = ledger.get("a")
    assert entry is not None
    assert entry.status is entry.status
    assert json.loads(entry.json)["session"] == "a"


def test_who_lags_behind_too_many_that_are_gone_is_told_to_begin_anew(monkeypatch: Any) -> None:
    """Only so many of them are kept; a reader that has not got beyond the last one forgotten cannot be told of it."""
    monkeypatch.setattr(ledger_module, "GONE_KEPT", 2)
    ledger = Ledger()
    for session in "abc":
        ledger.put(SessionView(session, state=State.QUEUED), "e", 1)
    before = ledger.change
    for session in "abc":
        ledger.remove(session)
    assert told(ledger.after(before)) == [("b", None), ("c", None)]
    assert before < ledger.forgotten == before + 1


@given(
    st.lists(st.tuples(st.sampled_from(list(State)), st.none() | st.integers(0, 5)), max_size=30),
    st.integers(1, 7),
    st.booleans(),
)
def test_pages_hold_every_row_once_and_in_order(rows: list[tuple[State, int | None]], limit: int, only: bool) -> None:
    """Going from page to page by the place meets each session that is wanted once, in the order of all."""
    ledger, roster = Ledger(), Roster()
    for number, (state, parent) in enumerate(rows):
        row = SessionView(f"s{number}", state=state, parent=None if parent is None else f"s{parent}")
        ledger.put(row, "e", 1)
        roster.put(row)

    def wanted(row: SessionView) -> bool:
        return not only or row.state is State.ERROR

    met, after = list[str](), None
    while True:
        found, total = ledger.page(wanted, after, limit)
        assert total == len([row for row in roster if wanted(row)])
        assert len(found) <= limit + 1
        met += [entry.row.session for _, entry in found[:limit]]
        if len(found) <= limit:
            break
        after = found[limit - 1][0]
    assert met == [placed.row.session for placed in roster.shown(wanted)]
