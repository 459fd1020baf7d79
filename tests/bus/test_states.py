"""The table of states, as a whole."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.bus.states import COMMANDS, FINAL, HELD, TABLE, WAITING, State, Trigger, legal_commands, next_state

OPEN = [state for state in State if state not in FINAL]
RESUMES = (Trigger.RESUME, Trigger.REST, Trigger.NUDGE)


def _reachable(start: State | None) -> set[State | None]:
    """Every state that some sequence of triggers leads to, the start included."""
    seen: set[State | None] = {start}
    fresh: list[State | None] = [start]
    while fresh:
        here = fresh.pop()
        reached = {to for (state, _), to in TABLE.items() if state is here} - seen
        seen |= reached
        fresh += reached
    return seen


def _walk(triggers: Iterable[Trigger]) -> list[State | None]:
    """The states of a new session, refused triggers changing nothing."""
    state: State | None = None
    path = [state]
    for trigger in triggers:
        state = next_state(state, trigger) or state
        path.append(state)
    return path


@given(st.lists(st.sampled_from(Trigger), max_size=30))
def test_no_sequence_of_triggers_reaches_an_undefined_state(triggers: list[Trigger]) -> None:
    """Whatever happens in whatever order, a session is in a state of the table or does not exist yet."""
    path = _walk(triggers)
    assert all(state is None or state in State for state in path)
    begun = [state is not None for state in path]
    assert begun == sorted(begun), "a session that exists goes on existing"


@given(st.lists(st.sampled_from(Trigger), max_size=30))
def test_a_final_state_is_never_left(triggers: list[Trigger]) -> None:
    """Once stopped or finished, a session stays so, unless it is deleted; and that is for ever."""
    path = _walk(triggers)
    ends = [index for index, state in enumerate(path) if state in FINAL]
    if ends:
        after = path[ends[0] :]
        assert set(after) <= {after[0], State.DELETED}
        assert Trigger.DELETE in triggers or set(after) == {after[0]}
        assert after == sorted(after, key=lambda state: state is State.DELETED)


@pytest.mark.parametrize("state", sorted(FINAL))
def test_final_states_have_no_way_out_but_deleting(state: State) -> None:
    """No other trigger leads from a final state to another; stopping what is stopped and changing labels is accepted."""
    ways = {trigger: to for (from_, trigger), to in TABLE.items() if from_ is state}
    assert ways.pop(Trigger.DELETE) is State.DELETED
    assert set(ways.values()) <= {state}
    assert set(ways) <= {Trigger.STOP, Trigger.CHANGE}
    assert state is not State.DELETED or not ways


@pytest.mark.parametrize("state", State)
def test_every_session_can_be_deleted(state: State) -> None:
    """Whatever it is doing; and a deleted one stays deleted."""
    assert next_state(state, Trigger.DELETE) is State.DELETED


@pytest.mark.parametrize("state", OPEN)
def test_every_other_state_has_a_way_to_an_end(state: State) -> None:
    """From each state that is not final every final state can be reached."""
    assert _reachable(state) >= FINAL


def test_every_state_is_reached_from_a_new_session() -> None:
    """The table has no state that nothing leads to."""
    assert _reachable(None) == {None, *State}


def test_every_trigger_does_something() -> None:
    """The table has no trigger that is refused everywhere."""
    assert {trigger for _, trigger in TABLE} == set(Trigger)


@pytest.mark.parametrize("state", OPEN)
def test_whoever_is_not_at_an_end_can_be_stopped_and_paused(state: State) -> None:
    """A person's stop and pause are accepted in every state that is not final, and mean the same in each."""
    assert next_state(state, Trigger.STOP) is State.STOPPED
    assert next_state(state, Trigger.PAUSE) is State.PAUSED


def test_a_new_session_can_only_be_started() -> None:
    """Nothing else makes a session, and none is started twice."""
    assert {trigger: to for (state, trigger), to in TABLE.items() if state is None} == {Trigger.START: State.QUEUED}
    assert [state for state, trigger in TABLE if trigger is Trigger.START] == [None]


@pytest.mark.parametrize("state", OPEN)
def test_a_user_may_speak_at_any_time(state: State) -> None:
    """Something said is accepted everywhere: it queues what rests and leaves alone what is on its way."""
    expected = State.QUEUED if state in (State.AWAITING_INPUT, State.ERROR) else state
    assert next_state(state, Trigger.SAY) is expected


@pytest.mark.parametrize("trigger", [t for t in Trigger if t not in (Trigger.RESUME, Trigger.REST)])
def test_a_pause_beats_everything_but_a_resume_and_an_end(trigger: Trigger) -> None:
    """No deadline, worker or word of a user takes a session out of a person's pause."""
    assert next_state(State.PAUSED, trigger) in {None, State.PAUSED, State.STOPPED, State.DELETED}


@pytest.mark.parametrize("state", [State.RUNNING, State.RETRYING, State.RATE_LIMITED])
def test_whoever_holds_a_session_may_do_the_same_in_each_held_state(state: State) -> None:
    """A worker need not know which of its waits the controllers have seen."""
    own = {
        Trigger.LIMITED: State.RATE_LIMITED,
        Trigger.TROUBLED: State.RETRYING,
        Trigger.RECOVER: State.RUNNING,
        Trigger.PARK: State.RATE_LIMITED,
        Trigger.OUTAGE: State.RETRYING,
        Trigger.YIELD: State.AWAITING_INPUT,
        Trigger.FINISH: State.FINISHED,
        Trigger.FAIL: State.ERROR,
        Trigger.ABANDON: State.ERROR,
    }
    assert state in HELD
    assert {trigger: next_state(state, trigger) for trigger in own} == own


@pytest.mark.parametrize("trigger", [Trigger.HAND_BACK, Trigger.LOSE])
def test_a_wait_outlives_its_worker(trigger: Trigger) -> None:
    """What waits is parked until the wait is over; what does not wants a worker at once."""
    assert next_state(State.RUNNING, trigger) is State.QUEUED
    assert {state: next_state(state, trigger) for state in WAITING} == {state: state for state in WAITING}


def test_only_what_is_queued_is_claimed() -> None:
    """Two workers cannot both take a session up."""
    assert [state for state, trigger in TABLE if trigger is Trigger.CLAIM] == [State.QUEUED]


def test_only_what_is_parked_wakes_by_itself() -> None:
    """A resume time belongs to a wait for a provider and to nothing else."""
    assert {state for state, trigger in TABLE if trigger is Trigger.WAKE} == WAITING


@pytest.mark.parametrize("state", [None, *State])
def test_legal_commands_agree_with_the_table(state: State | None) -> None:
    """A command is legal exactly where the table has a row for it; in a final state only where that leads elsewhere."""
    accepted = {trigger for from_, trigger in TABLE if from_ is state}
    expected = [
        name
        for name, trigger in COMMANDS.items()
        if (accepted & set(RESUMES) if trigger is Trigger.RESUME else trigger in accepted)
    ]
    assert list(legal_commands(state)) == (
        ["session.delete"] if state in (State.STOPPED, State.FINISHED) else [] if state in FINAL else expected
    )


def test_legal_commands_of_some_states() -> None:
    """A new session is started; one that waits for input is not resumed; a finished one can only be deleted."""
    assert legal_commands(None) == ("session.start",)
    assert legal_commands(State.AWAITING_INPUT) == ("session.say", "session.pause", "session.stop", "session.delete")
    assert legal_commands(State.RUNNING) == (
        "session.say",
        "session.resume",
        "session.pause",
        "session.stop",
        "session.delete",
    )
    assert legal_commands(State.STOPPED) == ("session.delete",)
    assert legal_commands(State.FINISHED) == ("session.delete",)
    assert legal_commands(State.DELETED) == ()


def test_a_pair_that_is_not_in_the_table_is_refused() -> None:
    """There is no default way."""
    assert next_state(State.FINISHED, Trigger.RESUME) is None
    assert next_state(None, Trigger.SAY) is None


def test_the_table_cannot_be_changed() -> None:
    """It is the same for everybody in the process."""
    with pytest.raises(TypeError):
        TABLE[State.FINISHED, Trigger.RESUME] = State.QUEUED  # type: ignore[index]
