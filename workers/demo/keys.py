"""Keys: single presses on a terminal, without Enter and without an echo."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Mapping


@contextlib.contextmanager
def keys(actions: Mapping[str, Callable[[], None]], fd: int | None = None) -> Iterator[None]:
    """Call an action whenever its key is pressed; outside, the terminal is as it was.

    Where standard input is no terminal, or not ours at the moment (a job in the background), nothing is read.

    Args:
        actions: what to call, by key; it returns at once.
        fd: the terminal, if not standard input.
    """
    fd = _stdin() if fd is None else fd
    if fd is None or not _is_ours(fd):
        yield
        return
    loop = asyncio.get_running_loop()
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd, termios.TCSADRAIN)
    loop.add_reader(fd, _read, loop, fd, actions)
    try:
        yield
    finally:
        loop.remove_reader(fd)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _read(loop: asyncio.AbstractEventLoop, fd: int, actions: Mapping[str, Callable[[], None]]) -> None:
    try:
        pressed = os.read(fd, 64).decode(errors="replace")
    except OSError:
        pressed = ""
    if not pressed:
        # The terminal is gone; it would be readable for ever.
        loop.remove_reader(fd)
    for key in pressed:
        if key in actions:
            actions[key]()


def _stdin() -> int | None:
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        return None


def _is_ours(fd: int) -> bool:
    """Return whether this is a terminal that we may change; one that is not ours would stop us for trying."""
    try:
        return os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False
