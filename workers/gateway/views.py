"""What people's programs read of sessions and of the fleet: rows and processes as plain JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from bus import Attendant, Role, State, Wait
from bus.states import legal_commands
from workers.board import Row

UNKNOWN_URGENCY = 5
"""Where a session without a state is sorted; as in `workers.board.urgency`."""

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
        "why": row.why,
        "reason": row.reason,
        "reason_word": row.reason_word,
        "wait": _wait_view(wait) if wait else None,
        "waits": [_wait_view(one) for one in row.waits.values()],
        "resume_at": row.resume_at,
        "model": row.model,
        "worker": row.worker,
        "message": row.message,
        "action": row.action,
        "by": row.by or None,
        "parent": row.parent or None,
        "name": row.name or None,
        "legal": legal_commands(row.state),
        "events": events,
    }


def urgency_of(row: Row) -> int:
    """Return how urgent a session is; 0 is the most urgent."""
    return row.look.urgency if row.look else UNKNOWN_URGENCY


def _wait_view(wait: Wait) -> Json:
    return {
        "llm": wait.llm,
        "model": wait.model or "",
        "reason": wait.reason,
        "attempt": wait.attempt,
        "max_attempts": wait.max_attempts,
        "wait_s": wait.wait_s,
        "retry_at": wait.retry_at,
        "message": wait.message,
        "action": wait.action,
    }


def process_view(one: Attendant) -> Json:
    """Return a process as JSON."""
    it = one.presence
    return {
        "name": it.name,
        "host": it.host,
        "version": it.version,
        "sessions": it.sessions,
        "concurrency": it.concurrency,
        "model": it.model,
        "live": one.live,
        "starting": it.starting,
        "draining": it.draining,
        "seen_at": one.seen_at,
    }


def fleet_view(now: datetime, by_state: Mapping[State, int], roll: Iterable[Attendant], charts: Json) -> Json:
    """Return the whole fleet as JSON; states in which nobody is are left out."""
    roll = tuple(roll)
    return {
        "now": now,
        "by_state": {state.value: count for state, count in by_state.items() if count},
        "workers": [process_view(one) for one in roll if one.presence.role is Role.WORKER],
        "controllers": [process_view(one) for one in roll if one.presence.role is Role.CONTROLLER],
        "gateways": [process_view(one) for one in roll if one.presence.role is Role.GATEWAY],
        "charts": charts,
        "sessions": sum(by_state.values()),
    }
