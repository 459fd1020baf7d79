"""What reaches the terminal."""

from __future__ import annotations

import io
import sys

import pytest

from tidings.workers.cli.output import block, complain, print_json, screen


def test_json_is_utf8_whatever_the_terminal_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Latin-1 terminal changes nothing about the bytes of a JSON line; the order of prints is kept."""
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="latin-1"))
    print("before")
    print_json('{"text": "\u2713"}')
    assert buffer.getvalue() == 'before\n{"text": "\u2713"}\n'.encode()


def test_json_can_be_written_to_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stdout that somebody replaced by a text buffer serves too."""
    text = io.StringIO()
    monkeypatch.setattr(sys, "stdout", text)
    print_json("{}")
    assert text.getvalue() == "{}\n"


def test_a_complaint_is_one_line_without_secrets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Line breaks, control characters and what the environment holds as secret do not get through."""
    monkeypatch.setenv("SOME_TOKEN", "environment-secret")
    complain("bad\n\x1b[31mthing environment-secret sk-planted-0123456789")
    captured = capsys.readouterr()
    assert captured.err == "tidings: bad thing [redacted] [redacted]\n"
    assert captured.out == ""


def test_markup_and_emoji_codes_are_only_text(capsys: pytest.CaptureFixture[str]) -> None:
    """What somebody else wrote does not colour the screen, and a long line is not folded in a pipe."""
    screen().print("[red]:smile:[/red] " + "x" * 300)
    assert capsys.readouterr().out == "[red]:smile:[/red] " + "x" * 300 + "\n"


def test_a_gone_reader_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error goes to the one place that decides how a command ends."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    with pytest.raises(BrokenPipeError):
        screen().print("x")


def test_a_block_keeps_its_lines_and_nothing_that_a_terminal_obeys() -> None:
    """Indentation stays; control characters, turned directions and lone surrogates are shown as U+FFFD."""
    assert block("a\r\n  b\tc\n") == ["a", "  b c", ""]
    assert block("x\x1b[2J\u202e\ud800\x07") == ["x\ufffd[2J\ufffd\ufffd\ufffd"]
