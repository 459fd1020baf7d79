"""The endpoint `/v1/chat/completions`: check a call, fail it as scripted, hold it to its limit, answer it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import islice

from aiohttp import web
from multidict import CIMultiDict
from pydantic import ValidationError
from pydantic_core import from_json

from tidings.workers.provider import error_answers
from tidings.workers.provider.api_keys import bearer, mask
from tidings.workers.provider.completions import Reply, compose, count_tokens, last_user_text
from tidings.workers.provider.error_answers import ErrorAnswer, Refusal
from tidings.workers.provider.fault_queue import FaultQueue, IncomingCall
from tidings.workers.provider.faults import Fault, explain
from tidings.workers.provider.headers import ratelimit_headers, retry_after_headers
from tidings.workers.provider.journal import Journal, RequestInFlight
from tidings.workers.provider.limiter import Limiter
from tidings.workers.provider.settings import ProviderSettings
from tidings.workers.provider.wire import DONE, ChatRequest, CompletionResponse, sse

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


class ChatEndpoint:
    """Handles chat completions.

    The order of the checks is a promise: key, body, model, then the script, then the limits. A scripted
    failure so hits the call it is aimed at even where a limit is used up, and takes nothing from the limits.
    """

    def __init__(
        self,
        settings: ProviderSettings,
        journal: Journal,
        script: FaultQueue,
        *,
        clock: Clock,
        wall_clock: Clock,
        sleep: Sleep,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._script = script
        self._limiter = Limiter(settings)
        self._clock = clock
        self._wall_clock = wall_clock
        self._sleep = sleep

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one call; each step is in the journal before the client can see it."""
        key = bearer(request.headers.get("Authorization"))
        with self._journal.open(mask(key), self._clock()) as entry:
            try:
                chat = await self._understand(request, key, entry)
            except Refusal as refusal:
                entry.settle("invalid")
                return _error(entry, refusal.answer)
            said = last_user_text(chat.messages)
            fault = self._script.take(IncomingCall(key, chat.model, said, bool(chat.stream)))
            if fault is not None:
                return await self._fail(request, entry, chat, fault)
            return await self._admit(request, entry, chat, key)

    def check_key(self, key: str) -> None:
        """Let a known key pass.

        Raises:
            Refusal: the key is not known.
        """
        if not self._limiter.knows(key):
            raise Refusal(error_answers.unknown_key(mask(key)))

    async def _understand(self, request: web.Request, key: str, entry: RequestInFlight) -> ChatRequest:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            too_large = f"The request body is larger than {self._settings.body_bytes} bytes."
            raise Refusal(ErrorAnswer(413, too_large)) from None
        self.check_key(key)
        chat = _parse(body)
        entry.understood(chat.model, chat.messages, stream=bool(chat.stream), size=len(body))
        if self._settings.models and chat.model not in self._settings.models:
            raise Refusal(error_answers.unknown_model(chat.model))
        return chat

    async def _admit(self, request: web.Request, entry: RequestInFlight, chat: ChatRequest, key: str) -> web.StreamResponse:
        reply = self._compose(chat)
        decision = self._limiter.admit(key, chat.model, reply.tokens, self._clock())
        headers = ratelimit_headers(decision.standings) if self._settings.ratelimit_headers else {}
        if not decision.admitted:
            headers |= retry_after_headers(self._settings.retry_after, decision.wait_s, self._wall_clock())
            entry.settle("refused")
            return _error(entry, error_answers.rate_limited(chat.model, reply.tokens, decision, headers))
        entry.charged(reply.tokens)
        await self._sleep(self._settings.latency_s)
        completion = self._completion(entry, chat, reply)
        if chat.stream:
            return await self._stream(request, entry, completion, headers)
        entry.answers(200)
        entry.settle("ok")
        return web.json_response(completion.whole(), headers=_headers(entry, headers))

    def _compose(self, chat: ChatRequest) -> Reply:
        return compose(chat.messages, answer=self._settings.answer, tools=chat.tool_names, max_tokens=chat.token_limit)

    def _completion(self, entry: RequestInFlight, chat: ChatRequest, reply: Reply) -> CompletionResponse:
        return CompletionResponse(entry.record.number, int(self._wall_clock()), chat.model, reply, chat.wants_usage)

    async def _stream(
        self, request: web.Request, entry: RequestInFlight, completion: CompletionResponse, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        response = await _open_stream(request, entry, completion, headers)
        for _, chunk in completion.content():
            await self._sleep(self._settings.chunk_latency_s)
            await response.write(sse(chunk))
        entry.settle("ok")
        for chunk in completion.closing():
            await response.write(sse(chunk))
        await response.write(DONE)
        return response

    async def _fail(self, request: web.Request, entry: RequestInFlight, chat: ChatRequest, fault: Fault) -> web.StreamResponse:
        if fault.needs_stream:
            return await self._cut(request, entry, chat, fault)
        entry.settle("failed", fault.kind)
        if fault.kind in ("status", "quota"):
            return _error(entry, error_answers.scripted(fault))
        if fault.kind == "timeout":
            await self._hang(fault.seconds)
        return _hang_up(request)

    async def _cut(self, request: web.Request, entry: RequestInFlight, chat: ChatRequest, fault: Fault) -> web.StreamResponse:
        completion = self._completion(entry, chat, self._compose(chat))
        sent = list(islice(completion.content(), fault.chunks))
        entry.charged(completion.reply.prompt_tokens + count_tokens("".join(text for text, _ in sent)))
        entry.settle("failed", fault.kind)
        await self._sleep(self._settings.latency_s)
        response = await _open_stream(request, entry, completion, {})
        for _, chunk in sent:
            await self._sleep(self._settings.chunk_latency_s)
            await response.write(sse(chunk))
        return response if fault.kind == "silent_cut" else _hang_up(request, response)

    async def _hang(self, seconds: float | None) -> None:
        if seconds is None:
            await asyncio.get_running_loop().create_future()
        else:
            await self._sleep(seconds)


def _parse(body: bytes) -> ChatRequest:
    try:
        return ChatRequest.model_validate(from_json(body, allow_inf_nan=False))
    except ValidationError as error:
        param = next((str(detail["loc"][0]) for detail in error.errors(include_input=False) if detail["loc"]), None)
        raise Refusal(ErrorAnswer(400, f"The request is not valid: {explain(error)}.", param=param)) from None
    except ValueError as error:
        raise Refusal(ErrorAnswer(400, f"The request body is not valid JSON: {error}.")) from None


def _headers(entry: RequestInFlight, headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict({"x-request-id": f"req_{entry.record.number}", **headers})


def _error(entry: RequestInFlight, answer: ErrorAnswer) -> web.Response:
    entry.answers(answer.status)
    headers = _headers(entry, {"Content-Type": "application/json"})
    headers.update(answer.headers)
    return web.Response(status=answer.status, body=answer.text().encode("utf-8", "replace"), headers=headers)


async def _open_stream(
    request: web.Request, entry: RequestInFlight, completion: CompletionResponse, headers: Mapping[str, str]
) -> web.StreamResponse:
    framing = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
    response = web.StreamResponse(headers=_headers(entry, framing | dict(headers)))
    entry.answers(200)
    await response.prepare(request)
    await response.write(sse(completion.opening()))
    return response


def _hang_up(request: web.Request, response: web.StreamResponse | None = None) -> web.StreamResponse:
    """Close the connection; what was written is still delivered, what aiohttp would add is not."""
    if request.transport is not None:
        request.transport.close()
    return response or web.StreamResponse()
