"""Tidings: an asyncio pub/sub message bus on Redis for fleets of LLM workers.

`Bus` carries messages: a `Notice` tells what the system is doing, an `Event` is part of the history, a `Command` asks
something of a session. A `Lease` is a session in hand, `Llm` makes calls whose waits are told, and an `Agent` is what a
`Worker` runs.

These are the names that a program needs first; `tidings.bus` and `tidings.workers` have the rest. Each is imported when
it is first used. docs/library.md shows them in programs of ten lines.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidings.bus import (
        AgentMessage,
        Bus,
        Command,
        CommandExpired,
        CommandRefused,
        Cursor,
        Event,
        Gap,
        Lease,
        LeaseLost,
        LlmRetry,
        Message,
        Notice,
        Outcome,
        SessionHeld,
        SessionState,
        State,
        TidingsError,
        UnknownSession,
        UserMessage,
        carries,
    )
    from tidings.workers.agent import Agent, ChatAgent, Next, Step, answer, to_prompt, unanswered
    from tidings.workers.context import Context
    from tidings.workers.controller import Controller
    from tidings.workers.errors import LlmError
    from tidings.workers.llm import Completion, Llm
    from tidings.workers.settings import Settings
    from tidings.workers.worker import Worker

__all__ = [
    "Agent",
    "AgentMessage",
    "Bus",
    "ChatAgent",
    "Command",
    "CommandExpired",
    "CommandRefused",
    "Completion",
    "Context",
    "Controller",
    "Cursor",
    "Event",
    "Gap",
    "Lease",
    "LeaseLost",
    "Llm",
    "LlmError",
    "LlmRetry",
    "Message",
    "Next",
    "Notice",
    "Outcome",
    "SessionHeld",
    "SessionState",
    "Settings",
    "State",
    "Step",
    "TidingsError",
    "UnknownSession",
    "UserMessage",
    "Worker",
    "answer",
    "carries",
    "to_prompt",
    "unanswered",
]

_ELSEWHERE = dict.fromkeys(("Agent", "ChatAgent", "Next", "Step", "answer", "to_prompt", "unanswered"), "tidings.workers.agent")
_ELSEWHERE |= dict.fromkeys(("Completion", "Llm"), "tidings.workers.llm")
_ELSEWHERE |= {"LlmError": "tidings.workers.errors", "Context": "tidings.workers.context"}
_ELSEWHERE |= {"Controller": "tidings.workers.controller", "Worker": "tidings.workers.worker"}
_ELSEWHERE |= {"Settings": "tidings.workers.settings"}
_HOME = dict.fromkeys(__all__, "tidings.bus") | _ELSEWHERE


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
