"""What a process says of itself."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from bench.observed import read_self

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a process is read through /proc")


async def test_a_reading_counts_what_there_is() -> None:
    """One task, thread and file more are seen as one more each."""
    before = read_self()
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    task = asyncio.create_task(asyncio.Event().wait())
    first, second = os.pipe()
    try:
        after = read_self()
    finally:
        over.set()
        thread.join()
        task.cancel()
        os.close(first)
        os.close(second)
    assert (after.tasks, after.threads, after.fds) == (before.tasks + 1, before.threads + 1, before.fds + 2)


def test_memory_and_blocks_that_are_held_are_seen() -> None:
    """Both grow by what is kept, and fall when it is let go."""
    before = read_self()
    held = [bytes([number % 256]) * 500 for number in range(20_000)]
    # A piece that the allocator asks the kernel for: smaller ones may find room in what the process has already.
    large = b"x" * 64_000_000
    after = read_self()
    assert after.blocks - before.blocks >= 19_000
    assert after.memory - before.memory > len(large) * 0.9
    del held, large
    assert read_self().blocks - before.blocks < 5_000


def test_outside_of_a_loop_there_are_no_tasks() -> None:
    """A process that has not begun, or has ended, its work can be read too."""
    assert read_self().tasks == 0
