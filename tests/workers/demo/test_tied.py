"""A process of the demo is the command line, and ends with its standard input."""

from __future__ import annotations

import os
import sys

import pytest

from workers.demo import tied


class Ended(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Codes with which the process would have ended."""
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        raise Ended

    monkeypatch.setattr(os, "_exit", end)
    return codes


def test_it_ends_when_the_other_end_of_the_pipe_closes(monkeypatch: pytest.MonkeyPatch, ended: list[int]) -> None:
    """Whatever is written there before is read and ignored."""
    chunks = [b"ignored", b"too", b""]
    monkeypatch.setattr(os, "read", lambda fd, size: chunks.pop(0))
    with pytest.raises(Ended):
        tied.end_with_input()
    assert (ended, chunks) == ([1], [])


def test_it_ends_when_there_is_no_input(monkeypatch: pytest.MonkeyPatch, ended: list[int]) -> None:
    """A standard input that cannot be read is as good as closed."""

    def fail(fd: int, size: int) -> bytes:
        raise OSError

    monkeypatch.setattr(os, "read", fail)
    with pytest.raises(Ended):
        tied.end_with_input()
    assert ended == [1]


def test_a_worker_loads_litellm_and_a_controller_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ready means that what takes seconds has been loaded."""
    loaded: list[str] = []
    monkeypatch.setattr("workers.llm.load_litellm", lambda: loaded.append("litellm"))
    tied.load("controller")
    assert "workers.cli.serve" in sys.modules
    assert loaded == []
    tied.load("worker")
    assert loaded == ["litellm"]


def test_it_says_that_it_is_ready_and_runs_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The words are those of `tidings`, and so is the exit code."""
    monkeypatch.setattr(tied, "end_with_input", lambda: None)
    assert tied.main(["controller", "--controller-poll-s", "never"]) == 2
    told = capfd.readouterr()
    assert told.out.encode() == tied.READY
    assert "controller-poll-s" in told.err
