"""The summary counts from the evidence, and is true only if all of it is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bus import State
from tests.workers.demo.evidence_of import LIMIT, ORPHAN, PARKED, evidence, history, orphan_notices, parked_notices, requests
from workers.demo.evidence import Evidence
from workers.demo.summary import Summary


def summary(found: Evidence, *failures: str) -> Summary:
    """Return the summary of some evidence."""
    return Summary.of(found, 12.34, failures)


def test_honest_evidence_is_true() -> None:
    """Every number comes from what was recorded, told or kept."""
    told = summary(evidence())
    assert told.ok
    assert told.model_dump() == {
        "ok": True,
        "duration_s": 12.3,
        "sessions": 2,
        "calls": 7,
        "refused": 2,
        "retries_told": 1,
        "parked": 1,
        "resumed": 1,
        "taken_over": 1,
        "answers": 4,
        "history_complete": True,
        "notices_in_prompts": 0,
        "problems": (),
    }


def test_json_is_one_object() -> None:
    """A script reads one line."""
    line = summary(evidence()).line()
    assert "\n" not in line
    assert json.loads(line)["ok"] is True


def test_a_notice_in_a_prompt_is_not_true() -> None:
    """The one thing that must never happen is counted and said."""
    record = replace(requests()[6], messages=[*requests()[6].messages, {"role": "system", "content": LIMIT}])
    told = summary(evidence(requests=(*requests()[:6], record)))
    assert not told.ok
    assert told.notices_in_prompts == 1


def test_a_doubled_event_is_not_true() -> None:
    """The history is not complete with something in it twice."""
    twice = (*history(ORPHAN), history(ORPHAN)[-1])
    told = summary(evidence(histories={**evidence().histories, ORPHAN: twice}))
    assert not told.ok
    assert not told.history_complete


def test_a_missing_answer_is_not_true() -> None:
    """The history is not complete without an answer."""
    told = summary(evidence(histories={**evidence().histories, ORPHAN: history(ORPHAN)[:-1]}))
    assert not told.ok
    assert not told.history_complete


def test_a_failure_of_the_story_is_not_true() -> None:
    """A step that did not come about is one of the problems, whatever the evidence says."""
    assert summary(evidence(), "not within 30 s: berlin is parked").problems == ("not within 30 s: berlin is parked",)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"requests": tuple(replace(request, outcome="failed") for request in requests())}, "limit was never hit"),
        ({"notices": {PARKED: parked_notices()}}, "no retry was told"),
        ({"notices": {ORPHAN: orphan_notices()}}, "no session was parked"),
        ({"notices": {PARKED: parked_notices()[:5]}}, "no parked session was resumed"),
        ({"killed": "worker-2"}, "no session of a killed worker"),
        ({"killed": None}, "no session of a killed worker"),
    ],
)
def test_what_never_happened_is_not_true(changes: dict[str, object], problem: str) -> None:
    """Everything that the demo is there to show must have been seen."""
    assert any(problem in told for told in summary(evidence(**changes)).problems)


def test_no_evidence_is_not_true() -> None:
    """Where nothing could be collected nothing is claimed."""
    told = summary(Evidence.nothing())
    assert not told.ok
    assert not told.history_complete


def test_people_read_every_number_and_the_verdict() -> None:
    """The lines name what was counted and end with whether it is true."""
    lines = list(summary(evidence()).lines())
    for name in (
        "calls",
        "refused",
        "retries told",
        "parked",
        "resumed",
        "taken over",
        "history complete",
        "notices found in prompts",
    ):
        assert any(line.strip().startswith(name) for line in lines)
    assert lines[-1] == "all of it is true; it took 12.3 s"


def test_people_read_what_is_not_true() -> None:
    """Each problem has a line of its own."""
    found = evidence(states={PARKED: State.AWAITING_INPUT, ORPHAN: State.ERROR}, killed=None)
    lines = list(summary(found).lines())
    assert "  not true: no session of a killed worker went on elsewhere" in lines
    assert lines[-1].startswith("not all of it is true")
