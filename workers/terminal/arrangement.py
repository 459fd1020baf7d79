"""In which order rows are shown, which of them, and how many there are of each kind. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tidings.workers.board import Look, Row


@dataclass(frozen=True, slots=True)
class Placed:
    """A row in its place.

    Attributes:
        depth: how deep it stands below its root; 0 is a root.
    """

    row: Row
    depth: int = 0


def arrange(rows: Iterable[Row], wanted: str = "") -> list[Placed]:
    """Put rows in order: families that need a person first, otherwise as they come, so that little jumps.

    A family is a row without a parent and what stands below it; a child without its parent counts as one of its own.

    Args:
        rows: in the order of the board: parents before their children.
        wanted: only rows that hold all its words, in any field that they show.
    """
    words = wanted.lower().split()
    urgent: list[Placed] = []
    others: list[Placed] = []
    for family in _families(row for row in rows if _matches(row, words)):
        (urgent if any(placed.row.needs_you for placed in family) else others).extend(family)
    return urgent + others


def _families(rows: Iterable[Row]) -> Iterator[list[Placed]]:
    family: list[Placed] = []
    depths: dict[str, int] = {}
    for row in rows:
        depth = depths.get(row.parent, -1) + 1
        if depth == 0:
            if family:
                yield family
            family, depths = [], {}
        depths[row.session] = depth
        family.append(Placed(row, depth))
    if family:
        yield family


def _matches(row: Row, words: list[str]) -> bool:
    if not words:
        return True
    look = row.look.word if row.look else ""
    labels = " ".join(f"{name}={text}" for name, text in row.work.labels.items())
    shown = " ".join((row.session, row.label, look, row.story(), row.model, row.worker, row.place, labels)).lower()
    return all(word in shown for word in words)


@dataclass(frozen=True, slots=True)
class Count:
    """How many sessions look alike.

    Attributes:
        need_you: whether these wait for a person.
    """

    look: Look
    number: int
    need_you: bool


def count(rows: Iterable[Row]) -> list[Count]:
    """Count rows by their look, the most urgent first."""
    numbers = Counter((look, row.needs_you) for row in rows if (look := row.look) is not None)
    counts = [Count(look, number, need_you) for (look, need_you), number in numbers.items()]
    return sorted(counts, key=lambda one: (one.look.urgency, one.look.word))
