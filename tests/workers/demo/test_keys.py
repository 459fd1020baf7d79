"""Keys work on a terminal of ours, at a single press, and leave it as it was."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import termios
from collections.abc import Iterator

import pytest

from tests.waiting import eventually
from workers.demo.keys import keys


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Both ends of a terminal: the person's and the program's."""
    person, program = os.openpty()
    monkeypatch.setattr(os, "tcgetpgrp", lambda fd: os.getpgrp())
    yield person, program
    os.close(program)
    os.close(person)


async def test_a_key_works_without_enter(terminal: tuple[int, int]) -> None:
    """Its action is called at the press; other keys do nothing."""
    person, program = terminal
    pressed: list[str] = []
    with keys({"r": lambda: pressed.append("r"), "q": lambda: pressed.append("q")}, program):
        os.write(person, b"xrq")
        await eventually(lambda: pressed == ["r", "q"])


async def test_the_terminal_is_as_it_was_afterwards(terminal: tuple[int, int]) -> None:
    """Echo and lines are off inside only, also when it ends by an error."""
    _, program = terminal
    before = termios.tcgetattr(program)
    with contextlib.suppress(ZeroDivisionError), keys({}, program):
        assert not termios.tcgetattr(program)[3] & termios.ECHO
        raise ZeroDivisionError
    assert termios.tcgetattr(program) == before


async def test_a_terminal_that_is_gone_is_read_no_more(terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the terminal is no reason to spin."""
    person, program = terminal
    reads: list[int] = []

    def gone(fd: int, size: int) -> bytes:
        reads.append(fd)
        raise OSError

    monkeypatch.setattr(os, "read", gone)
    with keys({}, program):
        os.write(person, b"r")
        await eventually(lambda: reads == [program])
        assert not asyncio.get_running_loop().remove_reader(program)


async def test_without_a_terminal_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe is not a keyboard, and neither is a standard input that there is not."""
    reader, writer = os.pipe()
    try:
        os.write(writer, b"q")
        with keys({"q": pytest.fail}, reader):
            pass
        assert os.read(reader, 1) == b"q"
    finally:
        os.close(reader)
        os.close(writer)
    monkeypatch.setattr(sys, "stdin", None)
    with keys({"q": pytest.fail}):
        pass


async def test_a_terminal_of_somebody_else_is_left_alone(terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A job in the background would be stopped for trying."""
    _, program = terminal
    before = termios.tcgetattr(program)
    monkeypatch.setattr(os, "tcgetpgrp", lambda fd: os.getpgrp() + 1)
    with keys({}, program):
        assert termios.tcgetattr(program) == before


async def test_a_terminal_without_a_group_is_left_alone(terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that controls nobody cannot be ours."""

    def fail(fd: int) -> int:
        raise OSError

    monkeypatch.setattr(os, "tcgetpgrp", fail)
    with keys({"q": pytest.fail}, terminal[1]):
        os.write(terminal[0], b"q\n")
