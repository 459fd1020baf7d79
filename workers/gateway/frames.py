"""Frames of server-sent events: what one message looks like on the wire. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic_core import to_json

LIMIT = 1024 * 1024
"""About how many bytes one frame or one answer has at most: it ends after the object with which it exceeds them."""
RETRY_MS = 1000
"""What browsers are told to wait before they connect again."""


def as_json(value: Any) -> bytes:
    """Return a value as JSON in UTF-8; instants as ISO 8601 in UTC."""
    return to_json(value)


def batches(objects: Iterable[bytes], most: int) -> Iterator[list[bytes]]:
    """Group objects for one frame or one answer each: at most so many, and not many more bytes than `LIMIT`."""
    batch, size = list[bytes](), 0
    for one in objects:
        batch.append(one)
        size += len(one)
        if len(batch) == most or size >= LIMIT:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def frame(event: str, data: bytes, place: str = "") -> bytes:
    """Return one frame.

    Args:
        event: its type.
        data: JSON on one line; a line break inside a string is escaped there, so none is left to cut the frame in two.
        place: its id, which a browser sends back as ``Last-Event-ID``; '' for a frame that is not resumed from.
    """
    head = f"id: {place}\nevent: {event}\ndata: " if place else f"event: {event}\ndata: "
    return b"%b%b\n\n" % (head.encode(), data)


def first_frame(event: str, data: bytes) -> bytes:
    """Return the frame that a stream begins with; it also says when to connect again."""
    return b"retry: %d\n%b" % (RETRY_MS, frame(event, data))
