"""The API reference is built from the docstrings."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import pdoc.doc
import pytest

from docs import make_api


def test_it_builds_without_a_warning(tmp_path: Path) -> None:
    """A page for each module with what its docstrings say, an index, a search; nothing of the machine it was built on."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_api.main(tmp_path)
    pages = {path.relative_to(tmp_path).as_posix(): path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.*")}
    modules = {f"{name.replace('.', '/')}.html" for name in make_api.MODULES}
    assert set(pages) == {*modules, "index.html", "search.js"}
    assert "Tell something about a session to all who follow it" in pages["tidings.html"]
    assert [place for place, page in pages.items() if str(Path(make_api.__file__).parents[1]) in page] == []


def _undocumented(module: pdoc.doc.Module) -> Iterator[str]:
    """Yield the public classes, functions and methods of a module that say nothing; fields are described by their class."""
    for member in module.members.values():
        if member.name.startswith("_") or not isinstance(member, pdoc.doc.Class | pdoc.doc.Function):
            continue
        inner = member.own_members if isinstance(member, pdoc.doc.Class) else ()
        functions = [one for one in inner if isinstance(one, pdoc.doc.Function) and not one.name.startswith("_")]
        yield from (one.fullname for one in (member, *functions) if not one.docstring.strip())


@pytest.mark.parametrize("name", make_api.MODULES)
def test_what_is_public_says_what_it_does(name: str) -> None:
    """Every public class, function and method of the reference has a docstring, and so has the module."""
    module = make_api.documented()[name]
    assert module.docstring
    assert any(isinstance(member, pdoc.doc.Class) for member in module.members.values())
    assert list(_undocumented(module)) == []


def test_one_that_says_nothing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail."""
    (tmp_path / "silent_module.py").write_text("class Silent:\n    def method(self): pass\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    module = pdoc.doc.Module(importlib.import_module("silent_module"))
    assert list(_undocumented(module)) == ["silent_module.Silent", "silent_module.Silent.method"]
