"""Frames of server-sent events: what one message looks like on the wire. Pure."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

RETRY_MS = 1000
"""What browsers are told to wait before they connect again."""


def as_json(value: Any) -> bytes:
    """Return a value as JSON in UTF-8; instants as ISO 8601 in UTC."""
    return to_json(value)


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
