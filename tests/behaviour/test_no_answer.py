"""A "200 OK" without an answer, and one that is cut off: what is stored, and what people are told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fleet import Fleet
from tidings.bus import AgentMessage, LlmFailed, LlmRetry, Reason, State, carries
from tidings.workers.provider import Fault


def answering(text: str | None, finish_reason: str, times: int = 1, **more: Any) -> Fault:
    """Let calls be answered so, as a success."""
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text, **more}}
    body: Any = {"id": "c", "object": "chat.completion", "created": 1, "model": "x", "choices": [choice]}
    return Fault(kind="status", status=200, times=times, headers={"Content-Type": "application/json"}, body=body)


@pytest.mark.parametrize(
    ("fault", "reason", "said"),
    [
        (answering("", "content_filter"), Reason.CONTENT_POLICY, "content_filter"),
        (answering(None, "stop", refusal="I cannot help with that."), Reason.CONTENT_POLICY, "I cannot help with that."),
        (answering("", "length", reasoning_content="Let me think"), Reason.CONTEXT_WINDOW, "cut off before it said anything"),
        (answering("\n", "stop", times=2), Reason.SERVER_ERROR, "the answer is empty"),
    ],
    ids=["filter", "refusal", "limit", "empty"],
)
async def test_what_is_no_answer_is_not_stored_and_a_person_is_told(
    redis_url: str, fault: Fault, reason: Reason, said: str
) -> None:
    """The session is in error and says why; a resume asks again, with the same prompt."""
    async with Fleet(redis_url) as fleet:
        fleet.provider.script(fault)
        await fleet.start("s", "hello")
        record = await fleet.until("s", State.ERROR)
        assert record.reason is reason
        assert said in record.why
        assert await fleet.said("s") == ["user: hello"]
        assert len(fleet.provider.requests) == fault.times
        assert len(fleet.of("s", LlmRetry)) == len(fleet.provider.requests) - 1
        assert len(await fleet.until_told("s", LlmFailed)) == 1
        await fleet.resume("s")
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: hello", "agent: You said: hello"]


async def test_an_empty_answer_is_asked_for_once_more(redis_url: str) -> None:
    """The second one is taken, and nothing of the first is in the history."""
    async with Fleet(redis_url) as fleet:
        fleet.provider.script(answering(None, "stop"))
        await fleet.start("s", "hello")
        await fleet.until("s", State.AWAITING_INPUT)
        assert await fleet.said("s") == ["user: hello", "agent: You said: hello"]
        assert [notice.data.reason for notice in fleet.of("s", LlmRetry)] == [Reason.SERVER_ERROR]


async def test_a_text_that_is_cut_off_is_kept_and_says_so(redis_url: str) -> None:
    """It is an answer: the turn is over, and the history says that there is more to be had."""
    async with Fleet(redis_url) as fleet:
        fleet.provider.script(answering("It is", "length"))
        await fleet.start("s", "hello")
        await fleet.until("s", State.AWAITING_INPUT)
        (message,) = [event for event in await fleet.history("s") if carries(event, AgentMessage)]
        assert (message.data.text, message.data.cut) == ("It is", "length")
        assert fleet.of("s", LlmRetry) == []
