"""Where in a user's code something happened."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tidings.bus.place import Place, described, handle_now, place_now, place_of
from tidings.workers.agent import as_event

HERE = "tests/bus/test_place.py"


def _raised(act: object, *arguments: object) -> BaseException:
    try:
        act(*arguments)  # type: ignore[operator]
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def _parses() -> None:
    json.loads("{")


def test_it_is_the_innermost_line_of_the_users() -> None:
    """Neither one of the standard library, nor one of ours."""
    line = _parses.__code__.co_firstlineno + 1
    error = _raised(_parses)
    assert place_of(error) == Place(HERE, line, "_parses")
    assert described(error).endswith(f"({HERE}:{line} in _parses())")
    assert place_of(_raised(as_event, None, "s", "w")) == Place(HERE, _raised.__code__.co_firstlineno + 2, "_raised")


def test_an_agent_that_is_installed_has_a_place_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of its ``step``, as where it was imported from."""
    package = tmp_path / "site-packages" / "poems.py"
    monkeypatch.syspath_prepend(str(package.parent))
    poems = ModuleType("poems")
    source = "import json\ndef step():\n    return json.loads('{')\ndef other():\n    return json.loads('{')\n"
    exec(compile(source, str(package), "exec"), poems.__dict__)
    # The frames that called it are the test's own; an agent is called by ours.
    for name, place in (("step", Place("poems.py", 3, "step")), ("other", None)):
        error = _raised(poems.__dict__[name])
        assert error.__traceback__ is not None
        assert place_of(error.with_traceback(error.__traceback__.tb_next)) == place


def test_an_error_without_a_traceback_has_none() -> None:
    """And is described by its kind and its words, as far as it has any."""
    assert place_of(KeyError("x")) is None
    assert described(KeyError("x")) == "KeyError: 'x'"
    assert described(SystemExit()) == "SystemExit"


async def test_another_thread_sees_what_the_loop_is_in() -> None:
    """The line, and the handle with its context."""
    me = threading.get_ident()
    seen: list[Any] = []

    def look() -> None:
        seen.extend((place_now(me), handle_now(me)))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    place, handle = seen
    assert isinstance(place, Place)
    assert (place.file, place.function) == (HERE, "test_another_thread_sees_what_the_loop_is_in")
    assert handle is not None
    assert handle_now(-1) is None
    assert place_now(-1) is None
    assert me in sys._current_frames()
