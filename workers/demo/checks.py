"""The checks: the evidence held against itself. Pure; each returns what is wrong, one line each, nothing where all is well."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bus import (
    AgentMessage,
    Event,
    LlmFailed,
    LlmRateLimited,
    LlmRecovered,
    LlmRetry,
    Notice,
    SessionState,
    State,
    UserMessage,
    WorkerClaimed,
    WorkerLost,
    WorkerReleased,
)
from bus.messages import NOTICES
from workers.demo.cast import expected_answer
from workers.demo.evidence import Evidence, opening
from workers.provider import RequestRecord

_SHORTEST_TRACE = 8
"""Shorter texts of a notice ("yield") are words that anybody may say."""
_AT_REST = frozenset({State.AWAITING_INPUT, State.FINISHED, State.ERROR})
"""States in which nothing is under way: what was said before must have its answer."""


def check_records(evidence: Evidence) -> Iterator[str]:
    """Check that nothing is missing in what was recorded and heard, and that each request belongs to a session."""
    if len(evidence.requests) != evidence.received:
        yield f"the provider received {evidence.received} requests and kept {len(evidence.requests)}"
    known = evidence.openings()
    for request in evidence.requests:
        if opening(request) not in known:
            yield f"request {request.number} belongs to no session"
    for session, told in evidence.notices.items():
        offsets = [notice.offset for notice in told]
        if offsets != list(range(1, len(told) + 1)):
            yield f"{session}: not every notice was heard, in order and once"


def check_told(evidence: Evidence) -> Iterator[str]:
    """Check that every failure that the provider answered was told, once.

    A run that was cut (its worker killed, or its session taken away by a pause) may have been answered and not have come to
    telling it: at most one failure for each such run. A call that hung had no answer, so there is nothing to tell.
    """
    for text, sessions in evidence.openings().items():
        notices = [notice for session in sessions for notice in evidence.notices.get(session, ())]
        requests = [request for request in evidence.requests if opening(request) == text]
        failed = sum(request.status is not None and request.status >= 400 for request in requests)
        told = sum(map(_tells_failure, notices))
        who, cut = ", ".join(sessions), cut_runs(notices)
        if told > failed:
            yield f"{who}: {told} failures were told, the provider recorded {failed}"
        elif failed - told > cut:
            yield f"{who}: the provider recorded {failed} failures, {told} were told and {cut} runs were cut"


def check_cleared(evidence: Evidence) -> Iterator[str]:
    """Check that sessions that waited for a retry were told to have recovered, and have no wait left."""
    for session in evidence.said:
        notices = evidence.notices.get(session, ())
        waited = any(isinstance(notice, LlmRetry) for notice in notices)
        recovered = any(isinstance(notice, LlmRecovered) for notice in notices)
        given_up = any(isinstance(notice, LlmRateLimited | LlmFailed) for notice in notices)
        if waited and not (recovered or given_up or cut_runs(notices)):
            yield f"{session}: its retries were told, its recovery was not"


def check_histories(evidence: Evidence) -> Iterator[str]:
    """Check that each history is complete: no hole, nothing twice, and for everything said its answer, once."""
    for session, events in evidence.histories.items():
        offsets = [event.offset for event in events]
        if offsets != list(range(1, len(events) + 1)):
            yield f"{session}: the offsets of its history are not 1 to {len(events)} without a hole"
        if len({event.id for event in events}) != len(events):
            yield f"{session}: an event is in its history twice"
    for session, lines in evidence.said.items():
        events = evidence.histories.get(session, ())
        texts = [event.data.text for event in events if isinstance(event, UserMessage)]
        for line in lines:
            if texts.count(line) != 1:
                yield f"{session}: {line!r} is in its history {texts.count(line)} times"
        problems = _answers(events, lines, evidence.states.get(session) in _AT_REST)
        yield from (f"{session}: {problem}" for problem in problems)


def check_prompts(evidence: Evidence) -> Iterator[str]:
    """Check that every prompt was what its session's history was at some moment, and held nothing else."""
    known = evidence.openings()
    for request in evidence.requests:
        histories = [evidence.histories[session] for session in known.get(opening(request), ())]
        if histories and not any(_was_history(events, request) for events in histories):
            yield f"the prompt of request {request.number} is not what the history of its session was"


def check_notices_in_prompts(evidence: Evidence) -> Iterator[str]:
    """Look in every prompt for what only notices have: their ids, types, sources and texts.

    What a person or the model said themselves is not looked at: they may say what they like.
    """
    traces = sorted(_traces(notice for told in evidence.notices.values() for notice in told))
    known = evidence.openings()
    for request in evidence.requests:
        said = {_text(event) for session in known.get(opening(request), ()) for event in evidence.histories[session]}
        texts = [text for text in _strings(request.messages) if text not in said]
        for trace in traces:
            if any(trace in text for text in texts):
                yield f"the prompt of request {request.number} holds {trace!r}, which is of a notice"


def cut_runs(notices: Sequence[Notice]) -> int:
    """Return how many claims did not end by the worker's own doing, or were handed back in the middle."""
    claimed = sum(isinstance(notice, WorkerClaimed) for notice in notices)
    ended = sum(isinstance(notice, WorkerReleased) and notice.data.why != "hand_back" for notice in notices)
    return claimed - ended


def resumptions(notices: Sequence[Notice]) -> list[SessionState]:
    """Return the changes of state by which somebody brought a parked session back."""
    return [
        notice
        for notice in notices
        if isinstance(notice, SessionState)
        and (notice.data.from_, notice.data.to) == (State.RATE_LIMITED, State.QUEUED)
        and notice.data.by is not None
    ]


def taken_over(notices: Sequence[Notice], worker: str | None = None) -> int:
    """Return how often a session lost its worker and another took it up.

    Args:
        worker: only losses of this one.
    """
    count, lost = 0, ""
    for notice in notices:
        if isinstance(notice, WorkerLost):
            lost = notice.data.worker.name if notice.data.worker else ""
        elif isinstance(notice, WorkerClaimed) and lost:
            count += notice.data.worker.name != lost and worker in (None, lost)
            lost = ""
    return count


def _tells_failure(notice: Notice) -> bool:
    """Return whether a notice tells a failure that the provider answered."""
    if isinstance(notice, LlmRetry | LlmFailed):
        return notice.data.status_code is not None
    return isinstance(notice, LlmRateLimited)


def _answers(events: Sequence[Event], lines: Sequence[str], at_rest: bool) -> Iterator[str]:
    """Go through a conversation: each answer is to what was said before it, was known to it, and had none yet."""
    unanswered: list[UserMessage] = []
    for event in events:
        if isinstance(event, UserMessage):
            unanswered.append(event)
        elif isinstance(event, AgentMessage):
            answered, unanswered = _known(event, unanswered)
            yield from _answer(event, [line.data.text for line in answered], lines)
        else:
            yield f"{event.type} is in its history"
    if unanswered and at_rest:
        yield f"{unanswered[-1].data.text!r} has no answer"


def _answer(event: AgentMessage, answered: Sequence[str], lines: Sequence[str]) -> Iterator[str]:
    if not answered:
        yield f"{event.data.text!r} answers nothing, or for the second time"
    elif event.data.text != expected_answer(answered[-1]):
        yield f"{event.data.text!r} is not what the provider says to {answered[-1]!r}"
    elif sum(text in lines for text in answered) > 1:
        # The demo asks when the answer before is there; only guests are quicker.
        yield f"{event.data.text!r} is the only answer to {len(answered)} questions"


def _known(answer: AgentMessage, said: Sequence[UserMessage]) -> tuple[list[UserMessage], list[UserMessage]]:
    """Part what was said into what an answer knew of and what it did not."""
    limit = math.inf if answer.data.read is None else answer.data.read
    known = [message for message in said if (message.offset or 0) <= limit]
    return known, [message for message in said if message not in known]


def _conversation(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Write a history as a prompt, without the code that makes prompts: what an answer did not know of stands after it."""
    told: list[dict[str, Any]] = []
    later: list[UserMessage] = []
    for event in events:
        if isinstance(event, UserMessage):
            later.append(event)
        elif isinstance(event, AgentMessage):
            known, later = _known(event, later)
            told += [_user(message) for message in known]
            told.append({"role": "assistant", "content": event.data.text})
    return told + [_user(message) for message in later]


def _user(message: UserMessage) -> dict[str, Any]:
    return {"role": "user", "content": message.data.text}


def _was_history(events: Sequence[Event], request: RequestRecord) -> bool:
    """Return whether a prompt is what a history was at some moment."""
    spoken = [event for event in events if isinstance(event, UserMessage | AgentMessage)]
    return bool(request.messages) and _conversation(spoken[: len(request.messages)]) == request.messages


def _text(event: Event) -> str:
    return event.data.text if isinstance(event, UserMessage | AgentMessage) else ""


def _traces(notices: Iterable[Notice]) -> set[str]:
    """Return the texts by which a notice would be known."""
    traces = {str(model.model_fields["type"].default) for model in NOTICES}
    for notice in notices:
        traces |= {notice.id, notice.type, notice.source}
        traces |= set(_strings(notice.model_dump(mode="json")["data"]))
    return {trace for trace in traces if len(trace) >= _SHORTEST_TRACE}


def _strings(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
