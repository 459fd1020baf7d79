"""The benchmark of import times."""

from __future__ import annotations

import json

import pytest

from bench import imports


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


def test_the_table_aligns() -> None:
    """Figures stand under their headings, with the goal where there is one."""
    costs = [
        imports.Cost("bare", 9.5, 9.0, 10.0, 0.0, None),
        imports.Cost("bus", 199.9, 190, 1000, 190.4, 250),
    ]
    header, bare, bus = imports.table(costs).splitlines()
    assert len(header) == len(bus)
    assert bus.split() == ["bus", "199.9", "190.0", "1000.0", "190.4", "250"]
    assert bare.rstrip().endswith("0.0")


def test_a_case_that_fails_is_an_error() -> None:
    """A program that cannot run is never taken for a quick one."""
    with pytest.raises(RuntimeError, match="no_such_module"):
        imports.cpu_ms(imports.Case("broken", "import no_such_module"))
