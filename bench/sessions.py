"""Sessions to measure with, held by one worker for as long as the benchmark lasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tidings.bus import Bus, Event, Lease, Message, WorkerRef

WORKER = WorkerRef(name="worker-1", host="bench", pid=1)
_LEASE_S = 3600.0
_BATCH = 250


def session_names(count: int) -> list[str]:
    """Return names of sessions, all of the same length."""
    return [f"session-{number:04}" for number in range(count)]


async def make_session(bus: Bus, session: str) -> Lease:
    """Make a session and hold it."""
    claim = await bus.worker.claim(WORKER, lease_s=_LEASE_S, session=session, create=True)
    assert claim is not None
    return claim


async def append_many(bus: Bus, claim: Lease, make: Callable[[str], Message[Event]], count: int, read: int = 0) -> int:
    """Append fresh events in batches; returns the offset of the last.

    Args:
        read: offset of the newest event before.
    """
    for done in range(0, count, _BATCH):
        batch = [make(claim.session) for _ in range(min(_BATCH, count - done))]
        read = _offset(await claim.append(*batch, after=read))
    return read


def _offset(events: Sequence[Message[Event]]) -> int:
    offset = events[-1].offset
    assert offset is not None
    return offset
