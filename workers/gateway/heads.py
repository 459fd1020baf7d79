"""Which heads of requests are taken: those that can be read in one way only. Pure.

h11 is kinder than that: it takes a Content-Length beside a Transfer-Encoding, folded lines, bare line feeds and heads of any size
that arrive in one piece. A proxy in front of us may read another request into those (RFC 9112, section 11.2).
"""

from __future__ import annotations

import re
from typing import Final

from tidings.workers.gateway.problems import Problem

HEAD_LIMIT: Final = 16 * 1024
"""Most bytes of a head; as much as h11 keeps of one that is not complete."""
LINES: Final = 100
"""Most lines of a head, that of the request among them."""
END: Final = b"\r\n\r\n"
_REQUEST: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ /[!-~]* HTTP/1\.[01]")


def refusal(data: bytes) -> Problem | None:
    """Return why a request is not taken, None where nothing speaks against it so far.

    Args:
        data: what has arrived of it: a head, whole or not, and what follows.
    """
    end = data.find(END)
    head = data if end < 0 else data[: end + len(END)]
    if len(head) > HEAD_LIMIT or head.count(b"\n") > LINES + 2:
        return Problem("head-too-large", f"More than {HEAD_LIMIT} bytes or {LINES} lines before the body are not taken.")
    if head.count(b"\n") != head.count(b"\r\n"):
        return Problem("malformed", "Lines end with CR LF, not with LF alone. Nothing was done.")
    return None if end < 0 else _examine(head[: -len(END)])


def _examine(head: bytes) -> Problem | None:
    request, *lines = head.split(b"\r\n")
    if not _REQUEST.fullmatch(request):
        return Problem("malformed", "A request begins with METHOD /path HTTP/1.1. Nothing was done.")
    if b"\0" in head or head.count(b"\r") != len(lines):
        return Problem("malformed", "There is a NUL or a CR inside a line of the head. Nothing was done.")
    if any(line[:1] in (b" ", b"\t") for line in lines):
        return Problem("malformed", "A field of the head goes over several lines. Nothing was done: write it on one.")
    return _framing([(name.lower(), value) for name, _, value in (line.partition(b":") for line in lines)])


def _framing(fields: list[tuple[bytes, bytes]]) -> Problem | None:
    """Look at what says where the body ends: one Content-Length, or nothing."""
    lengths = [value for name, value in fields if name == b"content-length"]
    if len(lengths) > 1 or b"," in b"".join(lengths):
        return Problem("malformed", "There is more than one Content-Length. Nothing was done.")
    if any(name == b"transfer-encoding" for name, _ in fields):
        both = "Transfer-Encoding and Content-Length stand together. Nothing was done: send Content-Length alone."
        return Problem("malformed", both) if lengths else Problem("no-length")
    return None
