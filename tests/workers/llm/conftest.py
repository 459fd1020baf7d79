"""Fixtures of the tests that call a model."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.workers.llm.scene import Scene, settings
from tidings.workers.llm import close_litellm
from tidings.workers.provider import Provider


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """A provider that answers, and an Llm to call it with; nothing is left open afterwards."""
    async with Provider(settings()) as provider:
        yield Scene(provider)
        await close_litellm()
