"""Answers that are scripted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.workers.llm.scene import LITELLM_WARNS, PROMPT, TOOLS, Scene, collect, text_of
from tidings.workers.llm import Completion, close_litellm
from tidings.workers.provider import Fault, Provider
from tidings.workers.testing import reply


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """A provider, and an Llm that waits for nothing."""
    async with Provider() as provider:
        yield Scene(provider)
        await close_litellm()


async def test_an_answer_is_given_in_its_turn(scene: Scene) -> None:
    """Failures and answers share one queue; after it, the provider echoes."""
    scene.script(reply("first"), Fault.parse("503"), reply("second"))
    llm = scene.llm()
    answers = [(await llm.complete(PROMPT)).text for _ in range(3)]
    assert answers == ["first", "second", "You said: hello big world"]
    assert scene.requests == 4


async def test_tools_are_called_with_their_arguments(scene: Scene) -> None:
    """Each call has an id of its own, also across answers."""
    call = ("add", {"a": 1, "b": [2]})
    scene.script(reply(calls=[call, call]), reply("and", calls=[call]))
    llm = scene.llm()
    first, second = [await llm.complete(PROMPT, tools=TOOLS) for _ in range(2)]
    requests = [*first.tool_calls, *second.tool_calls]
    assert [(request.name, request.arguments) for request in requests] == [("add", {"a": 1, "b": [2]})] * 3
    assert len({request.call_id for request in requests}) == 3


@LITELLM_WARNS
async def test_a_stream_comes_in_pieces(scene: Scene) -> None:
    """What is said as a stream is what a stream of the provider's own looks like, usage included."""
    scene.script(reply("one two three", stream=True))
    items = await collect(scene.llm(), PROMPT)
    assert text_of(items) == "one two three"
    assert len(items) > 2
    last = items[-1]
    assert isinstance(last, Completion)
    assert last.completion_tokens == 4


async def test_it_can_be_aimed_and_repeated(scene: Scene) -> None:
    """Only calls that hold the text get it, as often as was said."""
    scene.script(reply("weather", times=2, contains="rain"))
    llm = scene.llm()
    rain = [{"role": "user", "content": "rain?"}]
    answers = [(await llm.complete(prompt)).text for prompt in (PROMPT, rain, rain, rain)]
    assert answers == ["You said: hello big world", "weather", "weather", "You said: rain?"]
