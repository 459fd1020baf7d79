"""What the system tells of itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from tests import strategies as draw
from tidings.bus import messages as m
from tidings.bus.errors import InvalidMessage
from tidings.bus.states import State

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def _wait(reason: m.Reason, seconds: float | None) -> m.Wait:
    return m.Wait(reason=reason, retry_at=None if seconds is None else NOON + timedelta(seconds=seconds))


def test_notice_types_are_stable_words() -> None:
    """They travel on the wire: a change here is a change of the wire format."""
    assert [model.type for model in draw.NOTICES] == [
        "llm.retry",
        "llm.attempt",
        "llm.parked",
        "llm.rate_limited",
        "llm.recovered",
        "llm.failed",
        "agent.progress",
        "worker.claimed",
        "worker.released",
        "worker.lost",
        "session.state",
        "child.state",
    ]


def test_every_notice_is_on_the_status_plane() -> None:
    """None is an event or a command, also the one of a type that nobody knows."""
    models: tuple[type[m.Body], ...] = (*draw.NOTICES, m.UnknownNotice)
    for model in models:
        assert model.plane == "status"
        assert issubclass(model, m.Notice)
        assert not issubclass(model, m.Event | m.Command)


def test_progress_that_was_not_told_takes_no_room() -> None:
    """Records and notices without it are as they were before there was any, and are read so."""
    for model in (m.Picture(), m.SessionState(to=State.RUNNING, version=1)):
        assert "progress" not in json.loads(model.model_dump_json())
        assert type(model).model_validate_json(model.model_dump_json(by_alias=True)) == model


def test_progress_is_over_with_the_turn() -> None:
    """The next worker takes over what was counted of the calls, and nothing of what the agent did."""
    told = m.AgentProgress(doing="compiling", done=3, total=8)
    picture = m.Picture(progress=told.progress())
    assert json.loads(picture.model_dump_json())["progress"] == {"doing": "compiling", "done": 3, "total": 8}
    assert picture.kept() == m.Picture()


@pytest.mark.parametrize(
    "data", [{"doing": ""}, {"doing": "x" * 201}, {"doing": "x", "done": -1}, {"doing": "x", "total": 2**53}, {}]
)
def test_progress_is_bounded(data: dict[str, Any]) -> None:
    """What stands on a line is short, and its numbers are such as every reader holds."""
    with pytest.raises(ValueError, match="validation error"):
        m.AgentProgress(**data)


def test_nothing_to_wait_for_is_no_wait() -> None:
    """A picture without waits shows none."""
    assert m.Picture().wait is None


def test_the_wait_that_says_most_is_shown() -> None:
    """A rate limit comes before other trouble, then the wait that ends last."""
    short, long = _wait(m.Reason.RATE_LIMIT, 5), _wait(m.Reason.QUOTA_EXHAUSTED, 60)
    trouble = _wait(m.Reason.SERVER_ERROR, 600)
    assert m.Picture(waits={"a": long, "b": short, "c": trouble}).wait == long
    assert m.Picture(waits={"c": trouble, "b": short}).wait == short
    assert m.Picture(waits={"c": trouble}).wait == trouble


@given(draw.pictures)
def test_the_wait_that_is_shown_is_one_of_the_waits(picture: m.Picture) -> None:
    """No other wait beats it."""
    shown = picture.wait
    assert (shown is None) == (not picture.waits)
    if shown is None:
        return
    assert shown in picture.waits.values()
    for other in picture.waits.values():
        assert (shown.asked_at is None) >= (other.asked_at is None)
        if (shown.asked_at is None) != (other.asked_at is None):
            continue
        assert shown.reason.is_rate_limit >= other.reason.is_rate_limit
        if shown.reason.is_rate_limit == other.reason.is_rate_limit and other.retry_at:
            assert shown.retry_at is not None
            assert shown.retry_at >= other.retry_at


@settings(max_examples=50)
@given(draw.pictures)
def test_a_picture_comes_back_as_it_was(picture: m.Picture) -> None:
    """It travels as JSON with every renewal."""
    assert m.Picture.model_validate_json(picture.model_dump_json()) == picture


def test_a_lone_surrogate_in_a_path_name_cannot_stop_a_renewal() -> None:
    """The name of an LLM path is text as well; a renewal must always be writable."""
    picture = m.Picture(waits={"a\ud800": _wait(m.Reason.TIMEOUT, 1)})
    assert list(json.loads(picture.model_dump_json())["waits"]) == ["a\ufffd"]


def test_the_state_begins_with_what_the_script_fills_in() -> None:
    """`from`, `to` and `version` come first in `data`, under these names: a script writes them as text."""
    state = m.Message.of(m.SessionState(from_=State.RUNNING, to=State.PAUSED, version=7), session="demo")
    data = json.loads(m.encode(state))["data"]
    assert list(data.items())[:3] == [("from", "running"), ("to", "paused"), ("version", 7)]


def test_the_state_before_may_be_given_under_either_name() -> None:
    """`from` is a word of Python's; on the wire it is `from`, in Python `from_`."""
    by_alias = m.SessionState.model_validate({"from": "queued", "to": "running", "version": 1})
    assert by_alias == m.SessionState(from_=State.QUEUED, to=State.RUNNING, version=1)


_GOOD: dict[str, Any] = {"reason": "rate_limit", "attempt": 2, "max_attempts": 6, "wait_s": 4.0}


@pytest.mark.parametrize(
    "bad",
    [
        {"reason": 7},
        {"attempt": 0},
        {"max_attempts": 0},
        {"wait_s": -1},
        {"retry_at": "2026-11-22T12:00:00"},
        {"retry_after_s": -1},
        {"llm": "x" * 65},
        {"model": "x" * 201},
    ],
    ids=repr,
)
def test_a_retry_that_breaks_a_rule_is_refused(bad: dict[str, Any]) -> None:
    """Attempts count from 1, waits are not negative, deadlines are absolute; the error names the field."""
    m.build(m.LlmRetry, **_GOOD)
    with pytest.raises(InvalidMessage, match=f"^LlmRetry: {next(iter(bad))}"):
        m.build(m.LlmRetry, **_GOOD | bad)


@pytest.mark.parametrize("kind", [kind for kind in draw.NOTICES if kind is not m.WorkerLost])
def test_a_notice_that_says_nothing_is_refused(kind: type[m.Notice]) -> None:
    """Each says something that must be said."""
    with pytest.raises(InvalidMessage, match="Field required"):
        m.build(kind)
