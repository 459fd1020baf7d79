"""What people's programs read of sessions and of the fleet: rows and processes as plain JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from tidings.bus import Member, Role, State, Wait
from tidings.bus.states import legal_commands
from tidings.workers.board import Row
from tidings.workers.gateway.frames import as_json, batches

UNKNOWN_URGENCY = 5
"""Where a session without a state is sorted; as in `tidings.workers.board.urgency`."""

TEXT = 2000
"""Characters of a text of others in a row; the whole of it stands in the history or in the notices."""
WAITS = 8
"""Waits that a row lists."""
SESSIONS = 10
"""Sessions that a process names; each session names its worker in any case."""

Json = dict[str, Any]


def row_view(row: Row, events: int | None = None) -> Json:
    """Return a session as JSON.

    Args:
        events: the offset of its newest event, where it is known.
    """
    look, wait = row.look, row.wait
    return {
        "session": row.session,
        "state": row.state,
        "word": look.word if look else "starting",
        "sign": look.sign if look else "·",
        "urgency": urgency_of(row),
        "needs_you": row.needs_you,
        "parked": row.parked,
        "since": row.since,
        "why": bounded(row.why),
        "reason": row.reason,
        "reason_word": row.reason_word,
        "wait": _wait_view(wait) if wait else None,
        "waits": [_wait_view(one) for one in islice(row.waits.values(), WAITS)],
        "resume_at": row.resume_at,
        "model": bounded(row.model),
        "worker": bounded(row.worker),
        "message": bounded(row.message),
        "action": bounded(row.action),
        "by": bounded(row.by) or None,
        "parent": bounded(row.parent) or None,
        "name": bounded(row.name) or None,
        "progress": row.progress,
        "work": row.work,
        "legal": legal_commands(row.state),
        "events": events,
    }


def bounded(text: str) -> str:
    """Return a text, or as much of it as a row holds."""
    return text if len(text) <= TEXT else text[: TEXT - 1] + "…"


def urgency_of(row: Row) -> int:
    """Return how urgent a session is; 0 is the most urgent."""
    return row.look.urgency if row.look else UNKNOWN_URGENCY


def _wait_view(wait: Wait) -> Json:
    shown = {name: getattr(wait, name) for name in Wait.model_fields}
    return {name: bounded(value) if isinstance(value, str) else value for name, value in shown.items()}


def process_view(one: Member) -> Json:
    """Return a process as JSON."""
    it = one.presence
    return {
        "name": bounded(it.name),
        "host": bounded(it.host),
        "version": bounded(it.version),
        "held": len(it.sessions),
        "sessions": it.sessions[:SESSIONS],
        "concurrency": it.concurrency,
        "model": bounded(it.model) if it.model is not None else None,
        "live": one.live,
        "starting": it.starting,
        "draining": it.draining,
        "seen_at": one.seen_at,
    }


def fleet_view(now: datetime, by_state: Mapping[State, int], roll: Iterable[Member], charts: Json) -> Json:
    """Return the whole fleet as JSON; states without sessions are left out, and so are processes beyond the size of a frame."""
    roll = sorted(roll, key=lambda one: not one.live)
    listed = roll[: len(next(batches((as_json(process_view(one)) for one in roll), len(roll)), []))]
    return {
        "now": now,
        "by_state": {state.value: count for state, count in by_state.items() if count},
        "workers": [process_view(one) for one in listed if one.presence.role is Role.WORKER],
        "controllers": [process_view(one) for one in listed if one.presence.role is Role.CONTROLLER],
        "gateways": [process_view(one) for one in listed if one.presence.role is Role.GATEWAY],
        "left_out": len(roll) - len(listed),
        "charts": charts,
        "sessions": sum(by_state.values()),
    }
