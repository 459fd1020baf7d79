"""The command line as a process that is measured: `python -m bench.observed worker ...` is `tidings worker ...`, and more.

It says on standard output when it has loaded what takes time, and at each SIGUSR1 it writes a line of JSON there: a `Reading` of
itself. It ends when its standard input does, so that nothing is left behind when the process that measures is killed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path

from bench.growth import Reading
from tidings.workers.cli import main as command_line
from tidings.workers.llm import load_litellm
from tidings.workers.testing.tied import end_with

READY = b"ready\n"
"""What it says when it has loaded everything."""

_SELF = Path("/proc/self")


def main(arguments: list[str]) -> int:
    """Run the command line with these words; returns its exit code."""
    threading.Thread(target=end_with, args=(0,), name="bench-tie", daemon=True).start()
    if arguments[0] == "worker":
        load_litellm()
    signal.signal(signal.SIGUSR1, lambda *_: _tell())
    os.write(1, READY)
    return command_line(arguments)


def _tell() -> None:
    os.write(1, json.dumps(asdict(read_self())).encode() + b"\n")


def read_self() -> Reading:
    """Measure this process. What only waits to be collected is not counted."""
    gc.collect()
    status = dict(line.split(":", 1) for line in (_SELF / "status").read_text().splitlines())
    own = sum(1024 * int(status[name].split()[0]) for name in ("RssAnon", "VmSwap"))
    return Reading(
        memory=own,
        blocks=sys.getallocatedblocks(),
        tasks=_tasks(),
        threads=int(status["Threads"]),
        # One of them is the folder that is being read.
        fds=len(os.listdir(_SELF / "fd")) - 1,
    )


def _tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
