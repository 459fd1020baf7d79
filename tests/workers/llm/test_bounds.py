"""What a provider sends is bounded on each of litellm's routes, whatever it sends, and no part of a secret is left at a cut."""

from __future__ import annotations

import asyncio
import importlib
import json
import traceback
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.waiting import eventually
from tests.workers.llm.dialects import DIALECTS, TEXT, Dialect
from tests.workers.llm.scene import KEY, LITELLM_WARNS, PROMPT, collect
from tests.workers.llm.wire import Reply, Wire, answering, sending
from tests.workers.retry.answers.routes import ROUTES, Route, give_vertex_a_token
from tidings.bus import redaction
from tidings.bus.messages import Reason
from tidings.workers.errors import AnswerTooLong
from tidings.workers.llm import Llm, LlmCallFailed, LlmError, close_litellm, llm, load_litellm
from tidings.workers.llm.bounds import ANSWER_BYTES, ERROR_BYTES, _Answer, _AsyncBody, _decoder, _Document, bounded
from tidings.workers.llm.received import Received
from tidings.workers.retry import RetryPlan

pytestmark = LITELLM_WARNS

MOST = 200_000
"""Bytes that an answer may have here."""

EACH_ROUTE = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    """Leave nothing open."""
    load_litellm()
    yield
    await close_litellm()


class Counting:
    """Stands in for a pattern of the redaction, and counts the characters that it is given."""

    def __init__(self, pattern: Any) -> None:
        self._pattern = pattern
        self.touched = 0

    def sub(self, replacement: Any, text: str) -> str:
        self.touched += len(text)
        return str(self._pattern.sub(replacement, text))


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """Count what the most expensive pattern is given."""
    counting = Counting(redaction._NAMED)
    monkeypatch.setattr(redaction, "_NAMED", counting)
    return counting


def llm_on(dialect: Dialect, wire: Wire, **settings: Any) -> Llm:
    """Make an Llm of this route that would ask twice."""
    plan = RetryPlan(attempts=2, base_s=0.0, cap_s=0.0, max_inline_wait_s=0.0)
    given = {"max_answer_bytes": MOST, "timeout_s": 30.0, "api_key": KEY, **dialect.settings, **settings}
    return Llm(dialect.model, api_base=wire.url, plan=plan, **given)


async def failing(call: Any) -> LlmError:
    """Return the error that a call ends with."""
    with pytest.raises(LlmError) as caught:
        await call
    return caught.value


def refusal(dialect: Dialect, size: int) -> bytes:
    """Make a refusal of a provider that has much to say."""
    body = dialect.refusal(429)
    body["error"]["message"] = "Slow down. " + "my password=abc def, " * (size // 21)
    return json.dumps(body).encode()


def bomb(wbits: int, size: int = 64 * MOST) -> bytes:
    """Compress spaces, which JSON may begin with, a thousand to one."""
    press = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return press.compress(b" " * size) + press.flush()


def read_in_pieces(kind: str, sent: bytes, size: int, most: int = MOST) -> None:
    """Let an answer of a content type arrive in pieces of `size` bytes."""
    document = _Document.of(kind, most)
    assert document is not None
    for begin in range(0, len(sent), size):
        document.feed(sent[begin : begin + size])


@EACH_ROUTE
async def test_a_large_error_is_read_as_a_short_one_and_hardly_looked_at(dialect: Dialect, counting: Counting) -> None:
    """Status, reason and Retry-After are those of the answer; how much is redacted does not depend on its size."""
    touched = []
    for size in (1_000_000, 10_000_000):
        async with answering(sending(429, refusal(dialect, size), "Retry-After: 7")) as wire:
            for ask in (lambda llm: llm.complete(PROMPT), lambda llm: collect(llm, PROMPT)):
                counting.touched = 0
                failure = (await failing(ask(llm_on(dialect, wire)))).failure
                touched.append(counting.touched)
                assert (failure.reason, failure.status, failure.retry_after_s) == (Reason.RATE_LIMIT, 429, 7.0)
                assert failure.message.startswith("Slow down. my password=[redacted] def")
    assert max(touched) < ERROR_BYTES
    assert touched[:2] == touched[2:]


@EACH_ROUTE
async def test_an_answer_beyond_the_bound_is_asked_for_once(dialect: Dialect) -> None:
    """The error says how large it may be and which setting to raise; the same answer is not paid for again."""
    body = json.dumps(dialect.answer("word " * MOST)).encode()
    async with answering(sending(200, body)) as wire:
        failure = (await failing(llm_on(dialect, wire).complete(PROMPT))).failure
        assert (len(wire.paths), failure.reason, failure.retryable) == (1, Reason.SERVER_ERROR, False)
        assert failure.message == f"the answer is larger than {MOST // 8} bytes"
        assert "TIDINGS_MAX_ANSWER_BYTES" in failure.action
        answer = await llm_on(dialect, wire, max_answer_bytes=16 * len(body)).complete(PROMPT)
        assert len(answer.text) == 5 * MOST


@EACH_ROUTE
async def test_an_endless_stream_ends(dialect: Dialect) -> None:
    """By its bytes, whether it is of pieces or one event without an end; its connection is closed."""
    pieces = "".join(dialect.piece(f"word {number} ") for number in range(100)).encode()
    for endless in (pieces, b"data: " + b"x" * 9000, b"data: x\n" * 1000):
        reply = sending(200, dialect.opening.encode(), kind="text/event-stream", endless=endless)
        async with answering(reply) as wire:
            failure = (await failing(collect(llm_on(dialect, wire), PROMPT))).failure
            assert (len(wire.paths), failure.retryable) == (1, False)
            assert failure.message.startswith("the answer is larger than")
            await eventually(wire.left.is_set)


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
async def test_an_endless_body_ends(route: Route, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its bytes, whatever its status, on every route that we know; its connection is closed."""
    give_vertex_a_token(monkeypatch)
    for status in (200, 500):
        async with answering(sending(status, endless=b" " * 50_000)) as wire:
            plan, address = RetryPlan(attempts=1), wire.url + route.suffix
            llm = Llm(route.model, api_base=address, plan=plan, max_answer_bytes=MOST, **route.arguments)
            failure = (await failing(llm.complete(PROMPT))).failure
            assert failure.status == (None if status == 200 else status)
            await eventually(wire.left.is_set)


@EACH_ROUTE
async def test_a_compressed_bomb_ends(dialect: Dialect) -> None:
    """Its decoded bytes count; of an error the status does, whatever the body becomes."""
    for status, reason in ((200, "the answer is larger than"), (503, "HTTP 503 without a message")):
        async with answering(sending(status, bomb(31), "Content-Encoding: gzip")) as wire:
            failure = (await failing(llm_on(dialect, wire).complete(PROMPT))).failure
            assert (failure.message.startswith(reason), failure.status) == (True, None if status == 200 else 503)


async def test_what_decodes_to_nothing_ends_too() -> None:
    """The bytes that arrive count as well: a stream of empty blocks has no end and no content."""
    press = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = press.compress(b"") + press.flush(zlib.Z_SYNC_FLUSH)
    empty = b"\x00\x00\x00\xff\xff" * 2000
    dialect = DIALECTS["openrouter"]
    for status in (200, 500):
        async with answering(sending(status, head, "Content-Encoding: gzip", endless=empty)) as wire:
            await failing(llm_on(dialect, wire).complete(PROMPT))
            await eventually(wire.left.is_set)


LARGE = {
    "a plain text": ("text/html", b"<p>busy</p>" * 3_000),
    "objects": ("application/json", b'{"choices": [' + b"{}," * 200 + b"{}]}"),
    "an event of objects": ("text/event-stream", b'data: {"choices": [' + b"{}," * 200 + b"{}]}\n\n"),
    "objects in small chunks": ("text/event-stream", b"data: " + b"[" * 200),
    "a line of JSON": ("application/x-ndjson", b"[" * 200),
}


@pytest.mark.parametrize(("kind", "sent"), LARGE.values(), ids=LARGE)
def test_what_is_read_at_once_is_bounded(kind: str, sent: bytes) -> None:
    """An eighth of the bytes, and as many objects as a library takes apart while leases hold, however it is cut."""
    for size in (1, 7, len(sent)):
        with pytest.raises(AnswerTooLong):
            read_in_pieces(kind, sent, size)


def test_an_event_of_many_lines_ends_before_they_are_copied_again_and_again() -> None:
    """OpenAI's SDK copies what it has of an event at each line: 8 MiB of short lines would hold the event loop for an hour."""
    with pytest.raises(AnswerTooLong):
        read_in_pieces("text/event-stream", b"a\n" * 50_000, 1_000, ANSWER_BYTES)


@EACH_ROUTE
async def test_a_stream_in_place_of_a_plain_answer_is_bounded_like_one(dialect: Dialect) -> None:
    """It is no answer, and becomes the text of an error, which litellm searches many times over."""
    pieces = "".join(dialect.piece(f"word {number} ") for number in range(100)).encode()
    async with answering(sending(200, dialect.opening.encode(), kind="text/event-stream", endless=pieces)) as wire:
        failure = (await failing(llm_on(dialect, wire).complete(PROMPT))).failure
        assert failure.message == f"the answer is larger than {MOST // 8} bytes"


async def test_a_provider_that_sends_faster_than_it_is_read_leaves_the_loop_its_turns() -> None:
    """What has arrived is passed on in pieces, and others have a turn between two of them."""
    turns = pieces = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def arrived() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"data: x\n\n" * 100_000

    other = asyncio.create_task(turn())
    bound = _Answer(_decoder("identity", RuntimeError), ANSWER_BYTES, None, Received())
    async for piece in _AsyncBody(arrived(), bound):
        assert len(piece) <= ERROR_BYTES
        pieces += 1
    other.cancel()
    assert turns >= pieces > 50


@pytest.mark.parametrize("ends", ["\n\n", "\r\n\r\n", "\r\r"])
def test_a_stream_of_many_small_events_is_no_large_document(ends: str) -> None:
    """Each event counts for itself, however the stream is cut; so does each line of JSON."""
    event = f'data: {{"choices": [{{"delta": {{"content": "[{{a"}}}}]}}{ends}'.encode()
    for kind, sent in (("text/event-stream", event * 500), ("application/x-ndjson", b'{"a": [{}]}\n' * 500)):
        for size in (1, 7, 1000):
            read_in_pieces(kind, sent, size)


async def test_endless_headers_end() -> None:
    """The library under litellm bounds them."""
    async with answering(Reply(b"HTTP/1.1 200 OK\r\n", endless=b"X-Test: " + b"a" * 900 + b"\r\n")) as wire:
        await failing(llm_on(DIALECTS["openai"], wire).complete(PROMPT))
        await eventually(wire.left.is_set)


@pytest.mark.parametrize("coding", [("gzip", 31), ("x-gzip", 31), ("deflate", 15), ("deflate", -15), ("Identity", 0)])
@pytest.mark.parametrize("route", ["openai", "anthropic"])
async def test_a_compressed_answer_is_read(route: str, coding: tuple[str, int]) -> None:
    """In the codings that are asked for, and in no other."""
    dialect = DIALECTS[route]
    body, (name, wbits) = json.dumps(dialect.answer(TEXT)).encode(), coding
    if wbits:
        press = zlib.compressobj(wbits=wbits)
        body = press.compress(body) + press.flush()
    async with answering(sending(200, body, f"Content-Encoding: {name}")) as wire:
        assert (await llm_on(dialect, wire).complete(PROMPT)).text == TEXT
        assert "accept-encoding: gzip, deflate\r\n" in wire.heads[0].lower()


@EACH_ROUTE
async def test_a_coding_that_was_not_asked_for_is_not_read(dialect: Dialect) -> None:
    """It may be a bomb. Of an error the status counts nevertheless."""
    for status, reason in ((200, Reason.SERVER_ERROR), (401, Reason.AUTH)):
        async with answering(sending(status, b"\x8b" * 100, "Content-Encoding: br")) as wire:
            assert (await failing(llm_on(dialect, wire).complete(PROMPT))).failure.reason is reason


async def test_a_broken_compression_is_an_answer_that_cannot_be_read() -> None:
    """The provider may do better the next time."""
    async with answering(sending(200, b"no gzip", "Content-Encoding: gzip")) as wire:
        failure = (await failing(llm_on(DIALECTS["openai"], wire).complete(PROMPT))).failure
    assert (failure.reason, failure.retryable, len(wire.paths)) == (Reason.SERVER_ERROR, True, 2)


async def test_a_trickle_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of which a little comes again and again is not waited for without an end."""
    monkeypatch.setattr(llm, "STREAM_TIMEOUTS", 0.01)
    dialect = DIALECTS["openai"]
    pieces = "".join(dialect.piece(f"word {number} ") for number in range(3)).encode()
    reply = sending(200, kind="text/event-stream")
    async with answering(Reply(reply.sent, endless=pieces, pause_s=0.01)) as wire:
        failure = (await failing(collect(llm_on(dialect, wire, max_answer_bytes=10**9), PROMPT))).failure
        assert (failure.reason, failure.retryable) == (Reason.TIMEOUT, False)
        assert failure.message == "the answer is still coming after 0.3 s"
        await eventually(wire.left.is_set)


ODD = "Tr0ub4dor&3-correct/horse"
"""A key that has not the shape of one: it is known because the request carries it."""

CUTS = [(name, KEY, inside) for name in DIALECTS for inside in (12,)]
CUTS += [("openai", secret, inside) for secret in (ODD, "0123456789abcdefghij" * 200) for inside in (1, 5, 12, len(secret) - 1)]


@pytest.mark.parametrize(("route", "secret", "inside"), CUTS)
async def test_no_part_of_a_secret_is_left_at_the_cut(route: str, secret: str, inside: int) -> None:
    """However much of it stands before the end of what is read of an error's body."""
    before = b"x" * (ERROR_BYTES - inside - 1) + b" "
    async with answering(sending(400, before + secret.encode() + b" " + b"y" * 200_000)) as wire:
        error = await failing(llm_on(DIALECTS[route], wire, api_key=secret).complete(PROMPT))
    bodies = [response.text for link in _chain(error) if (response := getattr(link, "response", None)) and response.text]
    ends = [body.lstrip("x").strip() for body in bodies]
    assert bodies
    assert all("[redacted]".startswith(end) for end in ends)
    assert secret[:8] not in "".join(traceback.format_exception(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
async def test_other_requests_are_left_alone(library: str) -> None:
    """A client of the caller's own, in the same process: neither bounded nor asked for another coding; in a call, it is."""
    http = pytest.importorskip(library)
    async with answering(sending(200, b" " * (2 * MOST)), sending(500, b" " * (2 * MOST))) as wire:
        async with http.AsyncClient() as client:
            assert len((await client.get(wire.url)).content) == 2 * MOST
            with bounded(MOST):
                assert len((await client.get(wire.url)).content) <= ERROR_BYTES
        assert "accept-encoding: gzip, deflate\r\n" in wire.heads[1].lower()


async def test_a_route_that_runs_in_a_thread_is_bounded_too() -> None:
    """Those that litellm has no asynchronous code for; the thread gets the context of the call."""
    httpx: Any = importlib.import_module("httpx")

    def ask(url: str) -> int:
        with httpx.Client() as client:
            return len(client.get(url).content)

    replies = sending(200, bomb(31), "Content-Encoding: gzip"), sending(500, b" " * MOST)
    async with answering(*replies) as wire:
        with bounded(MOST):
            with pytest.raises(Exception, match="larger than"):
                await asyncio.to_thread(ask, wire.url)
            assert await asyncio.to_thread(ask, wire.url) <= ERROR_BYTES
        assert await asyncio.to_thread(ask, wire.url) == MOST


async def test_the_bound_is_a_setting_of_each_llm() -> None:
    """One that bounds nothing is refused."""
    with pytest.raises(ValueError, match="max_answer_bytes"):
        Llm("openai/x", max_answer_bytes=0)
    with pytest.raises(LlmCallFailed, match="larger than 10 bytes"):
        async with answering(sending(200, b" " * 11)) as wire:
            await llm_on(DIALECTS["openai"], wire, max_answer_bytes=80).complete(PROMPT)
