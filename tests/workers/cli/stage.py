"""Sessions brought into a state without an agent, for tests of what the command line shows."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests import actors
from tidings.bus import Bus, Ending, Lease, LlmRetry, Message, Reason, State, Trigger, Wait, WorkerRef
from tidings.bus.messages import Picture

WORKER = WorkerRef(name="w1", host="here", pid=7)


def waiting(now: datetime, *, reason: Reason = Reason.RATE_LIMIT, attempt: int = 2, action: str = "") -> Wait:
    """Return a wait of 8 s that began at `now`."""
    return Wait(
        model="openai/x",
        reason=reason,
        attempt=attempt,
        max_attempts=6,
        wait_s=8.0,
        retry_at=now + timedelta(seconds=8),
        message="slow down",
        action=action,
    )


async def hold(bus: Bus, session: str) -> Lease:
    """Make a session that a worker holds."""
    claim = await bus.worker.claim(WORKER, session=session, create=True, lease_s=60)
    assert claim is not None
    return claim


async def bring(bus: Bus, session: str, state: State) -> None:
    """Make a session and bring it into a state that a release leads to."""
    triggers = {
        State.AWAITING_INPUT: Trigger.YIELD,
        State.FINISHED: Trigger.FINISH,
        State.ERROR: Trigger.FAIL,
        State.QUEUED: Trigger.HAND_BACK,
    }
    claim = await hold(bus, session)
    await claim.release(Ending(triggers[state], read=0, why=f"brought to {state.value}"))


async def park(bus: Bus, session: str, *, resume_in_s: float | None, action: str = "") -> None:
    """Make a session that is parked for a rate limit, with or without a time at which it goes on."""
    claim = await hold(bus, session)
    now = bus.now()
    resume_at = None if resume_in_s is None else now + timedelta(seconds=resume_in_s)
    reason = Reason.RATE_LIMIT if resume_at else Reason.QUOTA_EXHAUSTED
    wait = waiting(now, reason=reason, action=action).model_copy(update={"retry_at": None})
    parked = Ending(Trigger.PARK, read=0, parks=1, resume_at=resume_at, waits={wait.llm: wait}, reason=reason, why="parked")
    await claim.release(parked)


async def retry(bus: Bus, claim: Lease, attempt: int) -> None:
    """Tell a retry as a worker does."""
    wait = waiting(bus.now(), attempt=attempt)
    queue = bus.worker.queue()
    notice = Message.of(LlmRetry(**wait.model_dump()), session=claim.session)
    queue.put(notice, actors.proof(claim, Picture(model="openai/x", waits={"agent": wait})))
    assert await queue.drain(5)
