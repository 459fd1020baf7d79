"""Logging: one line a record, in text or JSON, without secrets."""

from __future__ import annotations

import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tidings.bus import State
from tidings.workers.log import FOREIGN_EVENT, Redaction, StderrHandler, configure_logging

KEY = "sk-planted-0123456789"

ours = logging.getLogger("tidings.test")
theirs = logging.getLogger("somebody.else")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave logging as it was."""
    root, tidings = logging.getLogger(), logging.getLogger("tidings")
    before = (list(root.handlers), root.level, tidings.level)
    with warnings.catch_warnings():
        yield
    logging.captureWarnings(False)
    root.handlers[:], level, tidings_level = before
    root.setLevel(level)
    tidings.setLevel(tidings_level)


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_a_record_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    """Time, level, logger and event come first, then the fields of the record, each as JSON has it."""
    configure_logging("info", as_json=True)
    fields = {"session": "demo", "count": 2, "ratio": 0.5, "state": State.QUEUED, "held": True, "none": None}
    ours.info("worker.claimed", extra=fields)
    (line,) = _lines(capsys)
    assert list(line)[:4] == ["time", "level", "logger", "event"]
    assert datetime.fromisoformat(line["time"]).tzinfo is not None
    assert line | fields == line
    assert (line["level"], line["logger"], line["event"]) == ("info", "tidings.test", "worker.claimed")


def test_values_that_json_cannot_carry_become_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither NaN nor depth nor an object that cannot say what it is breaks a line."""

    class Mute:
        def __str__(self) -> str:
            raise RuntimeError

    deep: list[Any] = []
    deep.append(deep)
    configure_logging("info", as_json=True)
    ours.info(
        "a.b",
        extra={
            "nan": float("nan"),
            "mute": Mute(),
            "deep": deep,
            "at": datetime(2026, 1, 1, tzinfo=UTC),
            "map": {1: (2, {3})},
        },
    )
    (line,) = _lines(capsys)
    assert line["nan"] == "nan"
    assert line["mute"] == "<Mute>"
    assert line["at"].startswith("2026-01-01")
    assert line["map"] == {"1": [2, [3]]}


def test_fields_never_replace_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """A field named like one of ours stands beside it."""
    configure_logging("info", as_json=True)
    ours.info("a.b", extra={"event": "x", "level": 7, "time": 0})
    (line,) = _lines(capsys)
    assert (line["event"], line["event_"], line["level_"], line["time_"]) == ("a.b", "x", 7, 0)


def test_other_packages_come_through_from_warning_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Their text is in `message`; what they say at info may hold prompts and is not shown."""
    configure_logging("debug", as_json=True)
    theirs.info("quiet")
    theirs.warning("loud %s", 1)
    (line,) = _lines(capsys)
    assert (line["event"], line["message"], line["logger"]) == (FOREIGN_EVENT, "loud 1", "somebody.else")


def test_the_level_is_that_of_our_records(capsys: pytest.CaptureFixture[str]) -> None:
    """What is below it is not shown."""
    configure_logging("warning", as_json=True)
    ours.info("a.b")
    ours.warning("c.d")
    assert [line["event"] for line in _lines(capsys)] == ["c.d"]


def test_configuring_twice_prints_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The later call replaces the earlier one."""
    configure_logging("info")
    configure_logging("info", as_json=True)
    ours.info("a.b")
    assert len(_lines(capsys)) == 1


def test_warnings_are_records_too(capsys: pytest.CaptureFixture[str]) -> None:
    """A warning of Python's does not break the lines of JSON."""
    configure_logging("info", as_json=True)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old and gone", DeprecationWarning, stacklevel=1)
    (line,) = _lines(capsys)
    assert line["logger"] == "py.warnings"
    assert "old and gone" in line["message"]


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_no_secret_is_logged(as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in the text, the arguments, the fields at any depth, the traceback nor the stack."""
    monkeypatch.setenv("SOME_API_KEY", "environment-secret")
    configure_logging("info", as_json=as_json, secrets=["given secret"])
    secrets = f"{KEY} environment-secret given secret"
    theirs.warning("told %s", secrets)
    ours.info("a.b", extra={"one": secrets, "two": [{"three": (secrets,)}], secrets: 1, "api_key": "short1"})
    try:
        raise ValueError(secrets)
    except ValueError:
        ours.exception("c.d", stack_info=True, extra={"error_object": ValueError(secrets)})
    text = capsys.readouterr().err
    assert text.count("[redacted]") > 10
    for secret in (KEY, "environment-secret", "given secret", "short1"):
        assert secret not in text


def test_a_secret_is_found_before_a_long_text_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """Half a secret would be one too."""
    configure_logging("info", as_json=True)
    ours.info("a.b", extra={"text": "x " * 1990 + KEY})
    (line,) = _lines(capsys)
    assert "sk-p" not in line["text"]
    assert len(line["text"]) <= 4000


def test_a_record_is_cleaned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter at its logger and one at the handler do the work of one; a filter that knows more secrets does it again."""
    cleaned: list[str] = []

    def redact(text: str, _: frozenset[str], limit: int) -> str:
        cleaned.append(text)
        return text[:limit]

    monkeypatch.setattr("tidings.workers.log.redact", redact)
    record = logging.makeLogRecord({"msg": "text " * 1000})
    for known in ({"secret"}, {"secret"}, set(), {"secret", "another"}):
        assert Redaction(frozenset(known)).filter(record)
    assert [len(text) for text in cleaned] == [5000, 4000]


def test_a_failure_carries_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """Class and traceback are fields of the one line."""
    configure_logging("info", as_json=True)
    try:
        raise ValueError("told")
    except ValueError:
        ours.exception("a.b")
    (line,) = _lines(capsys)
    assert line["error"] == "ValueError"
    assert line["traceback"].endswith("ValueError: told")


def test_a_record_that_cannot_be_formatted_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody's mistake in a log call harms nobody."""
    configure_logging("info", as_json=True)
    theirs.warning("%d of", "x")
    (line,) = _lines(capsys)
    assert line["message"] == "%d of"


def test_text_is_a_line_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    """Time of day, level, event, fields; quotes where a value has blanks."""
    configure_logging("info")
    ours.info("worker.claimed", extra={"session": "demo", "why": "taken up", "empty": ""})
    theirs.warning("two\nlines")
    first, second = capsys.readouterr().err.splitlines()
    assert first.split(" ", 1)[1] == 'info    worker.claimed session=demo why="taken up" empty=""'
    assert second.endswith("warning two lines")


def test_text_holds_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters in fields and tracebacks are not passed on."""
    configure_logging("info")
    ours.info("a.b", extra={"text": "\x1b[2Jgone\u202e"})
    try:
        raise ValueError("\x1b]0;title\x07")
    except ValueError:
        ours.exception("c.d")
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert not set(text) & {"\x1b", "\x07", "\u202e"}


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_warnings_have_a_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch, no_color: str, coloured: bool) -> None:
    """Unless NO_COLOR says otherwise; the word for the level is there in any case."""
    terminal = _Terminal()
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys, "stderr", terminal)
    configure_logging("info")
    ours.warning("a.b")
    ours.info("c.d")
    first, second = terminal.getvalue().splitlines()
    assert ("\x1b[33m" in first) is coloured
    assert "warning" in first
    assert "\x1b" not in second


def test_the_handler_follows_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    """A live table that catches stderr for a while catches the log with it."""
    configure_logging("info")
    elsewhere = io.StringIO()
    monkeypatch.setattr(sys, "stderr", elsewhere)
    ours.info("a.b")
    assert "a.b" in elsewhere.getvalue()
    with pytest.raises(AttributeError, match=r"sys\.stderr"):
        StderrHandler().stream = elsewhere
