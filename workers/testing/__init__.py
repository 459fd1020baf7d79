"""The test kit: an agent's tests on `memory://`, with a provider that obeys a script and time that passes when told.

    async def test_a_refusal_is_waited_out(tidings_fleet, tidings_provider):
        tidings_provider.script(Fault.parse("429:retry-after=30"))
        fleet = await tidings_fleet(MyAgent)
        await fleet.start("s", "hello")
        await fleet.idle()
        assert [retry.data.attempt for retry in fleet.told(LlmRetry)] == [1]

The fixtures are a pytest plugin (`tidings.workers.testing.plugin`) that is there once Tidings is installed with the extra
``testing``; the names below are what they are made of, for other frameworks. docs/testing.md describes all of it.

What it does not promise: durability; Redis' own expiry, and what a request takes, pass in real time, and in other processes all.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidings.workers.testing.clock import Clock
    from tidings.workers.testing.fixtures import StartFleet
    from tidings.workers.testing.fleet import Fleet
    from tidings.workers.testing.in_memory import memory_bus
    from tidings.workers.testing.processes import Processes, ProcessLost
    from tidings.workers.testing.replies import reply
    from tidings.workers.testing.report import NotInTime

__all__ = ["Clock", "Fleet", "NotInTime", "ProcessLost", "Processes", "StartFleet", "memory_bus", "reply"]

_MODULES = {
    "Clock": "tidings.workers.testing.clock",
    "Fleet": "tidings.workers.testing.fleet",
    "NotInTime": "tidings.workers.testing.report",
    "ProcessLost": "tidings.workers.testing.processes",
    "Processes": "tidings.workers.testing.processes",
    "StartFleet": "tidings.workers.testing.fixtures",
    "memory_bus": "tidings.workers.testing.in_memory",
    "reply": "tidings.workers.testing.replies",
}


# Lazily: pytest imports this package at the start of every run where Tidings is installed.
def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
