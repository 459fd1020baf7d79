"""Calls to models: litellm through tenacity, one attempt one HTTP request, every retry told before its wait.

    llm = Llm("openai/gpt-4o", tell=print)
    completion = await llm.complete([{"role": "user", "content": "Hello"}])

Importing this package does not import litellm; `load_litellm` does, or else the first call. It knows nothing
of sessions: what an `Llm` tells goes to whom it was made with, and what to do when it gives up is for whoever
called it.
"""

from workers.errors import BrokenAnswer, LlmError, LlmFailed, LlmParked, LlmRateLimited
from workers.llm.answers import Completion, Delta, Restart, ToolRequest
from workers.llm.gate import Gate
from workers.llm.library import close_litellm, load_litellm
from workers.llm.llm import Llm
from workers.llm.nudge import Nudge
from workers.llm.telling import Told
from workers.llm.usage import Tokens, Usage

__all__ = [
    "BrokenAnswer",
    "Completion",
    "Delta",
    "Gate",
    "Llm",
    "LlmError",
    "LlmFailed",
    "LlmParked",
    "LlmRateLimited",
    "Nudge",
    "Restart",
    "Tokens",
    "Told",
    "ToolRequest",
    "Usage",
    "close_litellm",
    "load_litellm",
]
