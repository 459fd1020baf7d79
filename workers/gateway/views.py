"""What people's programs read of the fleet: processes and numbers as plain JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from tidings.bus import Member, Role, State
from tidings.workers.gateway.frames import as_json, batches

TEXT = 2000
"""Characters of a text of others in a process."""
SESSIONS = 10
"""Sessions that a process names; each session names its worker in any case."""

Json = dict[str, Any]


def bounded(text: str) -> str:
    """Return a text, or as much of it as is told."""
    return text if len(text) <= TEXT else text[: TEXT - 1] + "…"


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
