"""The routes of litellm that answers are sent through, each at a server of our own."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

KEY = "test-key-0123456789"


@dataclass(frozen=True)
class Route:
    """A way through litellm to a provider."""

    model: str
    arguments: Mapping[str, Any] = field(default_factory=lambda: {"api_key": KEY})
    suffix: str = ""
    """Of the address, where the route expects one."""


_AWS = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "test-secret", "aws_region_name": "us-east-1"}
_GOOGLE = {"vertex_project": "test", "vertex_location": "us-central1"}

ROUTES: dict[str, Route] = {
    "openai": Route("openai/gpt-4o", suffix="/v1"),
    "azure": Route("azure/deployment", {"api_key": KEY, "api_version": "2024-06-01"}),
    "anthropic": Route("anthropic/claude-3-5-sonnet-20241022"),
    "gemini": Route("gemini/gemini-1.5-flash"),
    "vertex": Route("vertex_ai/gemini-1.5-pro", _GOOGLE),
    "vertex-claude": Route("vertex_ai/claude-3-5-sonnet@20240620", _GOOGLE),
    "mistral": Route("mistral/mistral-small-latest"),
    "groq": Route("groq/llama-3.3-70b-versatile"),
    "bedrock": Route("bedrock/anthropic.claude-3-sonnet-20240229-v1:0", _AWS),
    "openrouter": Route("openrouter/openai/gpt-4o"),
    "vllm": Route("hosted_vllm/model"),
    "deepseek": Route("deepseek/deepseek-chat"),
    "xai": Route("xai/grok-4"),
    "cerebras": Route("cerebras/llama3.1-8b"),
    "together": Route("together_ai/meta-llama/Llama-3-8b-chat-hf"),
    "fireworks": Route("fireworks_ai/accounts/fireworks/models/deepseek-v3"),
    "cohere": Route("cohere_chat/command-r"),
    "litellm-proxy": Route("litellm_proxy/gpt-4o"),
}


def give_vertex_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let litellm's Vertex routes go out without Google's package for credentials, which it does not depend on."""
    base: Any = importlib.import_module("litellm.llms.vertex_ai.vertex_llm_base").VertexBase

    async def fetch(*_: object, **__: object) -> tuple[str, str]:
        return "token", "test"

    monkeypatch.setattr(base, "get_access_token_async", fetch)
    monkeypatch.setattr(base, "get_access_token", lambda *_, **__: ("token", "test"))
