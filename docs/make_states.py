"""Draw docs/states.svg and the tables of docs/states.md from the one table of states, ``bus.states.TABLE``.

    python docs/make_states.py [--check]

With ``--check`` nothing is written; the exit code is 1 when a file is not up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from docs import blocks
from docs.state_picture import draw
from tidings.bus.states import COMMANDS, TABLE, State, Trigger

DOCS = Path(__file__).resolve().parent

# A resume goes by the first of these that the state accepts; which one depends on what the session is doing.
_MEANINGS = {Trigger.RESUME: (Trigger.NUDGE, Trigger.RESUME, Trigger.REST)}


def asked() -> str:
    """Return what each command does in each state, as a Markdown table."""
    names = [name.removeprefix("session.") for name in COMMANDS]
    lines = [f"| state | {' | '.join(f'`{name}`' for name in names)} |", "|---|" + "---|" * len(names)]
    for state in (None, *State):
        cells = [_effect(state, trigger) for trigger in COMMANDS.values()]
        lines.append(f"| {_shown(state)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _effect(state: State | None, command: Trigger) -> str:
    ways = [TABLE.get((state, trigger)) for trigger in _MEANINGS.get(command, (command,))]
    targets = dict.fromkeys(_shown(to) if to is not state else "stays" for to in ways if to is not None)
    return " or ".join(targets) or "–"


def rows() -> str:
    """Return the whole table in Markdown, one line for each pair of states."""
    lines = ["| in state | when | goes to |", "|---|---|---|"]
    for state in (None, *State):
        for to in State:
            triggers = [f"`{trigger}`" for trigger in Trigger if TABLE.get((state, trigger)) is to]
            if triggers:
                lines.append(f"| {_shown(state)} | {', '.join(triggers)} | {'stays' if to is state else _shown(to)} |")
    return "\n".join(lines)


def _shown(state: State | None) -> str:
    return "(none yet)" if state is None else f"`{state}`"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the picture and the page, or check them; return the exit code."""
    page = DOCS / "states.md"
    text = blocks.written(page.read_text(encoding="utf-8"), {"commands": asked(), "table": rows()})
    return blocks.run("docs/make_states.py", {DOCS / "states.svg": draw(), page: text}, arguments)


if __name__ == "__main__":
    sys.exit(main())
