"""The benchmark of a provider's large errors."""

from __future__ import annotations

import json

import pytest

from bench import provider_bodies


def test_it_prints_a_row_for_each_size(capsys: pytest.CaptureFixture[str]) -> None:
    """Our own part and every route, in milliseconds."""
    assert provider_bodies.main(["--rounds", "1", "--json"], sizes=(1_000, 200_000)) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["bytes"] for row in printed["rows"]] == [1_000, 200_000]
    assert all(set(row) == {"bytes", "ours", *provider_bodies.ROUTES} for row in printed["rows"])
    assert all(row["ours"] > 0 for row in printed["rows"])


def test_the_table_aligns() -> None:
    """Figures stand under their headings."""
    _, head, row = provider_bodies.table([{"bytes": 1_000_000.0, "ours": 1.25, "openai": 30.0}]).splitlines()
    assert (head.split(), row.split()) == (["body", "ours", "openai"], ["1,000,000", "1.2", "30.0"])
    assert len(head) == len(row)
