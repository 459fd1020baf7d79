"""The provider as litellm sees it: the client that our workers use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tidings.workers.provider import Fault, Limit, Provider, ProviderSettings

KEY = "sk-planted-0123456789"

# litellm's streams use pydantic in ways that it warns of. Warnings being errors here, litellm would take one
# for a failure of the stream.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Item .* is using the `ReadOnly` qualifier:UserWarning",
    "ignore:Accessing the 'model_:DeprecationWarning",
)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """A provider that knows one key."""
    async with Provider(ProviderSettings(keys={KEY: Limit()})) as running:
        yield running


async def complete(provider: Provider, **arguments: Any) -> Any:
    """Call the provider once by litellm, with every retry layer of its own switched off."""
    import litellm

    call: dict[str, Any] = {
        "model": "openai/x",
        "api_base": provider.base_url,
        "api_key": KEY,
        "messages": [{"role": "user", "content": "hello"}],
        "max_retries": 0,
        "num_retries": 0,
        "timeout": 20,
    }
    return await litellm.acompletion(**call | arguments)


async def test_one_plain_call_is_one_request(provider: Provider) -> None:
    """Answer, finish reason and usage arrive."""
    answer = await complete(provider)
    assert answer.choices[0].message.content == "You said: hello"
    assert answer.choices[0].finish_reason == "stop"
    (record,) = provider.requests
    assert answer.usage.total_tokens == record.tokens
    assert (record.model, record.key, record.stream) == ("x", "…6789", False)


async def test_one_streaming_call_is_one_request(provider: Provider) -> None:
    """The pieces, the finish reason and the usage arrive."""
    chunks = [chunk async for chunk in await complete(provider, stream=True, stream_options={"include_usage": True})]
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == "You said: hello"
    assert "stop" in [choice.finish_reason for choice in choices]
    (record,) = provider.requests
    assert record.stream
    assert [chunk.usage.total_tokens for chunk in chunks if getattr(chunk, "usage", None)] == [record.tokens]


async def test_a_tool_call_arrives(provider: Provider) -> None:
    """The client reads name and arguments, plain and streamed."""
    # litellm 1.106 imports the package mcp, which it does not depend on, for any call with tools.
    skip = {"_skip_mcp_handler": True}
    tools = [{"type": "function", "function": {"name": "sum", "parameters": {"type": "object"}}}]
    asked = {"messages": [{"role": "user", "content": 'call sum {"a": 1}'}], "tools": tools, **skip}
    answer = await complete(provider, **asked)
    (call,) = answer.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("sum", '{"a": 1}')
    deltas = [chunk.choices[0].delta async for chunk in await complete(provider, stream=True, **asked)]
    parts = [part.function for delta in deltas for part in delta.tool_calls or ()]
    assert "".join(part.arguments or "" for part in parts) == '{"a": 1}'


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        ("429:retry-after=7", "RateLimitError", 429),
        ("quota", "RateLimitError", 429),
        ("401", "AuthenticationError", 401),
        ("400:code=context_length_exceeded", "ContextWindowExceededError", 400),
        # The newest litellm sees the code no more; the class of 1.106 is a kind of this one.
        ("400:code=content_policy_violation", "BadRequestError", 400),
        ("500", "InternalServerError", 500),
        ("503", "ServiceUnavailableError", 503),
        ("disconnect", "InternalServerError", 500),
    ],
)
async def test_scripted_failures_are_what_litellm_takes_them_for(provider: Provider, fault: str, error: str, status: int) -> None:
    """Each is one request and the error class that real providers cause."""
    provider.script(Fault.parse(fault))
    with pytest.raises(Exception, match="litellm") as caught:
        await complete(provider)
    assert error in [base.__name__ for base in type(caught.value).__mro__[:2]]
    assert getattr(caught.value, "status_code", None) == status
    assert len(provider.requests) == 1


async def test_retry_after_reaches_the_caller(provider: Provider) -> None:
    """The header is where the workers look for it."""
    provider.script(Fault.parse("429:retry-after=7"))
    with pytest.raises(Exception, match="Rate limit") as caught:
        await complete(provider)
    headers = getattr(caught.value, "litellm_response_headers", None) or {}
    assert headers["retry-after"] == "7"
