"""The benchmark of import times."""

from __future__ import annotations

import json

import pytest

from bench import imports


@pytest.mark.full
def test_it_prints_every_case_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each case has its figures in milliseconds and its goal, in the order in which they are listed."""
    cases = (imports.Case("bare", "pass"), imports.Case("more", "import json", goal_ms=100))
    monkeypatch.setattr(imports, "CASES", cases)
    assert imports.main(["--rounds", "2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [case["name"] for case in printed["cases"]] == ["bare", "more"]
    assert all(case["min_ms"] <= case["median_ms"] <= case["max_ms"] for case in printed["cases"])
    assert printed["cases"][0]["median_ms"] > 0
    assert [case["goal_ms"] for case in printed["cases"]] == [None, 100]
    assert printed["rounds"] == 2
