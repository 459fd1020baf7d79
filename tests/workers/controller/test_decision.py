"""What a controller decides about one session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tidings.bus import (
    AgentProgress,
    ChildResult,
    Command,
    Decision,
    LlmAttempt,
    LlmRecovered,
    LlmRetry,
    Message,
    Notice,
    Outcome,
    Picture,
    Progress,
    Reason,
    Record,
    Result,
    SessionDelete,
    SessionPause,
    SessionReport,
    SessionResume,
    SessionSay,
    SessionStart,
    SessionStop,
    Snapshot,
    State,
    Trigger,
    UserMessage,
    Wait,
    WorkerLost,
    WorkerRef,
)
from tidings.bus.controller import Parent
from tidings.bus.records import instant
from tidings.bus.states import FINAL, HELD, legal_commands, next_state
from tidings.bus.worker.lease import TAKEN_UP
from tidings.workers.controller.decision import Rules, decide

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SOON, PAST = NOW + timedelta(seconds=5), NOW - timedelta(seconds=5)
WORKER = WorkerRef(name="w1", host="here", pid=7)
RULES = Rules("controller/c1", again_s=1.0, loss_limit=3)
LIMIT = Wait(model="openai/x", reason=Reason.RATE_LIMIT, attempt=1, max_attempts=6, wait_s=4, retry_at=SOON)
TROUBLE = Wait(model="openai/x", reason=Reason.OVERLOADED, attempt=2, max_attempts=6, wait_s=1, retry_at=SOON)

TRIGGERS = {
    "session.start": {Trigger.START},
    "session.say": {Trigger.SAY},
    "session.resume": {Trigger.RESUME, Trigger.NUDGE, Trigger.REST},
    "session.pause": {Trigger.PAUSE},
    "session.stop": {Trigger.STOP},
    "session.delete": {Trigger.DELETE},
    "session.report": {Trigger.REPORT},
}
FOUND = {Trigger.LOSE, Trigger.ABANDON, Trigger.WAKE, Trigger.LIMITED, Trigger.TROUBLED, Trigger.RECOVER}
ASKS: dict[str, tuple[type[Command], dict[str, Any]]] = {
    "start": (SessionStart, {"text": "hello"}),
    "say": (SessionSay, {"text": "go on"}),
    "resume": (SessionResume, {}),
    "pause": (SessionPause, {}),
    "stop": (SessionStop, {}),
    "delete": (SessionDelete, {}),
    "report": (SessionReport, {"child": "c", "name": "helper", "state": "finished", "text": "done"}),
}


def ask(verb: str, offset: int = 1, **data: Any) -> Message[Command]:
    """A command as it stands in the log."""
    model, given_data = ASKS[verb]
    fields = {"by": "ann"} | given_data | data
    return Message.of(model.model_validate(fields), session="s", id=f"c{offset}", offset=offset)


def record(state: State | None, **fields: Any) -> Record:
    """A record in a state."""
    return Record("s", state, "e", version=4 if state else 0, **fields)


def held(state: State = State.RUNNING, wait: Wait | None = None, until: datetime = SOON, **fields: Any) -> Record:
    """A record of a session that a worker holds."""
    picture = Picture(model="openai/x", waits={wait.llm: wait} if wait else {})
    return record(state, worker=WORKER, lease_until=until, picture=picture, **{"pending": True} | fields)


def parked(resume_at: datetime | None, **fields: Any) -> Record:
    """A record of a session that waits out a limit without a worker."""
    picture = Picture(waits={LIMIT.llm: LIMIT})
    return record(State.RATE_LIMITED, resume_at=resume_at, picture=picture, reason=Reason.RATE_LIMIT, pending=True, **fields)


def seen(
    found: Record,
    *commands: Message[Command],
    resolved: frozenset[str] = frozenset(),
    more: bool = False,
    parents: Mapping[str, State] | None = None,
) -> Snapshot:
    """What a controller reads."""
    known = {name: Parent(state) for name, state in (parents or {}).items()}
    return Snapshot(found, commands, resolved, NOW, more, parents=known)


def outcomes(decision: Decision) -> list[Outcome]:
    """The outcomes of a decision without their expiries."""
    return [outcome for outcome, _ in decision.outcomes]


def after(found: Record, decision: Decision) -> Record:
    """The record once a decision is written, as ``decide.lua`` writes it."""
    fields = decision.fields
    changes: dict[str, Any] = {"handled": decision.handled}
    if decision.to is not None:
        changes |= {"state": decision.to, "version": found.version + 1}
    if fields.get("worker") == "":
        resume_at = instant(int(fields["resume_at"])) if fields["resume_at"] else None
        changes |= {"worker": None, "lease_until": None, "resume_at": resume_at}
    if "picture" in fields:
        changes["picture"] = Picture.model_validate_json(fields["picture"])
    if "reason" in fields:
        changes["reason"] = Reason(fields["reason"]) if fields["reason"] else None
    if "paused_by" in fields:
        changes["paused_by"] = fields["paused_by"] or None
    changes |= {name: int(fields[name]) for name in ("nudge", "losses", "failures") if name in fields}
    if "pending" in fields:
        changes["pending"] = fields["pending"] == "1"
    changes |= {name: fields[name] for name in ("why", "parent", "name", "shown") if name in fields}
    return replace(found, **changes)


# every decision

waits = st.sampled_from([None, LIMIT, TROUBLE, LIMIT.model_copy(update={"attempt": 3})])
instants = st.sampled_from([PAST, NOW, SOON])
counts = st.integers(min_value=0, max_value=4)
reasons = st.sampled_from([None, Reason.RATE_LIMIT, Reason.OVERLOADED])


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Records as the scripts leave them."""
    state = draw(st.none() | st.sampled_from(State))
    kin: dict[str, Any] = draw(st.sampled_from([{}, {"parent": "p", "name": "helper", "shown": "x"}, {"children": 2}]))
    counters: dict[str, Any] = kin | {
        "losses": draw(counts),
        "failures": draw(counts),
        "nudge": draw(counts),
        "handled": draw(counts),
    }
    if state is None:
        return record(None)
    if state is State.RATE_LIMITED and draw(st.booleans()):
        return parked(draw(st.none() | instants), **counters)
    if state in HELD:
        return held(state, draw(waits), draw(instants), reason=draw(reasons), **counters)
    pending = draw(st.booleans()) or state is State.QUEUED
    return record(state, pending=pending, paused_by="bob" if state is State.PAUSED else None, **counters)


def commands(offset: int) -> SearchStrategy[Message[Command]]:
    """Commands as they may stand at an offset, one of an unknown type among them."""
    expiry = st.none() | instants
    known = st.builds(lambda verb, expires_at: ask(verb, offset, expires_at=expires_at), st.sampled_from(sorted(ASKS)), expiry)
    child = st.builds(lambda parent: ask("start", offset, parent=parent, name="helper"), st.sampled_from(["p", "over", "nobody"]))
    return known | child | st.just(Message.unknown("commands", "session.dance", id=f"c{offset}", session="s", offset=offset))


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """A record with commands that wait, some of them withdrawn."""
    found = draw(records())
    waiting = [draw(commands(found.handled + index)) for index in range(1, draw(st.integers(0, 5)) + 1)]
    settled = frozenset(command.id for command in waiting if draw(st.booleans()) and draw(st.booleans()))
    parents = {"p": Parent(State.RUNNING), "over": Parent(State.STOPPED)}
    return Snapshot(found, tuple(waiting), settled, NOW, draw(st.booleans()) and len(waiting) > 0, parents=parents)


rules = st.builds(Rules, reap=st.booleans(), loss_limit=st.integers(1, 4))


@given(snapshots(), rules)
def test_every_command_gets_one_outcome_or_had_one(snapshot: Snapshot, by: Rules) -> None:
    """None is left over, none gets two, and those that were withdrawn are not touched."""
    decision = decide(snapshot, by)
    wanted = [command.id for command in snapshot.commands if command.id not in snapshot.resolved]
    assert [outcome.command_id for outcome in outcomes(decision)] == wanted
    assert decision.handled == max([command.offset or 0 for command in snapshot.commands] + [snapshot.record.handled])


@given(snapshots(), rules)
def test_every_step_is_one_of_the_table(snapshot: Snapshot, by: Rules) -> None:
    """Each applied command, and what the record itself says afterwards, goes by a row of the table."""
    decision = decide(snapshot, by)
    state = snapshot.record.state
    types = {command.id: command.type for command in snapshot.commands}
    for outcome in outcomes(decision):
        if outcome.result is Result.APPLIED:
            assert outcome.state in {next_state(state, trigger) for trigger in TRIGGERS[types[outcome.command_id]]}
            state = outcome.state
        assert outcome.state == state
    end = decision.to or snapshot.record.state
    assert end == state or end in {next_state(state, trigger) for trigger in FOUND}


@given(snapshots(), rules)
def test_every_session_that_is_not_over_has_one_holder(snapshot: Snapshot, by: Rules) -> None:
    """A lease, ``ready``, a time in ``due``, or a person: one of them and only one."""
    decision = decide(snapshot, by)
    result = after(snapshot.record, decision)
    if snapshot.more:
        assert decision.due == NOW
        return
    assert decision.ready == (result.state is State.QUEUED)
    if decision.to is not None and _has_news(result):
        assert decision.due == NOW
    elif result.held:
        assert result.state in HELD
        assert decision.due is not None
        assert decision.due >= (result.lease_until or NOW)
    elif result.parked:
        assert decision.due == result.resume_at
    else:
        assert result.state not in HELD
        assert decision.due is None


def _has_news(result: Record) -> bool:
    """Whether a parent or children must be told at once that a session has come to this state."""
    rests = result.state in FINAL | {State.AWAITING_INPUT, State.ERROR}
    return (result.parent is not None and rests) or (result.children > 0 and result.state in FINAL)


@given(snapshots(), rules)
def test_deciding_twice_changes_nothing(snapshot: Snapshot, by: Rules) -> None:
    """What a decision leaves behind gives no cause for another."""
    result = after(snapshot.record, decide(snapshot, by))
    again = decide(seen(result), by)
    assert again.to is None
    assert not again.revoke
    assert dict(again.fields) == {}
    assert (again.messages, again.notices, again.outcomes) == ((), (), ())
    assert again.child is None


@given(snapshots(), rules)
def test_what_changes_is_told_and_nothing_else(snapshot: Snapshot, by: Rules) -> None:
    """A new state has its notice; a session taken from its worker has its token raised; each text is appended once."""
    decision = decide(snapshot, by)
    result = after(snapshot.record, decision)
    assert decision.state is None or decision.to is not None
    taken = (snapshot.record.held and not result.held) or decision.to is State.DELETED
    assert decision.revoke == taken
    applied = {outcome.command_id for outcome in outcomes(decision) if outcome.result is Result.APPLIED}
    saying = SessionStart | SessionSay | SessionReport
    texts = [command for command in snapshot.commands if command.id in applied and isinstance(command.data, saying)]
    assert [message.id for message in decision.messages] == [f"{command.id}.said" for command in texts]
    if result.state is State.PAUSED:
        assert result.paused_by


# starting and saying


def test_a_start_queues_a_new_session_with_its_first_message() -> None:
    """And says who started it."""
    decision = decide(seen(record(None), ask("start")), RULES)
    assert (decision.to, decision.ready, decision.due) == (State.QUEUED, True, None)
    (message,) = decision.messages
    assert isinstance(message.data, UserMessage)
    assert (message.data.text, message.data.by) == ("hello", "ann")
    assert decision.state is not None
    assert (decision.state.data.why, decision.state.data.by) == ("started by ann", "ann")
    assert decision.fields["pending"] == "1"


def test_a_start_without_a_text_adds_no_message() -> None:
    """The agent begins with an empty history."""
    decision = decide(seen(record(None), ask("start", text=None)), RULES)
    assert (decision.to, decision.messages) == (State.QUEUED, ())


def test_an_asker_says_why() -> None:
    """Its reason stands behind its name."""
    decision = decide(seen(record(State.QUEUED), ask("pause", why="lunch")), RULES)
    assert decision.fields["why"] == "paused by ann: lunch"


@pytest.mark.parametrize(
    ("found", "verb", "words"),
    [
        (record(None), "resume", "no such session"),
        (record(State.QUEUED), "start", "exists already and is queued"),
        (record(State.FINISHED), "say", "finished, and that is final"),
        (record(State.STOPPED), "resume", "stopped, and that is final"),
        (record(State.AWAITING_INPUT), "resume", "nothing was interrupted"),
    ],
)
def test_a_refusal_says_why_and_what_would_be_legal(found: Record, verb: str, words: str) -> None:
    """In words for a person, with the state as it is."""
    (outcome,) = outcomes(decide(seen(found, ask(verb)), RULES))
    assert (outcome.result, outcome.state, outcome.version) == (Result.REFUSED, found.state, found.version)
    assert words in outcome.reason
    assert outcome.legal == legal_commands(found.state)


def test_a_command_of_an_unknown_type_is_refused() -> None:
    """Also one that could not be read: it gets its outcome like any other."""
    (outcome,) = outcomes(decide(seen(record(State.QUEUED), Message.unknown("commands", "x", session="s", offset=1)), RULES))
    assert (outcome.result, outcome.legal) == (Result.REFUSED, legal_commands(State.QUEUED))


@pytest.mark.parametrize("expires_at", [PAST, NOW])
def test_an_expired_command_is_never_applied(expires_at: datetime) -> None:
    """Its asker has answered 4 already."""
    decision = decide(seen(record(State.QUEUED), ask("stop", expires_at=expires_at)), RULES)
    assert [outcome.result for outcome in outcomes(decision)] == [Result.EXPIRED]
    assert decision.to is None


def test_an_applied_command_carries_its_expiry_to_the_script() -> None:
    """Which refuses to write it when the time has come in between; a refusal may be told at any time."""
    decision = decide(seen(record(State.QUEUED), ask("pause", 1, expires_at=SOON), ask("start", 2, expires_at=SOON)), RULES)
    assert [expiry for _, expiry in decision.outcomes] == [SOON, None]


def test_a_command_that_is_there_twice_is_obeyed_once() -> None:
    """One id is one command."""
    twice = ask("say", 1), ask("say", 2).model_copy(update={"id": "c1"})
    decision = decide(seen(held(), *twice), RULES)
    assert len(decision.messages) == len(decision.outcomes) == 1
    assert decision.handled == 2


def test_the_message_of_a_command_with_a_long_id_has_an_id_too() -> None:
    """Ids are bounded; it is still the same each time."""
    long = ask("say").model_copy(update={"id": "c" * 128})
    first, second = (decide(seen(held(), long), RULES).messages[0].id for _ in range(2))
    assert first == second
    assert len(first) <= 128


def test_what_is_said_to_a_working_session_changes_no_state() -> None:
    """The worker reads it; the asker gets its outcome."""
    decision = decide(seen(held(), ask("say")), RULES)
    assert (decision.to, len(decision.messages), decision.revoke) == (None, 1, False)
    assert outcomes(decision)[0].state is State.RUNNING


@pytest.mark.parametrize("state", [State.AWAITING_INPUT, State.ERROR])
def test_what_is_said_to_a_resting_session_queues_it(state: State) -> None:
    """Somebody has to answer."""
    decision = decide(seen(record(state), ask("say")), RULES)
    assert (decision.to, decision.ready, decision.fields["pending"]) == (State.QUEUED, True, "1")


# pausing, stopping and resuming


@pytest.mark.parametrize("verb", ["pause", "stop"])
@pytest.mark.parametrize("state", sorted(HELD))
def test_a_person_takes_the_session_from_its_worker(verb: str, state: State) -> None:
    """Whatever the worker is doing: the token is raised, and nothing of the wait stays."""
    found = held(state, LIMIT)
    decision = decide(seen(found, ask(verb)), RULES)
    result = after(found, decision)
    assert decision.revoke
    assert result.state is (State.PAUSED if verb == "pause" else State.STOPPED)
    assert (result.held, result.wait, result.resume_at, decision.due) == (False, None, None, None)
    assert result.pending == (verb == "pause")


def test_a_pause_beats_a_scheduled_resume() -> None:
    """Also in the very moment in which the time has come."""
    decision = decide(seen(parked(PAST), ask("pause")), RULES)
    assert (decision.to, decision.ready, decision.due) == (State.PAUSED, False, None)
    assert decision.fields["paused_by"] == "ann"


def test_a_pause_beats_a_lost_worker() -> None:
    """A session whose lease ran out is not queued when a person wants it paused."""
    decision = decide(seen(held(until=PAST), ask("pause")), RULES)
    assert (decision.to, decision.ready, decision.notices) == (State.PAUSED, False, ())


def test_the_first_pause_owns_it() -> None:
    """A second one is applied and changes nothing."""
    decision = decide(seen(record(State.PAUSED, paused_by="bob"), ask("pause")), RULES)
    assert decision.to is None
    assert "paused_by" not in decision.fields
    assert outcomes(decision)[0].result is Result.APPLIED


def test_a_paused_session_with_work_left_is_queued_again() -> None:
    """A resume re-issues what was interrupted, and adds no message."""
    found = record(State.PAUSED, pending=True, paused_by="bob")
    decision = decide(seen(found, ask("resume")), RULES)
    assert (decision.to, decision.ready, decision.messages) == (State.QUEUED, True, ())
    assert after(found, decision).paused_by is None


def test_a_paused_session_with_nothing_to_do_rests_again() -> None:
    """It was waiting for a person when it was paused, and so it does afterwards."""
    decision = decide(seen(record(State.PAUSED, pending=False), ask("resume")), RULES)
    assert (decision.to, decision.ready) == (State.AWAITING_INPUT, False)


def test_what_is_said_to_a_paused_session_waits_for_the_resume() -> None:
    """Then there is something to do."""
    decision = decide(seen(record(State.PAUSED, pending=False), ask("say", 1), ask("resume", 2)), RULES)
    assert (decision.to, len(decision.messages), decision.ready) == (State.QUEUED, 1, True)


def test_three_resumes_are_one_run() -> None:
    """The first queues it, the others are applied and change nothing."""
    found = parked(SOON)
    decision = decide(seen(found, ask("resume", 1), ask("resume", 2), ask("resume", 3)), RULES)
    assert [outcome.result for outcome in outcomes(decision)] == [Result.APPLIED] * 3
    assert (decision.to, decision.ready, decision.due, decision.messages) == (State.QUEUED, True, None, ())
    again = decide(seen(after(found, decision), ask("resume", 4)), RULES)
    assert (again.to, again.ready) == (None, True)


def test_a_resume_ends_the_wait_of_a_worker() -> None:
    """By a nudge that the next renewal brings it; the session stays where it is."""
    found = held(State.RATE_LIMITED, LIMIT, reason=Reason.RATE_LIMIT, nudge=2)
    decision = decide(seen(found, ask("resume")), RULES)
    result = after(found, decision)
    assert (result.state, result.held, result.nudge, result.reason) == (State.RUNNING, True, 3, None)
    assert (result.picture.waits, decision.revoke) == ({}, False)


def test_a_resume_is_not_lost_on_a_wait_that_nobody_has_decided_yet() -> None:
    """Who reads of a retry resumes at once; the record says ``running`` then, and the picture has the wait already."""
    decision = decide(seen(held(State.RUNNING, LIMIT), ask("resume")), RULES)
    assert decision.to is None
    assert (decision.fields["nudge"], decision.fields["picture"]) == ("1", '{"model":"openai/x"}')


def test_a_resume_of_a_working_session_changes_nothing() -> None:
    """There is no wait to end."""
    decision = decide(seen(held(), ask("resume")), RULES)
    assert outcomes(decision)[0].result is Result.APPLIED
    assert (decision.to, dict(decision.fields)) == (None, {})


# what the record says


@pytest.mark.parametrize(("wait", "state"), [(LIMIT, State.RATE_LIMITED), (TROUBLE, State.RETRYING)])
def test_the_state_follows_the_picture_of_the_worker(wait: Wait, state: State) -> None:
    """A wait for a rate limit is called so, any other is a retry; when it is gone the session runs again."""
    found = held(State.RUNNING, wait)
    decision = decide(seen(found), RULES)
    assert (decision.to, decision.due) == (state, SOON)
    assert decision.state is not None
    assert (decision.state.data.wait, decision.state.data.worker) == (wait, WORKER)
    assert decision.fields["reason"] == wait.reason
    assert f"attempt {wait.attempt} of 6" in decision.fields["why"]
    recovered = replace(after(found, decision), picture=Picture(model="openai/x"))
    assert decide(seen(recovered), RULES).to is State.RUNNING


def test_the_record_follows_from_attempt_to_attempt() -> None:
    """The state stays, so there is no notice; what is shown of it is the latest."""
    found = held(State.RETRYING, TROUBLE, why="an earlier attempt", reason=Reason.TIMEOUT)
    decision = decide(seen(found), RULES)
    assert (decision.to, decision.state) == (None, None)
    assert dict(decision.fields) == {"why": "openai/x: overloaded, attempt 2 of 6 failed", "reason": "overloaded"}


def test_a_lost_worker_is_told_and_the_session_queued() -> None:
    """The token is raised, so whatever it still has in flight is refused."""
    decision = decide(seen(held(State.RUNNING, None, PAST, losses=1)), RULES)
    assert (decision.to, decision.revoke, decision.ready) == (State.QUEUED, True, True)
    (lost,) = decision.notices
    assert isinstance(lost.data, WorkerLost)
    assert (lost.data.worker, lost.data.losses) == (WORKER, 2)
    assert decision.fields["losses"] == "2"


def told(kind: type[Notice], **data: Any) -> Message[Notice]:
    """A notice of the worker, as the record keeps the newest."""
    return Message.of(kind.model_validate(data), session="s", source="worker/w1")


RETRY = told(LlmRetry, **LIMIT.model_dump())
ATTEMPT = told(LlmAttempt, reason="rate_limit", attempt=2, max_attempts=6)
RECOVERED = told(LlmRecovered, attempt=2)
ASKED = LIMIT.model_copy(update={"asked_at": NOW})


@pytest.mark.parametrize(
    ("found", "to"),
    [
        (held(State.RUNNING, LIMIT, last=RETRY), State.RATE_LIMITED),
        (held(State.RATE_LIMITED, ASKED, last=ATTEMPT), State.RUNNING),
        (held(State.RATE_LIMITED, None, last=RECOVERED), State.RUNNING),
    ],
    ids=["retry", "attempt", "recovered"],
)
def test_what_the_worker_has_said_is_not_said_again(found: Record, to: State) -> None:
    """The state moves, and followers have it from the worker's notice."""
    decision = decide(seen(found), RULES)
    assert (decision.to, decision.state) == (to, None)


@pytest.mark.parametrize(
    ("found", "to"),
    [
        (held(State.RUNNING, LIMIT), State.RATE_LIMITED),
        (held(State.RUNNING, TROUBLE, last=RETRY), State.RETRYING),
        (held(State.RUNNING, LIMIT, last=ATTEMPT), State.RATE_LIMITED),
        (held(State.RATE_LIMITED, None, last=RETRY), State.RUNNING),
    ],
    ids=["nothing", "another wait", "an attempt", "a call that was left"],
)
def test_what_no_notice_has_said_is_said(found: Record, to: State) -> None:
    """A notice was dropped, or the call ended without one: the picture tells, and the state is told."""
    decision = decide(seen(found), RULES)
    assert decision.state is not None
    assert (decision.to, decision.state.data.to) == (to, to)


def test_after_a_call_was_left_every_change_is_said() -> None:
    """Who follows the notices still counts with its wait, so what the worker says of another path is not enough."""
    found = held(State.RATE_LIMITED, ASKED, last=ATTEMPT)
    found = replace(found, picture=found.picture.model_copy(update={"unsaid": True}))
    decision = decide(seen(found), RULES)
    assert decision.state is not None
    assert (decision.to, decision.state.data.to) == (State.RUNNING, State.RUNNING)


PROGRESS = told(AgentProgress, doing="compiling", done=3, total=8)


def test_progress_changes_nothing_but_what_it_hides() -> None:
    """An agent may tell it right after its call has ended; the record follows to the end of the call all the same."""
    assert decide(seen(held(State.RUNNING, None, why=TAKEN_UP, last=PROGRESS)), RULES).fields == {}
    decision = decide(seen(held(State.RUNNING, None, why="openai/x: attempt 2 of 6 under way", last=PROGRESS)), RULES)
    assert (decision.to, decision.fields["why"]) == (None, "no call waits any more")


def test_a_resumption_of_what_waits_leaves_the_progress() -> None:
    """It is the same turn; the waits alone are over."""
    found = held(State.RATE_LIMITED, LIMIT)
    found = replace(found, picture=found.picture.model_copy(update={"progress": Progress(doing="compiling")}))
    decision = decide(seen(found, ask("resume")), RULES)
    kept = Picture.model_validate_json(decision.fields["picture"])
    assert (kept.waits, kept.progress) == ({}, Progress(doing="compiling"))


def test_a_lost_worker_takes_its_progress_along() -> None:
    """The next one begins anew, where a wait goes on as well."""
    found = held(State.RATE_LIMITED, LIMIT, PAST)
    found = replace(found, picture=found.picture.model_copy(update={"progress": Progress(doing="compiling")}))
    assert after(found, decide(seen(found), RULES)).picture == Picture(model="openai/x", waits={LIMIT.llm: LIMIT})


@pytest.mark.parametrize("last", [RECOVERED, ATTEMPT], ids=["recovered", "left"])
def test_the_record_follows_to_the_end_of_a_call(last: Message[Notice]) -> None:
    """The session goes on running; that an attempt is under way is not true any more."""
    decision = decide(seen(held(State.RUNNING, None, why="openai/x: attempt 2 of 6 under way", last=last)), RULES)
    assert (decision.to, decision.fields["why"]) == (None, "no call waits any more")


def test_what_a_worker_was_taken_up_for_stays_while_no_call_fails() -> None:
    """Nothing was told of a call, so the record's own word stands."""
    assert "why" not in decide(seen(held(State.RUNNING, None, why="taken up by a worker")), RULES).fields


def test_an_attempt_is_shown_beside_the_old_wait_of_a_call_that_is_not_made_again() -> None:
    """A worker takes over what all paths have waited for, and may not come to ask on each of them."""
    old = LIMIT.model_copy(update={"llm": "condenser", "retry_at": PAST})
    found = replace(held(State.RATE_LIMITED), picture=Picture(waits={"condenser": old, "agent": ASKED}))
    decision = decide(seen(found), RULES)
    assert decision.state is not None
    assert (decision.to, decision.state.data.wait) == (State.RUNNING, ASKED)
    assert after(found, decision).wait == ASKED


def test_the_session_runs_while_an_attempt_is_under_way() -> None:
    """Also for those who come then: the notice names the attempt that is counted on."""
    decision = decide(seen(held(State.RATE_LIMITED, ASKED)), RULES)
    assert decision.state is not None
    assert (decision.to, decision.state.data.wait, decision.state.data.reason) == (State.RUNNING, ASKED, None)


@pytest.mark.parametrize("state", [State.RATE_LIMITED, State.RUNNING])
def test_a_wait_outlives_a_lost_worker(state: State) -> None:
    """Whatever the record said last: it is parked until the told instant, and counted on from there."""
    decision = decide(seen(held(state, LIMIT, PAST)), RULES)
    assert (decision.to, decision.revoke, decision.ready, decision.due) == (State.RATE_LIMITED, True, False, SOON)
    assert isinstance(decision.notices[0].data, WorkerLost)
    assert decision.state is not None
    notice = decision.state.data
    assert (notice.wait, notice.resume_at, notice.worker, notice.reason) == (LIMIT, SOON, None, Reason.RATE_LIMIT)
    assert "the wait goes on" in notice.why
    lost = after(held(state, LIMIT, PAST), decision)
    assert (lost.parked, lost.resume_at, lost.picture.waits) == (True, SOON, {"agent": LIMIT})
    woken = decide(replace(seen(lost), now=SOON), RULES)
    assert (woken.to, woken.ready) == (State.QUEUED, True)
    assert after(lost, woken).picture.waits == {"agent": LIMIT}


@pytest.mark.parametrize("wait", [ASKED, LIMIT.model_copy(update={"retry_at": PAST})], ids=["under way", "over"])
def test_an_attempt_cut_short_by_a_lost_worker_is_made_again(wait: Wait) -> None:
    """At once, by the next worker, as the same attempt: the provider has not failed."""
    found = held(State.RUNNING, wait, PAST)
    decision = decide(seen(found), RULES)
    assert (decision.to, decision.ready) == (State.QUEUED, True)
    kept = after(found, decision).picture.waits["agent"]
    assert (kept.attempt, kept.asked_at, kept.lasts(NOW)) == (1, None, False)


def test_the_latest_of_several_waits_counts() -> None:
    """No path asks before its instant, and no slot is held for it."""
    later = TROUBLE.model_copy(update={"llm": "condenser", "retry_at": SOON + timedelta(seconds=9)})
    picture = Picture(waits={"agent": LIMIT, "condenser": later})
    decision = decide(seen(replace(held(State.RATE_LIMITED, LIMIT, PAST), picture=picture)), RULES)
    assert (decision.to, decision.due) == (State.RATE_LIMITED, later.retry_at)


@pytest.mark.parametrize("verb", ["pause", "stop", "resume"])
def test_a_person_ends_a_wait_that_has_outlived_its_worker(verb: str) -> None:
    """What was counted is forgotten: after a person's word the call is a new one."""
    picture = Picture(waits={"agent": LIMIT})
    found = record(State.RATE_LIMITED, resume_at=SOON, picture=picture, pending=True, parks=3, parked_s=400.0)
    decision = decide(seen(found, ask(verb)), RULES)
    assert after(found, decision).picture.waits == {}
    if verb == "resume":
        assert (decision.fields["parks"], decision.fields["parked_ms"]) == ("0", "0")


def test_a_parked_outage_is_queued_when_its_time_has_come() -> None:
    """As a parked limit is; what it waited for is over, so the call is a new one."""
    picture = Picture(waits={"agent": TROUBLE.model_copy(update={"retry_at": None})})
    found = record(State.RETRYING, resume_at=NOW, picture=picture, reason=Reason.OVERLOADED, pending=True, parks=3)
    decision = decide(seen(found), RULES)
    assert (decision.to, after(found, decision).picture.waits) == (State.QUEUED, {})
    assert "parks" not in decision.fields


def test_workers_lost_in_a_row_put_the_session_before_a_person() -> None:
    """It may be the session that kills them; a person's resume begins a new row."""
    found = held(until=PAST, losses=2)
    decision = decide(seen(found), RULES)
    assert (decision.to, decision.ready) == (State.ERROR, False)
    assert "w1" in decision.fields["why"]
    resumed = decide(seen(after(found, decision), ask("resume")), RULES)
    assert (resumed.to, resumed.fields["losses"]) == (State.QUEUED, "0")


def test_a_lease_that_ran_out_while_the_server_was_away_is_looked_at_again() -> None:
    """Nobody could renew, so nobody is lost yet."""
    decision = decide(seen(held(until=PAST)), replace(RULES, reap=False))
    assert (decision.to, decision.revoke) == (None, False)
    assert decision.due == NOW + timedelta(seconds=1)


@pytest.mark.parametrize("state", [State.RUNNING, State.RETRYING])
def test_a_session_that_nobody_holds_is_queued(state: State) -> None:
    """Whatever led to it, and also when somebody resumes it at that moment."""
    assert decide(seen(record(state)), RULES).to is State.QUEUED
    decision = decide(seen(record(state), ask("resume")), RULES)
    assert (decision.to, outcomes(decision)[0].result) == (State.QUEUED, Result.APPLIED)


def test_a_parked_session_is_queued_when_its_time_has_come() -> None:
    """Not before, and without a time only a person does it."""
    assert decide(seen(parked(SOON)), RULES).due == SOON
    assert decide(seen(parked(NOW)), RULES).to is State.QUEUED
    waiting = decide(seen(parked(None)), RULES)
    assert (waiting.to, waiting.due) == (None, None)


def test_a_decision_ends_a_row_of_failures() -> None:
    """Five in a row refuse the commands; a success in between begins a new row."""
    assert decide(seen(record(State.QUEUED, failures=3)), RULES).fields == {"failures": "0"}


@pytest.mark.parametrize("state", sorted(FINAL))
def test_a_session_that_is_over_wants_nobody(state: State) -> None:
    """No worker, no controller, no person."""
    decision = decide(seen(record(state)), RULES)
    assert (decision.to, decision.ready, decision.due) == (None, False, None)


def test_data_of_a_known_type_that_is_none_is_refused() -> None:
    """A command whose data was not understood is not half obeyed."""
    broken = Message.unknown("commands", "session.stop", session="s", offset=1)
    assert [outcome.result for outcome in outcomes(decide(seen(held(), broken), RULES))] == [Result.REFUSED]


def test_a_say_needs_no_start_data() -> None:
    """The two commands with a text are told apart by their data alone."""
    (said,) = decide(seen(held(), ask("say", text="more")), RULES).messages
    assert isinstance(said.data, UserMessage)
    assert said.data.text == SessionSay(text="more").text
    assert SessionStart().text is None


# deleting, and what cannot be read


@pytest.mark.parametrize("state", sorted(State))
def test_a_delete_takes_the_session_whatever_it_is_doing(state: State) -> None:
    """No token that is about still fits, and nobody is to look at it again."""
    found = held(state) if state in HELD else record(state, pending=True)
    decision = decide(seen(found, ask("delete")), Rules())
    assert [outcome.result for outcome in outcomes(decision)] == [Result.APPLIED]
    if state is State.DELETED:
        assert (decision.to, decision.revoke, decision.due) == (None, False, None)
    else:
        assert (decision.to, decision.revoke, decision.ready, decision.due) == (State.DELETED, True, False, None)
        assert decision.fields["why"] == "deleted by ann"


@pytest.mark.parametrize("verb", sorted(ASKS.keys() - {"delete"}))
def test_nothing_can_be_asked_of_what_was_deleted(verb: str) -> None:
    """Not even that it be stopped."""
    [outcome] = outcomes(decide(seen(record(State.DELETED), ask(verb)), Rules()))
    assert (outcome.result, outcome.legal) == (Result.REFUSED, ())
    assert "another name" in outcome.reason


# parents and children


def child(state: State | None, **fields: Any) -> Record:
    """A record of a child of `p`."""
    return record(state, parent="p", name="helper", **fields)


def test_a_child_is_started_under_its_parent() -> None:
    """The record knows both names, and the parent's people are shown it in the same step."""
    start = ask("start", parent="p", name="helper", by="session/p")
    decision = decide(seen(record(None), start, parents={"p": State.AWAITING_INPUT}), RULES)
    assert (decision.to, decision.fields["parent"], decision.fields["name"]) == (State.QUEUED, "p", "helper")
    assert decision.child is not None
    assert (decision.child.session, decision.child.source) == ("p", "controller/c1")
    told = decision.child.data
    assert (told.child, told.name, told.state, told.why) == ("s", "helper", State.QUEUED, "started by session/p")


def test_a_child_without_a_name_is_called_by_its_session() -> None:
    """A program may have started it as a child of something."""
    decision = decide(seen(record(None), ask("start", parent="p"), parents={"p": State.PAUSED}), RULES)
    assert decision.fields["name"] == "s"


@pytest.mark.parametrize(
    ("parents", "words"),
    [
        ({}, "there is no session 'p' that it could be a child of"),
        ({"p": State.STOPPED}, "its parent 'p' is stopped, and that is final"),
        ({"p": State.FINISHED}, "its parent 'p' is finished, and that is final"),
    ],
)
def test_nothing_is_started_under_what_is_not_there_or_over(parents: dict[str, State], words: str) -> None:
    """It is refused with the reason, and a later start under that id is free."""
    decision = decide(seen(record(None), ask("start", parent="p"), parents=parents), RULES)
    (outcome,) = outcomes(decision)
    assert (outcome.result, outcome.reason, outcome.state) == (Result.REFUSED, words, None)
    assert (decision.to, decision.child, decision.messages) == (None, None, ())
    assert "parent" not in decision.fields


@pytest.mark.parametrize(
    ("found", "to"),
    [
        (record(State.AWAITING_INPUT), State.QUEUED),
        (record(State.QUEUED, pending=True), None),
        (record(State.PAUSED, paused_by="bob"), None),
        (record(State.ERROR, pending=True), None),
        (held(State.RUNNING), None),
        (held(State.RATE_LIMITED, LIMIT, reason=Reason.RATE_LIMIT, why="openai/x: rate limit, attempt 1 of 6 failed"), None),
        (parked(SOON), None),
    ],
)
def test_a_report_is_appended_and_wakes_only_who_waits_for_input(found: Record, to: State | None) -> None:
    """Nobody is taken from a worker, a person's pause or an error by what a child does."""
    decision = decide(seen(found, ask("report", why="it is done", state="error", reason="auth")), RULES)
    assert (decision.to, decision.revoke) == (to, False)
    (message,) = decision.messages
    assert isinstance(message.data, ChildResult)
    told = message.data
    assert (told.child, told.name, told.state, told.reason) == ("c", "helper", State.ERROR, Reason.AUTH)
    assert (told.text, told.why, message.id) == ("done", "it is done", "c1.said")
    if to is not None:
        assert decision.fields["why"] == "helper has reported: error"


def test_a_report_to_what_is_over_is_refused() -> None:
    """Nobody reads it any more; and no person is told that it would be legal anywhere."""
    decision = decide(seen(record(State.STOPPED), ask("report")), RULES)
    assert [outcome.result for outcome in outcomes(decision)] == [Result.REFUSED]
    assert decision.messages == ()
    assert not any("session.report" in legal_commands(state) for state in (None, *State))


def test_what_was_reported_to_a_paused_session_is_work_for_later() -> None:
    """A resume queues it; else it would wait for input with something unanswered."""
    decision = decide(seen(record(State.PAUSED, pending=False), ask("report", 1), ask("resume", 2)), RULES)
    assert (decision.to, decision.ready) == (State.QUEUED, True)


def test_each_attempt_of_a_child_is_shown_to_its_parents_people() -> None:
    """Also where its state stays what it is; what they see already is not told again."""
    waiting = replace(held(State.RATE_LIMITED, LIMIT, reason=Reason.RATE_LIMIT), parent="p", name="helper")
    first = decide(seen(waiting), RULES)
    assert first.child is not None
    assert first.child.data.wait == LIMIT
    known = after(waiting, first)
    assert decide(seen(known), RULES).child is None
    second = LIMIT.model_copy(update={"attempt": 2})
    told = decide(seen(replace(known, picture=Picture(waits={"agent": second}))), RULES)
    assert told.to is None
    assert told.child is not None
    assert told.child.data.wait == second


def test_a_child_that_recovers_is_shown_so() -> None:
    """Without a wait and without a reason."""
    found = replace(held(State.RATE_LIMITED, None, reason=Reason.RATE_LIMIT), parent="p", name="helper")
    decision = decide(seen(found), RULES)
    assert decision.child is not None
    told = decision.child.data
    assert (told.state, told.wait, told.reason, told.worker) == (State.RUNNING, None, None, WORKER)


@pytest.mark.parametrize(
    "found", [child(State.QUEUED), replace(held(), parent="p", name="helper"), record(State.QUEUED, children=1)]
)
def test_what_is_stopped_is_due_at_once_where_others_must_hear_of_it(found: Record) -> None:
    """A parent of its child, children of their parent."""
    assert decide(seen(found, ask("stop")), RULES).due == NOW
    assert decide(seen(found, ask("pause")), RULES).due is None


def test_a_report_carries_all_that_a_result_has() -> None:
    """The one is made into the other."""
    assert set(SessionReport.model_fields) - set(Command.model_fields) == {"child", "name", "state", "reason", "text"}
