"""The page on operations has the rights that the table has; that they suffice is shown by tests/bus/test_roles.py."""

from __future__ import annotations

import pytest

from docs import make_operations


def test_the_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever changes the rights writes the page anew: `python docs/make_operations.py`."""
    assert make_operations.main(["--check"]) == 0, capsys.readouterr().err
