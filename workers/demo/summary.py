"""The summary: what the provider recorded, what was told and what the histories hold, and whether these agree. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, computed_field

from tidings.bus import (
    AgentMessage,
    Event,
    LlmFailed,
    LlmRateLimited,
    LlmRetry,
    Message,
    Notice,
    SessionState,
    State,
    UserMessage,
    WorkerClaimed,
    WorkerLost,
    WorkerReleased,
    carries,
)
from tidings.bus.messages import TYPES
from tidings.workers.demo.scenario import expected_answer
from tidings.workers.provider import RequestRecord

_SHORTEST_TRACE = 8
"""Shorter texts of a notice ("yield") are words that a person may say."""
_AT_REST = frozenset({State.AWAITING_INPUT, State.FINISHED, State.ERROR})
"""States in which nothing is under way: what was said before must have its answer."""


@dataclass(frozen=True, slots=True)
class Recording:
    """All that the summary rests on, each from a source of its own.

    Attributes:
        requests: what the provider recorded.
        notices: what was told, by session, in the order told.
        histories: the events of every session.
        states: the state of every session at the end.
        said: what the demo said in its sessions, in order.
        killed: the worker that was killed; '': none was.
    """

    requests: Sequence[RequestRecord] = ()
    notices: Mapping[str, Sequence[Message[Notice]]] = field(default_factory=dict)
    histories: Mapping[str, Sequence[Message[Event]]] = field(default_factory=dict)
    states: Mapping[str, State | None] = field(default_factory=dict)
    said: Mapping[str, Sequence[str]] = field(default_factory=dict)
    killed: str = ""


class Summary(BaseModel):
    """What the demo showed; as JSON it is one object with these fields.

    Attributes:
        duration_s: from the beginning to the end, in seconds.
        sessions: sessions that the demo spoke in.
        calls: requests that the provider received.
        refused: of those, answered with 429.
        retries_told: failures told with a wait before the next attempt.
        parked: times that a session was parked.
        resumed: times that a parked one was resumed by a person or the demo.
        taken_over: times that another worker took a session over from one that was lost.
        answers: answers in the histories of these sessions.
        history_complete: whether every history is without holes and doubles and has its answers.
        notices_in_prompts: traces of notices in the prompts that the provider received.
        problems: what is wrong, one line each; nothing where all is true.
    """

    model_config = ConfigDict(frozen=True)

    duration_s: float
    sessions: int
    calls: int
    refused: int
    retries_told: int
    parked: int
    resumed: int
    taken_over: int
    answers: int
    history_complete: bool
    notices_in_prompts: int
    problems: tuple[str, ...]

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documented way
    @property
    def ok(self) -> bool:
        """Whether all of it is true."""
        return not self.problems

    @classmethod
    def of(cls, recording: Recording, duration_s: float, failures: Sequence[str] = ()) -> Self:
        """Return what the recording says.

        Args:
            duration_s: how long it took, in seconds.
            failures: what went wrong while the recording was made.
        """
        told = [notice for notices in recording.notices.values() for notice in notices]
        histories = [problem for session in recording.histories for problem in _wrong_history(recording, session)]
        found, strange = _not_said(recording)
        counts = {
            "refused": sum(request.status == 429 for request in recording.requests),
            "retries_told": sum(isinstance(notice.data, LlmRetry) for notice in told),
            "parked": sum(isinstance(notice.data, LlmRateLimited) for notice in told),
            "resumed": len(resumptions(told)),
            "taken_over": sum(_taken_over(notices) for notices in recording.notices.values()),
        }
        never = [f"{name.replace('_', ' ')}: it never happened" for name, count in counts.items() if not count]
        problems = [*failures, *never, *_untold(recording), *histories, *found, *strange]
        if not any(_taken_over(notices, recording.killed) for notices in recording.notices.values()):
            problems.append("no session of a killed worker went on elsewhere")
        return cls(
            duration_s=round(duration_s, 1),
            sessions=len(recording.said),
            calls=len(recording.requests),
            answers=sum(
                isinstance(event.data, AgentMessage) for name in recording.said for event in recording.histories.get(name, ())
            ),
            history_complete=bool(recording.said) and not histories,
            notices_in_prompts=len(found),
            problems=tuple(problems),
            **counts,
        )

    def lines(self) -> Iterator[str]:
        """Yield it as people read it."""
        complete = f"yes   {self.sessions} sessions, {self.answers} answers, no hole, nothing twice"
        for name, value in {
            "calls": f"{self.calls:3}   as the provider counted them",
            "refused": f"{self.refused:3}   by its own record",
            "retries told": f"{self.retries_told:3}   on status.*",
            "parked": f"{self.parked:3}",
            "resumed": f"{self.resumed:3}",
            "taken over": f"{self.taken_over:3}",
            "history complete": complete if self.history_complete else " no",
            "notices found in prompts": f"{self.notices_in_prompts:3}",
        }.items():
            yield f"  {name:<26}{value}"
        yield from (f"  not true: {problem}" for problem in self.problems)
        verdict = "all of it is true" if self.ok else "not all of it is true"
        yield f"{verdict}; it took {self.duration_s:.1f} s"


def resumptions(told: Iterable[Message[Notice]]) -> list[Message[SessionState]]:
    """Return the changes of state by which a parked session was brought back on purpose."""
    return [
        notice
        for notice in told
        if carries(notice, SessionState)
        and (notice.data.from_, notice.data.to) == (State.RATE_LIMITED, State.QUEUED)
        and notice.data.by is not None
    ]


def _taken_over(notices: Sequence[Message[Notice]], worker: str | None = None) -> int:
    """Return how often a session lost its worker, or this one, and another took it up."""
    count, lost = 0, ""
    for notice in notices:
        if isinstance(notice.data, WorkerLost):
            lost = notice.data.worker.name if notice.data.worker else ""
        elif isinstance(notice.data, WorkerClaimed) and lost:
            count += notice.data.worker.name != lost and worker in (None, lost)
            lost = ""
    return count


def _untold(recording: Recording) -> Iterator[str]:
    """Compare the failures that the provider answered with those that were told: each once.

    A turn that was cut (its worker killed, or its session taken away by a pause) may have been answered without
    a notice of it: at most one failure for each such turn. A call that hung had no answer, so there is nothing to tell.
    """
    notices = [notice for told in recording.notices.values() for notice in told]
    failed = sum(request.status is not None and request.status >= 400 for request in recording.requests)
    told = sum(
        isinstance(notice.data, LlmRateLimited)
        or (isinstance(notice.data, LlmRetry | LlmFailed) and notice.data.status_code is not None)
        for notice in notices
    )
    claimed = sum(isinstance(notice.data, WorkerClaimed) for notice in notices)
    cut = claimed - sum(isinstance(notice.data, WorkerReleased) and notice.data.why != "hand_back" for notice in notices)
    if not told <= failed <= told + cut:
        yield f"the provider recorded {failed} failures, {told} were told and {cut} turns were cut"


def _wrong_history(recording: Recording, session: str) -> Iterator[str]:
    """Say what is wrong with a history: a hole, something twice, a line of ours without its answer, an answer to nothing."""
    events = recording.histories[session]
    if [event.offset for event in events] != list(range(1, len(events) + 1)):
        yield f"{session}: the offsets of its history are not 1 to {len(events)} without a hole"
    if len({event.id for event in events}) != len(events):
        yield f"{session}: an event is in its history twice"
    asked = [event for event in events if carries(event, UserMessage)]
    unanswered = list(asked)
    for event in events:
        if carries(event, AgentMessage):
            # What was said after an answer had read the history is for the next one.
            known = [line for line in unanswered if (line.offset or 0) <= (event.data.read or event.offset or 0)]
            unanswered = [line for line in unanswered if line not in known]
            if not known or event.data.text != expected_answer(known[-1].data.text):
                yield f"{session}: {event.data.text!r} is not the answer to what was said before"
        elif not isinstance(event.data, UserMessage):
            yield f"{session}: {event.type} is in its history"
    texts, lines = [line.data.text for line in asked], recording.said.get(session, ())
    yield from (f"{session}: {line!r} is in its history {texts.count(line)} times" for line in lines if texts.count(line) != 1)
    if unanswered and recording.states.get(session) in _AT_REST:
        yield f"{session}: {unanswered[-1].data.text!r} has no answer"
    elif texts == list(lines) and len(asked) * 2 - len(unanswered) != len(events):
        # The demo asks when the answer before is there; only guests are quicker.
        yield f"{session}: {len(asked)} questions have {len(events) - len(asked)} answers"


def _not_said(recording: Recording) -> tuple[list[str], list[str]]:
    """Look in every prompt for what was not said: what only notices have (ids, types, sources, texts), and anything else."""
    traces = sorted(_traces(notice for told in recording.notices.values() for notice in told))
    spoken = {_text(event) for events in recording.histories.values() for event in events}
    notices, strange = [], []
    for request in recording.requests:
        for text in {text for text in _strings(request.messages) if text not in spoken}:
            held = [trace for trace in traces if trace in text]
            notices += [f"the prompt of request {request.number} holds {trace!r}, which is of a notice" for trace in held]
            if not held and text not in ("role", "content", "user", "assistant"):
                strange.append(f"the prompt of request {request.number} holds {text!r}, which is in no history")
    return notices, strange


def _traces(notices: Iterable[Message[Notice]]) -> set[str]:
    """Return the texts by which a notice would be known."""
    traces = {type for type, said in TYPES.items() if issubclass(said, Notice)}
    for notice in notices:
        traces |= {notice.id, notice.type, notice.source, *_strings(notice.model_dump(mode="json")["data"])}
    return {trace for trace in traces if len(trace) >= _SHORTEST_TRACE}


def _text(event: Message[Event]) -> str:
    return event.data.text if isinstance(event.data, UserMessage | AgentMessage) else ""


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
