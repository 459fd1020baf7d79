"""Write the ACL users of docs/operations.md from the table of rights.

    python docs/make_operations.py [--check]

With ``--check`` nothing is written; the exit code is 1 when the page is not up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from docs import blocks
from tidings.bus.channels import Names
from tidings.bus.roles import Role, acl

DOCS = Path(__file__).resolve().parent


def users() -> str:
    """Return a line of redis.conf for a user of each role."""
    return "```\n" + "\n".join(f"user {role} on >PASSWORD {acl(role, Names())}" for role in Role) + "\n```"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or check it; return the exit code."""
    path = DOCS / "operations.md"
    page = blocks.written(path.read_text(encoding="utf-8"), {"users": users()})
    return blocks.run("docs/make_operations.py", {path: page}, arguments)


if __name__ == "__main__":
    sys.exit(main())
