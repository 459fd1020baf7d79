"""Draw the tables of docs/settings.md from the fields of `tidings.workers.settings.Settings`.

    python docs/make_settings.py [--check]

With ``--check`` nothing is written; the exit code is 1 when the file is not up to date.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from tidings.workers.cli.actions import DOCTOR
from tidings.workers.cli.flags import COMMAND, CONNECTION, LOGGING, shown_default
from tidings.workers.cli.services import CONTROLLER, GATEWAY, UP, WORKER
from tidings.workers.settings import Settings, flag_of, variable_of

PAGE = Path(__file__).resolve().parent / "settings.md"
BEGIN, END = "<!-- begin: written by make_settings.py -->", "<!-- end -->"

_USERS = (
    ("every command", LOGGING),
    ("all but demo and provider", CONNECTION),
    ("start, say, resume, pause, stop, watch", COMMAND),
    ("worker", WORKER),
    ("controller", CONTROLLER),
    ("gateway", GATEWAY),
    ("up", UP),
    ("doctor", DOCTOR),
)
_EVERYBODY = 2
"""How many of those, from the top, say it all when a setting is among them."""


def tables() -> str:
    """Return all settings as Markdown, a table for each group, in the order of the fields."""
    groups: dict[str, list[str]] = {}
    for name in Settings.model_fields:
        groups.setdefault(flag_of(name).group, []).append(_row(name))
    head = "| Variable | Flag | Default | Allowed | Meaning | Used by |\n|---|---|---|---|---|---|"
    return "\n\n".join(f"### {group}\n\n{head}\n" + "\n".join(rows) for group, rows in groups.items())


def _row(name: str) -> str:
    field = Settings.model_fields[name]
    flag = flag_of(name).name
    if field.annotation is bool:
        flag = f"{flag}`, `--no-{flag.removeprefix('--')}"
    default = shown_default(name) or ("no" if field.annotation is bool else "")
    cells = [
        f"`{variable_of(name)}`",
        f"`{flag}`",
        f"`{default}`" if default else "(none)",
        _allowed(name),
        field.description or "",
        ", ".join(_users(name)),
    ]
    return f"| {' | '.join(cells)} |"


def _users(name: str) -> list[str]:
    users = [who for who, names in _USERS if name in names]
    everybody = [who for who, _ in _USERS[:_EVERYBODY] if who in users]
    return everybody[:1] or users


def _allowed(name: str) -> str:
    """Return what a setting may be, in words."""
    field = Settings.model_fields[name]
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    bounds = {key: value for item in field.metadata for key, value in _bounds(item)}
    if "ge" in bounds:
        return f"{bounds['ge']:g} to {_number(bounds['le'])}"
    if field.annotation is bool:
        return "yes, no"
    if pattern := bounds.get("pattern"):
        return f"`{str(pattern).strip('^$')}`"
    return f"up to {bounds['max_length']} characters" if "max_length" in bounds else "text"


def _bounds(item: Any) -> Iterator[tuple[str, Any]]:
    for key in ("ge", "le", "pattern", "max_length"):
        value = getattr(item, key, None)
        if value is not None:
            yield key, value


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10_000 else f"{value:g}"


def written(page: str) -> str:
    """Return the page with its tables drawn anew.

    Raises:
        ValueError: the two marks between which they stand are not there.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} lacks the marks {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or check it; return the exit code."""
    parser = argparse.ArgumentParser(description="Draw the tables of docs/settings.md from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing, say whether it is up to date")
    options = parser.parse_args(arguments)
    found = PAGE.read_text(encoding="utf-8")
    wanted = written(found)
    if options.check and found != wanted:
        print(f"{PAGE.name} is not up to date: run python docs/make_settings.py", file=sys.stderr)
        return 1
    if found != wanted:
        PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
