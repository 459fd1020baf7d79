"""The command line tied to the process that started it: `python -m tidings.workers.testing.tied FD worker ...` is a worker.

FD is the read end of a pipe; that process holds the write end. When the pipe closes, this process ends at once, in the middle of
its work: no process is left behind, not even where the other was killed.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from importlib import import_module


def main(arguments: Sequence[str]) -> int:
    """Run the command line with the words after the first; returns its exit code."""
    threading.Thread(target=end_with, args=(int(arguments[0]),), name="tidings-tie", daemon=True).start()
    # By its name, because the command line stands above the test kit.
    code: int = import_module("tidings.workers.cli").main(arguments[1:])
    return code


def end_with(pipe: int) -> None:
    """Wait for the end of a pipe, and end this process there and then."""
    with contextlib.suppress(OSError):
        while os.read(pipe, 1024):
            pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
