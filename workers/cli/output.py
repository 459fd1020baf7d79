"""What reaches the terminal or the pipe: JSON as it is, text without anything that a terminal obeys."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tidings.bus.redaction import EXCERPT, environment_secrets, one_line, redact

if TYPE_CHECKING:
    from rich.console import Console


def print_json(line: str) -> None:
    """Write one JSON line to stdout at once; in UTF-8, as JSON is, in every locale.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    sys.stdout.flush()
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        sys.stdout.write(f"{line}\n")
    else:
        binary.write(line.encode() + b"\n")
        binary.flush()
    sys.stdout.flush()


def complain(text: str) -> None:
    """Write one line to stderr: what is wrong and what to do, without secrets."""
    line = one_line(redact(text, environment_secrets(os.environ), EXCERPT), 1000)
    print(f"tidings: {line}", file=sys.stderr, flush=True)


def screen(*, fold: bool = False) -> Console:
    """Return where text for people goes: stdout, with colours where it is a terminal.

    Neither markup nor emoji codes are interpreted.

    Args:
        fold: fit what is printed into the width of the terminal, as tables need it.

    Raises:
        BrokenPipeError: when printing, the reader has gone.
    """
    from rich.console import Console

    class Screen(Console):
        def on_broken_pipe(self) -> None:
            """Leave it to the one place that decides how a command ends; rich would exit here."""
            raise BrokenPipeError

    return Screen(highlight=False, markup=False, emoji=False, soft_wrap=not fold)


def block(text: str) -> list[str]:
    """Return the lines of a text as they stand, each character that cannot be printed replaced by U+FFFD."""
    lines = text.expandtabs(4).replace("\r\n", "\n").split("\n")
    return ["".join(letter if letter.isprintable() else "\ufffd" for letter in line) for line in lines]
