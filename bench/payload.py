"""Messages of a given size: ours, and the same by hand, so that as many bytes go over the wire."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from bench.sessions import WORKER, session_names
from tidings.bus import AgentMessage, Event, Message, Notice, WorkerReleased
from tidings.bus.messages import encode

SOURCE = "worker/worker-1"


def notice_maker(size: int) -> Callable[[], Notice]:
    """Return what makes a fresh notice; published from ``SOURCE`` in a session of ``session_names`` it takes that many bytes."""

    def make(text: str = "") -> Notice:
        return WorkerReleased(worker=WORKER, why=text)

    text = _padding(size, len(encode(Message.of(make(), session=session_names(1)[0], source=SOURCE))))
    return lambda: make(text)


def event_maker(size: int) -> Callable[[str], Message[Event]]:
    """Return what makes a fresh event of that many bytes."""

    def make(session: str, text: str = "") -> Message[Event]:
        return Message.of(AgentMessage(text=text, model="bench"), session=session, source=SOURCE)

    text = _padding(size, len(encode(make(session_names(1)[0]))))
    return lambda session: make(session, text)


def plain_maker(size: int) -> Callable[[str], dict[str, Any]]:
    """Return what makes the same by hand: a dict with the members of our envelope."""

    def make(session: str, text: str = "") -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": uuid.uuid4().hex,
            "source": SOURCE,
            "type": "agent.message",
            "subject": session,
            "time": datetime.now(UTC).isoformat(),
            "traceparent": None,
            "data": {"text": text, "model": "bench"},
        }

    text = _padding(size, len(dump(make(session_names(1)[0]))))
    return lambda session: make(session, text)


def dump(message: dict[str, Any]) -> bytes:
    """Return a message made by hand as JSON, as compact as ours."""
    return json.dumps(message, separators=(",", ":")).encode()


def _padding(size: int, bare: int) -> str:
    if size < bare:
        raise ValueError(f"a message takes {bare} bytes without a text: {size} are too few")
    return "x" * (size - bare)
