"""Which heads are taken."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.workers.gateway.heads import HEAD_LIMIT, LINES, refusal

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /api/sessions HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "head",
    [
        GET,
        b"GET /a?b=%00#c HTTP/1.0\r\n",
        GET + b"Last-Event-ID: e-1\r\nX:\r\nY: \t\xe9 b\r\n",
        POST + b"Content-Length: 5\r\n",
        GET + b"X: y\r\n" * (LINES - 2),
    ],
)
def test_what_can_be_read_in_one_way_is_taken(head: bytes) -> None:
    """Whole or half, and whatever follows it."""
    for end in range(len(head)):
        assert refusal(head[:end]) is None
    assert refusal(head + b"\r\n") is None
    assert refusal(head + b"\r\n" + b"\x00\n" * HEAD_LIMIT) is None


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "malformed"),
        (POST + b"transfer-encoding: identity\r\ncontent-length: 5\r\n", "malformed"),
        (POST + b"Transfer-Encoding: chunked\r\n", "no-length"),
        (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n", "malformed"),
        (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n", "malformed"),
        (POST + b"Content-Length: 5, 5\r\n", "malformed"),
        (GET + b"A: b\r\n c\r\n", "malformed"),
        (GET + b"\tA: b\r\n", "malformed"),
        (b"GET / HTTP/1.1\nHost: x\n", "malformed"),
        (GET + b"A: b\nC: d\r\n", "malformed"),
        (GET + b"A: b\rC: d\r\n", "malformed"),
        (GET + b"A: \x00\r\n", "malformed"),
        (b"GET http://other.example/ HTTP/1.1\r\nHost: x\r\n", "malformed"),
        (b"CONNECT other.example:443 HTTP/1.1\r\nHost: x\r\n", "malformed"),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n", "malformed"),
        (b"GET /\r\n", "malformed"),
        (b"GET / HTTP/2.0\r\nHost: x\r\n", "malformed"),
        (b"PRI * HTTP/2.0\r\n", "malformed"),
        (b"GET  / HTTP/1.1\r\nHost: x\r\n", "malformed"),
        (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n", "malformed"),
        (GET + b"A: " + b"b" * HEAD_LIMIT + b"\r\n", "head-too-large"),
        (GET + b"A: b\r\n" * LINES, "head-too-large"),
        (b"GET /" + b"a" * HEAD_LIMIT + b" HTTP/1.1\r\n", "head-too-large"),
    ],
)
def test_what_can_be_read_in_two_ways_is_not(head: bytes, word: str) -> None:
    """Nor what is longer than any browser's; it says what is wrong and quotes nothing."""
    problem = refusal(head + b"\r\n")
    assert problem is not None
    assert problem.word == word
    assert "other.example" not in problem.detail


def test_a_head_that_never_ends_is_refused_before_it_is_whole() -> None:
    """By its length, its lines, or the first line that ends wrong."""
    for begun in (b"G" * (HEAD_LIMIT + 1), GET + b"A: b\r\n" * (LINES + 1), b"GET / HTTP/1.1\nHost"):
        assert refusal(begun) is not None


@given(st.lists(st.sampled_from([b"GET / HTTP/1.1", b"Content-Length: 1", b"\r\n", b"\n", b"\r", b" ", b":", b"\x00", b"a"])))
def test_what_is_taken_h11_reads_in_the_same_way(parts: list[bytes]) -> None:
    """Where a head ends is where it ends for us, or it is refused by both or by either."""
    sent = b"".join(parts)
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(sent)
    if refusal(sent) is not None:
        return
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return
    if isinstance(event, h11.Request):
        assert connection.trailing_data[0] == sent.partition(b"\r\n\r\n")[2]
    else:
        assert b"\r\n\r\n" not in sent
