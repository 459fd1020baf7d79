"""The page of settings is drawn from the code."""

from __future__ import annotations

import pytest

from docs import make_settings


def test_the_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever changes a setting draws the page anew: `python docs/make_settings.py`."""
    assert make_settings.main(["--check"]) == 0, capsys.readouterr().err
