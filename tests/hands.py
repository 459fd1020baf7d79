"""The hands of a clock that a test moves: what an event loop knows of time, without a loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Call:
    """Something that is to happen at a time."""

    when: float
    happen: Callable[[], object]
    cancelled: bool = False

    def cancel(self) -> None:
        """Have it not happen."""
        self.cancelled = True


@dataclass
class Hands:
    """Stands still until it is moved."""

    now: float = 1000.0
    calls: list[Call] = field(default_factory=list)

    def time(self) -> float:
        """Return the time in seconds."""
        return self.now

    def call_at(self, when: float, happen: Callable[[], object], /) -> Call:
        """Have something called at a time."""
        self.calls.append(Call(when, happen))
        return self.calls[-1]

    def move(self, seconds: float) -> None:
        """Let time pass; what is due by then happens."""
        self.now += seconds
        due = [call for call in self.calls if call.when <= self.now]
        self.calls = [call for call in self.calls if call.when > self.now]
        for call in due:
            if not call.cancelled:
                call.happen()
