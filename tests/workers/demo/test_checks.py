"""The checks find whatever is wrong in the evidence, and nothing in evidence that is as it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from bus import (
    AgentError,
    AgentErrorData,
    AgentMessage,
    AgentMessageData,
    Event,
    LlmFailed,
    LlmFailedData,
    LlmRecovered,
    Notice,
    Reason,
    State,
    UserMessage,
    UserMessageData,
    WorkerLost,
    WorkerLostData,
)
from tests.workers.demo.evidence_of import (
    LIMIT,
    ORPHAN,
    PARKED,
    claimed,
    evidence,
    history,
    orphan_notices,
    parked_notices,
    placed,
    prompt,
    released,
    requests,
    retry,
    state,
)
from workers.demo.cast import expected_answer, first_line, second_line
from workers.demo.checks import (
    check_cleared,
    check_histories,
    check_notices_in_prompts,
    check_prompts,
    check_records,
    check_told,
    cut_runs,
    resumptions,
    taken_over,
)
from workers.demo.evidence import Evidence
from workers.provider import RequestRecord

CHECKS = (check_records, check_told, check_cleared, check_histories, check_prompts, check_notices_in_prompts)

Check = Callable[[Evidence], Iterator[str]]

TRACES: dict[str, Callable[[Evidence], str]] = {
    "type": lambda _: "llm.retry",
    "id": lambda found: found.notices[ORPHAN][2].id,
    "source": lambda found: found.notices[ORPHAN][0].source,
    "message": lambda _: LIMIT,
    "why": lambda _: "worker-1 stopped renewing its lease",
    "reason": lambda _: "rate_limit",
}


def with_history(session: str, events: tuple[Event, ...], **changes: object) -> Evidence:
    """Return honest evidence with another history of one session."""
    return evidence(histories={**evidence().histories, session: events}, **changes)


def with_notices(session: str, notices: tuple[Notice, ...]) -> Evidence:
    """Return honest evidence in which other notices were heard of one session."""
    return evidence(notices={**evidence().notices, session: notices})


def with_request(index: int, request: RequestRecord) -> Evidence:
    """Return honest evidence with another request in one place."""
    records = list(requests())
    records[index] = request
    return evidence(requests=tuple(records))


@pytest.mark.parametrize("check", CHECKS)
def test_honest_evidence_passes(check: Check) -> None:
    """Nothing is found where nothing is wrong."""
    assert list(check(evidence())) == []


class TestHistories:
    @pytest.mark.parametrize("index", range(4))
    def test_a_missing_event_is_found(self, index: int) -> None:
        """Whichever event is not in the history, it is missed, also when the offsets hide it."""
        events = list(history(ORPHAN))
        del events[index]
        assert list(check_histories(with_history(ORPHAN, tuple(events)))) or index == 3
        assert list(check_histories(with_history(ORPHAN, placed(events))))

    @pytest.mark.parametrize("index", range(4))
    def test_a_doubled_event_is_found(self, index: int) -> None:
        """Whichever event is there twice, it is found, under its own id and under a new one."""
        events = list(history(ORPHAN))
        events.insert(index, events[index])
        assert list(check_histories(with_history(ORPHAN, placed(events))))
        events[index] = events[index].model_copy(update={"id": "another"})
        assert list(check_histories(with_history(ORPHAN, placed(events))))

    def test_a_missing_answer_is_named(self) -> None:
        """The line that has no answer is quoted."""
        problems = list(check_histories(with_history(ORPHAN, history(ORPHAN)[:-1])))
        assert problems == [f"{ORPHAN}: {second_line(ORPHAN)!r} has no answer"]

    def test_an_answer_may_be_missing_while_something_is_under_way(self) -> None:
        """A session that a person has paused has time to answer."""
        states = {PARKED: State.AWAITING_INPUT, ORPHAN: State.PAUSED}
        assert list(check_histories(with_history(ORPHAN, history(ORPHAN)[:-1], states=states))) == []

    def test_an_answer_of_another_line_is_found(self) -> None:
        """The answer must be what the provider says to that line."""
        wrong = AgentMessage(subject=ORPHAN, data=AgentMessageData(text="It rains."))
        problems = list(check_histories(with_history(ORPHAN, placed([*history(ORPHAN)[:3], wrong]))))
        assert any("'It rains.' is not what the provider says to" in problem for problem in problems)

    def test_what_is_said_during_an_answer_is_answered_after_it(self) -> None:
        """A line that lands between a line and its answer is no disorder."""
        extra = UserMessage(subject=ORPHAN, data=UserMessageData(text="Hurry!", by="alice"))
        answer = AgentMessage(subject=ORPHAN, data=AgentMessageData(text=expected_answer("Hurry!"), read=3))
        first, *rest = history(ORPHAN)[:2]
        found = with_history(ORPHAN, placed([first, extra, *rest, answer]), said={ORPHAN: (first_line(ORPHAN),)})
        assert list(check_histories(found)) == []
        asked = [*prompt(ORPHAN, 2), {"role": "user", "content": "Hurry!"}]
        assert list(check_prompts(replace(found, requests=(replace(requests()[6], messages=asked),)))) == []

    def test_an_answer_to_nothing_is_found(self) -> None:
        """Two answers to one line are one too many."""
        again = AgentMessage(subject=ORPHAN, data=AgentMessageData(text=expected_answer(second_line(ORPHAN)), read=4))
        problems = list(check_histories(with_history(ORPHAN, placed([*history(ORPHAN), again]))))
        assert len(problems) == 1
        assert "answers nothing" in problems[0]

    def test_an_error_of_the_agent_is_found(self) -> None:
        """Nothing but lines and answers belongs there."""
        failed = AgentError(subject=ORPHAN, data=AgentErrorData(kind="ValueError"))
        problems = list(check_histories(with_history(ORPHAN, placed([*history(ORPHAN), failed]))))
        assert problems == [f"{ORPHAN}: agent.error is in its history"]

    def test_sessions_of_guests_need_no_holes_either(self) -> None:
        """A session that the demo did not begin is looked at for holes and doubles."""
        found = evidence(histories={**evidence().histories, "guest": history("guest")[1:]})
        assert len(list(check_histories(found))) == 1


class TestTold:
    def test_a_failure_that_was_not_told_is_found(self) -> None:
        """A refusal that the provider recorded and nobody told is missed."""
        notices = tuple(notice for notice in parked_notices() if notice.type != "llm.rate_limited")
        problems = list(check_told(with_notices(PARKED, placed(notices))))
        assert problems == [f"{PARKED}: the provider recorded 1 failures, 0 were told and 0 runs were cut"]

    def test_a_failure_told_twice_is_found(self) -> None:
        """There is one notice for one failure."""
        problems = list(check_told(with_notices(ORPHAN, placed([*orphan_notices(), retry(ORPHAN)]))))
        assert problems == [f"{ORPHAN}: 2 failures were told, the provider recorded 1"]

    def test_the_killed_worker_may_have_taken_one_failure_with_it(self) -> None:
        """A run that was cut accounts for one failure that nobody told, and not for two."""
        refused = requests()[1]
        once, twice = (refused,), (refused, replace(refused, number=9))
        assert list(check_told(evidence(requests=(*requests(), *once)))) == []
        assert len(list(check_told(evidence(requests=(*requests(), *twice))))) == 1

    def test_an_answer_that_never_came_is_no_failure_to_tell(self) -> None:
        """A time-out that the worker told by itself is not held against what the provider answered."""
        assert list(check_told(with_notices(ORPHAN, placed([*orphan_notices(), retry(ORPHAN, None)])))) == []

    def test_a_final_failure_counts_as_told(self) -> None:
        """A failure that is not retried is told by llm.failed."""
        data = LlmFailedData(reason=Reason.AUTH, attempt=1, max_attempts=6, status_code=401)
        failed = LlmFailed(subject=PARKED, data=data)
        unauthorized = replace(requests()[0], number=9, status=401)
        assert list(check_told(evidence(requests=(*requests(), unauthorized)))) != []
        told = {**evidence().notices, PARKED: placed([*parked_notices(), failed])}
        assert list(check_told(evidence(requests=(*requests(), unauthorized), notices=told))) == []


class TestRecords:
    def test_a_request_that_was_not_kept_is_missed(self) -> None:
        """The provider counts what it received beside what it keeps."""
        assert len(list(check_records(evidence(requests=requests()[1:])))) == 1

    def test_a_request_of_no_session_is_found(self) -> None:
        """Who asked must be known by the first words."""
        problems = list(check_records(with_request(2, replace(requests()[2], messages=[{"role": "system", "content": "?"}]))))
        assert problems == ["request 3 belongs to no session"]

    @pytest.mark.parametrize("index", range(10))
    def test_a_notice_that_was_not_heard_is_missed(self, index: int) -> None:
        """A hole in what was heard is found by the offsets."""
        notices = list(orphan_notices())
        del notices[index]
        assert len(list(check_records(with_notices(ORPHAN, tuple(notices))))) == 1


class TestCleared:
    def test_a_recovery_that_was_not_told_is_missed(self) -> None:
        """A wait that was told must be told to be over."""
        told = placed([claimed(PARKED, "worker-2"), retry(PARKED), released(PARKED, "worker-2", "yield")])
        assert len(list(check_cleared(with_notices(PARKED, told)))) == 1

    def test_a_run_that_was_cut_has_nothing_to_clear(self) -> None:
        """The killed worker cannot tell that its wait is over."""
        told = placed([notice for notice in orphan_notices() if not isinstance(notice, LlmRecovered)])
        assert list(check_cleared(with_notices(ORPHAN, told))) == []


class TestPrompts:
    def test_a_prompt_with_something_added_is_found(self) -> None:
        """A prompt is what the history was, and nothing besides."""
        more = [*prompt(ORPHAN, 3), {"role": "system", "content": "You were interrupted."}]
        problems = list(check_prompts(with_request(6, replace(requests()[6], messages=more))))
        assert problems == ["the prompt of request 7 is not what the history of its session was"]

    def test_a_prompt_with_something_left_out_is_found(self) -> None:
        """A turn that forgets what was said before is no replay."""
        less = [prompt(ORPHAN, 3)[0], prompt(ORPHAN, 3)[2]]
        assert len(list(check_prompts(with_request(6, replace(requests()[6], messages=less))))) == 1


class TestNoticesInPrompts:
    @pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES)
    def test_a_trace_of_a_notice_is_found(self, trace: Callable[[Evidence], str]) -> None:
        """Whatever only a notice has is found wherever it stands in a prompt."""
        honest = evidence()
        planted = {"role": "user", "content": f"({trace(honest)})"}
        record = replace(requests()[6], messages=[*prompt(ORPHAN, 3), planted])
        problems = list(check_notices_in_prompts(replace(honest, requests=(*requests()[:6], record))))
        assert problems
        assert all(problem.startswith("the prompt of request 7 holds") for problem in problems)

    def test_a_trace_hidden_in_another_part_of_a_message_is_found(self) -> None:
        """Tool calls, names and keys are looked at too."""
        hidden = {"role": "assistant", "content": None, "tool_calls": [{"function": {"arguments": f"x {LIMIT}"}}]}
        record = replace(requests()[6], messages=[*prompt(ORPHAN, 2), hidden])
        assert list(check_notices_in_prompts(with_request(6, record)))

    def test_a_person_may_speak_of_notices(self) -> None:
        """What was said in the session is no notice, whatever it says."""
        line = "What does llm.rate_limited mean?"
        events = placed(
            [
                UserMessage(subject="guest", data=UserMessageData(text=line, by="alice")),
                AgentMessage(subject="guest", data=AgentMessageData(text=expected_answer(line))),
            ]
        )
        asked = replace(requests()[2], number=8, messages=[{"role": "user", "content": line}])
        found = evidence(requests=(*requests(), asked), histories={**evidence().histories, "guest": events})
        assert list(check_notices_in_prompts(found)) == []
        assert list(check_prompts(found)) == []


class TestCounts:
    def test_runs_that_were_cut_are_counted(self) -> None:
        """A claim without a release was cut, and so was one handed back."""
        assert cut_runs(parked_notices()) == 0
        assert cut_runs(orphan_notices()) == 1
        assert cut_runs([claimed("s", "w"), released("s", "w", "hand_back")]) == 1

    def test_a_resumption_is_somebody_bringing_a_parked_session_back(self) -> None:
        """A lost worker, a time that has come and a nudge are none."""
        assert [notice.data.by for notice in resumptions(parked_notices())] == ["alice"]
        assert resumptions([state("s", State.QUEUED, "the wait is over", State.RATE_LIMITED)]) == []
        assert resumptions([state("s", State.RUNNING, "resumed by alice", State.RATE_LIMITED, by="alice")]) == []
        assert resumptions([state("s", State.QUEUED, "resumed by alice", State.PAUSED, by="alice")]) == []

    def test_a_session_is_taken_over_by_another_worker(self) -> None:
        """The same worker coming back is no take-over; neither is a loss of which nobody knows whose."""
        assert taken_over(orphan_notices()) == taken_over(orphan_notices(), "worker-1") == 1
        assert taken_over(orphan_notices(), "worker-2") == 0
        back = [notice for notice in orphan_notices() if notice.source != "worker/worker-2"]
        assert taken_over([*back, claimed(ORPHAN, "worker-1")]) == 0
        assert taken_over([WorkerLost(subject="s", data=WorkerLostData()), claimed("s", "w")]) == 0

    def test_nobody_begins_alike(self) -> None:
        """The first words of a session are its own, so a prompt tells whose it is."""
        assert evidence().openings() == {first_line(PARKED): [PARKED], first_line(ORPHAN): [ORPHAN]}
