"""What litellm really raises, against a real HTTP server, and what we make of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from tests.workers.llm.scene import serving
from tests.workers.retry.answers.documented import Documented, anthropic, openai
from tests.workers.retry.answers.routes import ROUTES, give_vertex_a_token
from tests.workers.retry.answers.table import DOCUMENTED, answer_id
from tidings.bus.messages import Reason
from tidings.workers.llm import close_litellm, library, load_litellm
from tidings.workers.retry import classify

# litellm's own affair, on answers that it cannot read.
pytestmark = pytest.mark.filterwarnings("ignore")

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
    repeats: bool = False
    """Whether another call shows the same, but for the way of reading."""
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
        repeats=stream,
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
    """A loopback server that does the same to every request."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.requests = 0
        self.leaving = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Do as the row says."""
        self.requests += 1
        call = self.call
        if call.behaviour == "hang":
            await self.leaving.wait()
        if call.behaviour in ("hang", "drop"):
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if call.behaviour in ("stream", "cut"):
            return await self._stream(request)
        return web.Response(status=call.status, headers=call.headers, text=call.body, content_type="application/json")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(self.call.body.encode())
        if self.call.behaviour == "cut":
            assert request.transport is not None
            request.transport.close()
        return response


async def make(call: Call, base: str) -> None:
    """Make a call, as `tidings.workers.llm` makes it, that must fail."""
    route = ROUTES[call.route]
    arguments: dict[str, Any] = {
        "model": route.model,
        "messages": [{"role": "user", "content": "hello"}],
        "api_base": f"{base}{route.suffix}",
        "timeout": 10,
        "stream": call.stream,
        **route.arguments,
        **call.arguments,
    }
    response = await library.ask(**arguments)
    if call.stream:
        async for _ in response:
            pass


@pytest.fixture(autouse=True)
async def litellm(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Let every route go out, and leave nothing open."""
    load_litellm()
    give_vertex_a_token(monkeypatch)
    yield
    await close_litellm()


@pytest.mark.parametrize(
    "call",
    [pytest.param(call, id=f"{call.route}: {call.name}", marks=(pytest.mark.full,) if call.repeats else ()) for call in CALLS],
)
async def test_litellm_error_is_taken_for_what_happened(call: Call) -> None:
    """Whatever class litellm chose, the reason, the wait and the provider's words come through, of one request."""
    provider = Provider(call)
    async with serving(provider.answer) as base:
        with pytest.raises(Exception) as caught:  # noqa: PT011  # of any class
            await make(call, base)
        provider.leaving.set()
    failure = classify(caught.value, now=NOW)
    assert (failure.reason, failure.retry_after_s, provider.requests) == (call.reason, call.retry_after_s, call.requests)
    assert call.says in failure.message
    assert failure.code == call.code or call.code is None
    assert failure.action == call.action or not call.action
    # Where litellm turns a 529 into a 500 and a 413 into a 429, we report what came over the wire.
    assert failure.status == call.status or call.status < 300
    assert "Traceback" not in failure.message
    assert not failure.message.startswith("litellm.")
