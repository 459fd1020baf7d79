"""Pages of which code writes a part."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import blocks

PAGE = (
    "before\n<!-- begin: one, written by x -->\nold\n<!-- end: one -->\nbetween\n"
    "<!-- begin: two, written by x -->\n<!-- end: two -->\nafter\n"
)


def test_a_block_is_replaced_and_the_rest_stays() -> None:
    """Only what stands between the marks changes, and writing twice changes nothing more."""
    text = blocks.written(PAGE, {"one": "1\n", "two": "\n\\2"})
    assert text == (
        "before\n<!-- begin: one, written by x -->\n\n1\n\n<!-- end: one -->\nbetween\n"
        "<!-- begin: two, written by x -->\n\n\\2\n\n<!-- end: two -->\nafter\n"
    )
    assert blocks.written(text, {"one": "1", "two": "\\2"}) == text


def test_a_block_without_marks_is_an_error() -> None:
    """Nothing is guessed about where it belongs."""
    with pytest.raises(ValueError, match="lacks the marks of three"):
        blocks.written(PAGE, {"one": "", "two": "", "three": ""})


def test_marks_without_a_block_are_an_error() -> None:
    """What nobody writes would grow old unseen; so would a copy."""
    with pytest.raises(ValueError, match="'two' that nobody writes"):
        blocks.written(PAGE, {"one": ""})
    with pytest.raises(ValueError, match="'one' that nobody writes, or has it twice"):
        blocks.written(PAGE + PAGE, {"one": "", "two": ""})


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
