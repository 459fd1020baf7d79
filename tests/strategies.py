"""What hypothesis draws messages from: every type, with every field filled as the wire allows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tidings.bus import messages as m
from tidings.bus.states import State

sessions = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True)
ids = st.text("".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"\\'), min_size=1, max_size=128)
texts = st.text(max_size=40)
words = st.text(min_size=1, max_size=40)
epochs = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
counts = st.integers(min_value=0, max_value=2**53 - 1)
positives = st.integers(min_value=1, max_value=2**53)
seconds = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
zones = st.integers(min_value=-840, max_value=840).map(lambda minutes: timezone(timedelta(minutes=minutes)))
instants = st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC) | zones)
reasons = st.sampled_from(m.Reason)
states = st.sampled_from(State)

json_scalars = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**70), max_value=2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
json_values = st.recursive(
    json_scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
json_objects = st.dictionaries(texts, json_values, max_size=4)


def _maybe(strategy: SearchStrategy[Any]) -> SearchStrategy[Any]:
    return st.none() | strategy


workers = st.builds(m.WorkerRef, name=words, host=texts, pid=counts)

_WAIT: Mapping[str, SearchStrategy[Any]] = {
    "llm": texts,
    "model": _maybe(texts),
    "reason": reasons,
    "attempt": positives,
    "max_attempts": positives,
    "wait_s": seconds,
    "waited_s": seconds,
    "retry_at": _maybe(instants),
    "asked_at": _maybe(instants),
    "message": texts,
    "action": texts,
}
_ATTEMPT = {key: _WAIT[key] for key in ("llm", "model", "reason", "attempt", "max_attempts", "message", "action")}
_ASKED: Mapping[str, SearchStrategy[Any]] = {"by": words, "why": texts, "expires_at": _maybe(instants)}
_RESULT: Mapping[str, SearchStrategy[Any]] = {
    "child": sessions,
    "name": sessions,
    "state": states,
    "reason": _maybe(reasons),
    "text": texts,
}

waits = st.builds(m.Wait, **_WAIT)
pictures = st.builds(m.Picture, model=_maybe(texts), waits=st.dictionaries(texts, waits, max_size=3))

DATA: Mapping[type[m.Message], SearchStrategy[Any]] = {
    m.LlmRetry: st.builds(m.LlmRetryData, **_WAIT, status_code=_maybe(st.integers(100, 599)), retry_after_s=_maybe(seconds)),
    m.LlmAttempt: st.builds(
        m.LlmAttemptData, llm=texts, model=_maybe(texts), reason=reasons, attempt=st.integers(2, 1000), max_attempts=positives
    ),
    m.LlmParked: st.builds(m.LlmParkedData, **_ATTEMPT, resume_at=_maybe(instants), parks=positives),
    m.LlmRateLimited: st.builds(m.LlmRateLimitedData, **_ATTEMPT, resume_at=_maybe(instants), parks=positives),
    m.LlmRecovered: st.builds(m.LlmRecoveredData, llm=texts, model=_maybe(texts), attempt=positives),
    m.LlmFailed: st.builds(m.LlmFailedData, **_ATTEMPT, status_code=_maybe(st.integers(100, 599))),
    m.WorkerClaimed: st.builds(m.WorkerClaimedData, worker=workers, token=counts),
    m.WorkerReleased: st.builds(m.WorkerReleasedData, worker=workers, why=texts),
    m.WorkerLost: st.builds(m.WorkerLostData, worker=_maybe(workers), losses=positives),
    m.SessionState: st.builds(
        m.SessionStateData,
        from_=_maybe(states),
        to=states,
        version=counts,
        parent=_maybe(sessions),
        name=_maybe(sessions),
        why=texts,
        by=_maybe(texts),
        reason=_maybe(reasons),
        wait=_maybe(waits),
        resume_at=_maybe(instants),
        worker=_maybe(workers),
        failure=_maybe(waits),
        model=_maybe(texts),
    ),
    m.ChildState: st.builds(
        m.Child,
        child=sessions,
        name=sessions,
        state=states,
        why=texts,
        reason=_maybe(reasons),
        wait=_maybe(waits),
        resume_at=_maybe(instants),
        worker=_maybe(workers),
        failure=_maybe(waits),
        model=_maybe(texts),
    ),
    m.UserMessage: st.builds(m.UserMessageData, text=texts, by=_maybe(texts)),
    m.AgentMessage: st.builds(
        m.AgentMessageData,
        text=texts,
        model=_maybe(texts),
        prompt_tokens=_maybe(counts),
        completion_tokens=_maybe(counts),
        read=_maybe(counts),
        cut=_maybe(texts),
    ),
    m.ToolCall: st.builds(m.ToolCallData, call_id=words, name=words, arguments=json_values, idempotent=st.booleans()),
    m.ToolResult: st.builds(
        m.ToolResultData,
        call_id=words,
        name=words,
        content=texts,
        is_error=st.booleans(),
        interrupted=st.booleans(),
    ),
    m.AgentError: st.builds(m.AgentErrorData, kind=texts, message=texts),
    m.ChildStart: st.builds(m.ChildStartData, name=sessions, text=words, child=_maybe(sessions)),
    m.ChildResult: st.builds(m.ChildResultData, **_RESULT, why=texts),
    m.HistoryCondensed: st.builds(m.HistoryCondensedData, text=words, through=positives, llm=_maybe(texts)),
    m.SessionStart: st.builds(m.StartData, **_ASKED, text=_maybe(words), parent=_maybe(sessions), name=_maybe(sessions)),
    m.SessionSay: st.builds(m.SayData, **_ASKED, text=words),
    m.SessionResume: st.builds(m.CommandData, **_ASKED),
    m.SessionPause: st.builds(m.CommandData, **_ASKED),
    m.SessionStop: st.builds(m.CommandData, **_ASKED),
    m.SessionDelete: st.builds(m.CommandData, **_ASKED),
    m.SessionReport: st.builds(m.ReportData, **_ASKED, **_RESULT),
}
"""What each type says, by its model."""

KNOWN: tuple[type[m.Message], ...] = (*m.NOTICES, *m.EVENTS, *m.COMMANDS)
TYPES = frozenset(str(model.model_fields["type"].default) for model in KNOWN)
UNKNOWN: Mapping[str, type[m.Message]] = {
    "status": m.UnknownNotice,
    "events": m.UnknownEvent,
    "commands": m.UnknownCommand,
}

_ENVELOPE: Mapping[str, SearchStrategy[Any]] = {
    "id": ids,
    "source": words,
    "subject": sessions,
    "time": instants,
    "traceparent": _maybe(texts),
}
unknown_types = words.filter(lambda kind: kind not in TYPES)


def of(model: type[m.Message]) -> SearchStrategy[Any]:
    """Messages of one type, as they are before they are stored."""
    return st.builds(model, **_ENVELOPE, data=DATA[model])


def unknown(plane: str) -> SearchStrategy[Any]:
    """Messages of one plane of a type that nobody knows."""
    return st.builds(UNKNOWN[plane], **_ENVELOPE, type=unknown_types, data=json_objects)
