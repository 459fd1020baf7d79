"""A worker and a controller in miniature: what tests of the bus let happen to a session, one step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.waiting import eventually
from tidings.bus import (
    AgentMessage,
    Bus,
    Command,
    Decision,
    Ending,
    Lease,
    LlmRetry,
    Message,
    Notice,
    Outcome,
    Picture,
    Reason,
    Result,
    SessionState,
    Snapshot,
    State,
    Subscription,
    Trigger,
    UserMessage,
    Wait,
    WorkerRef,
)
from tidings.bus.messages import PLANES
from tidings.bus.publisher import Proof
from tidings.bus.worker.lease import ALL_READ

WORKER = WorkerRef(name="w1", host="here", pid=7)
LIMITED = Wait(reason=Reason.RATE_LIMIT, model="m", attempt=2, max_attempts=6, wait_s=3.0)


def worker(name: str) -> WorkerRef:
    """Return a worker of that name."""
    return WorkerRef(name=name)


async def publish(bus: Bus, notice: Message[Notice]) -> Message[Notice]:
    """Publish a notice under the envelope that a test has given it."""
    return await bus.publish(notice.session, notice.data, id=notice.id, source=notice.source, traceparent=notice.traceparent)


async def send(bus: Bus, command: Message[Command], timeout_s: float = 10.0, *, key: str = "") -> Outcome:
    """Send a command under the envelope that a test has given it."""
    return await bus.send(
        command.session, command.data, timeout_s, key=key, id=command.id, source=command.source, traceparent=command.traceparent
    )


async def submit(bus: Bus, command: Message[Command], *, key: str = "", when_full: bool = False) -> Outcome | None:
    """Store a command under the envelope that a test has given it."""
    return await bus.submit(
        command.session,
        command.data,
        key=key,
        id=command.id,
        source=command.source,
        traceparent=command.traceparent,
        when_full=when_full,
    )


def follow(bus: Bus, channel: str, *more: Any, **options: Any) -> Subscription[Any]:
    """Follow what is on a channel, such as ``events.s`` or ``status.*``."""
    plane, _, session = channel.partition(".")
    return bus.follow(session, PLANES[plane], *more, **options)


def answer(session: str, text: str = "an answer", **envelope: Any) -> Message[AgentMessage]:
    """Return something that an agent says."""
    return Message.of(AgentMessage(text=text), session=session, **envelope)


def spoken(session: str, text: str = "a question", **envelope: Any) -> Message[UserMessage]:
    """Return something that a person says."""
    return Message.of(UserMessage(text=text), session=session, **envelope)


def retry(session: str, attempt: int = 1, **envelope: Any) -> Message[LlmRetry]:
    """Return the notice of a failed attempt."""
    data = LlmRetry(reason=Reason.RATE_LIMIT, attempt=attempt, max_attempts=max(6, attempt), wait_s=1.0)
    return Message.of(data, session=session, **envelope)


def limited() -> Picture:
    """Return the picture of a worker that waits out a rate limit."""
    return Picture(model="m", waits={"agent": LIMITED})


async def hold(bus: Bus, session: str = "s", *, lease_s: float = 10.0, who: WorkerRef = WORKER) -> Lease:
    """Lease a session by its name; it is made when there is none."""
    claim = await bus.worker.claim(who, session=session, create=True, lease_s=lease_s)
    assert claim is not None
    return claim


def proof(lease: Lease, picture: Picture | None = None, token: int | None = None) -> Proof:
    """Return what a worker shows with a notice: with a picture or none, and with the token of another."""
    shown = "" if picture is None else picture.model_dump_json()
    return (lease.token if token is None else token, lease.key, lease.epoch, shown, 0)


async def renew(lease: Lease, picture: Picture, retry_now: int = 0) -> Any:
    """Renew a lease by hand, with a picture of a test's own; returns what the server says."""
    lease._calls, lease._model, lease.retry_now = dict(picture.waits), picture.model, retry_now
    lease._left, lease._progress = {"left": LIMITED} if picture.unsaid else {}, picture.progress
    [answer] = await lease._face.renew([lease])
    return answer


async def queue(bus: Bus, *sessions: str) -> None:
    """Make sessions that stand in `ready`, in this order."""
    for session in sessions:
        await (await hold(bus, session)).release(Ending(Trigger.HAND_BACK, read=0))


async def snapshot(bus: Bus, session: str = "s") -> Snapshot:
    """Read a session that must be there."""
    found = await bus.controller.snapshot(session)
    assert found is not None
    return found


async def waiting(bus: Bus, session: str = "s", count: int = 1) -> Snapshot:
    """Wait until so many commands wait in a session, and read it."""

    async def enough() -> Snapshot | None:
        """The commands wait."""
        found = await bus.controller.snapshot(session)
        return found if found is not None and len(found.commands) >= count else None

    found = await eventually(enough)
    assert found is not None
    return found


def moved(session: str, to: State, why: str = "decided", **data: Any) -> Message[SessionState]:
    """Return the notice that goes with a new state."""
    return Message.of(SessionState(to=to, version=0, why=why, **data), session=session, source="controller/c1")


def outcomes(seen: Snapshot, result: Result = Result.APPLIED, **more: Any) -> tuple[tuple[Outcome, datetime | None], ...]:
    """Return an outcome for every waiting command that has none yet."""
    made = []
    for command in seen.commands:
        if command.id not in seen.resolved:
            outcome = Outcome(command_id=command.id, session=seen.record.session, result=result, **more)
            made.append((outcome, command.data.expires_at))
    return tuple(made)


def settled(seen: Snapshot, to: State | None = None, fields: Mapping[str, str] | None = None, **more: Any) -> Decision:
    """Return the decision that applies every waiting command, with what else it does."""
    newest = max((command.offset or 0 for command in seen.commands), default=seen.record.handled)
    return Decision(
        to=to,
        state=moved(seen.record.session, to) if to is not None else None,
        ready=to is State.QUEUED,
        handled=newest,
        outcomes=outcomes(seen),
        fields=fields or {},
        **more,
    )


async def revoke(bus: Bus, session: str = "s", to: State = State.PAUSED) -> None:
    """Take a session from its worker, as a controller does that obeys a person."""
    seen = await snapshot(bus, session)
    fields = {"worker": "", "lease_until": "", "picture": "{}"}
    await bus.controller.decide(seen, settled(seen, to, fields, revoke=True))


def finished() -> Ending:
    """Return the release of an agent that is done."""
    return Ending(Trigger.FINISH, read=ALL_READ)
