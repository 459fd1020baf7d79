"""What litellm really raises, against a real HTTP server, and what we make of it."""

from __future__ import annotations

import asyncio
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from bus.messages import Reason
from tests.workers.retry.answers.documented import Documented, anthropic, openai
from tests.workers.retry.answers.routes import ROUTES, give_vertex_a_token
from tests.workers.retry.answers.table import DOCUMENTED, answer_id
from workers.retry import classify

# The first test waits for some 400 calls.
pytestmark = pytest.mark.timeout(180)

NOW = datetime(2026, 11, 22, 11, 0, tzinfo=UTC)

OPENAI_CHUNK = (
    'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":'
    '[{"index":0,"delta":{"role":"assistant","content":"half"},"finish_reason":null}]}\n\n'
)
ANTHROPIC_CHUNK = (
    'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
    '"role":"assistant","content":[],"model":"c","stop_reason":null,'
    '"usage":{"input_tokens":1,"output_tokens":1}}}\n\n'
    'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
    '"content_block":{"type":"text","text":""}}\n\n'
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    '"delta":{"type":"text_delta","text":"half"}}\n\n'
)


@dataclass(frozen=True)
class Call:
    """One call to a model, and what it should be taken for."""

    name: str
    route: str
    reason: Reason
    behaviour: str = "answer"
    """Of the server: answer, hang, drop (without an answer), stream (then end), cut (in a stream)."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    stream: bool = False
    retry_after_s: float | None = None
    says: str = ""
    code: str | None = None
    action: str = ""
    requests: int = 1
    arguments: dict[str, object] = field(default_factory=dict)


def from_document(answer: Documented, *, stream: bool = False) -> Call:
    """Make the call that is answered so."""
    return Call(
        f"{answer_id(answer)}{' (streaming)' if stream else ''}",
        answer.route,
        answer.reason,
        status=answer.status,
        headers=dict(answer.headers),
        body=answer.body,
        stream=stream,
        retry_after_s=answer.retry_after_s,
        says=answer.says,
        code=answer.code if answer.status >= 300 else None,  # litellm keeps nothing but the words then
        action=answer.action,
    )


EVERYBODY = ("openai", "azure", "anthropic", "gemini")
OVERLOAD = {
    "openai": 'data: {"error":{"message":"At capacity","type":"server_error","code":"overloaded"}}\n\n',
    "anthropic": f"event: error\ndata: {anthropic('overloaded_error', 'Overloaded')}\n\n",
}
CHUNK = {"openai": OPENAI_CHUNK, "azure": OPENAI_CHUNK, "anthropic": ANTHROPIC_CHUNK}

CALLS = [
    *(from_document(answer) for answer in DOCUMENTED),
    *(from_document(answer, stream=True) for answer in DOCUMENTED if answer.status >= 300),
    *(
        Call(
            "refused connection",
            route,
            Reason.CONNECTION,
            requests=0,
            arguments={"api_base": "http://127.0.0.1:1"},
        )
        for route in EVERYBODY
    ),
    *(Call("connection dropped", route, Reason.CONNECTION, "drop", says="Server disconnected") for route in EVERYBODY),
    *(Call("time-out", route, Reason.TIMEOUT, "hang", arguments={"timeout": 0.2}) for route in EVERYBODY),
    *(Call("cut stream", route, Reason.CONNECTION, "cut", body=chunk, stream=True) for route, chunk in CHUNK.items()),
    *(
        Call(
            "error inside a stream",
            route,
            Reason.OVERLOADED,
            "stream",
            body=CHUNK[route] + error,
            stream=True,
        )
        for route, error in OVERLOAD.items()
    ),
    Call(
        "rate limit inside a stream, first of all",
        "gemini",
        Reason.RATE_LIMIT,
        "stream",
        body='data: {"error":{"code":429,"message":"Exhausted","status":"RESOURCE_EXHAUSTED"}}\n\n',
        stream=True,
    ),
    *(Call("no JSON", route, Reason.SERVER_ERROR, body="nope", says="Expecting value") for route in EVERYBODY),
    Call("no choices", "openai", Reason.SERVER_ERROR, body="{}", says="choices"),
    Call("no message in the choice", "openai", Reason.SERVER_ERROR, body='{"choices": [{}]}'),
    Call("no candidates", "gemini", Reason.SERVER_ERROR, body="{}"),
    Call(
        "200 with an error in it",
        "openai",
        Reason.RATE_LIMIT,
        body=openai("Provider returned error", None, 429),
        says="Provider returned error",
    ),
    *(
        Call("no key", route, Reason.AUTH, requests=0, arguments={"api_key": None}, says=says)
        for route, says in {
            "openai": "Missing credentials",
            "azure": "Missing credentials",
            "anthropic": "Missing Anthropic API Key",
            "gemini": "Missing Gemini API key",
        }.items()
    ),
    *(
        Call(
            "a line break in the key",
            route,
            Reason.AUTH,
            requests=0,
            arguments={"api_key": "sk-ab\ncd12345678"},
        )
        for route in EVERYBODY
    ),
    *(
        Call(
            "an address without http",
            route,
            Reason.BAD_REQUEST,
            requests=0,
            arguments={"api_base": "localhost:1"},
        )
        for route in EVERYBODY
    ),
    Call("no such provider", "openai", Reason.BAD_REQUEST, requests=0, arguments={"model": "nosuch/model"}),
    Call(
        "a bug of the caller",
        "openai",
        Reason.UNKNOWN,
        requests=0,
        arguments={"messages": None},
        says="TypeError: 'NoneType' object is not iterable",
    ),
]


class Provider:
    """A loopback server that answers call number n, whose prompt says so, as its row in the table says."""

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        self.leaving = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        found = re.search(rb"call number ([0-9]+)", await request.read())
        assert found is not None
        number = int(found[1])
        self.requests[number] += 1
        call = CALLS[number]
        if call.behaviour == "hang":
            await self.leaving.wait()
        if call.behaviour in ("hang", "drop"):
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if call.behaviour in ("stream", "cut"):
            return await self._stream(request, call)
        return web.Response(status=call.status, headers=call.headers, text=call.body, content_type="application/json")

    async def _stream(self, request: web.Request, call: Call) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(call.body.encode())
        if call.behaviour == "cut":
            assert request.transport is not None
            request.transport.close()
        return response


@dataclass(frozen=True)
class Ended:
    """How a call ended, and how many requests it made."""

    error: BaseException
    requests: int


async def end_of(litellm: Any, number: int, base: str) -> BaseException:
    """Make a call that must fail, and return what it raised."""
    call = CALLS[number]
    route = ROUTES[call.route]
    arguments: dict[str, object] = {
        "model": route.model,
        "messages": [{"role": "user", "content": f"call number {number}"}],
        "api_base": f"{base}{route.suffix}",
        "timeout": 10,
        "stream": call.stream,
        "max_retries": 0,
        "num_retries": 0,
        **route.arguments,
        **call.arguments,
    }
    try:
        response = await litellm.acompletion(**arguments)
        if call.stream:
            async for _ in response:
                pass
    except Exception as error:
        return error
    raise AssertionError(f"{call.name} did not fail")


async def run_all(litellm: Any) -> list[Ended]:
    """Make every call of the table, one after the other."""
    provider = Provider()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", provider.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        errors = [await end_of(litellm, number, base) for number in range(len(CALLS))]
        return [Ended(error, provider.requests[number]) for number, error in enumerate(errors)]
    finally:
        provider.leaving.set()
        await litellm.close_litellm_async_clients()
        await runner.cleanup()


@pytest.fixture(scope="module")
def ended() -> Iterator[list[Ended]]:
    """How each call of the table ended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # litellm's own affair, at import and on answers that it cannot read
        import litellm

        litellm.suppress_debug_info = True
        with pytest.MonkeyPatch.context() as monkeypatch:
            give_vertex_a_token(monkeypatch)
            yield asyncio.run(run_all(litellm))


def call_id(call: Call) -> str:
    """Name a row for pytest."""
    return f"{call.route}: {call.name}"


@pytest.mark.parametrize("number", range(len(CALLS)), ids=[call_id(call) for call in CALLS])
def test_litellm_error_is_taken_for_what_happened(ended: list[Ended], number: int) -> None:
    """Whatever class litellm chose, the reason, the wait and the provider's words come through."""
    call = CALLS[number]
    failure = classify(ended[number].error, now=NOW)
    assert (failure.reason, failure.retry_after_s) == (call.reason, call.retry_after_s)
    assert call.says in failure.message
    if call.code is not None:
        assert failure.code == call.code
    if call.action:
        assert failure.action == call.action
    assert "Traceback" not in failure.message
    assert not failure.message.startswith("litellm.")


@pytest.mark.parametrize("number", range(len(CALLS)), ids=[call_id(call) for call in CALLS])
def test_one_call_is_one_request(ended: list[Ended], number: int) -> None:
    """With litellm's retries off, a failed call has asked the provider once, or not at all."""
    assert ended[number].requests == CALLS[number].requests


@pytest.mark.parametrize("number", range(len(DOCUMENTED)), ids=[answer_id(answer) for answer in DOCUMENTED])
def test_status_is_the_one_the_provider_sent(ended: list[Ended], number: int) -> None:
    """Where litellm turns a 529 into a 500 and a 413 into a 429, we report what came over the wire."""
    status = DOCUMENTED[number].status
    if status >= 300:
        assert classify(ended[number].error, now=NOW).status == status
