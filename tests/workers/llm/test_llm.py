"""Plain calls, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from datetime import timedelta
from typing import Any

import pytest

from tests.waiting import eventually
from tests.workers.llm.scene import ANSWER, KEY, LITELLM_WARNS, NOW, PROMPT, TOOL_PROMPT, TOOLS, Scene
from tidings.bus.messages import LlmAttempt, LlmRetry, Message, Reason, Wait
from tidings.workers.llm import (
    Completion,
    Llm,
    LlmCallFailed,
    LlmCallLimited,
    LlmCallParked,
    LlmError,
    RetryNotice,
    RetryNow,
    close_litellm,
    library,
)
from tidings.workers.provider import Fault, Provider
from tidings.workers.retry import RetryPlan, advice

pytestmark = LITELLM_WARNS


async def test_one_call_is_one_request(scene: Scene) -> None:
    """Answer, reason and usage arrive, and nothing is told."""
    completion = await scene.llm().complete(PROMPT)
    (record,) = scene.provider.requests
    assert completion == Completion(ANSWER, (), "stop", "openai/x", 4, 7, 1)
    assert completion.tokens.total == record.tokens
    assert record.messages == PROMPT
    assert scene.told == []


async def test_one_refusal_is_told_once_and_survived(scene: Scene) -> None:
    """One 429: one retry is told, then the recovery; two requests; the answer is there."""
    scene.script("429")
    completion = await scene.llm().complete(PROMPT)
    assert (completion.text, completion.attempts, scene.requests) == (ANSWER, 2, 2)
    (retry,), (recovery,) = scene.retries, scene.recoveries
    assert retry.reason is Reason.RATE_LIMIT
    assert (retry.attempt, retry.max_attempts, retry.status_code, retry.llm) == (1, 6, 429, "agent")
    assert (recovery.attempt, recovery.llm, recovery.model) == (2, "agent", "openai/x")


BEGUN = Wait(
    model="openai/x", reason=Reason.RATE_LIMIT, attempt=2, max_attempts=6, waited_s=3, retry_at=NOW + timedelta(seconds=5)
)


async def test_a_call_that_an_earlier_worker_began_goes_on(scene: Scene) -> None:
    """It asks at the told instant, not sooner, and counts on: attempts, and the seconds waited."""
    scene.script("500")
    llm = scene.llm(waits={"agent": BEGUN})
    await llm.complete(PROMPT)
    assert scene.log == ["after 0 slept 5", "asked 3", "told 3", "after 1 slept 4", "asked 4", "told ok"]
    assert scene.retries[0].waited_s == 7
    await llm.complete(PROMPT)
    assert (scene.requests, len(scene.told)) == (3, 4)


@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_worker_with_fewer_attempts_has_one_for_a_call_that_was_begun(scene: Scene, attempts: int) -> None:
    """It is the last one of its plan, and not "6 of 3"."""
    scene.script("500x9")
    with pytest.raises(LlmCallParked) as caught:
        await scene.llm(waits={"agent": BEGUN.model_copy(update={"attempt": 5})}, plan=RetryPlan(attempts=attempts)).complete(
            PROMPT
        )
    assert (scene.requests, caught.value.attempt, caught.value.max_attempts) == (1, attempts, attempts)
    asked = [told for told in scene.told if isinstance(told, LlmAttempt)]
    assert [(told.attempt, told.max_attempts) for told in asked] == ([(attempts, attempts)] if attempts > 1 else [])


async def test_each_failure_is_told_before_its_wait(scene: Scene) -> None:
    """Failures, each after its request and before its wait; the next attempt when it goes out; the recovery at the end."""
    scene.script("500x3")
    await scene.llm().complete(PROMPT)
    assert scene.log == [
        "told 1",
        "after 1 slept 1",
        "asked 2",
        "told 2",
        "after 2 slept 2",
        "asked 3",
        "told 3",
        "after 3 slept 4",
        "asked 4",
        "told ok",
    ]


async def test_notices_are_distinct(scene: Scene) -> None:
    """Attempt, wait and deadline change; the deadline is server time plus the wait."""
    scene.script("503x5")
    await scene.llm().complete(PROMPT)
    assert [retry.attempt for retry in scene.retries] == [1, 2, 3, 4, 5]
    assert [retry.wait_s for retry in scene.retries] == [1, 2, 4, 8, 16]
    assert [retry.retry_at for retry in scene.retries] == [NOW + timedelta(seconds=retry.wait_s) for retry in scene.retries]
    assert scene.recoveries[0].attempt == 6


async def test_what_is_told_fits_into_a_notice(scene: Scene) -> None:
    """What is told goes onto the bus as it is, even for a model with an endless name."""
    scene.script("500")
    await scene.llm("openai/" + "x" * 250).complete(PROMPT)
    notice = Message.of(scene.retries[0], session="demo")
    assert notice.data.model == ("openai/" + "x" * 250)[:200]
    assert notice.data.message
    assert notice.data.action


@pytest.mark.parametrize("attempts", [1, 2, 4])
async def test_as_many_requests_as_attempts(scene: Scene, attempts: int) -> None:
    """Retries used up: exactly so many requests, one notice less, and an error that knows all about it."""
    scene.script("500x*")
    with pytest.raises(LlmCallParked) as caught:
        await scene.llm(plan=RetryPlan(attempts=attempts)).complete(PROMPT)
    error = caught.value
    assert scene.requests == attempts
    assert len(scene.retries) == attempts - 1
    assert scene.recoveries == []
    assert (error.attempt, error.max_attempts, error.model, error.llm) == (attempts, attempts, "openai/x", "agent")
    assert (error.failure.reason, error.failure.status) == (Reason.SERVER_ERROR, 500)
    assert type(error.__cause__).__name__ == "InternalServerError"
    assert f"attempt {attempts} of {attempts}" in str(error)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("401", Reason.AUTH),
        ("400", Reason.BAD_REQUEST),
        ("404", Reason.BAD_REQUEST),
        ("422", Reason.BAD_REQUEST),
        ("400:code=context_length_exceeded", Reason.CONTEXT_WINDOW),
        ("400:code=content_policy_violation", Reason.CONTENT_POLICY),
    ],
)
async def test_what_waiting_does_not_help_is_asked_once(scene: Scene, fault: str, reason: Reason) -> None:
    """Not retryable: one request and no notice."""
    scene.script(f"{fault.partition(':')[0]}x*:{fault.partition(':')[2]}".rstrip(":"))
    with pytest.raises(LlmCallFailed) as caught:
        await scene.llm().complete(PROMPT)
    assert caught.value.failure.reason is reason
    assert (scene.requests, scene.told) == (1, [])


async def test_a_defect_of_the_caller_is_no_failure_to_retry(scene: Scene) -> None:
    """What cannot even be sent fails at once, with the defect as the cause."""
    with pytest.raises(LlmCallFailed) as caught:
        await scene.llm().complete([{"role": "user", "content": object()}])
    assert caught.value.failure.reason is Reason.UNKNOWN
    assert (scene.requests, scene.told) == (0, [])
    assert isinstance(caught.value.__cause__, Exception)


async def test_a_rate_limit_that_outlasts_the_attempts_asks_for_the_schedule(scene: Scene) -> None:
    """Without a hint the park schedule says when to go on."""
    scene.script("429x*")
    with pytest.raises(LlmCallLimited) as caught:
        await scene.llm(plan=RetryPlan(attempts=3)).complete(PROMPT)
    assert (caught.value.resume_in_s, caught.value.schedule, caught.value.attempt) == (None, True, 3)
    assert scene.requests == 3


async def test_a_rate_limit_that_outlasts_the_attempts_keeps_the_hint(scene: Scene) -> None:
    """With a hint, that says when to go on."""
    scene.script("429x*:retry-after=3")
    with pytest.raises(LlmCallLimited) as caught:
        await scene.llm(plan=RetryPlan(attempts=2), rng=lambda: 0.0).complete(PROMPT)
    assert (caught.value.resume_in_s, caught.value.schedule, scene.requests) == (3.0, False, 2)


async def test_a_long_retry_after_is_not_waited_for(scene: Scene) -> None:
    """Over the hold limit: one request, nothing told, and the provider's time in the error."""
    scene.script("429x*:retry-after=120")
    with pytest.raises(LlmCallLimited) as caught:
        await scene.llm(rng=lambda: 0.0).complete(PROMPT)
    assert (caught.value.resume_in_s, caught.value.schedule) == (120.0, False)
    assert (scene.requests, scene.told, scene.slept) == (1, [], [])


@pytest.mark.parametrize(
    ("fault", "resume_in_s", "advised"),
    [("quotax*", None, advice.BY_REASON[Reason.QUOTA_EXHAUSTED]), ("429x*:retry-after=172800", 172_800.0, advice.QUOTA_ENDS)],
)
async def test_an_exhausted_quota_is_asked_once(scene: Scene, fault: str, resume_in_s: float | None, advised: str) -> None:
    """Without an end no time is set, a person must act; days of Retry-After are an exhausted quota that ends by itself."""
    scene.script(fault)
    with pytest.raises(LlmCallLimited) as caught:
        await scene.llm(rng=lambda: 0.0).complete(PROMPT)
    error = caught.value
    assert (error.resume_in_s, error.schedule, error.failure.retryable) == (resume_in_s, False, False)
    assert (error.failure.reason, error.failure.action) == (Reason.QUOTA_EXHAUSTED, advised)
    assert (scene.requests, scene.told) == (1, [])


async def test_retry_after_is_waited_for(scene: Scene) -> None:
    """The wait is never shorter than the provider asks, and the hint is told."""
    scene.script("429:retry-after=7", "429:retry-after=2.5")
    await scene.llm(rng=lambda: 0.0).complete(PROMPT)
    assert scene.slept == [7.0, 2.5]
    assert [retry.retry_after_s for retry in scene.retries] == [7.0, 2.5]


async def test_waits_end_with_the_budget(scene: Scene) -> None:
    """Waits count together; when they use the budget up, the call is over before its attempts are."""
    scene.script("500x*")
    with pytest.raises(LlmCallParked):
        await scene.llm(plan=RetryPlan(budget_s=4.0)).complete(PROMPT)
    assert scene.slept == [1.0, 2.0, 1.0]
    assert scene.requests == 4


async def test_retry_now_ends_the_wait_at_once(scene: Scene) -> None:
    """On a "resume now" the attempt goes out although the wait is not over."""
    scene.back_off = _for_ever
    retry_now = RetryNow()
    scene.script("429")
    call = asyncio.create_task(scene.llm(retry_now=retry_now).complete(PROMPT))
    await eventually(lambda: scene.slept)
    retry_now.set()
    assert (await call).attempts == 2


async def test_retry_now_reaches_every_wait_under_way_and_no_later_one(scene: Scene) -> None:
    """Two paths wait, both go on; the wait that follows is waited for."""
    scene.back_off = _for_ever
    scene.script("500x3")
    llm = scene.llm()
    llm.retry_now.set()
    calls = [asyncio.create_task(path.complete(PROMPT)) for path in (llm, llm.named("condenser"))]
    await eventually(lambda: len(scene.slept) == 2)
    llm.retry_now.set()
    await eventually(lambda: len(scene.slept) == 3 and any(call.done() for call in calls))
    assert sum(call.done() for call in calls) == 1
    llm.retry_now.set()
    assert [completion.text for completion in await asyncio.gather(*calls)] == [ANSWER, ANSWER]


async def test_who_is_told_may_ask_to_retry_at_once(scene: Scene) -> None:
    """What is set between the notice and the wait counts for that wait."""
    scene.back_off = _for_ever
    retry_now = RetryNow()
    scene.script("429")
    completion = await scene.llm(retry_now=retry_now, on_notice=lambda _: retry_now.set()).complete(PROMPT)
    assert completion.attempts == 2


async def test_a_wait_cut_short_costs_only_what_was_waited(scene: Scene) -> None:
    """The budget counts seconds that passed, no wait that was cut short."""
    scene.back_off = _for_ever
    retry_now = RetryNow()
    scene.script("500x5")
    plan = RetryPlan(base_s=20, cap_s=20, budget_s=21)
    completion = await scene.llm(retry_now=retry_now, on_notice=lambda _: retry_now.set(), plan=plan).complete(PROMPT)
    assert completion.attempts == 6


async def test_a_cancellation_ends_the_wait_at_once(scene: Scene) -> None:
    """Pause and stop are cancellations; nothing is told after one, and no request goes out."""
    scene.back_off = _for_ever
    scene.script("429")
    call = asyncio.create_task(scene.llm().complete(PROMPT))
    await eventually(lambda: scene.slept)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (scene.requests, len(scene.told)) == (1, 1)


async def test_a_cancellation_ends_a_request_at_once(scene: Scene) -> None:
    """The connection is closed, so the provider stops working; it is no failure."""
    scene.script("timeout")
    llm = scene.llm()
    call = asyncio.create_task(llm.complete(PROMPT))
    await eventually(lambda: scene.requests == 1 and scene.provider.requests[0].fault)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await eventually(lambda: scene.provider.stats()["in_flight"] == 0)
    assert scene.told == []
    assert (llm.usage.attempts, llm.usage.succeeded, llm.usage.failed) == (1, 0, 0)


@pytest.mark.parametrize("error", [RuntimeError("listener"), asyncio.CancelledError()])
async def test_a_raising_listener_harms_nothing(scene: Scene, error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it raises, the call goes on; it is logged once."""

    def tell(_: RetryNotice) -> None:
        raise error

    scene.script("500x2")
    with caplog.at_level(logging.WARNING, "tidings.llm"):
        completion = await scene.llm(on_notice=tell).complete(PROMPT)
    assert completion.attempts == 3
    assert [record.message for record in caplog.records if record.name == "tidings.llm"] == ["llm.tell_failed"]


async def test_an_llm_without_a_listener_works(scene: Scene) -> None:
    """Nobody has to listen."""
    scene.script("500")
    assert (await scene.llm(on_notice=None).complete(PROMPT)).attempts == 2


@pytest.mark.parametrize(
    ("fault", "given_up"), [("500", []), ("401", []), ("quota", []), ("500x*", ["condenser"]), ("429x*", ["condenser"])]
)
async def test_a_path_that_told_a_wait_and_failed_is_given_up(scene: Scene, fault: str, given_up: list[str]) -> None:
    """Once, by its name; not after a success, and not where no wait was told."""
    scene.script(fault)
    seen: list[str] = []
    llm = scene.llm(on_give_up=seen.append, plan=RetryPlan(attempts=3)).named("condenser")
    with contextlib.suppress(LlmError):
        await llm.complete(PROMPT)
    assert seen == given_up


async def test_a_path_whose_wait_is_cancelled_is_given_up(scene: Scene) -> None:
    """By the time that the cancellation is through."""
    scene.back_off = _for_ever
    scene.script("429")
    given_up: list[str] = []
    call = asyncio.create_task(scene.llm(on_give_up=given_up.append).complete(PROMPT))
    await eventually(lambda: scene.slept)
    assert given_up == []
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert given_up == ["agent"]


async def test_giving_up_cannot_change_how_a_call_ends(scene: Scene) -> None:
    """What the listener raises is swallowed like everything that listeners raise."""

    def on_give_up(_: str) -> None:
        raise RuntimeError("listener")

    scene.script("500x*")
    with pytest.raises(LlmCallParked):
        await scene.llm(on_give_up=on_give_up, plan=RetryPlan(attempts=2)).complete(PROMPT)


async def test_a_time_out_is_told_and_retried(scene: Scene) -> None:
    """A provider that never answers costs one attempt of timeout_s."""
    scene.script("timeout")
    completion = await scene.llm(timeout_s=0.3).complete(PROMPT)
    assert completion.attempts == 2
    assert scene.retries[0].reason is Reason.TIMEOUT
    assert "within 0.3 s" in scene.retries[0].message


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("disconnect", Reason.CONNECTION),
        ("200:body=", Reason.SERVER_ERROR),
        ("200:body=<html>gateway</html>", Reason.SERVER_ERROR),
        ("200:body={}", Reason.SERVER_ERROR),
        ('200:body={"id": "1"\\, "object": "chat.completion"\\, "choices": []}', Reason.SERVER_ERROR),
        ("502", Reason.SERVER_ERROR),
        ("529:code=overloaded_error", Reason.OVERLOADED),
    ],
)
async def test_what_is_no_answer_is_retried(scene: Scene, fault: str, reason: Reason) -> None:
    """A connection that breaks, an empty answer, one without a choice, one that is no JSON: one request each."""
    scene.script(fault)
    completion = await scene.llm().complete(PROMPT)
    assert (completion.text, completion.attempts, scene.requests) == (ANSWER, 2, 2)
    assert scene.retries[0].reason is reason


async def test_nobody_at_the_address_is_a_connection_failure(scene: Scene) -> None:
    """A refused connection is told as such, and is what the error says at the end."""
    llm = scene.llm(api_base="http://127.0.0.1:9/v1", plan=RetryPlan(attempts=2))
    with pytest.raises(LlmCallParked) as caught:
        await llm.complete(PROMPT)
    assert [retry.reason for retry in scene.retries] == [caught.value.failure.reason] == [Reason.CONNECTION]


async def test_a_tool_call_is_read(scene: Scene) -> None:
    """Tools are offered, and what the model wants is an object with an id."""
    completion = await scene.llm().complete(TOOL_PROMPT, tools=TOOLS)
    (call,) = completion.tool_calls
    assert (call.name, call.arguments, completion.text) == ("add", {"a": 1, "b": [2]}, "")
    assert call.call_id
    assert completion.finish_reason == "tool_calls"


async def test_the_callers_prompt_is_not_touched(scene: Scene) -> None:
    """Litellm gets copies, and each attempt sends the same."""
    scene.script("500")
    await scene.llm().complete(TOOL_PROMPT, tools=TOOLS)
    first, second = scene.provider.requests
    assert first.messages == second.messages == TOOL_PROMPT
    assert TOOLS[0]["type"] == "function"


@pytest.mark.parametrize("place", ["argument", "environment", "shape"])
async def test_a_key_is_found_nowhere(scene: Scene, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that repeats the key it was given does not get it into notices or errors, nor their tracebacks."""
    secret = "sk-proj-" + "a1B2" * 8 if place == "shape" else "Tr0ub4dor-and-3"
    key: dict[str, Any] = {}
    if place == "environment":
        monkeypatch.setenv("OPENAI_API_KEY", secret)
        key = {"api_key": None}
    elif place == "argument":
        key = {"api_key": secret}
    said = Fault(kind="status", status=500, message=f"upstream refused key {secret}!", times=2)
    async with Provider() as provider:
        provider.script(said)
        scene.provider = provider
        with pytest.raises(LlmCallParked) as caught:
            await scene.llm(plan=RetryPlan(attempts=2), **key).complete(PROMPT)
        await close_litellm()
    error = caught.value
    shown = "".join(traceback.format_exception(error))
    assert "upstream refused key" in shown
    for text in (shown, str(error), repr(error), repr(error.__cause__), repr(error.failure), repr(scene.told)):
        assert secret not in text
    assert "[redacted]" in scene.retries[0].message


async def test_usage_counts_what_was_sent_and_what_came(scene: Scene) -> None:
    """Requests by how they ended; tokens of the answers alone."""
    llm = scene.llm()
    scene.script("500x2")
    await llm.complete(PROMPT)
    await llm.complete(PROMPT)
    usage = llm.usage
    assert (usage.attempts, usage.succeeded, usage.failed) == (4, 2, 2)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.wasted_tokens) == (8, 14, 0)


async def test_tokens_of_a_useless_answer_are_wasted(scene: Scene) -> None:
    """An answer without a choice that reports its usage is counted apart."""
    useless: Any = {
        "id": "1",
        "object": "chat.completion",
        "choices": [],
        "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
    }
    scene.script(Fault(kind="status", status=200, body=useless))
    llm = scene.llm()
    await llm.complete(PROMPT)
    assert (llm.usage.wasted_tokens, llm.usage.prompt_tokens) == (8, 4)


async def test_a_sibling_shares_all_but_name_model_and_usage(scene: Scene) -> None:
    """What a condenser has to say goes the same way, under its own name."""
    llm = scene.llm()
    condenser = llm.named("condenser", "openai/small")
    scene.script("429:model=small")
    await asyncio.gather(llm.complete(PROMPT), condenser.complete(PROMPT))
    (retry,) = scene.retries
    assert (retry.llm, retry.model) == ("condenser", "openai/small")
    assert (llm.usage.attempts, condenser.usage.attempts) == (1, 2)
    assert condenser.retry_now is llm.retry_now
    assert condenser.plan is llm.plan
    assert (llm.named("title").model, llm.name) == ("openai/x", "agent")


async def test_calls_at_the_same_time_count_their_own_attempts(scene: Scene) -> None:
    """Concurrent calls share no state: each is told and counted for itself."""
    paths = [scene.llm(name=f"path{number}") for number in range(4)]
    scene.script("500x4:contains=one", "429x2:contains=two")
    calls = [path.complete([{"role": "user", "content": "one" if number % 2 else "two"}]) for number, path in enumerate(paths)]
    completions = await asyncio.gather(*calls)
    told = {path.name: [retry.attempt for retry in scene.retries if retry.llm == path.name] for path in paths}
    assert all(attempts == list(range(1, len(attempts) + 1)) for attempts in told.values())
    assert sum(completion.attempts for completion in completions) == scene.requests == 10


async def test_a_gate_is_asked_before_each_attempt_and_told_of_each_end(scene: Scene) -> None:
    """Acquire, request, refuse or settle: in this order, with what happened."""
    events: list[Any] = []

    class Watch:
        async def acquire(self, model: str) -> None:
            events.append(("acquire", model, scene.requests))

        def settle(self, model: str, usage: Any) -> None:
            events.append(("settle", model, usage.total))

        def refuse(self, model: str, failure: Any) -> None:
            events.append(("refuse", model, failure.reason))

    scene.script("429")
    await scene.llm(gate=Watch()).complete(PROMPT)
    assert events == [
        ("acquire", "openai/x", 0),
        ("refuse", "openai/x", Reason.RATE_LIMIT),
        ("acquire", "openai/x", 1),
        ("settle", "openai/x", 11),
    ]


async def test_a_gate_can_refuse_in_the_providers_place(scene: Scene) -> None:
    """An LlmError of a gate ends the call: no request, nothing told, not wrapped."""
    scene.script("429")
    with pytest.raises(LlmCallLimited) as limited:
        await scene.llm(plan=RetryPlan(attempts=1)).complete(PROMPT)

    class Closed:
        async def acquire(self, model: str) -> None:
            raise limited.value

        def settle(self, model: str, usage: Any) -> None: ...

        def refuse(self, model: str, failure: Any) -> None: ...

    llm = scene.llm(gate=Closed())
    with pytest.raises(LlmCallLimited) as caught:
        await llm.complete(PROMPT)
    assert caught.value is limited.value
    assert (scene.requests, scene.told, llm.usage.attempts) == (1, [], 0)


@pytest.mark.parametrize("params", [{"max_retries": 3}, {"stream": True}, {"fallbacks": ["openai/y"]}, {"timeout": 5}])
async def test_what_would_hide_requests_is_refused(scene: Scene, params: dict[str, Any]) -> None:
    """Parameters that add requests, waits or models behind our back are refused before anything is sent."""
    with pytest.raises(TypeError, match="not passed on"):
        await scene.llm().complete(PROMPT, **params)
    with pytest.raises(TypeError, match="not passed on"):
        scene.llm(**params)
    assert scene.requests == 0


async def test_a_notice_is_never_sent(scene: Scene) -> None:
    """A prompt with something else than messages in it is refused, first of all one with a notice."""
    data = LlmRetry(reason=Reason.RATE_LIMIT)
    notice: Any = Message.of(data, session="demo")
    strays: list[Any] = [notice, data, "text"]
    for stray in strays:
        with pytest.raises(TypeError, match="never sent to a model"):
            await scene.llm().complete([*PROMPT, stray])
    assert scene.requests == 0


@pytest.mark.parametrize("settings", [{"name": ""}, {"name": "x" * 65}, {"timeout_s": 0}, {"timeout_s": float("nan")}])
def test_senseless_settings_are_refused(settings: dict[str, Any]) -> None:
    """At construction, with a ValueError."""
    with pytest.raises(ValueError, match="give"):
        Llm("openai/x", **settings)


@pytest.mark.parametrize("model", ["", "nobody-knows-this"])
async def test_a_model_that_litellm_does_not_know_fails(scene: Scene, model: str) -> None:
    """As a bad request that a person can correct; nothing is sent."""
    with pytest.raises(LlmCallFailed) as caught:
        await scene.llm(model).complete(PROMPT)
    assert caught.value.failure.reason is Reason.BAD_REQUEST
    assert (scene.requests, scene.told) == (0, [])


async def test_a_time_out_of_somebody_elses_is_passed_on(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only our own gets our words."""

    async def ask(**_: Any) -> None:
        raise TimeoutError("theirs")

    monkeypatch.setattr(library, "ask", ask)
    with pytest.raises(LlmCallParked, match="theirs"):
        await scene.llm(plan=RetryPlan(attempts=1)).complete(PROMPT)


def test_an_llm_does_not_show_its_key() -> None:
    """Neither as text nor in what it is made of."""
    llm = Llm("openai/x", api_key=KEY)
    assert repr(llm) == "Llm('openai/x', name='agent')"
    assert KEY not in repr(vars(llm))


async def test_server_time_is_ours_by_default(scene: Scene) -> None:
    """Without a bus the deadline counts from this machine's clock, and is absolute."""
    scene.script("500")
    llm = Llm("openai/x", on_notice=scene.tell, api_base=scene.provider.base_url, api_key=KEY, sleep=scene.sleep)
    await llm.complete(PROMPT)
    retry_at = scene.retries[0].retry_at
    assert retry_at is not None
    assert retry_at.utcoffset() == timedelta(0)


async def test_a_refusal_by_the_limits_heals_with_them() -> None:
    """A real token bucket: the wait that the provider names lets the next attempt through."""
    from tidings.workers.provider import Limit, ProviderSettings

    clock = [0.0]
    one_a_minute = ProviderSettings(keys={KEY: Limit(requests_per_minute=6, burst=1)})
    async with Provider(one_a_minute, clock=lambda: clock[0]) as provider:
        scene = Scene(provider)

        async def pass_time(seconds: float) -> None:
            clock[0] += seconds

        scene.back_off = pass_time
        llm = scene.llm(rng=lambda: 0.0)
        await llm.complete(PROMPT)
        await llm.complete(PROMPT)
        await close_litellm()
    assert [record.status for record in provider.requests] == [200, 429, 200]
    assert scene.slept == [10.0]


async def _for_ever(_: float) -> None:
    await asyncio.get_running_loop().create_future()
