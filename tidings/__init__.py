"""News of LLM workers for the people who run them, and never for the model.

`Bus` carries messages, `Llm` makes calls whose waits are told, an `Agent` is what a worker runs. `tidings.bus` and
`tidings.workers` have the rest. Each name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidings.bus import Bus, Command, Event, Message, Notice, TidingsError
    from tidings.workers.agent import Agent, ChatAgent, Next, Step
    from tidings.workers.context import Context
    from tidings.workers.errors import LlmError
    from tidings.workers.llm import Completion, Llm

__all__ = [
    "Agent",
    "Bus",
    "ChatAgent",
    "Command",
    "Completion",
    "Context",
    "Event",
    "Llm",
    "LlmError",
    "Message",
    "Next",
    "Notice",
    "Step",
    "TidingsError",
]

_HOME = dict.fromkeys(("Bus", "Command", "Event", "Message", "Notice", "TidingsError"), "tidings.bus")
_HOME |= dict.fromkeys(("Agent", "ChatAgent", "Next", "Step"), "tidings.workers.agent")
_HOME |= {"Context": "tidings.workers.context", "LlmError": "tidings.workers.errors"}
_HOME |= dict.fromkeys(("Completion", "Llm"), "tidings.workers.llm")


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
