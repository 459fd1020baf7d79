"""Pages of which code writes a part: the marks around that part, and the check that it is up to date.

<!-- begin: NAME, written by PROGRAM -->
...
<!-- end: NAME -->
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def written(page: str, blocks: Mapping[str, str]) -> str:
    """Return the page with its blocks written anew; what stands around them stays as it is.

    Raises:
        ValueError: the page has a block that nobody writes, or lacks one, or has it twice.
    """
    missing = set(blocks)

    def block(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in missing:
            raise ValueError(f"the page has a block {name!r} that nobody writes, or has it twice")
        missing.remove(name)
        return f"{found['begin']}\n\n{blocks[name].strip()}\n\n<!-- end: {name} -->"

    text = re.sub(r"(?P<begin><!-- begin: (?P<name>[\w ]+), [^\n]* -->).*?<!-- end: (?P=name) -->", block, page, flags=re.DOTALL)
    if missing:
        raise ValueError(f"the page lacks the marks of {', '.join(sorted(missing))}")
    return text


def run(program: str, wanted: Mapping[Path, str], arguments: Sequence[str] | None) -> int:
    """Write the files, or with ``--check`` only look at them; return the exit code.

    Returns:
        0, or 1 when the check has found files that are not up to date; it names them.
    """
    parser = argparse.ArgumentParser(description="Write what the docs draw from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing, say what is not up to date")
    check = parser.parse_args(arguments).check
    old = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if check and old:
        names = ", ".join(path.name for path in old)
        print(f"not up to date: {names}; run python {program}", file=sys.stderr)
        return 1
    for path in old:
        path.write_text(wanted[path], encoding="utf-8")
    return 0
