"""Pages of which code writes a part."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import blocks


def test_the_check_writes_nothing_and_names_what_is_old(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It fails for a file that is missing or differs, and says what to run; running that makes it pass."""
    old, missing, good = (tmp_path / name for name in ("old.md", "missing.md", "good.md"))
    old.write_text("old", encoding="utf-8")
    good.write_text("good", encoding="utf-8")
    wanted = {old: "new", missing: "new", good: "good"}
    assert blocks.run("docs/make.py", wanted, ["--check"]) == 1
    assert capsys.readouterr().err == "not up to date: old.md, missing.md; run python docs/make.py\n"
    assert not missing.exists()
    assert blocks.run("docs/make.py", wanted, []) == 0
    assert blocks.run("docs/make.py", wanted, ["--check"]) == 0
    assert [path.read_text(encoding="utf-8") for path in wanted] == ["new", "new", "good"]
