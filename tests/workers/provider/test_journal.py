"""Records and counts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.workers.provider import journal as journal_module
from tidings.workers.provider.journal import OTHER, Journal, Outcome

MESSAGES = [{"role": "user", "content": "hello"}]


def journal(records: int = 100, size: int = 10_000) -> Journal:
    """Return an empty journal."""
    return Journal(records, size)


def test_a_request_is_on_record_from_its_arrival() -> None:
    """Someone who waits for a hanging call sees it at once, and its news as they come."""
    log = journal()
    with log.open("…abcd", 5.0) as entry:
        assert [(record.number, record.at, record.outcome) for record in log.records()] == [(1, 5.0, "in_flight")]
        assert log.statistics()["in_flight"] == log.statistics()["unsettled"] == 1
        entry.understood("m", MESSAGES, stream=True, size=40)
        entry.answers(200)
        entry.charged(9)
        entry.settle("ok")
    (record,) = log.records()
    assert record == entry.record
    assert (record.key, record.model, record.messages, record.stream) == ("…abcd", "m", MESSAGES, True)
    assert (record.status, record.tokens, record.outcome, record.fault) == (200, 9, "ok", None)
    assert log.statistics()["in_flight"] == log.statistics()["unsettled"] == 0


def test_leaving_without_an_end_is_to_abandon() -> None:
    """A client that goes away is counted, also when an error carries the request out."""
    log = journal()
    with pytest.raises(ConnectionResetError), log.open("k", 0.0):
        raise ConnectionResetError
    assert log.records()[0].outcome == "abandoned"
    assert log.statistics()["abandoned"] == 1


def test_only_the_first_end_counts() -> None:
    """A scripted time-out whose client leaves is a time-out."""
    log = journal()
    with log.open("k", 0.0) as entry:
        entry.settle("failed", "timeout")
        entry.settle("ok")
    assert (entry.record.outcome, entry.record.fault) == ("failed", "timeout")
    assert log.statistics()["failed"]["timeout"] == 1
    assert log.statistics()["abandoned"] == 0


def test_the_most_at_once_is_remembered() -> None:
    """Three in flight together are three, also after they left."""
    log = journal()
    with log.open("k", 0.0), log.open("k", 0.0):
        with log.open("k", 0.0):
            pass
        with log.open("k", 0.0):
            pass
    assert (log.statistics()["max_in_flight"], log.statistics()["in_flight"]) == (3, 0)


def test_records_after_a_number() -> None:
    """A reader goes on where it stopped."""
    log = journal()
    for _ in range(4):
        with log.open("k", 0.0):
            pass
    assert [record.number for record in log.records(after=2)] == [3, 4]
    assert log.records(after=99) == []


def test_old_records_are_dropped_and_counted() -> None:
    """The newest stay; a dropped request that is still in flight is still counted when it ends."""
    log = journal(records=2)
    with log.open("k", 0.0) as first:
        for _ in range(3):
            with log.open("k", 0.0) as entry:
                entry.settle("ok")
        first.settle("refused")
    assert [record.number for record in log.records()] == [3, 4]
    statistics = log.statistics()
    assert (statistics["dropped"], statistics["recorded"]) == (2, 2)
    assert (statistics["ok"], statistics["refused"]) == (3, 1)


def test_nothing_is_recorded_if_so_set() -> None:
    """Counting goes on without a log."""
    log = journal(records=0)
    with log.open("k", 0.0) as entry:
        entry.settle("ok")
    assert log.records() == []
    assert log.statistics()["ok"] == 1


def test_the_log_is_bounded_in_bytes() -> None:
    """Large prompts push older ones out, and one larger than the log is not kept."""
    log = journal(size=100)
    for size in (60, 30, 30, 200, 90):
        with log.open("k", 0.0) as entry:
            entry.understood("m", MESSAGES, stream=False, size=size)
            entry.settle("ok")
        kept = [record.number for record in log.records()]
        assert kept == {1: [1], 2: [1, 2], 3: [2, 3], 4: [], 5: [5]}[entry.record.number]
    assert log.statistics()["dropped"] == 4


def test_counts_by_key_and_model_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound all are counted together, none is lost."""
    monkeypatch.setattr(journal_module, "ROWS_MAX", 2)
    log = journal()
    for model in ("a", "b", "c", "d", "a"):
        with log.open("k", 0.0) as entry:
            entry.understood(model, MESSAGES, stream=False, size=1)
            entry.charged(5)
            entry.settle("ok")
    rows = {row["model"]: (row["requests"], row["tokens"]) for row in log.statistics()["by_key_and_model"]}
    assert rows == {"a": (2, 10), "b": (1, 5), OTHER: (2, 10)}


OUTCOMES: list[Outcome] = ["ok", "refused", "failed", "invalid", "abandoned"]


@given(st.lists(st.tuples(st.sampled_from(OUTCOMES), st.sampled_from("ab"), st.integers(0, 9)), max_size=40))
def test_every_request_is_counted_once(ends: list[tuple[Outcome, str, int]]) -> None:
    """Totals, rows and kinds of failure add up to what was seen."""
    log = journal(records=5)
    for outcome, model, tokens in ends:
        with log.open("k", 0.0) as entry:
            entry.understood(model, MESSAGES, stream=False, size=1)
            entry.charged(tokens)
            entry.answers(200)
            entry.settle(outcome, "quota" if outcome == "failed" else None)
    statistics: dict[str, Any] = log.statistics()
    wanted = {name: sum(outcome == name for outcome, _, _ in ends) for name in OUTCOMES}
    totals = {name: statistics[name] for name in OUTCOMES if name != "failed"}
    assert totals | {"failed": sum(statistics["failed"].values())} == wanted
    assert statistics["requests"] == len(ends)
    assert statistics["unsettled"] == 0
    rows = statistics["by_key_and_model"]
    assert {name: sum(row[name] for row in rows) for name in OUTCOMES} == wanted
    assert sum(row["tokens"] for row in rows) == statistics["tokens"] == sum(tokens for _, _, tokens in ends)
    assert statistics["by_status"] == ({"200": len(ends)} if ends else {})
    assert statistics["recorded"] + statistics["dropped"] == len(ends)
