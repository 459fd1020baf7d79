"""What is kept of an answer beneath litellm, and how it is taken apart again."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.workers.llm.received import KEPT, Document, Received


def received(data: str | bytes, kind: str = "text/event-stream", piece: int = 1 << 20) -> Received:
    """Return what is kept of an answer that comes in pieces of so many bytes."""
    kept, raw = Received(), data.encode() if isinstance(data, str) else data
    kept.begin(200, {"Content-Type": kind})
    for begin in range(0, len(raw), piece):
        kept.add(raw[begin : begin + piece])
    return kept


def bodies(data: str | bytes, kind: str = "text/event-stream", piece: int = 1 << 20) -> list[Any]:
    """Return what is read out of it, the newest first."""
    return [document.body for document in received(data, kind, piece).documents()]


def frame(body: Any) -> bytes:
    """Return a binary frame of AWS, without what nobody reads here: its headers and checksums."""
    payload = json.dumps(body).encode()
    return struct.pack(">III", 16 + len(payload), 0, 0) + payload + struct.pack(">I", 0)


def test_a_plain_answer_is_one_document() -> None:
    """Also where it is no JSON, or comes in the place of a stream."""
    assert bodies('{"a": [1]}', "application/json") == [{"a": [1]}]
    assert bodies(' {\n "a": 1\n}\n') == [{"a": 1}]
    assert bodies("<html>", "text/html") == ["<html>"]
    assert bodies("") == []


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_events_come_newest_first(end: str) -> None:
    """Whatever ends a line; comments, ids and the mark of the end are no documents."""
    stream = end.join([": hi", "", 'data: {"a": 1}', "id: 7", "", 'data:{"a":', "data: 2}", "", "data: [DONE]", "", ""])
    assert bodies(stream) == [{"a": 2}, {"a": 1}]


@pytest.mark.parametrize(
    "stream",
    ['event: error\ndata: {"a": 1}\n\n', 'data: {"a": 1}\nevent: error\n\n', 'event: error\n\ndata: {"a": 1}\n\n'],
)
def test_the_name_of_an_event_stands_anywhere(stream: str) -> None:
    """Before its data, after it, or in an event of its own, which a server makes that ends each line twice."""
    assert list(received(stream).documents()) == [Document({"a": 1}, "error")]


def test_lines_of_json_are_documents() -> None:
    """As Ollama streams them."""
    assert bodies('{"a": 1}\n{"a": 2}\n', "application/x-ndjson") == [{"a": 2}, {"a": 1}]


def test_json_in_binary_frames_is_found() -> None:
    """As Bedrock streams it, of some models packed once more."""
    packed = {"bytes": base64.b64encode(b'{"a": 2}').decode(), "p": "abc"}
    data = frame({"a": 1}) + frame(packed) + frame({"bytes": "no base64"})
    assert bodies(data, "application/vnd.amazon.eventstream") == [{"bytes": "no base64"}, {"a": 2}, {"a": 1}]


def test_only_the_end_of_a_long_answer_is_kept() -> None:
    """Its first event may be half of one, and is left out; of a long plain answer nothing can be read."""
    event = f"data: {json.dumps({'text': 'x' * 1000})}\n\n"
    kept = received(event * 1000 + 'data: {"a": 1}\n\n', piece=700)
    read = [document.body for document in kept.documents()]
    assert read[0] == {"a": 1}
    assert read[1:] == [{"text": "x" * 1000}] * (len(read) - 1)
    assert KEPT - 3 * len(event) < len(read[1:]) * len(event) <= KEPT
    assert bodies(json.dumps({"text": "x" * KEPT}), "application/json", 700) == []


@pytest.mark.parametrize(
    ("piece", "kind"),
    [
        (b"data: 1\n\n", "text/event-stream"),
        (b"{}\n", "application/x-ndjson"),
        (b'{"', "application/vnd.amazon.eventstream"),
        (b'{"a":1}', "application/vnd.amazon.eventstream"),
    ],
)
def test_a_bounded_number_of_documents_is_looked_at(piece: bytes, kind: str) -> None:
    """What is read at once holds the event loop; frames are tried as often."""
    assert len(bodies(piece * (KEPT // len(piece)), kind)) <= 1000


def test_frames_without_an_end_are_parsed_to_a_bound() -> None:
    """Each level of nested JSON that is never closed is a try that goes to the end: half a second for the event loop."""
    endless = b'{"":' * 900 + b"[" + b"1," * 13_000
    assert bodies(endless + b'{"a": 1}', "application/vnd.amazon.eventstream") == []
    assert bodies(frame({"a": 1}) + endless, "application/vnd.amazon.eventstream") == [{"a": 1}]


def test_the_last_of_several_answers_counts() -> None:
    """A route may fetch a token first."""
    kept = received('{"token": "x"}')
    kept.begin(200, {"Content-Type": "application/json", "X-Id": "1"})
    kept.add(b'{"a": 1}')
    assert [document.body for document in kept.documents()] == [{"a": 1}]
    assert kept.headers["x-id"] == "1"


@given(st.binary(max_size=300), st.sampled_from(["text/event-stream", "application/json", "application/vnd.amazon.eventstream"]))
def test_anything_can_be_taken_apart(data: bytes, kind: str) -> None:
    """What a provider sends never raises."""
    bodies(data, kind)
    bodies(b"data: " + data, kind)
