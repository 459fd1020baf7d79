"""Each of litellm's routes, plain and streaming: an attempt is a request, and half an answer is none."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.workers.llm.dialects import DIALECTS, HALF, TEXT, Dialect, events
from tests.workers.llm.scene import KEY, LITELLM_WARNS, PROMPT, collect, text_of
from tests.workers.llm.wire import Reply, Wire, answering, cut, stream, whole
from tidings.bus.messages import AgentMessage, LlmAttempt, LlmRetry, Message, Reason, ToolCall, ToolResult, UserMessage
from tidings.workers.llm import (
    Completion,
    Delta,
    Llm,
    LlmCallLimited,
    LlmCallParked,
    LlmError,
    Restart,
    RetryNotice,
    close_litellm,
)
from tidings.workers.prompt import to_prompt
from tidings.workers.retry import Failure, RetryPlan

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

    told: list[RetryNotice]
    slept: list[float]

    @property
    def reasons(self) -> list[Reason | None]:
        """The reason of each retry told; None for a recovery."""
        told = [told for told in self.told if not isinstance(told, LlmAttempt)]
        return [notice.reason if isinstance(notice, LlmRetry) else None for notice in told]


@pytest.fixture
async def heard() -> AsyncIterator[Heard]:
    """Listen; nothing is left open afterwards."""
    yield Heard([], [])
    await close_litellm()


def llm_on(dialect: Dialect, wire: Wire, heard: Heard, plan: RetryPlan = ONCE) -> Llm:
    """Make an Llm of this route, whose waits take no time."""

    async def sleep(seconds: float) -> None:
        heard.slept.append(seconds)

    return Llm(
        dialect.model, api_base=wire.url, api_key=KEY, plan=plan, on_notice=heard.told.append, sleep=sleep, **dialect.settings
    )


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
        with pytest.raises((LlmCallParked, LlmCallLimited)) as caught:
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
        with pytest.raises((LlmCallParked, LlmCallLimited)) as caught:
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
            with pytest.raises(LlmCallParked) as caught:
                await (collect(llm, PROMPT) if b"event-stream" in reply.sent else llm.complete(PROMPT))
        assert len(wire.paths) == 1
        assert caught.value.failure.reason in (Reason.SERVER_ERROR, Reason.CONNECTION)
        assert caught.value.failure.retryable


ERROR = {"message": "This model's maximum context length is 4096 tokens.", "type": "BadRequestError", "code": 400}
NUMBERED = {"code": 429, "message": "Rate limit exceeded", "metadata": {"headers": {"Retry-After": "7"}}}
IN_AN_ANSWER: dict[str, tuple[Any, Reason]] = {
    "in the choice": ({"choices": [{"index": 0, "finish_reason": "error", "error": NUMBERED}]}, Reason.RATE_LIMIT),
    "as an object": ({"object": "error", **ERROR}, Reason.CONTEXT_WINDOW),
    "at the top": ({"error": NUMBERED}, Reason.RATE_LIMIT),
    "as a string": ({"error": "Rate limit exceeded, try again in 7s"}, Reason.RATE_LIMIT),
    "as a detail": ({"detail": "Rate limit exceeded"}, Reason.RATE_LIMIT),
    "as no success": ({"success": False, "code": 1, "msg": "rate limit reached"}, Reason.RATE_LIMIT),
    "as a status beside nothing": (
        {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
        Reason.QUOTA_EXHAUSTED,
    ),
}
"""Where an error may stand in a "200 OK", and what it is."""

IN_A_STREAM = {
    "whose name comes last": f"data: {json.dumps(NUMBERED)}\nevent: error\n\n",
    "whose name is an event of its own": f"event: error\n\ndata: {json.dumps(NUMBERED)}\n\n",
    "in words": "event: error\ndata: Rate limit exceeded\n\n",
    "without a frame": json.dumps({"error": NUMBERED}),
}

EVERYWHERE = DIALECTS | {"hosted_vllm": replace(DIALECTS["openrouter"], model="hosted_vllm/x")}


def on_routes(some: Collection[str] = ("openai", "hosted_vllm", "anthropic")) -> pytest.MarkDecorator:
    """Run a test on each route; in `make test` on some of them, which stand for the ways in which litellm reads."""
    cells = [
        pytest.param(dialect, id=route, marks=() if route in some else (pytest.mark.full,))
        for route, dialect in EVERYWHERE.items()
    ]
    return pytest.mark.parametrize("dialect", cells)


async def failures_of(dialect: Dialect, heard: Heard, plan: RetryPlan, *replies: Reply) -> list[Failure]:
    """Return what a call comes to that is answered so, for each of these; a stream where that is what comes."""
    found = []
    for reply in replies:
        async with answering(reply) as wire:
            llm = llm_on(dialect, wire, heard, plan)
            with pytest.raises(LlmError) as caught:
                await (collect(llm, PROMPT) if b"event-stream" in reply.sent else llm.complete(PROMPT))
        assert len(wire.paths) == min(caught.value.attempt, plan.attempts)
        found.append(caught.value.failure)
    return found


@on_routes()
async def test_a_text_that_is_cut_is_kept_and_said_to_be_cut(dialect: Dialect, heard: Heard) -> None:
    """By a limit of tokens or by a filter, with the provider's own word for it."""
    _, cut, filtered = dialect.words
    for word, finish_reason in ((cut, "length"), (filtered, "content_filter")):
        async with answering(stream(dialect.stream(HALF) + dialect.end(word)), whole(dialect.ended(HALF, word))) as wire:
            items = await collect(llm_on(dialect, wire, heard), PROMPT)
            plain = None if dialect.model.startswith("gemini") else await llm_on(dialect, wire, heard).complete(PROMPT)
        for completion in (items[-1], plain or items[-1]):  # litellm drops the text that Gemini's filter left
            assert isinstance(completion, Completion)
            assert (completion.text, completion.finish_reason, completion.cut) == (HALF, finish_reason, word)


@on_routes()
async def test_nothing_but_a_limit_or_a_filter_is_a_failure_of_its_kind(dialect: Dialect, heard: Heard) -> None:
    """It is asked for once: asking again would bring the same. What helps is said."""
    _, cut, filtered = dialect.words
    for word, reason, helps in (
        (cut, Reason.CONTEXT_WINDOW, "max_tokens"),
        (filtered, Reason.CONTENT_POLICY, "Change what is asked"),
    ):
        replies = whole(dialect.ended("", word)), stream(dialect.opening + dialect.end(word))
        for failure in await failures_of(dialect, heard, RetryPlan(), *replies):
            assert (failure.reason, failure.retryable) == (reason, False)
            assert word in failure.message
            assert helps in failure.action
    assert heard.told == []


@on_routes()
async def test_an_empty_answer_is_asked_for_once_more(dialect: Dialect, heard: Heard) -> None:
    """The second one is told as a failure, however many attempts the plan has."""
    replies = whole(dialect.answer("")), stream(dialect.opening + dialect.piece(" \n") + dialect.closing)
    for failure in await failures_of(dialect, heard, RetryPlan(attempts=4), *replies):
        assert (failure.reason, failure.retryable) == (Reason.SERVER_ERROR, False)
        assert "empty" in failure.message
    assert heard.reasons == [Reason.SERVER_ERROR] * 2
    assert not any(failure.retryable for failure in await failures_of(dialect, heard, ONCE, *replies))


@pytest.mark.parametrize(("body", "reason"), IN_AN_ANSWER.values(), ids=IN_AN_ANSWER)
@on_routes()
async def test_an_error_is_found_wherever_it_stands(dialect: Dialect, body: Any, reason: Reason, heard: Heard) -> None:
    """In a plain answer, as the only event of a stream, and after some text, which is then no answer."""
    event = f"data: {json.dumps(body)}\n\n"
    for failure in await failures_of(
        dialect, heard, ONCE, whole(body), stream(f"{event}data: [DONE]\n\n"), stream(dialect.stream(HALF) + event)
    ):
        assert failure.reason is reason


@pytest.mark.parametrize("sent", IN_A_STREAM.values(), ids=IN_A_STREAM)
@on_routes()
async def test_an_error_of_a_stream_is_found_in_any_order(dialect: Dialect, sent: str, heard: Heard) -> None:
    """The parts of an event may stand as they like."""
    (failure,) = await failures_of(dialect, heard, ONCE, stream(sent))
    assert failure.reason is Reason.RATE_LIMIT


@on_routes()
async def test_the_wait_that_an_error_in_an_answer_tells_is_kept(dialect: Dialect, heard: Heard) -> None:
    """OpenRouter repeats the headers in the body."""
    error = {"choices": [{"index": 0, "error": NUMBERED}]}
    for failure in await failures_of(dialect, heard, ONCE, whole(error), stream(events(json.dumps(error)))):
        assert (failure.status, failure.retry_after_s) == (429, 7.0)


_SPENT = {"inputTokens": 5, "outputTokens": 4, "totalTokens": 9}
BEDROCK = {"output": {"message": {"role": "assistant", "content": [{"text": TEXT}]}}, "stopReason": "end_turn", "usage": _SPENT}
AWS = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "x", "aws_region_name": "us-east-1"}
REFUSING_BLANKS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "anthropic": (DIALECTS["anthropic"].model, {"api_key": KEY}, DIALECTS["anthropic"].answer(TEXT)),
    "gemini": (DIALECTS["gemini"].model, {"api_key": KEY}, DIALECTS["gemini"].answer(TEXT)),
    "bedrock": ("bedrock/converse/anthropic.claude-x", AWS, BEDROCK),
}


@pytest.mark.parametrize(("model", "keys", "answer"), REFUSING_BLANKS.values(), ids=REFUSING_BLANKS)
async def test_no_blank_text_is_sent(model: str, keys: dict[str, Any], answer: Any, heard: Heard) -> None:
    """Those who refuse one would refuse the session for ever, of which it is a part."""
    look = ToolCall(call_id="one", name="look", arguments={"x": 1})
    data = (
        Message.of(UserMessage(text="go"), session="s"),
        Message.of(AgentMessage(text=""), session="s"),
        Message.of(UserMessage(text=" "), session="s"),
        Message.of(AgentMessage(text="\n"), session="s"),
        Message.of(look, session="s"),
        Message.of(ToolResult(call_id="one", name="look", content=""), session="s"),
    )
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    async with answering(whole(answer)) as wire:
        completion = await Llm(model, api_base=wire.url, plan=ONCE, **keys).complete(to_prompt(data), tools=tools)
    assert completion.text == TEXT
    texts = list(_texts(json.loads(wire.bodies[0])))
    assert "(an empty message)" in texts
    assert all(text.strip() for text in texts)


def _texts(part: Any) -> Iterator[str]:
    """Yield the texts of a request, wherever a dialect has them."""
    for name, value in part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ():
        if name in ("text", "content") and isinstance(value, str):
            yield value
        yield from _texts(value)
