"""What a case of the benchmark consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from bench.turns import Run

SMALL, LARGE = 300, 2048
"""Bytes of a message as it is sent: a status notice, and a paragraph from a model."""
TASKS = 100
"""How many do something at the same time, where it is not one alone."""
_QUICK, _QUICK_TASKS = 50, 4


@dataclass(frozen=True)
class Load:
    """How much of what.

    Attributes:
        operations: operations of one turn, all tasks together.
        tasks: how many work at the same time.
        size: bytes of one message; None where none is measured.
    """

    operations: int
    tasks: int = 1
    size: int | None = None

    @property
    def alone(self) -> bool:
        """Whether one thing is done after the other."""
        return self.tasks == 1

    def quick(self) -> Load:
        """Return a load that only shows that it runs."""
        tasks = min(self.tasks, _QUICK_TASKS)
        return replace(self, tasks=tasks, operations=max(tasks, self.operations // _QUICK))


Contestants = Callable[[str, Load], AbstractAsyncContextManager[Mapping[str, Run]]]
"""Prepares a case: from the address of an empty server and a load to what runs in turns, by name."""


@dataclass(frozen=True)
class Case:
    """One question, with the subjects that answer it.

    Attributes:
        name: short, for the command line.
        question: what is measured, for the report.
        contestants: prepares them.
        pairs: which of them are compared: (ours, reference).
        loads: under which loads.
        in_ms: whether people read the result as a time rather than as a rate.
    """

    name: str
    question: str
    contestants: Contestants
    pairs: tuple[tuple[str, str], ...]
    loads: tuple[Load, ...]
    in_ms: bool = False
