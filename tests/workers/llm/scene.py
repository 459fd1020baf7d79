"""A provider, an Llm that calls it, and a record of what happened in which order."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from tidings.bus.messages import LlmAttempt, LlmRecovered, LlmRetry
from tidings.workers.llm import Completion, Delta, Llm, Restart, RetryNotice
from tidings.workers.provider import Fault, Limit, Provider, ProviderSettings

KEY = "sk-planted-0123456789abcdef"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PROMPT = [{"role": "user", "content": "hello big world"}]
ANSWER = "You said: hello big world"
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
TOOL_PROMPT = [{"role": "user", "content": 'call add {"a": 1, "b": [2]} please'}]

LITELLM_WARNS = pytest.mark.filterwarnings(
    # litellm's streams use pydantic in ways that it warns of; warnings being errors here, it takes one for a failure.
    "ignore:Item.* using the `ReadOnly` qualifier:UserWarning",
    "ignore:Accessing the 'model_:DeprecationWarning",
)


@dataclass
class Scene:
    """What happens is in `log`, in order: ``told 1`` (a retry), ``slept 1.0``, ``asked 2`` (an attempt), ``told ok``."""

    provider: Provider
    told: list[RetryNotice] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    back_off: Callable[[float], Awaitable[None]] | None = None

    def llm(self, model: str = "openai/x", **settings: Any) -> Llm:
        """Make an Llm whose waits take no time, unless `back_off` says otherwise; its jitter is at its bound."""
        defaults: dict[str, Any] = {
            "on_notice": self.tell,
            "api_base": self.provider.base_url,
            "api_key": KEY,
            "sleep": self.sleep,
            "rng": lambda: 1.0,
            "now": lambda: NOW,
            "timeout_s": 10.0,
        }
        return Llm(model, **defaults | settings)

    def script(self, *faults: str | Fault) -> None:
        """Let the next calls fail."""
        self.provider.script(*(Fault.parse(fault) if isinstance(fault, str) else fault for fault in faults))

    def tell(self, told: RetryNotice) -> None:
        """Listen."""
        self.told.append(told)
        retry = f"told {told.attempt}" if isinstance(told, LlmRetry) else "told ok"
        self.log.append(f"asked {told.attempt}" if isinstance(told, LlmAttempt) else retry)

    async def sleep(self, seconds: float) -> None:
        """Wait, in no time."""
        self.log.append(f"after {len(self.provider.requests)} slept {seconds:g}")
        self.slept.append(seconds)
        await (asyncio.sleep(0) if self.back_off is None else self.back_off(seconds))

    @property
    def requests(self) -> int:
        """Requests that the provider received."""
        return len(self.provider.requests)

    @property
    def retries(self) -> list[LlmRetry]:
        """The failures that were told."""
        return [told for told in self.told if isinstance(told, LlmRetry)]

    @property
    def recoveries(self) -> list[LlmRecovered]:
        """The recoveries that were told."""
        return [told for told in self.told if isinstance(told, LlmRecovered)]


def settings(**fields: Any) -> ProviderSettings:
    """Settings of a provider that knows one key."""
    return ProviderSettings(keys={KEY: Limit()}, **fields)


def sse(*chunks: dict[str, Any], done: bool = True) -> Fault:
    """Let one call be answered with a stream of these chunks."""
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + ("data: [DONE]\n\n" if done else "")
    return Fault(kind="status", status=200, headers={"Content-Type": "text/event-stream"}, body=body)


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    """Return one chunk of a stream, in OpenAI's form."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    frame = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "x"}
    return frame | {"choices": [choice]} | fields


@contextlib.asynccontextmanager
async def serving(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Serve one handler for every address, for what the provider does not speak."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def collect(llm: Llm, *arguments: Any, **keywords: Any) -> list[Delta | Restart | Completion]:
    """Read a stream to its end."""
    return [item async for item in llm.stream(*arguments, **keywords)]


def text_of(items: list[Delta | Restart | Completion]) -> str:
    """Return what a reader has in hand at the end, who forgets at a Restart."""
    shown: list[str] = []
    for item in items:
        if isinstance(item, Restart):
            shown.clear()
        elif isinstance(item, Delta):
            shown.append(item.text)
    return "".join(shown)
