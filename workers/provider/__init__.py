"""An OpenAI-compatible HTTP server that misbehaves on request: for the demo, for our tests and for yours.

It keeps rate limits, fails as scripted, answers predictably and records what it was asked:

    async with Provider(ProviderSettings(limit=Limit(requests_per_minute=10))) as provider:
        provider.script(Fault.parse("503x2"), Fault(kind="cut"))
        ...  # point a client at provider.base_url
        assert [record.status for record in provider.requests] == [503, 503, 200, 200]

Arithmetic and policy (`limits`, `headers`, `faults`, `fault_queue`, `completions`, `journal`) know nothing of HTTP and
ask no clock; `chat` and `server` put them behind aiohttp. It is no proxy and makes no calls.

What it does not promise: tokens are counted by a rule of thumb, not by a tokenizer; scripting it and reading
the recorded prompts takes no key, so keep it on loopback; and nothing outlives the process.
"""

from __future__ import annotations

from tidings.workers.provider.faults import Fault, FaultSyntaxError
from tidings.workers.provider.journal import RequestRecord
from tidings.workers.provider.limits import Limit
from tidings.workers.provider.server import Provider, serve
from tidings.workers.provider.settings import ProviderSettings

__all__ = [
    "Fault",
    "FaultSyntaxError",
    "Limit",
    "Provider",
    "ProviderSettings",
    "RequestRecord",
    "serve",
]
