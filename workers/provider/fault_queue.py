"""The queue of scripted failures: which call takes which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tidings.workers.provider.faults import Fault

SCRIPT_MAX = 10_000
"""Faults waiting at once, so that a program that scripts in a loop is told."""


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """What of a call a fault can aim at; `said` is the text of the last user message."""

    key: str
    model: str
    said: str
    stream: bool


@dataclass(slots=True, eq=False)
class _Queued:
    fault: Fault
    left: int | None


class FaultQueue:
    """Scripted failures in the order given; a call takes the first that is aimed at it, and no other."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._queue: list[_Queued] = []
        self.add(*faults)

    def add(self, *faults: Fault) -> None:
        """Queue faults behind those that wait.

        Raises:
            ValueError: more than `SCRIPT_MAX` would wait; none of them was queued.
        """
        if len(self._queue) + len(faults) > SCRIPT_MAX:
            raise ValueError(f"more than {SCRIPT_MAX} scripted failures would wait: clear the script or use `times`")
        self._queue.extend(_Queued(fault, fault.times) for fault in faults)

    def clear(self) -> None:
        """Forget every fault that waits."""
        self._queue.clear()

    def take(self, call: IncomingCall) -> Fault | None:
        """Return the fault for this call, used up by one; None if no fault is aimed at it."""
        for queued in self._queue:
            if _aimed_at(queued.fault, call):
                self._use(queued)
                return queued.fault
        return None

    def pending(self) -> list[dict[str, object]]:
        """Return what still waits, without keys: kind, status, and how many calls (None: every one)."""
        return [{"kind": queued.fault.kind, "status": queued.fault.status, "left": queued.left} for queued in self._queue]

    def _use(self, queued: _Queued) -> None:
        if queued.left is None:
            return
        queued.left -= 1
        if queued.left == 0:
            self._queue.remove(queued)


def _aimed_at(fault: Fault, call: IncomingCall) -> bool:
    return (
        (call.stream or not fault.needs_stream)
        and fault.model in (None, call.model)
        and fault.key in (None, call.key)
        and (fault.contains is None or fault.contains in call.said)
    )
