"""Whether a process grows with the work that it has done: readings, and the line through them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

BOUND_BYTES = 2048
"""Bytes for each session that a process may grow by.

Python's allocator takes memory in pieces of 1 MiB, and one of these within 1,600 sessions is 650 bytes for each. A worker that
keeps nothing (its blocks do not rise) was measured at 400 to 650, most of it room between pieces of C libraries. A leak that
matters is more: the history of one session, a `Lease`, a subscription, a client of litellm are kilobytes.
"""
BOUND_BLOCKS = 1.0
"""Blocks of Python's allocator for each session that may stay.

One entry of a dictionary with a text as its key, which the first soak found, is about two; what fills once, such as free lists,
was measured below 0.1.
"""


@dataclass(frozen=True)
class Reading:
    """What a process says of itself, after a collection of garbage.

    Attributes:
        memory: bytes of its own memory, resident or swapped out; files that it maps, such as libraries, do not count, because the
            kernel drops and loads them as it likes.
        blocks: blocks that Python's allocator has given out: what objects really need, to the last one.
        tasks: asyncio tasks.
        threads: threads.
        fds: open file descriptors.
    """

    memory: int
    blocks: int
    tasks: int
    threads: int
    fds: int


@dataclass(frozen=True)
class Sample:
    """Readings of all processes, by name, when so many sessions had been answered."""

    sessions: int
    readings: dict[str, Reading]


@dataclass(frozen=True)
class Growth:
    """What each further session cost a process that was warm.

    Attributes:
        bytes_each: bytes of memory for each session.
        blocks_each: blocks of Python's allocator for each session.
    """

    bytes_each: float
    blocks_each: float

    @property
    def bounded(self) -> bool:
        """Whether it stays within what comes and goes without a leak."""
        return self.bytes_each <= BOUND_BYTES and self.blocks_each <= BOUND_BLOCKS

    def as_json(self) -> dict[str, Any]:
        """Return it with stable field names."""
        figures = {"bytes_each": round(self.bytes_each, 1), "blocks_each": round(self.blocks_each, 3)}
        return {**figures, "bounded": self.bounded}


def growth(samples: Sequence[Sample], name: str, warm_up: int) -> Growth:
    """Return the growth of one process: the slopes of the lines of least squares through its readings.

    Args:
        warm_up: sessions before which it does not count: caches fill, pools open their connections, modules are imported late.

    Raises:
        ValueError: fewer than two samples are left.
    """
    warm = [sample for sample in samples if sample.sessions >= warm_up]
    at = [float(sample.sessions) for sample in warm]
    return Growth(
        bytes_each=slope(at, [sample.readings[name].memory for sample in warm]),
        blocks_each=slope(at, [sample.readings[name].blocks for sample in warm]),
    )


def slope(at: Sequence[float], values: Sequence[float]) -> float:
    """Return how much values rise for each step of ``at``, by least squares.

    Raises:
        ValueError: there are fewer than two places.
    """
    if len(set(at)) < 2:
        raise ValueError("a line needs two places")
    middle, mean = sum(at) / len(at), sum(values) / len(values)
    return sum((x - middle) * (y - mean) for x, y in zip(at, values, strict=True)) / sum((x - middle) ** 2 for x in at)
