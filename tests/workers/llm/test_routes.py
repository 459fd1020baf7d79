"""Each of litellm's routes, plain and streaming: an attempt is a request, and half an answer is none."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from typing import Any

import pytest

from bus.messages import LlmAttemptData, LlmRetryData, Reason
from tests.workers.llm.dialects import DIALECTS, HALF, TEXT, Dialect, events
from tests.workers.llm.scene import KEY, LITELLM_WARNS, PROMPT, collect, text_of
from tests.workers.llm.wire import Reply, Wire, answering, cut, stream, whole
from workers.llm import Completion, Delta, Llm, LlmParked, LlmRateLimited, Restart, Told, close_litellm
from workers.retry import RetryPlan

pytestmark = LITELLM_WARNS

ONCE = RetryPlan(attempts=1)
TWICE = RetryPlan(attempts=2)


@dataclass(frozen=True)
class Trouble:
    """What a provider may do instead of an answer, and what we take it for.

    Attributes:
        reply: by the way the provider answers.
        reasons: the ones that it may be taken for.
        shown: the text that a reader of the stream has seen of it.
    """

    reply: Callable[[Dialect], Reply]
    reasons: tuple[Reason, ...] = (Reason.CONNECTION,)
    shown: str = ""


FAILED = (Reason.SERVER_ERROR, Reason.OVERLOADED)

# The same to a plain call and to a stream.
BEFORE_AN_ANSWER = {
    "429": Trouble(lambda d: whole(d.refusal(429), 429), (Reason.RATE_LIMIT,)),
    "500": Trouble(lambda d: whole(d.refusal(500), 500), (Reason.SERVER_ERROR,)),
    "503": Trouble(lambda d: whole(d.refusal(503), 503), FAILED),
    "reset": Trouble(lambda d: Reply(reset=True)),
    "closed": Trouble(lambda d: Reply()),
}
OF_AN_ANSWER = {
    "cut": Trouble(lambda d: cut(d.answer(TEXT))),
    "reset in the middle": Trouble(lambda d: cut(d.answer(TEXT), reset=True)),
}
OF_A_STREAM = {
    "cut before the first piece": Trouble(lambda d: stream("", ended=False)),
    "reset before the first piece": Trouble(lambda d: stream(d.opening, ended=False, reset=True)),
    "empty": Trouble(lambda d: stream("")),
    "failed before the first piece": Trouble(lambda d: stream(d.breakdown), FAILED),
    "cut": Trouble(lambda d: stream(d.stream(HALF), ended=False), shown=HALF),
    "reset in the middle": Trouble(lambda d: stream(d.stream(HALF), ended=False, reset=True, read=True), shown=HALF),
    "silently cut": Trouble(lambda d: stream(d.stream(HALF)), shown=HALF),
    "failed in the middle": Trouble(lambda d: stream(d.stream(HALF) + d.breakdown), FAILED, HALF),
}
PLAIN = BEFORE_AN_ANSWER | OF_AN_ANSWER
STREAMING = BEFORE_AN_ANSWER | OF_A_STREAM

WRONG: list[Any] = [None, [], {}, "text", {"choices": [{}]}, {"content": "text"}, {"candidates": [{}]}]


def troubles(table: dict[str, Trouble], routes: Collection[str] = DIALECTS) -> pytest.MarkDecorator:
    """Run a test on each route with each of these troubles; in `make test` on some of the routes."""
    cells = [
        pytest.param(dialect, trouble, id=f"{route}-{name}", marks=() if route in routes else (pytest.mark.full,))
        for route, dialect in DIALECTS.items()
        for name, trouble in table.items()
    ]
    return pytest.mark.parametrize(("dialect", "trouble"), cells)


@dataclass
class Heard:
    """What was told of a call, in order, and what it waited."""

    told: list[Told]
    slept: list[float]

    @property
    def reasons(self) -> list[Reason | None]:
        """The reason of each retry told; None for a recovery."""
        told = [told for told in self.told if not isinstance(told, LlmAttemptData)]
        return [notice.reason if isinstance(notice, LlmRetryData) else None for notice in told]


@pytest.fixture
async def heard() -> AsyncIterator[Heard]:
    """Listen; nothing is left open afterwards."""
    yield Heard([], [])
    await close_litellm()


def llm_on(dialect: Dialect, wire: Wire, heard: Heard, plan: RetryPlan = ONCE) -> Llm:
    """Make an Llm of this route, whose waits take no time."""

    async def sleep(seconds: float) -> None:
        heard.slept.append(seconds)

    return Llm(dialect.model, api_base=wire.url, api_key=KEY, plan=plan, tell=heard.told.append, sleep=sleep, **dialect.settings)


async def follow(llm: Llm, wire: Wire, items: list[Any]) -> None:
    """Read a stream that may end in an error, and let the server know that something of it has arrived."""
    async for item in llm.stream(PROMPT):
        items.append(item)
        wire.arrived.set()


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
async def test_a_route_is_spoken_as_its_provider_speaks(dialect: Dialect, heard: Heard) -> None:
    """The server below is a fair stand-in: it is found where litellm looks, and its answers are read to their end."""
    rest = TEXT.removeprefix(HALF)
    pieces = stream(dialect.stream(HALF) + dialect.piece(rest) + dialect.closing)
    async with answering(whole(dialect.answer(TEXT)), pieces) as wire:
        completion = await llm_on(dialect, wire, heard).complete(PROMPT)
        items = await collect(llm_on(dialect, wire, heard), PROMPT)
    assert [wanted in path for wanted, path in zip(dialect.paths, wire.paths, strict=True)] == [True, True]
    assert completion == Completion(TEXT, (), "stop", dialect.model, 5, 4, 1)
    assert items == [Delta(HALF), Delta(rest), completion]
    assert heard.told == []


@troubles(PLAIN)
async def test_an_attempt_is_a_request(dialect: Dialect, trouble: Trouble, heard: Heard) -> None:
    """Nobody repeats it behind our back, also not where the connection is reset; we say what it was, and may try again."""
    async with answering(trouble.reply(dialect)) as wire:
        with pytest.raises((LlmParked, LlmRateLimited)) as caught:
            await llm_on(dialect, wire, heard).complete(PROMPT)
    assert len(wire.paths) == 1
    assert caught.value.failure.reason in trouble.reasons
    assert caught.value.failure.retryable
    assert (heard.told, heard.slept) == ([], [])


@troubles(STREAMING)
async def test_an_attempt_at_a_stream_is_a_request(dialect: Dialect, trouble: Trouble, heard: Heard) -> None:
    """Likewise; what was shown before it broke is no answer."""
    items: list[Any] = []
    async with answering(trouble.reply(dialect)) as wire:
        with pytest.raises((LlmParked, LlmRateLimited)) as caught:
            await follow(llm_on(dialect, wire, heard), wire, items)
    assert len(wire.paths) == 1
    assert caught.value.failure.reason in trouble.reasons
    assert caught.value.failure.retryable
    assert [item for item in items if not isinstance(item, Delta)] == []
    assert text_of(items) == trouble.shown
    assert (heard.told, heard.slept) == ([], [])


@troubles(PLAIN, ("openai",))
async def test_the_second_attempt_answers(dialect: Dialect, trouble: Trouble, heard: Heard) -> None:
    """One retry is told and waited for, then the recovery: two requests, and nothing of the first in the answer."""
    async with answering(trouble.reply(dialect), whole(dialect.answer(TEXT))) as wire:
        completion = await llm_on(dialect, wire, heard, TWICE).complete(PROMPT)
    assert (completion.text, completion.attempts, len(wire.paths)) == (TEXT, 2, 2)
    assert len(heard.slept) == 1
    assert len(heard.reasons) == 2
    assert heard.reasons[0] in trouble.reasons
    assert heard.reasons[1] is None


@troubles(STREAMING, ("openai",))
async def test_the_second_stream_answers(dialect: Dialect, trouble: Trouble, heard: Heard) -> None:
    """Likewise; who reads along is told to forget what was shown, and sees the text once."""
    items: list[Any] = []
    second = stream(dialect.stream(TEXT) + dialect.closing)
    async with answering(trouble.reply(dialect), second) as wire:
        llm = llm_on(dialect, wire, heard, TWICE)
        await follow(llm, wire, items)
    shown = [Delta(trouble.shown), Restart(2)] if trouble.shown else []
    assert items == [*shown, Delta(TEXT), Completion(TEXT, (), "stop", dialect.model, 5, 4, 2)]
    assert text_of(items) == TEXT
    assert (len(wire.paths), len(heard.slept), len(heard.reasons)) == (2, 1, 2)
    assert heard.reasons[0] in trouble.reasons
    assert heard.reasons[1] is None
    assert (llm.usage.attempts, llm.usage.failed) == (2, 1)


@pytest.mark.parametrize("body", WRONG, ids=json.dumps)
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
async def test_an_answer_of_the_wrong_shape_is_none(dialect: Dialect, body: Any, heard: Heard) -> None:
    """A gateway's page or another provider's answer, as 200: whatever litellm stumbles over, it is the provider's failure."""
    for reply in (whole(body), stream(events(json.dumps(body)))):
        async with answering(reply) as wire:
            llm = llm_on(dialect, wire, heard)
            with pytest.raises(LlmParked) as caught:
                await (collect(llm, PROMPT) if b"event-stream" in reply.sent else llm.complete(PROMPT))
        assert len(wire.paths) == 1
        assert caught.value.failure.reason in (Reason.SERVER_ERROR, Reason.CONNECTION)
        assert caught.value.failure.retryable
