"""The command line as a process of the demo: `python -m workers.demo.tied worker ...` is `tidings worker ...`, and more.

It ends when its standard input does, at once and whatever it is doing: the demo holds the other end, so it leaves nothing
behind, not even when it is killed. And it says on standard output when it has loaded what takes time.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
from collections.abc import Sequence

READY = b"ready\n"
"""What it says when it has loaded everything."""


def main(arguments: Sequence[str]) -> int:
    """Run the command line with these words; returns its exit code."""
    threading.Thread(target=end_with_input, name="tidings-demo-tie", daemon=True).start()
    load(arguments[0])
    os.write(1, READY)
    from workers.cli import main as command_line

    return command_line(arguments)


def load(role: str) -> None:
    """Import what a role needs; for a worker that takes seconds."""
    importlib.import_module("workers.cli.serve")
    if role == "worker":
        from workers.llm import load_litellm

        load_litellm()


def end_with_input() -> None:
    """Wait for the end of standard input, and end this process there and then."""
    # Not through sys.stdin: a thread that holds its lock would disturb an ordinary end.
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
