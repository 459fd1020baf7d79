"""On which CPUs the server and we run while something is measured."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def pinned(pid: int, *, together: bool) -> Iterator[str]:
    """Hold the server and ourselves on CPUs of our own choice; yields how, in words for the report.

    One thing after the other is measured on one CPU: on two, each reply waits for the other to wake up, and how long that takes
    wanders by more than what is measured. Many things at a time are measured on two, where both can work at once.

    Args:
        pid: the server's process.
        together: whether both share one CPU.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield "not pinned"
        return
    allowed = os.sched_getaffinity(0)
    cpus = sorted(allowed)
    ours, theirs = cpus[-1], cpus[-1] if together else cpus[0]
    os.sched_setaffinity(0, {ours})
    os.sched_setaffinity(pid, {theirs})
    try:
        yield "one CPU" if ours == theirs else "two CPUs"
    finally:
        os.sched_setaffinity(0, allowed)
        os.sched_setaffinity(pid, allowed)
