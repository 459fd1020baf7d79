"""The page of settings is drawn from the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import make_settings
from workers.settings import Settings, flag_of, variable_of


def test_the_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever changes a setting draws the page anew: `python docs/make_settings.py`."""
    assert make_settings.main(["--check"]) == 0, capsys.readouterr().err


def test_every_setting_is_in_the_page_once() -> None:
    """Each variable has one row, with its flag and what it means."""
    rows = [line for line in make_settings.tables().splitlines() if line.startswith("| `")]
    assert len(rows) == len(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        (row,) = [row for row in rows if row.startswith(f"| `{variable_of(name)}` |")]
        assert flag_of(name).name in row
        assert field.description
        assert field.description in row
        assert not row.endswith("|  |"), f"no command uses {name}"


def test_a_page_that_is_old_fails_the_check_and_is_drawn_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check says what to run; running it leaves the text around the tables as it was."""
    page = tmp_path / "settings.md"
    page.write_text(f"before\n{make_settings.BEGIN}\nis old\n{make_settings.END}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(make_settings, "PAGE", page)
    assert make_settings.main(["--check"]) == 1
    assert "make_settings.py" in capsys.readouterr().err
    assert make_settings.main([]) == 0
    assert make_settings.main(["--check"]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "is old" not in text


def test_a_page_without_the_marks_is_an_error() -> None:
    """Nothing is guessed about where the tables belong."""
    with pytest.raises(ValueError, match="lacks the marks"):
        make_settings.written("no marks here")
