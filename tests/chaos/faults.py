"""What goes wrong in a run, and when: drawn from its seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.chaos.server import Durability

SERVER = "server"
EVERYONE = "everyone"


class Family(StrEnum):
    """What is drawn from."""

    NETWORK = "network"
    SERVER = "server"
    PROCESS = "process"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Planned:
    """One thing that goes wrong.

    Attributes:
        at_s: seconds after the actors have begun.
        kind: what happens.
        target: an actor by its place (`worker-1`), all of them, or the server.
        lasts_s: how long it lasts; 0: it is over at once.
        amount: how many, how much; by kind.
    """

    at_s: float
    kind: str
    target: str
    lasts_s: float = 0.0
    amount: float = 0.0

    def __str__(self) -> str:
        lasts = f" for {self.lasts_s:.2f} s" if self.lasts_s else ""
        amount = f" ({self.amount:g})" if self.amount else ""
        return f"{self.at_s:6.2f} s  {self.kind} {self.target}{lasts}{amount}"


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a fault is drawn: how often beside the others, how long it lasts, and how much of it, each between two bounds."""

    name: str
    weight: int
    lasts_s: tuple[float, float] = (0.0, 0.0)
    amount: tuple[float, float] = (0.0, 0.0)


_KINDS: dict[Family, tuple[_Kind, ...]] = {
    Family.NETWORK: (
        _Kind("cut", 4),
        _Kind("black-hole", 3, (0.3, 2.5)),
        _Kind("black-hole-requests", 2, (0.3, 2.5)),
        _Kind("black-hole-replies", 2, (0.3, 2.5)),
        _Kind("delay", 2, (0.5, 2.0), (0.02, 0.3)),
        _Kind("lose-requests", 2, (0.0, 0.0), (1, 4)),
        _Kind("lose-replies", 4, (0.0, 0.0), (1, 4)),
        _Kind("slow-reads", 2, (0.5, 2.0), (500, 5000)),
    ),
    Family.SERVER: (
        _Kind("crash", 4, (0.05, 1.0)),
        _Kind("crash-unseen", 1, (1.0, 3.0)),
        _Kind("freeze", 2, (0.3, 2.0)),
        _Kind("kill-clients", 2),
        _Kind("kill-subscribers", 2),
        _Kind("small-buffers", 1, (0.5, 2.0)),
        _Kind("flush-scripts", 2),
        _Kind("busy", 2, (0.2, 1.0)),
        _Kind("full", 2, (0.3, 1.0)),
        _Kind("read-only", 2, (0.1, 0.6)),
        _Kind("no-replicas", 1, (0.2, 1.0)),
        _Kind("no-disk", 1, (0.3, 1.0)),
        _Kind("wrong-password", 1, (0.3, 1.5)),
        _Kind("flush-all", 1),
    ),
    Family.PROCESS: (
        _Kind("kill", 4),
        _Kind("end", 2),
        _Kind("stop", 4, (0.5, 3.5)),
    ),
}
_KINDS[Family.ALL] = tuple(kind for family in (Family.NETWORK, Family.SERVER, Family.PROCESS) for kind in _KINDS[family])
_OF_PROCESSES = {kind.name for kind in _KINDS[Family.PROCESS]}
_OF_THE_NETWORK = {kind.name for kind in _KINDS[Family.NETWORK]}
_ONCE = frozenset({"flush-all"})
_FIRST_S = 1.5
_PAUSE_S = (0.2, 1.1)
"""From one fault to the next; many last longer, so they overlap."""
_PACES = (0.6, 1.0, 2.0)
"""By how much a run stretches that: in some, all have time to recover; in others, none has."""


def schedule(
    chance: random.Random, durability: Durability, family: Family, seconds: float, actors: Sequence[str], mortal: Sequence[str]
) -> list[Planned]:
    """Draw what goes wrong in so many seconds, in order.

    Args:
        chance: decides everything.
        durability: of the server; with everysec nothing is flushed, since a crash may then bring back what was flushed.
        actors: those whose connections may suffer.
        mortal: those that may be killed, ended or stopped.
    """
    left = [kind for kind in _KINDS[family] if not (kind.name == "flush-all" and durability is Durability.EVERYSEC)]
    faults: list[Planned] = []
    pace, at_s = chance.choice(_PACES), chance.uniform(0.3, _FIRST_S)
    while at_s < seconds:
        [kind] = chance.choices(left, [kind.weight for kind in left])
        if kind.name in _ONCE:
            left.remove(kind)
        target = _target(chance, kind.name, actors, mortal)
        lasts_s = min(chance.uniform(*kind.lasts_s), max(0.0, seconds - at_s))
        amount = chance.uniform(*kind.amount)
        faults.append(Planned(round(at_s, 3), kind.name, target, round(lasts_s, 3), round(amount, 3)))
        at_s += chance.uniform(*_PAUSE_S) * pace
    return faults


def _target(chance: random.Random, kind: str, actors: Sequence[str], mortal: Sequence[str]) -> str:
    if kind in _OF_PROCESSES:
        return chance.choice(mortal)
    if kind in _OF_THE_NETWORK:
        return EVERYONE if chance.random() < 0.3 else chance.choice(actors)
    return SERVER
