"""The warm-up: what the first call of a process costs, paid before a test waits for one."""

from __future__ import annotations

import asyncio
import contextlib

from tidings.workers.llm import Llm, LlmError, load_litellm
from tidings.workers.provider import Provider
from tidings.workers.retry import RetryPlan
from tidings.workers.testing.quiet import quiet_litellm

API_KEY = "sk-tidings-testing"
"""What litellm is given; the provider takes any."""

_LONGEST_S = 60.0

_warm = False


async def warm_up() -> None:
    """Import litellm and make its first call, once a process; later it only quiets litellm's warnings.

    The import takes seconds. So can the first call, on a busy machine: litellm imports the code of a route when it is first
    taken. That must not count for the time-out of a test's own first request. It goes to a provider of its own.
    """
    global _warm
    await asyncio.to_thread(load_litellm)
    quiet_litellm()
    if _warm:
        return
    async with Provider() as provider:
        llm = Llm("openai/test", api_base=provider.base_url, api_key=API_KEY, timeout_s=_LONGEST_S, plan=RetryPlan(attempts=1))
        # An error here shows again in the test itself.
        with contextlib.suppress(LlmError):
            await llm.complete([{"role": "user", "content": "warm up"}])
    _warm = True
