"""One session as a row: how notices change it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.workers.cli.stage import WORKER, waiting
from tidings.bus import (
    AgentProgress,
    LlmAttempt,
    LlmFailed,
    LlmParked,
    LlmRateLimited,
    LlmRecovered,
    LlmRetry,
    Message,
    Notice,
    Picture,
    Progress,
    Reason,
    Record,
    SessionState,
    State,
    Wait,
    WorkerClaimed,
    WorkerLost,
    WorkerReleased,
)
from tidings.workers.cli.live_table import state_text
from tidings.workers.view import LATER, PARKED, Look, SessionView, clock

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def moved(to: State, **data: object) -> Message[SessionState]:
    """Return a change of state."""
    return Message.of(SessionState.model_validate({"to": to, "version": 1, **data}), session="demo")


def retry(*, llm: str = "agent", reason: Reason = Reason.RATE_LIMIT, attempt: int = 2) -> Message[LlmRetry]:
    """Return a retry that is told before its wait."""
    wait = waiting(NOW, reason=reason, attempt=attempt).model_dump() | {"llm": llm}
    return Message.of(LlmRetry(**wait), session="demo", source="worker/w1", time=NOW)


def after(*notices: Message[Notice], row: SessionView | None = None) -> SessionView:
    """Return the row after these notices."""
    row = row or SessionView("demo")
    for notice in notices:
        row = row.apply(notice)
    return row


claimed = Message.of(WorkerClaimed(worker=WORKER, token=1), session="demo")
released = Message.of(WorkerReleased(worker=WORKER, why="park"), session="demo")
lost = Message.of(WorkerLost(worker=WORKER), session="demo")


def test_a_row_begins_without_a_state() -> None:
    """A session that nobody has decided about yet is starting."""
    row = SessionView("demo")
    assert (row.look, row.countdown(NOW), row.attempt, row.story()) == (None, "", "", "")
    assert state_text(row).plain == "starting"
    assert row.line() == "demo  starting"


def test_a_wait_is_shown_with_attempt_countdown_reason_and_model() -> None:
    """All of it from the one notice that comes before the sleep, also before a controller has decided."""
    row = after(claimed, moved(State.RUNNING, worker=WORKER), retry())
    assert row.state is State.RATE_LIMITED
    assert (row.attempt, row.countdown(NOW), row.model, row.worker) == ("2 of 6", "8s", "openai/x", "w1")
    assert row.story() == "rate limit · slow down"
    assert not row.parked
    assert not row.needs_you


def test_the_countdown_is_that_of_the_absolute_time() -> None:
    """It depends on the moment of looking alone, and ends at zero."""
    row = after(retry())
    assert [row.countdown(NOW + timedelta(seconds=s)) for s in (0, 0.5, 7.9, 8, 100)] == [
        "8s",
        "8s",
        "1s",
        "0s",
        "0s",
    ]


def test_a_failure_that_is_no_rate_limit_retries() -> None:
    """Its state is the other one."""
    assert after(retry(reason=Reason.OVERLOADED)).state is State.RETRYING


def test_recovering_clears_the_wait() -> None:
    """The row runs again, with nothing left of the wait."""
    recovered = Message.of(LlmRecovered(model="openai/y", attempt=3), session="demo")
    row = after(claimed, moved(State.RUNNING), retry(), recovered)
    assert (row.state, row.attempt, row.countdown(NOW), row.reason) == (State.RUNNING, "", "", None)
    assert row.model == "openai/y"


def attempt(number: int = 3, *, llm: str = "agent", seconds: float = 8) -> Message[LlmAttempt]:
    """Return the next attempt after a wait, told when it goes out."""
    data = LlmAttempt(llm=llm, model="openai/x", reason=Reason.RATE_LIMIT, attempt=number, max_attempts=6)
    return Message.of(data, session="demo", source="worker/w1", time=NOW + timedelta(seconds=seconds))


def test_the_next_attempt_is_shown_from_the_moment_it_goes_out() -> None:
    """It runs, nothing counts down, and what failed before is still told; the next failure waits again."""
    row = after(claimed, moved(State.RUNNING, worker=WORKER), retry(), attempt())
    assert (row.state, row.attempt, row.tried) == (State.RUNNING, "3 of 6", "attempt 3 of 6 under way")
    assert (row.countdown(NOW), row.since, row.reason) == ("", NOW + timedelta(seconds=8), None)
    assert row.story() == "after rate limit · slow down"
    assert row.line() == "demo  running  attempt 3 of 6 under way  after rate limit · slow down  openai/x  on w1"
    again = after(retry(attempt=3), row=row)
    assert (again.state, again.tried) == (State.RATE_LIMITED, "attempt 3 of 6 failed")
    recovered = Message.of(LlmRecovered(model="openai/x", attempt=3), session="demo", time=NOW)
    assert (after(recovered, row=row).tried, after(recovered, row=row).message) == ("", None)


def compiling(done: int | None = 3, total: int | None = 8, text: str = "compiling") -> Message[AgentProgress]:
    """Return what an agent tells."""
    data = AgentProgress(doing=text, done=done, total=total)
    return Message.of(data, session="demo", source="worker/w1", time=NOW)


RUNNING = moved(State.RUNNING, worker=WORKER, model="openai/x", why="taken up by a worker")


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (compiling(), "compiling 3/8"),
        (compiling(0, 8), "compiling 0/8"),
        (compiling(3, None), "compiling 3"),
        (compiling(None, None), "compiling"),
        (compiling(None, 8), "compiling"),
        (compiling(text="a\x1b[31m\nb\u202ec"), "a bc 3/8"),
        (compiling(None, None, "\u200b"), "taken up by a worker"),
    ],
    ids=["both", "none done", "no total", "no numbers", "total alone", "hostile", "invisible"],
)
def test_what_an_agent_does_stands_where_the_reason_stood(told: Message[AgentProgress], shown: str) -> None:
    """With its numbers, in one line, and no text of an agent does anything to the terminal."""
    row = after(claimed, RUNNING, told)
    assert row.story() == shown
    assert row.line() == f"demo  running  {shown}  openai/x  on w1"


def test_a_wait_is_shown_before_progress() -> None:
    """Until it is over, the attempt that follows included; then the agent is where it was."""
    row = after(claimed, RUNNING, compiling(), retry())
    assert (row.doing, row.story()) == ("", "rate limit · slow down")
    row = after(attempt(), row=row)
    assert (row.doing, row.story()) == ("", "after rate limit · slow down")
    recovered = Message.of(LlmRecovered(model="openai/x", attempt=3), session="demo", time=NOW)
    assert after(recovered, row=row).story() == "compiling 3/8"
    # A change of state that a controller tells says nothing of it.
    assert after(moved(State.RATE_LIMITED), moved(State.RUNNING), recovered, row=row).story() == "compiling 3/8"


@pytest.mark.parametrize(
    "over",
    [released, lost, claimed, moved(State.PAUSED), moved(State.AWAITING_INPUT), moved(State.QUEUED), moved(State.STOPPED)],
    ids=["released", "lost", "another worker", "paused", "over", "queued", "stopped"],
)
def test_progress_is_over_with_the_turn(over: Message[Notice]) -> None:
    """However that ends; the next turn begins with none."""
    row = after(claimed, RUNNING, compiling(), over)
    assert (row.progress, row.doing) == (None, "")
    assert after(RUNNING, row=row).story() == "taken up by a worker"


def test_who_attaches_later_sees_what_the_agent_does() -> None:
    """The record keeps it; the row is the one that the notices made. A picture without it says that there is none."""
    live = after(claimed, RUNNING, compiling())
    record = Record("demo", State.RUNNING, "e", status=4, why="taken up by a worker", since=live.since, worker=WORKER)
    record = replace(record, picture=Picture(model="openai/x", progress=Progress(doing="compiling", done=3, total=8)))
    assert SessionView.of(record, NOW) == live
    notice = replace(record, picture=Picture(model="openai/x")).as_notice(NOW)
    assert notice is not None
    assert after(notice, row=live).progress is None


def test_who_attaches_later_sees_the_attempt_under_way() -> None:
    """The record keeps it; the row is the one that the notices made."""
    live = after(claimed, moved(State.RUNNING, worker=WORKER, model="openai/x"), retry(), attempt())
    record = Record(
        "demo",
        State.RUNNING,
        "e",
        status=4,
        why="openai/x: attempt 3 of 6 under way",
        since=NOW + timedelta(seconds=8),
        worker=WORKER,
        picture=Picture(model="openai/x", waits={wait.llm: wait for wait in live.waits}),
    )
    assert SessionView.of(record, NOW) == live
    assert record.as_notice(NOW) is not None
    assert SessionView("demo").apply(record.as_notice(NOW) or claimed) == live


def test_another_path_that_waits_says_more_than_an_attempt() -> None:
    """While one waits the session does; when both are asked again it runs."""
    both = after(claimed, moved(State.RUNNING, worker=WORKER), retry(llm="title"), retry(), attempt(llm="title", seconds=1))
    assert (both.state, both.tried, both.countdown(NOW)) == (State.RATE_LIMITED, "attempt 2 of 6 failed", "8s")
    assert after(attempt(), row=both).state is State.RUNNING


def test_an_attempt_after_a_wait_that_was_not_seen_is_one_too() -> None:
    """A worker that takes a session over goes on counting; of the wait there was only the other worker's word."""
    row = after(claimed, moved(State.RUNNING, worker=WORKER), attempt(2))
    assert (row.state, row.tried, row.model) == (State.RUNNING, "attempt 2 of 6 under way", "openai/x")


def test_an_outage_that_is_waited_out_without_a_worker_is_told_as_such() -> None:
    """Not as a limit: when it is tried again, what was answered, what helps, and nobody is needed."""
    resume_at = NOW + timedelta(seconds=60)
    wait = waiting(NOW, reason=Reason.SERVER_ERROR, attempt=6, action="Look at the status page.")
    wait = wait.model_copy(update={"retry_at": None})
    fields = {"model": "openai/x", "reason": "server_error", "attempt": 6, "max_attempts": 6, "resume_at": resume_at}
    parked = Message.of(LlmParked.model_validate(fields), session="demo")
    state = moved(State.RETRYING, reason="server_error", wait=wait, resume_at=resume_at)
    row = after(claimed, moved(State.RUNNING, worker=WORKER), parked, released, state)
    assert (row.parked, row.needs_you, row.countdown(NOW)) == (True, False, "1m 00s")
    assert row.look is LATER
    assert row.story() == "server error · slow down · Look at the status page."
    assert "retrying later  attempt 6 of 6 failed  no worker, resumes at " in row.line()
    record = Record(
        "demo",
        State.RETRYING,
        "e",
        status=9,
        reason=Reason.SERVER_ERROR,
        resume_at=resume_at,
        picture=Picture(waits={"agent": wait}),
        since=row.since,
    )
    assert SessionView.of(record, NOW) == replace(row, why=None, usual=None, model="openai/x")


@pytest.mark.parametrize("end", [released, lost], ids=["handed back", "lost"])
@pytest.mark.parametrize(
    ("reason", "look"), [(Reason.RATE_LIMIT, PARKED), (Reason.TIMEOUT, LATER)], ids=["for a limit", "in an outage"]
)
def test_a_session_that_lost_its_worker_in_a_wait_goes_on_waiting(end: Message[Notice], reason: Reason, look: Look) -> None:
    """The attempt that failed, when the next one goes out, and that no worker holds it until then."""
    wait = waiting(NOW, reason=reason, attempt=1)
    assert wait.retry_at is not None
    state = State.RATE_LIMITED if reason.is_rate_limit else State.RETRYING
    told = moved(state, reason=reason, wait=wait, resume_at=wait.retry_at)
    row = after(claimed, moved(State.RUNNING, worker=WORKER), retry(reason=reason, attempt=1), end, told)
    assert (row.look, row.parked, row.needs_you, row.worker) == (look, True, False, None)
    assert (row.tried, row.countdown(NOW)) == ("attempt 1 of 6 failed", "8s")
    assert f"attempt 1 of 6 failed, the next at {clock(wait.retry_at)}  no worker  " in row.line()


def test_a_wait_that_is_told_without_a_claim_is_not_parked() -> None:
    """Who tells it holds the session, also where the claim was missed."""
    row = after(retry())
    assert (row.worker, row.parked) == ("w1", False)


def test_one_path_recovers_alone() -> None:
    """While another one waits, the session waits."""
    recovered = Message.of(LlmRecovered(llm="condenser", attempt=3), session="demo", time=NOW)
    row = after(moved(State.RUNNING, worker=WORKER), retry(), retry(llm="condenser", attempt=5), recovered)
    assert row.state is State.RATE_LIMITED
    assert row.attempt == "2 of 6"


def test_a_change_of_state_names_one_wait_and_the_others_go_on() -> None:
    """Two paths wait; the controller's word on the state tells the one that says most."""
    both = after(retry(llm="title"), retry(attempt=3))
    told = after(moved(State.RATE_LIMITED, wait=waiting(NOW, attempt=3)), row=both)
    assert {wait.llm: wait.attempt for wait in told.waits} == {"title": 2, "agent": 3}
    assert not after(moved(State.RUNNING), row=told).waits
    parked = after(moved(State.RATE_LIMITED, wait=waiting(NOW).model_copy(update={"retry_at": None})), row=told)
    assert [wait.llm for wait in parked.waits] == ["agent"]


def test_the_word_that_it_runs_ends_the_waits_of_calls_that_were_left() -> None:
    """The other call is asked again, and what comes of that does not bring the old wait back."""
    both = after(moved(State.RUNNING, worker=WORKER), retry(llm="title"), retry(), attempt())
    assert both.state is State.RATE_LIMITED
    told = after(moved(State.RUNNING, wait=next(wait for wait in both.waits if wait.llm == "agent")), row=both)
    assert [wait.llm for wait in told.waits] == ["agent"]
    recovered = Message.of(LlmRecovered(attempt=3), session="demo", time=NOW)
    assert after(recovered, row=told).state is State.RUNNING


def test_a_late_recovery_moves_nothing_that_is_over() -> None:
    """A notice that comes after the end does not bring the session back."""
    recovered = Message.of(LlmRecovered(attempt=3), session="demo")
    assert after(moved(State.FINISHED), recovered).state is State.FINISHED


def test_a_controllers_word_keeps_the_worker_that_holds_it() -> None:
    """Only what leads out of the held states lets the worker go."""
    held = after(claimed, moved(State.RATE_LIMITED, wait=waiting(NOW)))
    assert (held.worker, held.parked) == ("w1", False)
    assert after(moved(State.AWAITING_INPUT), row=held).worker is None


def test_parked_counts_down_to_its_resumption() -> None:
    """Released with a time: it goes on by itself and needs nobody."""
    resume_at = NOW + timedelta(seconds=90)
    limited = Message.of(LlmRateLimited(reason=Reason.RATE_LIMIT, attempt=6, max_attempts=6, resume_at=resume_at), session="demo")
    row = after(claimed, limited, released, moved(State.RATE_LIMITED, resume_at=resume_at))
    assert row.parked
    assert not row.needs_you
    assert row.countdown(NOW) == "1m 30s"
    assert state_text(row).plain.endswith("parked")
    assert "resumes at" in row.line()
    assert row.story() == "it goes on by itself; resume it to try at once"


@pytest.mark.parametrize("resume_at", [NOW, None], ids=["with a time", "without one"])
def test_what_is_parked_says_what_helps(resume_at: datetime | None) -> None:
    """Whether or not it goes on by itself; where nobody said it, the row does."""
    wait = waiting(NOW, action="Fewer workers help.").model_copy(update={"retry_at": None})
    row = after(claimed, released, moved(State.RATE_LIMITED, reason="rate_limit", wait=wait, resume_at=resume_at))
    assert "Fewer workers help." in row.story()
    assert "Fewer workers help." in row.line()
    unsaid = replace(row, action=None)
    assert "resume it" in unsaid.story()
    held = after(claimed, moved(State.RATE_LIMITED, worker=WORKER, wait=waiting(NOW, action="Wait.")))
    assert "Wait." not in held.story()


def test_parked_without_a_time_needs_a_person() -> None:
    """And says what there is to do."""
    wait = waiting(NOW, reason=Reason.QUOTA_EXHAUSTED, action="Raise the limit, then resume.")
    wait = wait.model_copy(update={"retry_at": None})
    row = after(claimed, released, moved(State.RATE_LIMITED, reason="quota_exhausted", wait=wait))
    assert row.needs_you
    assert row.countdown(NOW) == ""
    assert row.story() == "needs you: Raise the limit, then resume. · quota exhausted · slow down"


def test_a_failure_needs_a_person_and_keeps_what_was_said() -> None:
    """The change to the error state says it as well as the notice before it; an older worker's line is better than nothing."""
    failed = Message.of(
        LlmFailed(reason=Reason.AUTH, attempt=1, max_attempts=6, model="openai/z", message="bad key", action="Fix it."),
        session="demo",
    )
    failure = Wait(reason=Reason.AUTH, model="openai/z", message="bad key", action="Fix it.")
    row = after(claimed, failed, released, moved(State.ERROR, reason="auth", why="failed", failure=failure))
    assert not row.waits
    assert row.needs_you
    assert row.story() == "needs you: Fix it. · auth · bad key"
    assert row.model == "openai/z"
    assert after(moved(State.QUEUED, why="resumed by me"), row=row).story() == "resumed by me"
    unsaid = after(claimed, failed, released, moved(State.ERROR, reason="auth", why="bad key: Fix it."))
    assert unsaid.story() == "needs you: resume it, or say something · auth · bad key: Fix it."
    assert replace(row, action=None).to_do == "resume it, or say something"


def test_a_lost_worker_is_gone_from_the_row() -> None:
    """And so is what it waited for."""
    row = after(claimed, moved(State.RUNNING), retry(), lost)
    assert (row.worker, row.attempt) == (None, "")


def test_an_unknown_notice_changes_nothing() -> None:
    """A newer worker may tell what this version does not know."""
    row = after(claimed, moved(State.RUNNING))
    assert row.apply(Message.unknown("status", "llm.dreamt", session="demo")) == row


@pytest.mark.parametrize("state", [State.FINISHED, State.STOPPED])
def test_what_is_over_counts_nothing_down(state: State) -> None:
    """Even if something was waited for."""
    assert after(retry(), row=SessionView("demo", state=state)).state is not state
    assert replace(after(retry()), state=state).countdown(NOW) == ""


@pytest.mark.parametrize(
    ("seconds", "age"),
    [(-1, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"), (86_399, "23h"), (86_400, "1d"), (1e9, "999d")],
)
def test_the_age_is_in_its_greatest_unit(seconds: float, age: str) -> None:
    """Read in passing, it need not tell the seconds of an hour."""
    assert SessionView("demo", since=NOW).age(NOW + timedelta(seconds=seconds)) == age
    assert SessionView("demo").age(NOW) == ""


def test_text_of_others_is_made_harmless() -> None:
    """What a provider or a person wrote stays on one line, without control characters."""
    row = SessionView("demo", state=State.ERROR, why="a\n\x1b[2Jb", worker="w\x07", model="m\n", action="x\ny")
    assert row.line() == "demo  error  needs you: x y · a b  m  on w"


def test_the_signs_can_be_ascii() -> None:
    """For terminals that have no others."""
    row = SessionView("demo", state=State.RUNNING, worker="w")
    assert state_text(row, ascii_only=True).plain == "> running"
    assert state_text(row).plain == "▸ running"


def test_a_record_is_drawn_as_the_notice_that_tells_it() -> None:
    """Status and watch show the same."""
    wait = waiting(NOW)
    record = Record(
        session="demo",
        state=State.RATE_LIMITED,
        epoch="e",
        status=4,
        since=NOW,
        worker=WORKER,
        picture=Picture(model="openai/x", waits={"agent": wait}),
    )
    row = SessionView.of(record, NOW)
    assert (row.state, row.attempt, row.worker, row.model) == (State.RATE_LIMITED, "2 of 6", "w1", "openai/x")
    assert row == after(record.as_notice(NOW) or claimed)
    assert SessionView.of(Record(session="new", state=None, epoch="e"), NOW) == SessionView("new")


def test_a_row_knows_since_when_and_by_whom() -> None:
    """The time of the notice that brought it into its state; further notices of the same state leave it."""
    later = NOW + timedelta(seconds=9)
    moved = Message.of(SessionState(to=State.PAUSED, version=2, by="ann"), session="demo", time=NOW)
    again = Message.of(SessionState(to=State.PAUSED, version=3, by="bob"), session="demo", time=later)
    row = SessionView("demo").apply(moved)
    assert (row.since, row.by) == (NOW, "ann")
    row = row.apply(again)
    assert (row.since, row.by) == (NOW, "bob")
    running = Message.of(SessionState(to=State.RUNNING, version=4), session="demo", time=later)
    assert (row.apply(running).since, row.apply(running).by) == (later, None)


def test_who_attaches_later_counts_from_the_state_too() -> None:
    """The picture of a record stands at the time of its state, also where notices between the two were missed."""
    began, later = NOW - timedelta(hours=2), NOW + timedelta(seconds=9)
    record = Record("demo", State.PAUSED, "e", status=4, since=began)
    picture, anew = (replace(record, since=since).as_notice(NOW) for since in (began, later))
    assert picture is not None
    assert anew is not None
    row = SessionView("demo").apply(picture)
    assert (row.since, row.age(NOW)) == (began, "2h")
    assert row.apply(anew).since == later


def test_what_is_parked_is_so_from_its_release_on() -> None:
    """Not from the beginning of the wait before it, which was called the same."""
    later = NOW + timedelta(seconds=30)
    waits = after(claimed, retry().model_copy(update={"time": NOW}))
    parked = moved(State.RATE_LIMITED, resume_at=later).model_copy(update={"time": later})
    assert waits.since == NOW
    assert after(released.model_copy(update={"time": later}), parked, row=waits).since == later


def test_a_row_of_a_record_has_its_time_and_all_its_waits() -> None:
    """A notice tells one wait, the picture holds one for each path."""
    waits = {name: waiting(NOW).model_copy(update={"llm": name}) for name in ("agent", "title")}
    record = Record(
        session="demo", state=State.RATE_LIMITED, epoch="e", status=4, since=NOW, worker=WORKER, picture=Picture(waits=waits)
    )
    row = SessionView.of(record, NOW + timedelta(seconds=5))
    assert (row.since, {wait.llm for wait in row.waits}) == (NOW, {"agent", "title"})


def test_a_row_of_a_record_leaves_out_what_an_earlier_worker_has_waited_for() -> None:
    """Its path may not be asked again, and then no notice would end it."""
    waits = {name: waiting(NOW).model_copy(update={"llm": name}) for name in ("agent", "title")}
    waits["title"] = waits["title"].model_copy(update={"retry_at": NOW})
    record = Record(
        session="demo", state=State.RATE_LIMITED, epoch="e", status=4, since=NOW, worker=WORKER, picture=Picture(waits=waits)
    )
    row = after(attempt(), row=SessionView.of(record, NOW))
    assert ([wait.llm for wait in row.waits], row.state) == (["agent"], State.RUNNING)
