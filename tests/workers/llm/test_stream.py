"""Streaming calls, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from aiohttp import web

from tests.waiting import eventually
from tests.workers.llm.scene import (
    ANSWER,
    KEY,
    LITELLM_WARNS,
    PROMPT,
    TOOL_PROMPT,
    TOOLS,
    Scene,
    chunk,
    collect,
    serving,
    settings,
    sse,
    text_of,
)
from tidings.bus.messages import Reason
from tidings.workers.llm import (
    Completion,
    Delta,
    Llm,
    LlmCallFailed,
    LlmCallLimited,
    LlmCallParked,
    Restart,
    close_litellm,
    library,
)
from tidings.workers.provider import Fault, Provider
from tidings.workers.retry import RetryPlan

pytestmark = LITELLM_WARNS


async def test_one_stream_is_one_request(scene: Scene) -> None:
    """The pieces come as they are made, and the completion comes last, with the usage."""
    llm = scene.llm()
    *deltas, completion = await collect(llm, PROMPT)
    assert [delta for delta in deltas if not isinstance(delta, Delta)] == []
    assert len(deltas) == 5
    assert text_of(list(deltas)) == ANSWER
    assert completion == Completion(ANSWER, (), "stop", "openai/x", 4, 7, 1)
    assert (scene.requests, scene.told) == (1, [])
    assert (llm.usage.prompt_tokens, llm.usage.completion_tokens, llm.usage.succeeded) == (4, 7, 1)


async def test_a_refusal_before_the_stream_is_told_and_retried(scene: Scene) -> None:
    """Nothing was shown, so nothing is taken back; the recovery is told before the completion is yielded."""
    scene.script("429")
    items = await collect(scene.llm(), PROMPT)
    assert not any(isinstance(item, Restart) for item in items)
    assert text_of(items) == ANSWER
    assert scene.log == ["told 1", "after 1 slept 1", "asked 2", "told ok"]
    assert isinstance(items[-1], Completion)
    assert items[-1].attempts == scene.requests == 2


@pytest.mark.parametrize("fault", ["cut:chunks=3", "silent_cut:chunks=3"])
async def test_a_cut_stream_begins_anew(scene: Scene, fault: str) -> None:
    """However it was cut: a connection failure, told; the pieces are void, and the answer is whole."""
    scene.script(fault)
    items = await collect(scene.llm(), PROMPT)
    assert items[:4] == [Delta("You "), Delta("said: "), Delta("hello "), Restart(2)]
    assert text_of(items) == ANSWER
    assert isinstance(items[-1], Completion)
    assert (items[-1].text, items[-1].attempts, scene.requests) == (ANSWER, 2, 2)
    assert [retry.reason for retry in scene.retries] == [Reason.CONNECTION]
    assert len(scene.recoveries) == 1


@pytest.mark.parametrize("fault", ["cut:chunks=0", "silent_cut:chunks=0"])
async def test_a_stream_cut_before_its_text_takes_nothing_back(scene: Scene, fault: str) -> None:
    """A Restart is for pieces that were shown."""
    scene.script(fault)
    items = await collect(scene.llm(), PROMPT)
    assert not any(isinstance(item, Restart) for item in items)
    assert text_of(items) == ANSWER
    assert scene.requests == 2


async def test_one_restart_for_each_void_answer(scene: Scene) -> None:
    """Cut, refused, cut, whole: the refusal in between takes nothing back a second time."""
    scene.script("cut:chunks=2", "503", "cut:chunks=1")
    items = await collect(scene.llm(), PROMPT)
    assert [item for item in items if isinstance(item, Restart)] == [Restart(3), Restart(4)]
    assert text_of(items) == ANSWER
    assert [retry.attempt for retry in scene.retries] == [1, 2, 3]


async def test_a_restart_goes_before_a_completion_without_text(scene: Scene) -> None:
    """If the new answer has no pieces, only a call to a tool, the old ones are void all the same."""
    call = {"index": 0, "id": "one", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    calling = sse(chunk({"role": "assistant", "tool_calls": [call]}), chunk({}, "tool_calls"))
    scene.script(sse(chunk({"role": "assistant", "content": "Let me"}), done=False), calling)
    items = await collect(scene.llm(), PROMPT)
    assert items[:2] == [Delta("Let me"), Restart(2)]
    assert isinstance(items[2], Completion)
    assert (items[2].text, items[2].tool_calls[0].name) == ("", "add")


async def test_a_cut_that_litellm_notices_is_the_same(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """From 1.109 on it raises where it ended the stream as if complete; both are connection failures."""

    class Noticing:
        received_finish_reason = intermittent_finish_reason = None

        async def __anext__(self) -> None:
            try:
                raise StopAsyncIteration
            except StopAsyncIteration:
                raise RuntimeError("litellm's words")  # noqa: B904  # as litellm does

    async def ask(**_: Any) -> Noticing:
        return Noticing()

    monkeypatch.setattr(library, "ask", ask)
    with pytest.raises(LlmCallParked) as caught:
        await collect(scene.llm(plan=RetryPlan(attempts=2)), PROMPT)
    assert [retry.reason for retry in scene.retries] == [caught.value.failure.reason] == [Reason.CONNECTION]


async def test_attempts_of_a_stream_are_used_up(scene: Scene) -> None:
    """Exactly N requests, N-1 notices, and the error."""
    scene.script("silent_cutx*:chunks=2")
    with pytest.raises(LlmCallParked) as caught:
        await collect(scene.llm(plan=RetryPlan(attempts=3)), PROMPT)
    assert (scene.requests, len(scene.retries), scene.recoveries) == (3, 2, [])
    assert caught.value.attempt == 3


@pytest.mark.parametrize(
    ("fault", "error"), [("401", LlmCallFailed), ("quota", LlmCallLimited), ("429:retry-after=300", LlmCallLimited)]
)
async def test_what_waiting_does_not_help_is_asked_once(scene: Scene, fault: str, error: type[Exception]) -> None:
    """One request and no notice."""
    scene.script(fault)
    with pytest.raises(error):
        await collect(scene.llm(), PROMPT)
    assert (scene.requests, scene.told) == (1, [])


@pytest.mark.parametrize(
    "broken",
    [
        sse(chunk({"content": "Good"}), chunk({}, "error")),
        sse(chunk({"content": "Good"}), {"error": {"message": "Internal error", "type": "server_error", "code": 500}}),
        Fault(kind="status", status=200, body="not a stream"),
        Fault(kind="status", status=200, body=""),
    ],
    ids=["finish_reason error", "error inside", "no stream", "nothing"],
)
async def test_what_is_no_answer_is_retried(scene: Scene, broken: Fault) -> None:
    """A stream that says it failed, or is none: one request, told, and begun anew."""
    scene.script(broken)
    items = await collect(scene.llm(), PROMPT)
    assert text_of(items) == ANSWER
    assert (scene.requests, len(scene.retries)) == (2, 1)
    assert scene.retries[0].reason in (Reason.SERVER_ERROR, Reason.CONNECTION)


async def test_a_tool_call_comes_in_the_completion(scene: Scene) -> None:
    """Its pieces are put together; it is no text."""
    (completion,) = await collect(scene.llm(), TOOL_PROMPT, tools=TOOLS)
    assert isinstance(completion, Completion)
    (call,) = completion.tool_calls
    assert (call.name, call.arguments, completion.finish_reason) == ("add", {"a": 1, "b": [2]}, "tool_calls")


async def test_usage_that_is_not_reported_is_not_invented(scene: Scene) -> None:
    """Without a report of the provider the completion says None, where litellm would estimate."""
    scene.script(sse(chunk({"content": "Hello"}), chunk({}, "stop")))
    llm = scene.llm()
    completion = (await collect(llm, PROMPT))[-1]
    assert isinstance(completion, Completion)
    assert (completion.prompt_tokens, completion.completion_tokens) == (None, None)
    assert (llm.usage.prompt_tokens, llm.usage.completion_tokens) == (0, 0)


async def test_tokens_of_a_cut_stream_are_wasted(scene: Scene) -> None:
    """What the provider had reported before it broke off is counted apart."""
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    scene.script(sse(chunk({"content": "Good"}, usage=usage), done=False))
    llm = scene.llm()
    await collect(llm, PROMPT)
    assert (llm.usage.wasted_tokens, llm.usage.prompt_tokens, llm.usage.failed) == (11, 4, 1)


async def test_the_caller_decides_about_stream_options(scene: Scene) -> None:
    """For a server that does not know the option: without it there is no usage, and the answer is the same."""
    completion = (await collect(scene.llm(stream_options=None), PROMPT))[-1]
    assert isinstance(completion, Completion)
    assert (completion.text, completion.prompt_tokens) == (ANSWER, None)


async def test_a_stream_can_be_left(slow: Scene) -> None:
    """Leaving early closes the connection: the provider stops, and nothing is told or counted as a failure."""
    llm = slow.llm()
    async with contextlib.aclosing(llm.stream(PROMPT)) as stream:
        assert await anext(stream) == Delta("You ")
        assert slow.provider.stats()["in_flight"] == 1
    await eventually(lambda: slow.provider.stats()["in_flight"] == 0)
    assert slow.provider.requests[0].outcome == "abandoned"
    assert (llm.usage.attempts, llm.usage.failed, slow.told) == (1, 0, [])


async def test_a_cancellation_ends_a_stream_at_once(slow: Scene) -> None:
    """While it waits for the next piece; the connection is closed."""
    llm = slow.llm()
    reading = asyncio.create_task(collect(llm, PROMPT))
    await eventually(lambda: slow.provider.requests and slow.provider.requests[0].status == 200)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await eventually(lambda: slow.provider.stats()["in_flight"] == 0)
    assert (llm.usage.attempts, llm.usage.failed, slow.told) == (1, 0, [])


async def test_a_cancellation_ends_the_wait_between_two_streams(scene: Scene) -> None:
    """In the middle of a back-off."""
    waiting = asyncio.Event()

    async def wait(_: float) -> None:
        waiting.set()
        await asyncio.get_running_loop().create_future()

    scene.back_off = wait
    scene.script("cut")
    reading = asyncio.create_task(collect(scene.llm(), PROMPT))
    await waiting.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert (scene.requests, len(scene.told)) == (1, 1)


async def test_a_stream_that_stands_still_is_a_time_out(slow: Scene) -> None:
    """timeout_s counts from piece to piece."""
    with pytest.raises(LlmCallParked) as caught:
        await collect(slow.llm(timeout_s=0.3, plan=RetryPlan(attempts=1)), PROMPT)
    assert caught.value.failure.reason is Reason.TIMEOUT
    await eventually(lambda: slow.provider.stats()["in_flight"] == 0)


async def test_a_stream_that_only_keeps_alive_is_a_time_out() -> None:
    """Comments that keep the connection open are no answer, though litellm's own time-out takes them for one."""

    async def keep_alive(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while True:
            await response.write(b": still there\n\n")
            await asyncio.sleep(0.02)

    async with serving(keep_alive) as url:
        llm = Llm("openai/x", api_base=url, api_key=KEY, timeout_s=0.3, plan=RetryPlan(attempts=1))
        with pytest.raises(LlmCallParked) as caught:
            await collect(llm, PROMPT)
        await close_litellm()
    assert "stood still" in caught.value.failure.message


async def test_a_stream_that_does_not_begin_is_a_time_out(scene: Scene) -> None:
    """And is begun anew."""
    scene.script("timeout")
    items = await collect(scene.llm(timeout_s=0.3), PROMPT)
    assert text_of(items) == ANSWER
    assert scene.retries[0].reason is Reason.TIMEOUT


async def test_an_error_of_the_reader_is_not_the_calls(slow: Scene) -> None:
    """Thrown in, it comes out as it is: nothing is repeated, told or counted, and the connection is closed."""
    llm = slow.llm()
    stream = llm.stream(PROMPT)
    await anext(stream)
    with pytest.raises(ZeroDivisionError):
        await stream.athrow(ZeroDivisionError("reader"))
    await eventually(lambda: slow.provider.stats()["in_flight"] == 0)
    assert (slow.requests, slow.told, llm.usage.failed) == (1, [], 0)


async def test_leaving_after_a_wait_gives_the_path_up(scene: Scene) -> None:
    """Whoever shows the wait can take it away, though no recovery was told."""
    given_up: list[str] = []
    scene.script("429")
    async with contextlib.aclosing(scene.llm(on_give_up=given_up.append).stream(PROMPT)) as stream:
        await anext(stream)
        assert given_up == []
    assert given_up == ["agent"]
    assert scene.recoveries == []


async def test_a_stream_that_succeeds_is_not_given_up(scene: Scene) -> None:
    """The recovery says it."""
    given_up: list[str] = []
    scene.script("cut")
    await collect(scene.llm(on_give_up=given_up.append), PROMPT)
    assert (given_up, len(scene.recoveries)) == ([], 1)


async def test_a_stream_checks_its_prompt_at_once(scene: Scene) -> None:
    """Before it is read, and before anything is sent."""
    stray: Any = "text"
    with pytest.raises(TypeError):
        scene.llm().stream([stray])
    with pytest.raises(TypeError):
        scene.llm().stream(PROMPT, num_retries=2)


@pytest.fixture
async def slow() -> Any:
    """A provider that stops after the first piece of each stream, and waits until its client leaves."""
    pieces = 0

    async def hold(seconds: float) -> None:
        nonlocal pieces
        pieces += seconds == 1.0
        if pieces > 1:
            await asyncio.get_running_loop().create_future()

    async with Provider(settings(chunk_latency_s=1.0), sleep=hold) as provider:
        scene = Scene(provider)
        scene.provider = provider
        yield scene
        await close_litellm()
