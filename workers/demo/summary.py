"""The summary: what was counted, and whether all of it is true."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, computed_field

from bus import AgentMessage, LlmRateLimited, LlmRetry, Notice
from workers.demo import checks
from workers.demo.evidence import Evidence


class Summary(BaseModel):
    """What the demo showed; as JSON it is one object with these fields.

    Attributes:
        duration_s: from the beginning to the end, in seconds.
        sessions: sessions that the demo spoke in.
        calls: requests that the provider received.
        refused: of those, answered with 429.
        retries_told: failures told with a wait before the next attempt.
        parked: times that a session was parked.
        resumed: times that somebody brought a parked one back.
        taken_over: times that another worker took a session up whose own was lost.
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
    def of(cls, evidence: Evidence, duration_s: float, failures: Sequence[str] = ()) -> Self:
        """Return what the evidence says.

        Args:
            duration_s: how long it took, in seconds.
            failures: what went wrong while the evidence was made.
        """
        told = [notice for notices in evidence.notices.values() for notice in notices]
        histories, found = list(checks.check_histories(evidence)), list(checks.check_notices_in_prompts(evidence))
        problems = [*failures, *histories, *found, *_never_happened(evidence)]
        for check in (checks.check_records, checks.check_told, checks.check_cleared, checks.check_prompts):
            problems += check(evidence)
        return cls(
            duration_s=round(duration_s, 1),
            sessions=len(evidence.said),
            calls=evidence.received,
            refused=sum(request.status == 429 for request in evidence.requests),
            retries_told=_count(told, LlmRetry),
            parked=_count(told, LlmRateLimited),
            resumed=len(checks.resumptions(told)),
            taken_over=sum(map(checks.taken_over, evidence.notices.values())),
            answers=_answers(evidence),
            history_complete=bool(evidence.said) and not histories,
            notices_in_prompts=len(found),
            problems=tuple(problems),
        )

    def line(self) -> str:
        """Return it as one JSON object on one line."""
        return self.model_dump_json()

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


def _never_happened(evidence: Evidence) -> Iterator[str]:
    """Yield what the demo is there to show and did not."""
    told = [notice for notices in evidence.notices.values() for notice in notices]
    if not any(request.outcome == "refused" for request in evidence.requests):
        yield "the provider's limit was never hit"
    if not _count(told, LlmRetry):
        yield "no retry was told"
    if not _count(told, LlmRateLimited):
        yield "no session was parked"
    if not checks.resumptions(told):
        yield "no parked session was resumed"
    if not any(checks.taken_over(notices, evidence.killed) for notices in evidence.notices.values() if evidence.killed):
        yield "no session of a killed worker went on elsewhere"


def _count(told: Sequence[Notice], kind: type[Notice]) -> int:
    return sum(isinstance(notice, kind) for notice in told)


def _answers(evidence: Evidence) -> int:
    events = (event for session in evidence.said for event in evidence.histories.get(session, ()))
    return sum(isinstance(event, AgentMessage) for event in events)
