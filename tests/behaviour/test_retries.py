"""A call that fails and is tried again: what the provider sees, and what people are told."""

from __future__ import annotations

from bus import LlmRecovered, LlmRetry, State
from tests.fleet import Fleet


async def test_one_refusal_then_success(redis_url: str) -> None:
    """One notice, two requests, and the answer is there."""
    async with Fleet(redis_url) as fleet:
        fleet.script("429")
        await fleet.start("s", "hello")
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: hello", "agent: You said: hello"]
        assert len(fleet.provider.requests) == 2
        await fleet.until_told("s", LlmRecovered)
        assert len(fleet.of("s", LlmRetry)) == 1
