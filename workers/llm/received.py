"""What a provider sends within one attempt, as it came.

litellm drops and renames parts of an answer: an error in an unusual place, the provider's own word for why it ended. So the end
of what was received is kept beside it (`tidings.workers.llm.bounds` adds it), and read once, when litellm is done.
"""

from __future__ import annotations

import base64
import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from tidings.workers.retry.answer import lower_headers

KEPT: Final = 128 * 1024
"""Bytes that are kept of an answer, the last ones: all of a plain answer of 30,000 tokens, the last 400 events of a stream."""

_MOST: Final = 1000
"""Documents that are looked at, and tries to find one in binary frames: what is read at once holds the event loop."""

_FRAMED: Final = 32 * 1024
"""Bytes of binary frames that are looked through; a frame has some hundred."""

_IN_VAIN: Final = 4 * _FRAMED
"""Characters that may be parsed in vain: of JSON that is nested and never closed, each level is a try that goes to the end."""

_FIELD: Final = re.compile(rb"(?:^|[\r\n])(?:data|event):")
_DONE: Final = b"[DONE]"
_OBJECT: Final = re.compile(r"\{\s*\"")
_FRAMES: Final = "vnd.amazon.eventstream"


class Document(NamedTuple):
    """A piece of JSON or text that a provider sent: a plain answer, or one event of a stream."""

    body: object
    """The parsed JSON; text that is none."""
    event: str = ""
    """The name of the event; empty without one."""
    framed: bool = False
    """Whether a binary frame was around it, whose headers say what it is."""


class Received:
    """Keeps the status, the headers and the last bytes of the answer to an attempt.

    Attributes:
        status: of the answer, below 300; None while there is none, and where litellm has a transport that is not ours.
        headers: names in lower case.
    """

    def __init__(self) -> None:
        self.begin(None, None)

    def begin(self, status: int | None, headers: object) -> None:
        """Begin an answer; where a route sends several requests (for a token, say), the last one counts."""
        self.status = status
        self.headers: Mapping[str, str] = lower_headers(headers)
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._whole = True

    def add(self, piece: bytes) -> None:
        """Take a decoded piece in."""
        self._pieces.append(piece)
        self._size += len(piece)
        while self._size > KEPT:
            self._size -= len(self._pieces.popleft())
            self._whole = False

    def documents(self) -> Iterator[Document]:
        """Yield what was sent, as far as it is kept whole, the newest first; each is parsed when it is asked for."""
        data = b"".join(self._pieces)
        if _FRAMES in self.headers.get("content-type", ""):
            yield from _framed(data)
        elif _has_events(data):
            yield from _events(data, self._whole)
        elif self._whole:
            yield from _plain(data)
        else:
            yield from _lines(data.partition(b"\n")[2])


def _has_events(data: bytes) -> bool:
    # The pattern alone takes 20 ms for 128 KiB of JSON.
    return (b"data:" in data or b"event:" in data) and _FIELD.search(data) is not None


def _events(data: bytes, whole: bool) -> Iterator[Document]:
    """Read server-sent events, also where their fields stand in an odd order, or the name in an event of its own."""
    blocks = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n")
    for index in range(len(blocks) - 1, max(-1 if whole else 0, len(blocks) - _MOST), -1):
        name, text = _fields(blocks[index])
        if not text or text == _DONE:
            continue
        if not name and index:
            before, nothing = _fields(blocks[index - 1])
            name = b"" if nothing else before
        yield Document(_parsed(text), name.decode("utf-8", errors="replace"))


def _fields(block: bytes) -> tuple[bytes, bytes]:
    """Return the name of an event and its data; a line that is no field counts as data, as of JSON without a frame."""
    name, data = b"", []
    for line in block.split(b"\n"):
        field, colon, value = line.partition(b":")
        if field == b"event":
            name = value.strip()
        elif field == b"data":
            data.append(value.strip())
        elif colon and field not in (b"id", b"retry", b""):
            data.append(line)
    return name, b"\n".join(data)


def _plain(data: bytes) -> Iterator[Document]:
    """Read one piece of JSON, or one a line."""
    text = data.strip()
    body = _parsed(text)
    if isinstance(body, str) and b"\n" in text:
        yield from _lines(text)
    elif text:
        yield Document(body)


def _lines(data: bytes) -> Iterator[Document]:
    for line in data.splitlines()[: -_MOST - 1 : -1]:
        if line.strip():
            yield Document(_parsed(line))


def _framed(data: bytes) -> Iterator[Document]:
    """Read the JSON within AWS' binary frames; of some routes it is in base64 within other JSON."""
    text, place, found = data[-_FRAMED:].decode("utf-8", errors="replace"), 0, []
    decoder, in_vain = json.JSONDecoder(), 0
    for _ in range(_MOST):
        if (match := _OBJECT.search(text, place)) is None or in_vain > _IN_VAIN:
            break
        try:
            body, place = decoder.raw_decode(text, match.start())
        except json.JSONDecodeError as error:
            place = match.end()
            in_vain += error.pos - match.start()
        except RecursionError:
            break
        else:
            found.append(_unpacked(body))
    yield from (Document(body, framed=True) for body in reversed(found))


def _unpacked(body: object) -> object:
    packed = body.get("bytes") if isinstance(body, dict) else None
    if not isinstance(packed, str):
        return body
    try:
        return _parsed(base64.b64decode(packed, validate=True))
    except ValueError:
        return body


def _parsed(text: bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text.decode("utf-8", errors="replace")
