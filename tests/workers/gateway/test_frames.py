"""Frames of server-sent events."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tests.workers.gateway.calling import parsed
from tidings.workers.gateway.frames import LIMIT, as_json, batches, first_frame, frame


@given(st.text())
def test_no_text_breaks_a_frame(text: str) -> None:
    """Line breaks of every kind, blank lines and field names inside a text arrive as that text."""
    block = frame("event", as_json({"text": text.encode(errors="replace").decode()}), "e-1")
    assert block.endswith(b"\n\n")
    assert block.count(b"\n\n") == 1
    found = parsed(block[:-2])
    assert (found.event, found.id) == ("event", "e-1")
    assert found.data == {"text": text.encode(errors="replace").decode()}


def test_a_frame_without_a_place_has_no_id() -> None:
    """So a browser goes on from the last event, not from the last sign of life."""
    assert frame("tick", b"{}") == b"event: tick\ndata: {}\n\n"


def test_the_first_frame_says_when_to_connect_again() -> None:
    """Once for a stream."""
    assert first_frame("hello", b"{}") == b"retry: 1000\nevent: hello\ndata: {}\n\n"


def test_instants_are_in_utc() -> None:
    """ISO 8601 with a Z."""
    assert json.loads(as_json(datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC))) == "2026-11-23T01:02:03Z"


_SIZES = (b"", b"x", b"x" * (LIMIT // 3), b"x" * LIMIT)


@given(st.lists(st.sampled_from(_SIZES)), st.integers(1, 5))
def test_batches_have_all_of_it_in_order_and_are_bounded(objects: list[bytes], most: int) -> None:
    """By number and by size: without its last object none is as large as the limit."""
    found = list(batches(objects, most))
    assert [one for batch in found for one in batch] == objects
    for batch in found:
        assert 1 <= len(batch) <= most
        assert sum(map(len, batch[:-1])) < LIMIT
