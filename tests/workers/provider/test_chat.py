"""Chat completions over real HTTP: answers, limits and scripted failures."""

from __future__ import annotations

import asyncio
import json
import logging
from email.utils import parsedate_to_datetime

import aiohttp
import pytest

from tests.waiting import eventually
from tests.workers.provider.asking import KEY, MODEL, Client, FakeClock, asking
from tidings.workers.provider import Fault, Limit, Provider, ProviderSettings

TOOLS = [{"type": "function", "function": {"name": "sum", "parameters": {"type": "object"}}}]


def provider(clock: FakeClock | None = None, **settings: object) -> Provider:
    """Return a provider with these settings, on a clock that stands still."""
    clock = clock or FakeClock()
    return Provider(ProviderSettings.model_validate(settings), clock=clock, wall_clock=clock)


async def outcomes(client: Client, count: int, **body: object) -> list[int]:
    """Ask so many times and return the statuses."""
    return [(await client.ask(**body)).status for _ in range(count)]  # type: ignore[arg-type]


async def until_broken(stream: aiohttp.StreamReader) -> bytes:
    """Read a stream that must not end cleanly and return what came."""
    got = b""
    try:
        while data := await stream.readany():
            got += data
    except aiohttp.ClientPayloadError:
        return got
    raise AssertionError(f"the stream ended cleanly: {got!r}")


async def test_a_plain_call_is_answered() -> None:
    """The default is an echo with usage, and the record shows it with the prompt as received."""
    async with asking(provider()) as client:
        answer = await client.ask("How are you?")
        (record,) = client.provider.requests
    assert (answer.status, answer.content) == (200, "You said: How are you?")
    assert answer.headers["x-request-id"] == "req_1"
    assert record.messages == [{"role": "user", "content": "How are you?"}]
    assert (record.model, record.stream, record.status, record.outcome) == (MODEL, False, 200, "ok")
    assert record.tokens == answer.json()["usage"]["total_tokens"] == 3 + 6


async def test_a_stream_is_answered_in_chunks() -> None:
    """Server-sent events, a finish reason, the usage if asked for, and [DONE]."""
    async with asking(provider()) as client:
        answer = await client.ask("one two", stream=True, stream_options={"include_usage": True})
        (record,) = client.provider.requests
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")
    *content, finish, usage = answer.chunks
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in content) == "You said: one two"
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert usage["usage"]["total_tokens"] == record.tokens
    assert (record.stream, record.status, record.outcome) == (True, 200, "ok")


async def test_a_stream_tells_no_usage_unasked() -> None:
    """Without `include_usage` no chunk has it."""
    async with asking(provider()) as client:
        answer = await client.ask(stream=True)
    assert not any("usage" in chunk for chunk in answer.chunks)


async def test_a_tool_is_called_and_its_result_told() -> None:
    """The loop of an agent with tools works, plain and streamed."""
    async with asking(provider()) as client:
        asked = await client.ask('call sum {"a": 1}', tools=TOOLS)
        streamed = await client.ask('call sum {"a": 1}', tools=TOOLS, stream=True)
        message = asked.json()["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "42"}
        told = await client.ask(messages=[{"role": "user", "content": "call sum {}"}, message, result], tools=TOOLS)
    assert message["tool_calls"][0]["function"] == {"name": "sum", "arguments": '{"a": 1}'}
    assert streamed.chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert told.content == "The tool said: 42"


async def test_the_same_prompt_has_the_same_answer() -> None:
    """Only the ids differ."""
    async with asking(provider(answer="Always this.")) as client:
        first, second = [(await client.ask("a")).json(), (await client.ask("a")).json()]
    assert (first.pop("id"), second.pop("id")) == ("chatcmpl-1", "chatcmpl-2")
    assert first == second
    assert first["choices"][0]["message"]["content"] == "Always this."


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"hello", None),
        (b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800"}]}', None),
        (b"[" * 100_000, None),
        (b"[]", None),
        (b"{}", "model"),
        (b'{"model": "m"}', "messages"),
        (b'{"model": "m", "messages": []}', "messages"),
        (b'{"model": "m", "messages": [{}], "n": 3}', "n"),
    ],
)
async def test_a_bad_request_is_told_what_is_wrong(body: bytes, param: str | None) -> None:
    """400 in OpenAI's form, counted as invalid, and no scripted failure used up."""
    async with asking(provider(script=[Fault(kind="quota")])) as client:
        answer = await client.send(body)
        stats = client.provider.stats()
    assert answer.status == 400
    assert (answer.error["type"], answer.error["param"]) == ("invalid_request_error", param)
    assert (stats["invalid"], stats["by_status"]) == (1, {"400": 1})
    assert len(stats["script"]) == 1


async def test_a_body_too_large_is_refused() -> None:
    """413 in OpenAI's form instead of memory used up."""
    async with asking(provider(body_bytes=1000)) as client:
        answer = await client.ask("x" * 2000)
        fitting = await client.ask("x" * 200)
    assert (answer.status, fitting.status) == (413, 200)
    assert "1000 bytes" in answer.error["message"]


async def test_an_unknown_key_is_refused_without_being_shown() -> None:
    """401 where keys are set; the key appears nowhere, its ending does."""
    async with asking(provider(keys={KEY: Limit()})) as client:
        refused = await client.ask(key="sk-planted-0123456789")
        missing = await client.ask(key="Bearer")
        served = await client.ask()
        shown = f"{refused.text}{client.provider.stats()}{client.provider.requests}"
    assert [answer.status for answer in (refused, missing, served)] == [401, 401, 200]
    assert refused.error["code"] == "invalid_api_key"
    assert "…6789" in refused.error["message"]
    assert "planted" not in shown
    assert KEY not in shown


async def test_any_key_or_none_will_do_where_none_is_set() -> None:
    """A newcomer with curl is served."""
    async with asking(provider()) as client:
        client.key = None
        assert (await client.ask()).status == 200
        assert client.provider.requests[0].key == "none"


async def test_an_unknown_model_is_refused_where_models_are_set() -> None:
    """404 in OpenAI's form."""
    async with asking(provider(models=["a"])) as client:
        assert (await client.ask(model="a")).status == 200
        answer = await client.ask(model="b")
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")


async def test_a_limit_refuses_and_lets_pass_again_after_the_told_wait() -> None:
    """429 with Retry-After; obeying it is enough."""
    clock = FakeClock()
    async with asking(provider(clock, limit={"requests_per_minute": 2})) as client:
        assert await outcomes(client, 3) == [200, 200, 429]
        answer = await client.ask()
        clock.now += float(answer.headers["Retry-After"])
        assert await outcomes(client, 2) == [200, 429]
        stats = client.provider.stats()
    assert answer.error["code"] == "rate_limit_exceeded"
    assert (stats["ok"], stats["refused"], stats["by_status"]) == (3, 3, {"200": 3, "429": 3})


async def test_tokens_are_limited_by_what_calls_use() -> None:
    """Prompt and answer are charged when the call is admitted, not what a client guesses."""
    async with asking(provider(limit={"tokens_per_minute": 20})) as client:
        first = await client.ask("a" * 20)
        assert (first.status, first.json()["usage"]["total_tokens"]) == (200, 13)
        assert first.headers["x-ratelimit-remaining-tokens"] == "7"
        refused = await client.ask("a" * 20)
        hopeless = await client.ask("a" * 200)
    assert (refused.status, refused.error["type"]) == (429, "tokens")
    assert hopeless.status == 429
    assert "Retry-After" in refused.headers
    assert "Retry-After" not in hopeless.headers


async def test_keys_are_limited_apart() -> None:
    """One client's 429 is not the other's."""
    keys = {"key-one-aaaa": Limit(requests_per_minute=1), "key-two-bbbb": Limit(requests_per_minute=2)}
    async with asking(provider(keys=keys)) as client:
        statuses = {key: await outcomes(client, 3, key=key) for key in keys}
        rows = {row["key"]: (row["ok"], row["refused"]) for row in client.provider.stats()["by_key_and_model"]}
    assert statuses == {"key-one-aaaa": [200, 429, 429], "key-two-bbbb": [200, 200, 429]}
    assert rows == {"…aaaa": (1, 2), "…bbbb": (2, 1)}


async def test_limits_are_told_in_headers() -> None:
    """Served and refused calls alike, streams too, say where the limits stand."""
    async with asking(provider(limit={"requests_per_minute": 2, "tokens_per_minute": 1000})) as client:
        answers = [await client.ask(stream=stream) for stream in (False, True, False)]
    assert [answer.headers["x-ratelimit-limit-requests"] for answer in answers] == ["2"] * 3
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["1", "0", "0"]
    assert [answer.headers["x-ratelimit-reset-requests"] for answer in answers] == ["30s", "1m0s", "1m0s"]
    assert answers[0].headers["x-ratelimit-remaining-tokens"] == "994"


async def test_headers_can_be_left_out() -> None:
    """A provider that tells nothing gives no header and no hint in the text."""
    limit = {"requests_per_minute": 1}
    async with asking(provider(limit=limit, retry_after="none", ratelimit_headers=False)) as client:
        await client.ask()
        answer = await client.ask()
    assert answer.status == 429
    assert not [name for name in answer.headers if "ratelimit" in name.lower() or "retry" in name.lower()]
    assert "60" not in answer.text


async def test_a_date_is_told_on_the_wall_clock() -> None:
    """Retry-After as an HTTP date lies as far ahead as the wait."""
    clock = FakeClock()
    async with asking(provider(clock, limit={"requests_per_minute": 1}, retry_after="date")) as client:
        await client.ask()
        answer = await client.ask()
    assert parsedate_to_datetime(answer.headers["Retry-After"]).timestamp() == clock.now + 60


async def test_a_scripted_status_comes_before_the_limit_and_costs_nothing() -> None:
    """Failures hit the calls they are meant for; the allowance is untouched."""
    async with asking(provider(limit={"requests_per_minute": 1}, script=[Fault.parse("503x2")])) as client:
        assert await outcomes(client, 4) == [503, 503, 200, 429]
        stats = client.provider.stats()
    assert stats["failed"] == {
        "status": 2,
        "timeout": 0,
        "disconnect": 0,
        "cut": 0,
        "silent_cut": 0,
        "quota": 0,
    }
    assert [record.fault for record in client.provider.requests] == ["status", "status", None, None]


async def test_a_scripted_answer_is_sent_as_written() -> None:
    """Status, headers and body are the script's, also where they are not OpenAI's."""
    page = Fault.parse("502:body=<h1>Bad gateway</h1>,header.Content-Type=text/html,retry-after=120")
    async with asking(provider(script=[page, Fault.parse("200:body=not json")])) as client:
        answer, odd = await client.ask(), await client.ask()
    assert (answer.status, answer.text) == (502, "<h1>Bad gateway</h1>")
    assert (answer.headers["Content-Type"], answer.headers["Retry-After"]) == ("text/html", "120")
    assert (odd.status, odd.text) == (200, "not json")


async def test_an_exhausted_quota_is_no_rate_limit() -> None:
    """429 with insufficient_quota, and counted by its kind."""
    async with asking(provider(script=[Fault(kind="quota")])) as client:
        answer = await client.ask()
        stats = client.provider.stats()
    assert (answer.status, answer.error["code"]) == (429, "insufficient_quota")
    assert (stats["failed"]["quota"], stats["refused"]) == (1, 0)


async def test_a_fault_is_aimed_at_one_session() -> None:
    """By a text in its last user message, whatever others ask meanwhile."""
    async with asking(provider(script=[Fault.parse("429:contains=demo-3,retry-after=120")])) as client:
        statuses = [(await client.ask(f"I am demo-{number}")).status for number in (1, 2, 3, 3)]
    assert statuses == [200, 200, 429, 200]


async def test_a_disconnect_answers_nothing() -> None:
    """The connection is closed; the record has no status."""
    async with asking(provider(script=[Fault(kind="disconnect")])) as client:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await client.ask()
        assert (await client.ask()).status == 200
        record = client.provider.requests[0]
    assert (record.status, record.outcome, record.fault, record.tokens) == (None, "failed", "disconnect", 0)


async def test_a_cut_stream_breaks_off_in_the_middle() -> None:
    """The client gets the pieces before the cut and then a broken connection."""
    async with asking(provider(script=[Fault(kind="cut", chunks=2)])) as client:
        body = {"model": MODEL, "messages": [{"role": "user", "content": "one two"}], "stream": True}
        async with client.session.post(f"{client.provider.base_url}/chat/completions", json=body) as response:
            got = await until_broken(response.content)
        (record,) = client.provider.requests
    deltas = [json.loads(line[6:])["choices"][0] for line in got.decode().split("\n\n") if line]
    assert [choice["delta"]["content"] for choice in deltas] == ["", "You ", "said: "]
    assert all(choice["finish_reason"] is None for choice in deltas)
    assert (record.status, record.fault, record.tokens) == (200, "cut", 2 + 3)


@pytest.mark.parametrize(("chunks", "text"), [(0, ""), (1, "You "), (99, "You said: hello")])
async def test_a_silently_cut_stream_looks_complete(chunks: int, text: str) -> None:
    """It ends as HTTP should, without finish reason and [DONE]."""
    async with asking(provider(script=[Fault(kind="silent_cut", chunks=chunks)])) as client:
        answer = await client.ask(stream=True)
    assert answer.status == 200
    assert "[DONE]" not in answer.text
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in answer.chunks) == text
    assert not any(chunk["choices"][0]["finish_reason"] for chunk in answer.chunks)


async def test_a_time_out_holds_until_the_client_leaves() -> None:
    """No answer comes; when the client has gone, so has the call."""
    async with asking(provider(script=[Fault(kind="timeout")])) as client:
        call = asyncio.create_task(client.ask())
        await eventually(lambda: client.provider.stats()["failed"]["timeout"] == 1)
        assert client.provider.stats()["in_flight"] == 1
        call.cancel()
        await eventually(lambda: client.provider.stats()["in_flight"] == 0)
        (record,) = client.provider.requests
    assert (record.status, record.outcome, record.fault) == (None, "failed", "timeout")


async def test_a_time_out_may_end_by_itself() -> None:
    """After its seconds the connection is closed without an answer."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with asking(Provider(ProviderSettings(script=(Fault.parse("timeout:seconds=30"),)), sleep=sleep)) as client:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await client.ask()
    assert slept == [30]


async def test_latencies_are_waited_for() -> None:
    """Before an answer, and before each piece of a stream, cut or not; never before a refusal."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    settings = ProviderSettings(
        latency_s=2,
        chunk_latency_s=0.5,
        limit=Limit(requests_per_minute=2),
        script=(Fault.parse("cut:chunks=1"),),
    )
    async with asking(Provider(settings, sleep=sleep)) as client:
        await client.ask()
        assert slept == [2]
        with pytest.raises(aiohttp.ClientPayloadError):
            await client.ask("hello", stream=True)
        assert slept == [2, 2, 0.5]
        await client.ask("hello", stream=True)
        assert slept == [2, 2, 0.5, 2, 0.5, 0.5, 0.5]
        assert (await client.ask()).status == 429
        assert len(slept) == 7


async def test_a_client_that_leaves_abandons_its_call() -> None:
    """Before the answer as within a stream; both are counted, with the status that was sent."""
    waiting, forever = asyncio.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        if seconds == 9:
            waiting.set()
            await forever.wait()

    for settings, status in (
        (ProviderSettings(latency_s=9), None),
        (ProviderSettings(chunk_latency_s=9), 200),
    ):
        waiting.clear()
        async with asking(Provider(settings, sleep=sleep)) as client:
            call = asyncio.create_task(client.ask(stream=True))
            await waiting.wait()
            call.cancel()
            await eventually(lambda server=client.provider: server.stats()["abandoned"] == 1)  # type: ignore[misc]
            (record,) = client.provider.requests
        assert (record.status, record.outcome) == (status, "abandoned")


async def test_many_calls_at_once_are_counted_right() -> None:
    """A hundred concurrent calls get exactly what the limit allows, and each its own answer."""
    async with asking(provider(limit={"requests_per_minute": 30})) as client:
        answers = await asyncio.gather(*(client.ask(f"I am {number}") for number in range(100)))
        stats = client.provider.stats()
    served = [number for number, answer in enumerate(answers) if answer.status == 200]
    assert all(answers[number].content == f"You said: I am {number}" for number in served)
    assert (len(served), stats["ok"], stats["refused"], stats["in_flight"]) == (30, 30, 70, 0)
    assert 1 < stats["max_in_flight"] <= 100
    assert sorted(record.number for record in client.provider.requests) == list(range(1, 101))


async def test_nothing_is_logged_about_calls(caplog: pytest.LogCaptureFixture) -> None:
    """Neither prompts nor keys reach a log, also when calls fail."""
    caplog.set_level(logging.DEBUG)
    faults = [Fault.parse(text) for text in ("disconnect", "cut", "500")]
    async with asking(provider(script=faults)) as client:
        for _ in range(4):
            try:
                await client.ask("planted prompt", stream=True)
            except aiohttp.ClientError:
                continue
    logged = [record.getMessage() for record in caplog.records]
    assert not [line for line in logged if "planted" in line or KEY in line]
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
