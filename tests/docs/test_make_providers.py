"""The page on providers has every answer that is tested; that they are read rightly is shown by tests/workers/retry."""

from __future__ import annotations

import pytest

from docs import make_providers


def test_the_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever changes an answer, or how it is read, writes the page anew: `make docs`."""
    assert make_providers.main(["--check"]) == 0, capsys.readouterr().err
