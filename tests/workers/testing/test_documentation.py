"""What docs/testing.md shows is run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.workers.testing.test_plugin import LOADED
from tidings.workers.testing.patience import VARIABLE, stretch

PAGE = Path(__file__).resolve().parents[3] / "docs" / "testing.md"
_FILE = re.compile(r"<!-- file: (?P<name>[\w.]+) -->\n```\w+\n(?P<text>.*?)```", re.DOTALL)


def _files() -> dict[str, str]:
    return {found["name"]: found["text"] for found in _FILE.finditer(PAGE.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.full)])
def test_everything_on_the_page_works(pytester: pytest.Pytester, processes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file is written down and the tests among them pass, with warnings as errors; those with processes take long."""
    files = {name: text for name, text in _files().items() if processes or "Processes" not in text}
    for name, text in files.items():
        (pytester.path / name).write_text(text, encoding="utf-8")
    pytester.syspathinsert()
    # The page's own tests have the kit's patience, which a machine that is busy with all the others outlasts.
    monkeypatch.setenv(VARIABLE, str(3 * stretch()))
    tests = sum(len(re.findall(r"^(?:async )?def test_", text, re.MULTILINE)) for text in files.values())
    result = pytester.runpytest_inprocess(*LOADED, "-W", "error")
    result.assert_outcomes(passed=tests)
    assert tests >= 6


def test_the_example_of_ten_lines_has_no_more() -> None:
    """The first test on the page, without its imports."""
    _, _, test = _files()["test_my_agent.py"].partition("\n\n\n")
    assert len(test.strip().splitlines()) <= 10


def test_no_example_is_left_out() -> None:
    """Python on the page has a name to be run by."""
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("```python") == sum(name.endswith(".py") for name in _files())
