"""Bounds on what a provider sends: how many bytes of an answer are taken in, and that they are decoded in pieces.

The bounds hold inside `bounded`, in the one place through which the routes of litellm go: the transports of litellm,
httpx and httpx2, which are wrapped once for the process. A request from elsewhere (a tool, somebody's own client) passes
through them untouched. docs/providers.md names the routes that go another way.

- An answer (a status below 300, plain or streaming) that goes beyond its bound ends in `AnswerTooLong`; so does a single event
  of a stream beyond an eighth of it.
- The body of any other status is cut at `ERROR_BYTES`, without a secret at the cut. Status and headers are as they were, so
  that it is judged like a short one.
- Of compressed bodies the decoded bytes count. They are inflated in pieces, with a turn for the event loop after each.
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

from workers.errors import AnswerTooLong
from workers.llm.secrets import known_secrets
from workers.redaction import cut_margin, redact

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

Decode = Callable[[bytes], Iterator[bytes]]

_most: ContextVar[int | None] = ContextVar("tidings_most_answer_bytes", default=None)


@contextlib.contextmanager
def bounded(most: int) -> Iterator[None]:
    """Bound each answer that is asked for inside, in this task and in threads that get its context.

    Args:
        most: bytes of one answer, decoded.
    """
    token = _most.set(most)
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
        most = _most.get()
        if most is None:
            return await handle(transport, request)
        _ask_for_known_codings(request)
        return _bound(await handle(transport, request), request, most, "AsyncByteStream", _AsyncBody)

    return handle_async_request


def _synchronously(handle: Any) -> Any:
    @functools.wraps(handle)
    def handle_request(transport: Any, request: Any) -> Any:
        most = _most.get()
        if most is None:
            return handle(transport, request)
        _ask_for_known_codings(request)
        return _bound(handle(transport, request), request, most, "SyncByteStream", _Body)

    return handle_request


def _ask_for_known_codings(request: Any) -> None:
    if request.headers.get("accept-encoding") != "identity":
        request.headers["accept-encoding"] = "gzip, deflate"


def _bound(response: Any, request: Any, most: int, kind: str, body: type[_Body]) -> Any:
    """Put a bounded body in the place of a response's own, which is decoded here and no longer by the library."""
    library: Any = importlib.import_module(type(response).__module__.partition(".")[0])
    coding = response.headers.pop("content-encoding", "identity").strip().lower()
    decode = _decoder(coding, lambda text: library.DecodingError(text, request=request))
    of_events = response.headers.get("content-type", "").startswith("text/event-stream")
    bound = _Answer(decode, most, of_events=of_events) if response.status_code < 300 else _Refusal(decode, request)
    # The libraries take only streams of a class of their own.
    response.stream = type(body.__name__, (body, getattr(library, kind)), {})(response.stream, bound)
    return response


class _Answer:
    """Passes the body of an answer on, until it is too long."""

    full = False

    def __init__(self, decode: Decode, most: int, *, of_events: bool) -> None:
        self._decode, self._most, self._of_events = decode, most, of_events
        self._received = self._decoded = self._event = 0
        self._end = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what a chunk decodes to, in pieces.

        Raises:
            AnswerTooLong: there is more of it than there may be.
        """
        # Both count: a compressed body can go on without an end and decode to nothing.
        self._received += len(chunk)
        self._check(self._received, self._most)
        for piece in self._decode(chunk):
            self._decoded += len(piece)
            self._check(self._decoded, self._most)
            if self._of_events:
                self._measure_event(piece)
            yield piece

    def _measure_event(self, piece: bytes) -> None:
        """Bound a single event of a stream: OpenAI's SDK puts it together in a time that grows with its square."""
        text = self._end + piece
        begins = max(text.rfind(blank) for blank in _BLANK_LINES)
        self._event = len(text) - begins if begins >= 0 else self._event + len(piece)
        self._end = text[-3:]
        self._check(self._event, self._most // 8)

    def rest(self) -> bytes:
        """Return what was held back, the body being at its end."""
        return b""

    def _check(self, size: int, most: int) -> None:
        if size > most:
            raise AnswerTooLong.in_bytes(most)


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
                for number, piece in enumerate(self._bound.feed(chunk)):
                    if number:
                        await asyncio.sleep(0)
                    yield piece
                if self._bound.full:
                    break
        if rest := self._bound.rest():
            yield rest

    async def aclose(self) -> None:
        """Close the connection, or give it back if everything was read."""
        await self._stream.aclose()


def _decoder(coding: str, error: Callable[[str], Exception]) -> Decode:
    """Return what decodes a body chunk by chunk; what it raises is made by `error`."""
    return (lambda chunk: iter((chunk,))) if coding in ("identity", "") else _Inflater(coding, error)


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
