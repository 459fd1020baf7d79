"""How a command ends."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable

import pytest
import typer

from tidings.bus import (
    AccessDenied,
    BadAddress,
    CommandExpired,
    CommandRefused,
    IdempotencyConflict,
    InvalidName,
    PayloadTooLarge,
    UnknownSession,
    Unreachable,
    UnsupportedServer,
)
from tidings.workers.cli.exits import BadUsage, CommandFailed, Exit, guarded
from tidings.workers.settings import BadSetting


def _raising(error: BaseException) -> Callable[[], int]:
    def call() -> int:
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadAddress("told"), 2),
        (InvalidName("told"), 2),
        (PayloadTooLarge("told", 2, 1), 2),
        (BadSetting("told", ("lease_s",)), 2),
        (BadUsage("told"), 2),
        (Unreachable("told"), 1),
        (AccessDenied("told"), 1),
        (UnsupportedServer("told"), 1),
        (CommandFailed("told"), 1),
        (RuntimeError("told"), 1),
        (UnknownSession("told"), 3),
        (CommandRefused("id", "told", "queued", ()), 3),
        (IdempotencyConflict("told"), 3),
        (CommandExpired("told"), 4),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_each_failure_has_its_code_and_one_line(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Scripts rely on the codes; people read one line on stderr, never a traceback."""
    assert guarded(_raising(error)) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("tidings: ")
    assert captured.err.count("\n") == 1


def test_a_defect_shows_where_at_level_debug(caplog: pytest.LogCaptureFixture) -> None:
    """The traceback is there for whoever asks for it."""
    with caplog.at_level(logging.DEBUG, logger="tidings.cli"):
        assert guarded(_raising(ZeroDivisionError("told"))) == 1
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_the_code_of_a_command_is_its_own() -> None:
    """What it returns is how it ends."""
    assert guarded(lambda: 3) == 3


def test_ctrl_c_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """130 and not a word."""
    assert guarded(_raising(KeyboardInterrupt())) == Exit.INTERRUPTED
    assert capsys.readouterr() == ("", "")


def test_typer_ends_in_its_own_way() -> None:
    """Its exit passes through: it is how help and version end."""
    with pytest.raises(typer.Exit):
        guarded(_raising(typer.Exit(0)))


def test_a_gone_reader_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither now nor at the last flush; a stdout without a file descriptor is no error either."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert guarded(_raising(BrokenPipeError())) == Exit.BROKEN_PIPE
    assert capsys.readouterr().err == ""
