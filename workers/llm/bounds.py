"""Bounds on what a provider sends: how many bytes of an answer are taken in, and that they are decoded in pieces.

The bounds hold inside `bounded`, in the one place through which the routes of litellm go: the transports of litellm,
httpx and httpx2, which are wrapped once for the process. A request from elsewhere (a tool, somebody's own client) passes
through them untouched. docs/providers.md names the routes that go another way.

- An answer (a status below 300) that goes beyond its bound ends in `AnswerTooLong`. So does one document of it, which is a whole
  plain answer or one event of a stream: beyond an eighth of the bytes, or of more objects, lists or lines than a library takes
  apart while the worker's leases hold. What is read at once holds the event loop.
- The body of any other status is cut at `ERROR_BYTES`, without a secret at the cut. Status and headers are as they were, so
  that it is judged like a short one.
- Of compressed bodies the decoded bytes count. All are passed on in pieces, with a turn for the event loop after each.
- The connection of what is cut is closed, and the rest of it never read.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from tidings.bus.redaction import cut_margin, redact
from tidings.workers.errors import AnswerTooLong
from tidings.workers.llm.received import Received
from tidings.workers.llm.secrets import known_secrets

ANSWER_BYTES: Final = 64 * 1024 * 1024
"""Most bytes of an answer, unless said otherwise. A stream spends some 300 bytes of JSON on each token: this is enough for
200,000."""

ERROR_BYTES: Final = 64 * 1024
"""Most bytes of an error's body: codes and message stand at the beginning."""

_MOST_RECEIVED: Final = 16 * ERROR_BYTES
_PIECE: Final = 64 * 1024
_CODINGS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""What is asked for and understood, with zlib's window bits. Libraries for brotli and zstd do not all decode in pieces."""

_BLANK_LINES: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")
_ENDS: Final = (("text/event-stream", _BLANK_LINES), ("ndjson", (b"\n",)), ("jsonl", (b"\n",)), ("stream+json", (b"\n",)))
"""What ends a document, by a part of the content type."""

_BYTES_PER_PART: Final = 2048
"""A document may have one object or list for each so many bytes of the bound, 32,768 by default: litellm and the SDKs under it
spend 0.1 ms on one, so that the largest takes some three seconds."""

_COPIED: Final = 2**31
"""Most bytes that are copied for one document: OpenAI's SDK copies what it has of an event at each further line."""

Decode = Callable[[bytes], Iterator[bytes]]

_Asked = tuple[int, bool, Received]

_most: ContextVar[_Asked | None] = ContextVar("tidings_most_answer_bytes", default=None)


@contextlib.contextmanager
def bounded(most: int, *, streaming: bool = True, received: Received | None = None) -> Iterator[None]:
    """Bound each answer that is asked for inside, in this task and in threads that get its context.

    Args:
        most: bytes of one answer, decoded.
        streaming: whether a stream is asked for; anything else may have an eighth, also where it is answered with a stream.
        received: gets the end of what comes, as it comes.
    """
    token = _most.set((most, streaming, received or Received()))
    try:
        yield
    finally:
        _most.reset(token)


def bound_transports() -> None:
    """Wrap the transports, once a process; litellm has been imported."""
    aiohttp: Any = importlib.import_module("litellm.llms.custom_httpx.aiohttp_transport")
    _wrap(aiohttp.LiteLLMAiohttpTransport, "handle_async_request", _asynchronously)
    for name in ("httpx", "httpx2"):  # the second is what openai 3 has under it
        with contextlib.suppress(ImportError):
            library: Any = importlib.import_module(name)
            _wrap(library.AsyncHTTPTransport, "handle_async_request", _asynchronously)
            _wrap(library.HTTPTransport, "handle_request", _synchronously)


def _wrap(transport: type, name: str, wrapper: Callable[[Any], Any]) -> None:
    handle = getattr(transport, name)
    if not hasattr(handle, "__wrapped__"):
        setattr(transport, name, wrapper(handle))


def _asynchronously(handle: Any) -> Any:
    @functools.wraps(handle)
    async def handle_async_request(transport: Any, request: Any) -> Any:
        asked = _most.get()
        if asked is None:
            return await handle(transport, request)
        _ask_for_known_codings(request)
        return _bound(await handle(transport, request), request, asked, "AsyncByteStream", _AsyncBody)

    return handle_async_request


def _synchronously(handle: Any) -> Any:
    @functools.wraps(handle)
    def handle_request(transport: Any, request: Any) -> Any:
        asked = _most.get()
        if asked is None:
            return handle(transport, request)
        _ask_for_known_codings(request)
        return _bound(handle(transport, request), request, asked, "SyncByteStream", _Body)

    return handle_request


def _ask_for_known_codings(request: Any) -> None:
    if request.headers.get("accept-encoding") != "identity":
        request.headers["accept-encoding"] = "gzip, deflate"


def _bound(response: Any, request: Any, asked: _Asked, kind: str, body: type[_Body]) -> Any:
    """Put a bounded body in the place of a response's own, which is decoded here and no longer by the library."""
    library: Any = importlib.import_module(type(response).__module__.partition(".")[0])
    coding = response.headers.pop("content-encoding", "identity").strip().lower()
    decode = _decoder(coding, lambda text: library.DecodingError(text, request=request))
    most, streaming, received = asked
    document = _Document.of(response.headers.get("content-type", "").lower(), most)
    bound: _Answer | _Refusal = _Refusal(decode, request)
    if response.status_code < 300:
        received.begin(response.status_code, response.headers)
        bound = _Answer(decode, most if streaming else most // 8, document, received)
    # The libraries take only streams of a class of their own.
    response.stream = type(body.__name__, (body, getattr(library, kind)), {})(response.stream, bound)
    return response


class _Document:
    """Bounds what a library reads at once of an answer: all of it, or one event of a stream."""

    def __init__(self, ends: tuple[bytes, ...], most: int) -> None:
        self._ends, self._most, self._most_parts = ends, most // 8, most // _BYTES_PER_PART
        self._before = b""
        self._begin()

    @classmethod
    def of(cls, kind: str, most: int) -> _Document | None:
        """Return the bound for a content type; None for a binary one, whose frames say themselves how long they are."""
        ends = next((ends for part, ends in _ENDS if part in kind), ())
        textual = not kind or kind.startswith("text/") or "json" in kind
        return cls(ends, most) if textual else None

    def _begin(self) -> None:
        self._size = self._parts = self._copied = 0

    def feed(self, piece: bytes) -> None:
        """Take a piece in.

        Raises:
            AnswerTooLong: it belongs to a document that is too large.
        """
        text, known = self._before + piece, len(self._before)
        found = [place for end in self._ends if (place := text.find(end)) >= 0]
        if found:
            self._add(piece[: max(0, min(found) - known)])
            self._begin()
            piece = piece[max(0, max(text.rfind(end) for end in self._ends) - known) :]
        self._add(piece)
        self._before = text[-3:]

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        self._parts += piece.count(b"{") + piece.count(b"[")
        self._copied += self._size * (piece.count(b"\n") + piece.count(b"\r"))
        if self._size > self._most:
            raise AnswerTooLong.in_bytes(self._most)
        if self._parts > self._most_parts or self._copied > _COPIED:
            raise AnswerTooLong.in_parts(self._most_parts)


class _Answer:
    """Passes the body of an answer on, until it is too long, and keeps the end of it."""

    full = False

    def __init__(self, decode: Decode, most: int, document: _Document | None, received: Received) -> None:
        self._decode, self._most, self._document, self._kept = decode, most, document, received
        self._received = self._decoded = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what a chunk decodes to, in pieces.

        Raises:
            AnswerTooLong: there is more of it than there may be.
        """
        # Both count: a compressed body can go on without an end and decode to nothing.
        self._received += len(chunk)
        self._check(self._received)
        for piece in self._decode(chunk):
            self._decoded += len(piece)
            self._check(self._decoded)
            if self._document is not None:
                self._document.feed(piece)
            self._kept.add(piece)
            yield piece

    def rest(self) -> bytes:
        """Return what was held back, the body being at its end."""
        return b""

    def _check(self, size: int) -> None:
        if size > self._most:
            raise AnswerTooLong.in_bytes(self._most)


class _Refusal:
    """Holds the body of an error back, and gives the beginning of it at the end.

    What cannot be decoded is left out: the status tells enough.
    """

    def __init__(self, decode: Decode, request: Any) -> None:
        self._decode, self._request = decode, request
        self._received = 0
        self._kept = bytearray()

    @property
    def full(self) -> bool:
        """Whether nothing more is wanted."""
        return len(self._kept) > 2 * ERROR_BYTES or self._received > _MOST_RECEIVED

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take a chunk in, and yield nothing."""
        self._received += len(chunk)
        with contextlib.suppress(Exception):
            for piece in self._decode(chunk):
                self._kept += piece
                if self.full:
                    break
        return iter(())

    def rest(self) -> bytes:
        """Return the beginning of the body; no part of a secret that crosses its end is in it."""
        if len(self._kept) <= ERROR_BYTES:
            return bytes(self._kept)
        secrets = _secrets_of(self._request)
        # Only what crosses the end is ours to take out; the rest is, as of any text, where it is shown.
        begin = max(0, ERROR_BYTES - cut_margin(secrets))
        end = self._kept[begin:].decode("utf-8", errors="replace")
        return bytes(self._kept[:begin]) + redact(end, secrets, ERROR_BYTES - begin).encode()


def _secrets_of(request: Any) -> frozenset[str]:
    """Collect what a provider that repeats a request could give away: its headers, its query, and our environment."""
    asked = dict(parse_qsl(urlsplit(str(request.url)).query))
    return known_secrets({**asked, **dict(request.headers)})


class _Body:
    """A body within its bound; the library's own class of a stream is added where one is made."""

    def __init__(self, stream: Any, bound: _Answer | _Refusal) -> None:
        self._stream, self._bound = stream, bound

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            yield from self._bound.feed(chunk)
            if self._bound.full:
                break
        if rest := self._bound.rest():
            yield rest

    def close(self) -> None:
        """Close the connection, or give it back if everything was read."""
        self._stream.close()


class _AsyncBody(_Body):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        async with contextlib.aclosing(aiter(self._stream)) as chunks:
            async for chunk in chunks:
                for piece in self._bound.feed(chunk):
                    yield piece
                    # Who sends faster than a library reads would hold the event loop: what has arrived is read without a turn.
                    await asyncio.sleep(0)
                if self._bound.full:
                    break
        if rest := self._bound.rest():
            yield rest

    async def aclose(self) -> None:
        """Close the connection, or give it back if everything was read."""
        await self._stream.aclose()


def _decoder(coding: str, error: Callable[[str], Exception]) -> Decode:
    """Return what decodes a body chunk by chunk; what it raises is made by `error`."""
    return _pieces if coding in ("identity", "") else _Inflater(coding, error)


def _pieces(chunk: bytes) -> Iterator[bytes]:
    return (chunk[begin : begin + _PIECE] for begin in range(0, len(chunk), _PIECE))


class _Inflater:
    """Inflates a body in pieces of at most 64 KiB, whatever the chunks hold."""

    def __init__(self, coding: str, error: Callable[[str], Exception]) -> None:
        self._coding, self._error = coding, error
        self._begun = False
        self._inflate: Any = zlib.decompressobj(_CODINGS[coding]) if coding in _CODINGS else None

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        if self._inflate is None:
            raise self._error(f"the answer is encoded as {self._coding[:40]!r}, which was not asked for")
        while not self._inflate.eof:  # what follows an end is no part of it
            piece = self._piece(chunk)
            self._begun = True
            chunk = self._inflate.unconsumed_tail
            if piece:
                yield piece
            if not chunk and len(piece) < _PIECE:
                return

    def _piece(self, chunk: bytes) -> bytes:
        try:
            piece: bytes = self._inflate.decompress(chunk, _PIECE)
        except zlib.error as error:
            if self._coding != "deflate" or self._begun:
                raise self._error(str(error)) from error
            # Many servers mean by "deflate" the bare form, without zlib's header (RFC 9110, section 8.4.1.2).
            self._coding, self._inflate = "bare deflate", zlib.decompressobj(-15)
            return self._piece(chunk)
        return piece
