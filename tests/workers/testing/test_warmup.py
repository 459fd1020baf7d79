"""What the first call of a process costs."""

from __future__ import annotations

import pytest

from tidings.workers.llm import close_litellm
from tidings.workers.provider import Provider
from tidings.workers.testing import warmup


@pytest.mark.parametrize("working", [True, False])
async def test_litellm_makes_its_first_call_once_and_elsewhere(monkeypatch: pytest.MonkeyPatch, working: bool) -> None:
    """It goes to a provider of its own, and whether it succeeds is not its concern."""
    asked: list[Provider] = []
    close = Provider.close

    async def closing(provider: Provider) -> None:
        asked.append(provider)
        await close(provider)

    monkeypatch.setattr(Provider, "close", closing)
    monkeypatch.setattr(warmup, "_warm", False)
    if not working:
        monkeypatch.setattr(Provider, "base_url", "http://127.0.0.1:1/v1")
    await warmup.warm_up()
    await warmup.warm_up()
    assert [len(provider.requests) for provider in asked] == [int(working)]
    await close_litellm()
