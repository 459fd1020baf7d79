"""The page on operations has the rights that the table has; that they suffice is shown by tests/bus/test_roles.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.roles import Role
from docs import make_operations


def test_the_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever changes the rights writes the page anew: `python docs/make_operations.py`."""
    assert make_operations.main(["--check"]) == 0, capsys.readouterr().err


def test_an_old_page_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The check says what to run; running it writes the page."""
    found = (make_operations.DOCS / "operations.md").read_text(encoding="utf-8")
    (tmp_path / "operations.md").write_text(found.replace("+xadd", "+xdel"), encoding="utf-8")
    monkeypatch.setattr(make_operations, "DOCS", tmp_path)
    assert make_operations.main(["--check"]) == 1
    assert "run python docs/make_operations.py" in capsys.readouterr().err
    assert make_operations.main([]) == 0
    assert make_operations.main(["--check"]) == 0


def test_every_role_has_a_line() -> None:
    """One user a role, each a line for redis.conf."""
    assert [line.split()[1] for line in make_operations.users().splitlines() if line.startswith("user ")] == list(Role)
