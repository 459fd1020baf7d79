"""What a person types to start this same command line again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tidings.workers.cli.invocation import own_name


def test_it_is_tidings_where_that_is_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person typed they can type again."""
    program = tmp_path / "tidings"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(program), "demo"])
    assert own_name() == "tidings"


def test_it_is_the_whole_path_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another terminal may stand in another folder, and know another `tidings`."""
    program = tmp_path / "my tools" / "tidings"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(program), "demo"])
    assert own_name() == f"'{program}'"


def test_it_is_the_module_without_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Started as a module it is started so again."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/workers/cli/__main__.py"])
    assert own_name().endswith(" -m tidings")
