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
_PROGRESS: Mapping[str, SearchStrategy[Any]] = {"doing": words, "done": _maybe(counts), "total": _maybe(counts)}
progress = st.builds(m.Progress, **_PROGRESS)
pictures = st.builds(m.Picture, model=_maybe(texts), waits=st.dictionaries(texts, waits, max_size=3), progress=_maybe(progress))

_LABELS = st.dictionaries(sessions, texts, max_size=3)
_WANTED: Mapping[str, SearchStrategy[Any]] = {
    "queue": _maybe(sessions),
    "agent": _maybe(sessions),
    "model": _maybe(words),
    "priority": _maybe(st.sampled_from(m.Priority)),
    "tenant": _maybe(sessions),
    "labels": _maybe(_LABELS),
}
works = st.builds(
    m.Work,
    queue=sessions,
    agent=_maybe(sessions),
    model=_maybe(words),
    priority=st.sampled_from(m.Priority),
    tenant=_maybe(sessions),
    labels=_LABELS,
)


DATA: Mapping[type[m.Body], SearchStrategy[Any]] = {
    m.LlmRetry: st.builds(m.LlmRetry, **_WAIT, status_code=_maybe(st.integers(100, 599)), retry_after_s=_maybe(seconds)),
    m.LlmAttempt: st.builds(
        m.LlmAttempt, llm=texts, model=_maybe(texts), reason=reasons, attempt=st.integers(2, 1000), max_attempts=positives
    ),
    m.LlmParked: st.builds(m.LlmParked, **_ATTEMPT, resume_at=_maybe(instants), parks=positives),
    m.LlmRateLimited: st.builds(m.LlmRateLimited, **_ATTEMPT, resume_at=_maybe(instants), parks=positives),
    m.LlmRecovered: st.builds(m.LlmRecovered, llm=texts, model=_maybe(texts), attempt=positives),
    m.LlmFailed: st.builds(m.LlmFailed, **_ATTEMPT, status_code=_maybe(st.integers(100, 599))),
    m.AgentProgress: st.builds(m.AgentProgress, **_PROGRESS),
    m.WorkerClaimed: st.builds(m.WorkerClaimed, worker=workers, token=counts),
    m.WorkerReleased: st.builds(m.WorkerReleased, worker=workers, why=texts),
    m.WorkerLost: st.builds(m.WorkerLost, worker=_maybe(workers), losses=positives),
    m.SessionState: st.builds(
        m.SessionState,
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
        work=_maybe(works),
        model=_maybe(texts),
        progress=_maybe(progress),
    ),
    m.ChildState: st.builds(
        m.ChildState,
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
    m.UserMessage: st.builds(m.UserMessage, text=texts, by=_maybe(texts)),
    m.AgentMessage: st.builds(
        m.AgentMessage,
        text=texts,
        model=_maybe(texts),
        prompt_tokens=_maybe(counts),
        completion_tokens=_maybe(counts),
        read=_maybe(counts),
        cut=_maybe(texts),
    ),
    m.ToolCall: st.builds(m.ToolCall, call_id=words, name=words, arguments=json_values, idempotent=st.booleans()),
    m.ToolResult: st.builds(
        m.ToolResult,
        call_id=words,
        name=words,
        content=texts,
        is_error=st.booleans(),
        interrupted=st.booleans(),
    ),
    m.AgentError: st.builds(m.AgentError, kind=texts, message=texts),
    m.ChildStart: st.builds(m.ChildStart, **_WANTED, name=sessions, text=words, child=_maybe(sessions)),
    m.ChildResult: st.builds(m.ChildResult, **_RESULT, why=texts),
    m.HistoryCondensed: st.builds(m.HistoryCondensed, text=words, through=positives, llm=_maybe(texts)),
    m.SessionStart: st.builds(
        m.SessionStart, **_ASKED, **_WANTED, text=_maybe(words), parent=_maybe(sessions), name=_maybe(sessions)
    ),
    m.SessionSay: st.builds(m.SessionSay, **_ASKED, text=words),
    m.SessionResume: st.builds(m.SessionResume, **_ASKED, **_WANTED),
    m.SessionChange: st.builds(m.SessionChange, **_ASKED, **_WANTED),
    m.SessionPause: st.builds(m.SessionPause, **_ASKED),
    m.SessionStop: st.builds(m.SessionStop, **_ASKED),
    m.SessionDelete: st.builds(m.SessionDelete, **_ASKED),
    m.SessionReport: st.builds(m.SessionReport, **_ASKED, **_RESULT),
}
"""What each type says, by its model."""

KNOWN: tuple[type[m.Body], ...] = tuple(DATA)
NOTICES, EVENTS, COMMANDS = (tuple(kind for kind in KNOWN if issubclass(kind, plane)) for plane in (m.Notice, m.Event, m.Command))
TYPES = frozenset(kind.type for kind in KNOWN)
PLANES = ("status", "events", "commands")

_ENVELOPE: Mapping[str, SearchStrategy[Any]] = {
    "id": ids,
    "source": words,
    "session": sessions,
    "time": instants,
    "traceparent": _maybe(texts),
}
unknown_types = words.filter(lambda kind: kind not in TYPES)


def of(kind: type[m.Body]) -> SearchStrategy[Any]:
    """Messages of one type, as they are before they are stored."""
    return st.builds(m.Message.of, DATA[kind], **_ENVELOPE)


def unknown(plane: str) -> SearchStrategy[Any]:
    """Messages of one plane of a type that no process knows."""
    return st.builds(m.Message.unknown, st.just(plane), unknown_types, json_objects, **_ENVELOPE)
