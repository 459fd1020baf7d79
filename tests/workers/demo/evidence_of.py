"""Honest evidence for the checks, to be tampered with: two sessions, one parked and resumed, one whose worker is killed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from bus import (
    AgentMessage,
    AgentMessageData,
    Event,
    LlmRateLimited,
    LlmRateLimitedData,
    LlmRecovered,
    LlmRecoveredData,
    LlmRetry,
    LlmRetryData,
    Message,
    Notice,
    Reason,
    SessionState,
    SessionStateData,
    State,
    UserMessage,
    UserMessageData,
    WorkerClaimed,
    WorkerClaimedData,
    WorkerLost,
    WorkerLostData,
    WorkerRef,
    WorkerReleased,
    WorkerReleasedData,
)
from workers.demo.cast import expected_answer, first_line, second_line
from workers.demo.evidence import Evidence
from workers.provider import RequestRecord

PARKED, ORPHAN = "berlin", "delhi"
MODEL = "openai/demo"
LIMIT = "Rate limit reached for demo on requests per min: limit 3, requested 1."


def evidence(**changes: Any) -> Evidence:
    """Return evidence of a demo in which everything was as it should be, with these fields in place of its own."""
    sessions = (PARKED, ORPHAN)
    honest: dict[str, Any] = {
        "requests": requests(),
        "received": len(requests()),
        "notices": {PARKED: parked_notices(), ORPHAN: orphan_notices()},
        "histories": {session: history(session) for session in sessions},
        "states": dict.fromkeys(sessions, State.AWAITING_INPUT),
        "said": {session: (first_line(session), second_line(session)) for session in sessions},
        "killed": "worker-1",
    }
    return Evidence(**(honest | changes))


def history(session: str) -> tuple[Event, ...]:
    """Return two questions with their answers."""
    events: list[Event] = []
    for line in (first_line(session), second_line(session)):
        events.append(UserMessage(subject=session, data=UserMessageData(text=line, by="demo")))
        events.append(AgentMessage(subject=session, data=AgentMessageData(text=expected_answer(line), read=len(events))))
    return placed(events)


M = TypeVar("M", bound=Message)


def placed(messages: Sequence[M]) -> tuple[M, ...]:
    """Return messages with the offsets that they would get."""
    return tuple(message.model_copy(update={"offset": at, "epoch": "e"}) for at, message in enumerate(messages, 1))


def requests() -> tuple[RequestRecord, ...]:
    """Return what the provider recorded: a long Retry-After, a refusal, a call that hung, and one answer to each line."""
    refused = {"status": 429, "outcome": "refused"}
    wanted: list[tuple[str, int, dict[str, Any]]] = [
        (PARKED, 1, {"status": 429, "outcome": "failed", "fault": "status"}),
        (ORPHAN, 1, refused),
        (PARKED, 1, {"status": 200, "outcome": "ok"}),
        (ORPHAN, 1, {"status": 200, "outcome": "ok"}),
        (ORPHAN, 3, {"outcome": "failed", "fault": "timeout"}),
        (PARKED, 3, {"status": 200, "outcome": "ok"}),
        (ORPHAN, 3, {"status": 200, "outcome": "ok"}),
    ]
    return tuple(
        RequestRecord(number, at=float(number), key="sk-d…", model="demo", messages=prompt(session, length), **fields)
        for number, (session, length, fields) in enumerate(wanted, 1)
    )


def prompt(session: str, length: int) -> list[dict[str, Any]]:
    """Return the prompt made of the first messages of a session's history."""
    line, answer = first_line(session), expected_answer(first_line(session))
    told = [("user", line), ("assistant", answer), ("user", second_line(session))]
    return [{"role": role, "content": content} for role, content in told[:length]]


def parked_notices() -> tuple[Notice, ...]:
    """Return what was told of the session that was parked and resumed."""
    limited = LlmRateLimitedData(model=MODEL, reason=Reason.RATE_LIMIT, attempt=1, max_attempts=6, message="wait for 10m0s")
    return placed(
        [
            state(PARKED, State.QUEUED, "started by demo"),
            claimed(PARKED, "worker-2"),
            LlmRateLimited(subject=PARKED, source="worker/worker-2", data=limited),
            released(PARKED, "worker-2", "park"),
            state(PARKED, State.RATE_LIMITED, "parked: wait for 10m0s", State.RUNNING),
            state(PARKED, State.QUEUED, "resumed by alice", State.RATE_LIMITED, by="alice"),
            claimed(PARKED, "worker-2"),
            released(PARKED, "worker-2", "yield"),
            state(PARKED, State.AWAITING_INPUT, "the turn is over", State.RUNNING),
            claimed(PARKED, "worker-2"),
            released(PARKED, "worker-2", "yield"),
        ]
    )


def orphan_notices() -> tuple[Notice, ...]:
    """Return what was told of the session that had a retry, and whose worker was killed."""
    return placed(
        [
            state(ORPHAN, State.QUEUED, "started by demo"),
            claimed(ORPHAN, "worker-1"),
            retry(ORPHAN),
            LlmRecovered(subject=ORPHAN, source="worker/worker-1", data=LlmRecoveredData(model=MODEL, attempt=2)),
            released(ORPHAN, "worker-1", "yield"),
            claimed(ORPHAN, "worker-1"),
            WorkerLost(subject=ORPHAN, source="controller/c1", data=WorkerLostData(worker=WorkerRef(name="worker-1"))),
            state(ORPHAN, State.QUEUED, "worker-1 stopped renewing its lease", State.RUNNING),
            claimed(ORPHAN, "worker-2"),
            released(ORPHAN, "worker-2", "yield"),
            state(ORPHAN, State.AWAITING_INPUT, "the turn is over", State.RUNNING),
        ]
    )


def retry(session: str, status_code: int | None = 429) -> LlmRetry:
    """Return a failure that will be retried."""
    data = LlmRetryData(model=MODEL, reason=Reason.RATE_LIMIT, max_attempts=6, wait_s=2.0, message=LIMIT, status_code=status_code)
    return LlmRetry(subject=session, source="worker/worker-1", data=data)


def claimed(session: str, worker: str) -> WorkerClaimed:
    """Return that a worker took a session up."""
    return WorkerClaimed(subject=session, source=f"worker/{worker}", data=WorkerClaimedData(worker=WorkerRef(name=worker)))


def released(session: str, worker: str, why: str) -> WorkerReleased:
    """Return that a worker let a session go."""
    data = WorkerReleasedData(worker=WorkerRef(name=worker), why=why)
    return WorkerReleased(subject=session, source=f"worker/{worker}", data=data)


def state(session: str, to: State, why: str, before: State | None = None, by: str | None = None) -> SessionState:
    """Return a change of state."""
    data = SessionStateData(from_=before, to=to, version=1, why=why, by=by)
    return SessionState(subject=session, source="controller/controller-1", data=data)
