"""Calls to models: litellm through tenacity, one attempt one HTTP request, every retry told before its wait.

    llm = Llm("openai/gpt-4o", on_notice=print)
    completion = await llm.complete([{"role": "user", "content": "Hello"}])

Importing this package does not import litellm; `load_litellm` does, or else the first call. It knows nothing
of sessions: what an `Llm` tells goes to whom it was made with, and what to do when it gives up is for whoever
called it.
"""

from tidings.workers.errors import BrokenAnswer, LlmCallFailed, LlmCallLimited, LlmCallParked, LlmError
from tidings.workers.llm.answers import Completion, Delta, Restart, ToolRequest
from tidings.workers.llm.callback import RetryNotice
from tidings.workers.llm.gate import Gate
from tidings.workers.llm.library import close_litellm, load_litellm
from tidings.workers.llm.llm import Llm
from tidings.workers.llm.retry_now import RetryNow
from tidings.workers.llm.usage import Tokens, Usage

__all__ = [
    "BrokenAnswer",
    "Completion",
    "Delta",
    "Gate",
    "Llm",
    "LlmCallFailed",
    "LlmCallLimited",
    "LlmCallParked",
    "LlmError",
    "Restart",
    "RetryNotice",
    "RetryNow",
    "Tokens",
    "ToolRequest",
    "Usage",
    "close_litellm",
    "load_litellm",
]
