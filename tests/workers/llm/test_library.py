"""litellm made fit: lazy, quiet, one request an attempt, closed at the end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientSession, web

from tests.waiting import PATIENCE_S, eventually
from tests.workers.llm.scene import ANSWER, KEY, LITELLM_WARNS, PROMPT, Scene, collect, serving
from tests.workers.llm.wire import Reply, answering, whole
from tests.workers.retry.answers.routes import ROUTES, give_vertex_a_token
from tidings.bus.messages import Reason
from tidings.workers.llm import Completion, Delta, Llm, LlmCallParked, close_litellm, library, load_litellm
from tidings.workers.retry import RetryPlan

pytestmark = LITELLM_WARNS

ONCE = RetryPlan(attempts=1)


def python(code: str, **environment: str) -> str:
    """Run a fresh interpreter on some code and return what it printed."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    return run.stdout.strip()


@contextlib.contextmanager
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let litellm be prepared anew."""
    monkeypatch.setattr(library, "_litellm", None)
    yield
    load_litellm()


def test_importing_us_does_not_import_litellm() -> None:
    """It costs 2 s: only who calls a model pays."""
    assert python("import sys, workers.llm; print('litellm' in sys.modules)") == "False"


@pytest.mark.full
def test_loading_sets_the_switches_before_the_import() -> None:
    """No price list is fetched unless one is wanted, nothing is repeated, and nothing is printed."""
    code = (
        "import tidings.workers.llm, os, sys; workers.llm.load_litellm(); import litellm;"
        "print(os.environ['LITELLM_LOCAL_MODEL_COST_MAP'], litellm.DEFAULT_MAX_RETRIES, litellm.suppress_debug_info)"
    )
    unset = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "DEFAULT_MAX_RETRIES": "7"}
    assert python(code, **unset) == "True 0 True"


def test_loading_quiets_its_loggers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it logs goes through ours and their redaction, from WARNING on, and not a line per request."""
    logger, chatty = logging.getLogger("LiteLLM"), logging.getLogger("httpx")
    monkeypatch.setattr(chatty, "level", logging.NOTSET)
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.DEBUG)
    with forgotten(monkeypatch):
        pass
    assert logger.handlers == []
    assert (logger.level, chatty.level) == (logging.WARNING, logging.WARNING)


@pytest.mark.full
def test_only_our_redaction_is_at_work() -> None:
    """It stands before litellm's loggers, whoever imported that first; its own, which held the loop for seconds, is off here."""
    code = (
        "import litellm, logging, os, sys, workers.llm; sys.stderr = sys.stdout; workers.llm.load_litellm();"
        "from litellm._logging import redact_string; from litellm.litellm_core_utils import exception_mapping_utils as mapping;"
        "logging.basicConfig(format='%(message)s');"
        f"[logging.getLogger(name).warning('no: %s', '{KEY}') for name in ('LiteLLM', 'LiteLLM Router')];"
        f"print(redact_string('{KEY}'), mapping._ENABLE_SECRET_REDACTION, os.environ.get('LITELLM_DISABLE_REDACT_SECRETS'))"
    )
    assert python(code).splitlines() == ["no: [redacted]", "no: [redacted]", f"{KEY} False None"]


def test_who_wants_to_debug_litellm_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """LITELLM_LOG keeps the level that it asks for, and a level that was set for httpx stays."""
    logger, chatty = logging.getLogger("LiteLLM"), logging.getLogger("httpx")
    monkeypatch.setenv("LITELLM_LOG", "DEBUG")
    monkeypatch.setattr(logger, "level", logging.DEBUG)
    monkeypatch.setattr(chatty, "level", logging.INFO)
    with forgotten(monkeypatch):
        pass
    assert (logger.level, chatty.level) == (logging.DEBUG, logging.INFO)


def test_loading_drops_callbacks_and_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """They would get each call's key; the list stays the same object for who registers later."""
    callbacks = library.loaded().success_callback
    callbacks.append("somebody")
    with caplog.at_level(logging.WARNING, "tidings.llm"), forgotten(monkeypatch):
        pass
    assert callbacks == []
    assert [record.message for record in caplog.records] == ["llm.callbacks_dropped"]


def test_nothing_is_fetched_to_count_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless somebody has decided otherwise."""
    monkeypatch.setattr(library.loaded(), "disable_hf_tokenizer_download", None)
    with forgotten(monkeypatch):
        pass
    assert library.loaded().disable_hf_tokenizer_download is True
    monkeypatch.setattr(library.loaded(), "disable_hf_tokenizer_download", False)
    with forgotten(monkeypatch):
        pass
    assert library.loaded().disable_hf_tokenizer_download is False


def test_a_model_that_nobody_knows_accepts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call itself will say what is wrong with it, even if litellm raises when asked."""
    assert library.accepts("openai/x", "stream_options")
    assert not library.accepts("nobody", "stream_options")
    assert not library.accepts("", "stream_options")
    monkeypatch.setattr(library.loaded(), "get_supported_openai_params", lambda _: 1 / 0)
    assert not library.accepts("openai/x", "stream_options")


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize("trouble", [whole({"error": {"message": "no"}}, 500), Reply(reset=True)], ids=["500", "reset"])
async def test_one_attempt_is_one_request_on_every_route(name: str, trouble: Reply, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the connection is reset, which litellm before 1.109 answers with a second request."""
    library.loaded()
    give_vertex_a_token(monkeypatch)
    route = ROUTES[name]
    async with answering(trouble) as wire:
        llm = Llm(route.model, api_base=wire.url + route.suffix, plan=ONCE, timeout_s=10, **route.arguments)
        for requests, call in ((1, llm.complete(PROMPT)), (2, collect(llm, PROMPT))):
            with pytest.raises(LlmCallParked) as caught:
                await call
            assert len(wire.paths) == requests
            assert caught.value.failure.reason is (Reason.CONNECTION if trouble.reset else Reason.SERVER_ERROR)
    await close_litellm()


async def test_azure_makes_one_request_an_attempt() -> None:
    """Its client is cached with its retries switched off: N attempts are N requests, then the answer is read."""
    bodies: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        assert request.headers["api-key"] == KEY
        assert request.path == "/openai/deployments/x/chat/completions"
        if len(bodies) < 3:
            return web.json_response({"error": {"message": "busy", "code": "429"}}, status=429)
        reply = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
        return web.json_response({"id": "1", "object": "chat.completion", "created": 1, "model": "x", "choices": [reply]})

    async with serving(answer) as url:
        told: list[Any] = []
        llm = Llm(
            "azure/x",
            api_base=url,
            api_key=KEY,
            api_version="2024-10-21",
            on_notice=told.append,
            rng=lambda: 0.0,
            temperature=0.5,
        )
        completion = await llm.complete(PROMPT, max_tokens=7)
        await close_litellm()
    assert (completion.text, completion.attempts, len(bodies), len(told)) == ("hi", 3, 3, 5)
    assert all((body["temperature"], body["max_tokens"]) == (0.5, 7) for body in bodies)


async def test_leaving_an_anthropic_stream_closes_its_connection(anthropic: Anthropic) -> None:
    """At once, and not when the garbage collector comes by."""
    llm = Llm("anthropic/claude-x", api_base=anthropic.url, api_key=KEY)
    gc.disable()
    try:
        async with contextlib.aclosing(llm.stream(PROMPT)) as stream:
            assert await anext(stream) == Delta("Hello")
        await eventually(anthropic.left.is_set)
    finally:
        gc.enable()
    assert llm.usage.wasted_tokens == 12


async def test_an_anthropic_stream_that_ends_too_early_is_broken(anthropic: Anthropic) -> None:
    """It ended cleanly, and never said that it had finished."""
    anthropic.hold = False
    llm = Llm("anthropic/claude-x", api_base=anthropic.url, api_key=KEY, plan=ONCE)
    with pytest.raises(LlmCallParked) as caught:
        await collect(llm, PROMPT)
    assert caught.value.failure.retryable
    assert llm.usage.wasted_tokens == 12


async def test_closing_leaves_nothing_open(scene: Scene) -> None:
    """No session on this loop stays open, no task of litellm's runs on; the next call makes itself new ones."""
    llm = scene.llm()
    await llm.complete(PROMPT)
    assert _sessions()
    await close_litellm()
    assert _sessions() == []
    assert [task for task in asyncio.all_tasks() if "LoggingWorker" in str(task.get_coro())] == []
    await close_litellm()
    assert (await llm.complete(PROMPT)).text == ANSWER


async def test_closing_spares_clients_of_the_whole_process(anthropic: Anthropic) -> None:
    """They lose their session of this loop, and work again afterwards."""
    anthropic.hold = False
    for _ in range(2):
        llm = Llm("gemini/gemini-x", api_base=anthropic.url, api_key=KEY, plan=ONCE)
        items = await collect(llm, PROMPT)
        assert isinstance(items[-1], Completion)
        assert items[-1].text == "Hi"
        await close_litellm()
        assert _sessions() == []


async def test_closing_before_the_first_call_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process that never called a model there is nothing to close."""
    monkeypatch.setattr(library, "_litellm", None)
    await close_litellm()
    assert library._litellm is None


async def test_what_cannot_be_closed_does_no_harm() -> None:
    """A stream that raises, or has nothing to close, is left."""

    class Stuck:
        async def aclose(self) -> None:
            raise OSError

    await library.close_stream(SimpleNamespace(completion_stream=SimpleNamespace(streaming_response=Stuck())))
    await library.close_stream(Stuck())
    await library.close_stream(None)


class Anthropic:
    """A server that speaks Anthropic's stream, and a word of Gemini's."""

    def __init__(self) -> None:
        self.url = ""
        self.hold = True
        self.left = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in GEMINI if "gemini" in request.path else CLAUDE:
            await response.write(f"data: {json.dumps(event)}\n\n".encode())
        try:
            if self.hold:
                await asyncio.get_running_loop().create_future()
        finally:
            self.left.set()
        return response


CLAUDE: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": "claude-x",
            "usage": {"input_tokens": 11, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
]
GEMINI: list[dict[str, Any]] = [
    {
        "candidates": [{"content": {"parts": [{"text": "Hi"}], "role": "model"}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7},
    }
]


@pytest.fixture
async def anthropic() -> AsyncIterator[Anthropic]:
    """Run it."""
    server = Anthropic()
    async with serving(server.answer) as server.url:
        yield server
        await close_litellm()


def _sessions() -> list[ClientSession]:
    """Return the sessions of aiohttp that are open on this loop."""
    loop = asyncio.get_running_loop()
    sessions = [thing for thing in gc.get_objects() if isinstance(thing, ClientSession)]
    return [session for session in sessions if not session.closed and getattr(session, "_loop", None) is loop]
