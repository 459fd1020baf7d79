"""The line of a user's code at which an error happened, or in which the event loop is blocked."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from asyncio.events import Handle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Final

from tidings.bus.errors import cause_of
from tidings.bus.redaction import one_line

# As it is imported, not where it lies: in a checkout that is a context.
_OURS: Final = f"{Path(__file__).absolute().parent.parent}{os.sep}"
_INSTALLED: Final = ("site-packages", "dist-packages")
_LONGEST: Final = 120
_LONGEST_ERROR: Final = 450
_CALLS_BACK: Final = Handle._run.__code__
"""What an event loop runs everything in: a task's next piece, or a callback."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of code.

    Attributes:
        file: as seen from the current folder, or from where it was imported.
        line: 1 is the first.
        function: its name.
    """

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}()"


def place_of(error: BaseException) -> Place | None:
    """Return where an error came out of a user's code: the innermost line that is neither ours nor a library's.

    Where all of it is in libraries (an agent that is installed as a package) it is the line of the agent's ``step``. None: there
    is none.
    """
    return _chosen(reversed(list(traceback.walk_tb(error.__traceback__))))


def described(error: BaseException, message: str | None = None) -> str:
    """Return an error of a user's code in one line: its kind, what it says, and where it happened; at most 450 characters.

    Args:
        message: what it says, without the secrets; else its own text.
    """
    place = place_of(error)
    at = f" ({place})" if place else ""
    return one_line(cause_of(error, message), _LONGEST_ERROR - len(at)) + at


def place_now(thread: int) -> Place | None:
    """Return the line of a user's code that the event loop of a thread is in, as in ``place_of``.

    Args:
        thread: its identifier.
    """
    return _chosen(_frames(thread))


def handle_now(thread: int) -> Handle | None:
    """Return what the event loop of a thread is running: a task's next piece, or a callback; None: not known.

    It is there on asyncio's own loops, which run their handles in Python.
    """
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_code is _CALLS_BACK:
            handle = frame.f_locals.get("self")
            return handle if isinstance(handle, Handle) else None
        frame = frame.f_back
    return None


def _frames(thread: int) -> Iterator[tuple[FrameType, int]]:
    """Yield the frames of what the loop of a thread is running, the innermost first."""
    frame = sys._current_frames().get(thread)
    for found, line in traceback.walk_stack(frame) if frame is not None else ():
        if found.f_code is _CALLS_BACK:
            return
        yield found, line


def _chosen(frames: Iterable[tuple[FrameType, int]]) -> Place | None:
    """Choose among frames, the innermost first."""
    step = None
    for frame, line in frames:
        name, function = frame.f_code.co_filename, frame.f_code.co_name
        if name.startswith(("<frozen", _OURS)):
            continue
        place = Place(_shown(name), line, one_line(function, _LONGEST))
        if not _of_a_library(name):
            return place
        step = place if function == "step" else step
    return step


@cache
def _of_a_library(name: str) -> bool:
    if any(part in _INSTALLED for part in Path(name).parts):
        return True
    paths = sysconfig.get_paths()
    return name.startswith(tuple(f"{paths[key]}{os.sep}" for key in ("stdlib", "platstdlib")))


def _shown(name: str) -> str:
    """Return the name of a file without the folders that only say where the machine keeps it."""
    path = Path(name)
    for folder in (Path.cwd(), *sorted((Path(entry) for entry in sys.path if entry), key=lambda entry: -len(entry.parts))):
        if folder != Path("/") and path.is_relative_to(folder):
            return one_line(str(path.relative_to(folder)), _LONGEST)
    return one_line(path.name or name, _LONGEST)
