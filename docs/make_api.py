"""Build the API reference from the docstrings, as pages in a folder that git ignores.

python docs/make_api.py            # into dist/api
python docs/make_api.py FOLDER
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pdoc.doc
import pdoc.render

FOLDER = Path(__file__).resolve().parents[1] / "dist" / "api"
MODULES = (
    "tidings",
    "tidings.bus",
    "tidings.bus.admin",
    "tidings.bus.controller",
    "tidings.bus.errors",
    "tidings.bus.worker.face",
    "tidings.workers.agent",
    "tidings.workers.errors",
    "tidings.workers.llm",
    "tidings.workers.provider",
    "tidings.workers.testing",
)
"""What users import, and the classes of `bus.worker`, `bus.controller` and `bus.admin`, which they do not import and call."""


def documented() -> dict[str, pdoc.doc.Module]:
    """Return the modules of the reference, by name. Not as `pdoc.pdoc` does, which takes all submodules too."""
    return {name: pdoc.doc.Module(_loaded(name)) for name in MODULES}


def _loaded(name: str) -> ModuleType:
    """Return a module with all of its names, also those that it imports when they are first used."""
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", ()):
        setattr(module, public, getattr(module, public))
    return module


def pages() -> dict[str, str]:
    """Return the pages of the reference, by their place in the folder."""
    pdoc.render.configure(docformat="google", show_source=False, footer_text="Tidings")
    modules = documented()
    made = {f"{name.replace('.', '/')}.html": pdoc.render.html_module(module, modules) for name, module in modules.items()}
    return made | {"index.html": pdoc.render.html_index(modules), "search.js": pdoc.render.search_index(modules)}


def main(folder: Path) -> None:
    """Write the reference into a folder."""
    for place, page in pages().items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
