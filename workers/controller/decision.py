"""What a controller decides about one session. Pure: a snapshot in, a decision out; no Redis, no clock.

Levels, not edges: the decision rests on what the record says now (state, lease, the worker's picture, the resume time) and on the
commands that wait, never on having seen a notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tidings.bus import (
    AgentProgress,
    ChildState,
    Command,
    Decision,
    Event,
    LlmAttempt,
    LlmRecovered,
    LlmRetry,
    Message,
    Notice,
    Outcome,
    Picture,
    Reason,
    Result,
    SessionStart,
    SessionState,
    Snapshot,
    State,
    Trigger,
    UnknownCommand,
    Wait,
    Wanted,
    WorkerLost,
)
from tidings.bus.channels import Place
from tidings.bus.records import milliseconds
from tidings.bus.states import ALWAYS, COMMANDS, FINAL, HELD, INTERNAL, TABLE, WAITING, legal_commands, next_state
from tidings.bus.worker.lease import TAKEN_UP
from tidings.workers.controller.saying import event_of
from tidings.workers.controller.wording import orphan, refusal, request
from tidings.workers.family import RESTS, child_state, shown_as
from tidings.workers.view import waiting

_TRIGGERS = {**COMMANDS, **INTERNAL, **ALWAYS}


@dataclass(frozen=True, slots=True)
class Rules:
    """What a controller goes by.

    Attributes:
        source: who decides, e.g. ``controller/c1``.
        reap: whether a lease that ran out may be taken as a lost worker. False for one lease after the server was away: the
            workers could not renew.
        again_s: when to look again at a lease that may not be reaped yet, in seconds.
        loss_limit: workers lost in a row after which the session is not given to another.
        serves: whether a live worker takes sessions of a queue that want an agent; None: that is not known.
    """

    source: str = "controller"
    reap: bool = True
    again_s: float = 1.0
    loss_limit: int = 5
    serves: Callable[[Place], bool] | None = None


def decide(snapshot: Snapshot, rules: Rules) -> Decision:
    """Decide about one session: its commands in the order of their offsets, then what its record says."""
    draft = _Draft(snapshot, rules)
    for command in snapshot.commands:
        draft.handle(command)
    draft.look()
    return draft.decision()


class _Draft:
    """A decision in the making."""

    def __init__(self, snapshot: Snapshot, rules: Rules) -> None:
        self._snapshot, self._record, self._rules = snapshot, snapshot.record, rules
        self._now = snapshot.now
        self._state = self._record.state
        self._held = self._record.held
        self._wait: Wait | None = self._record.wait
        self._failure: Wait | None = self._record.failure
        self._model = self._record.picture.model
        self._resume_at = self._record.resume_at if self._record.parked else None
        self._pending = self._record.pending
        self._revoke = False
        self._changed = False
        self._told = False
        """Whether a notice of the worker has said the new state already."""
        self._reason: Reason | None = self._record.reason
        self._why = ""
        self._by: str | None = None
        self._fields: dict[str, str] = {}
        self._parent, self._name = self._record.parent, self._record.name
        self._work = self._record.work
        self._messages: list[Message[Event]] = []
        self._notices: list[Message[Notice]] = []
        self._outcomes: dict[str, tuple[Message[Command], Result, str, State | None, tuple[str, ...]]] = {}

    # commands

    def handle(self, command: Message[Command]) -> None:
        """Give one command its outcome; one that its asker has withdrawn has it already, and so has one that is there twice."""
        if command.id in self._snapshot.resolved or command.id in self._outcomes:
            return
        data = command.data
        if command.type not in _TRIGGERS or isinstance(data, UnknownCommand):
            self._refuse(command, "this controller does not know this command")
        elif data.expires_at is not None and data.expires_at <= self._now:
            self._resolve(command, Result.EXPIRED, "its asker had stopped waiting")
        else:
            self._obey(command, data)

    def _obey(self, command: Message[Command], data: Command) -> None:
        trigger = self._meaning(command)
        after = next_state(self._state, trigger)
        if after is None:
            self._refuse(command, refusal(command, self._state))
            return
        if isinstance(data, SessionStart) and not self._adopt(command, data):
            return
        if isinstance(data, Wanted) and not self._rework(command, data):
            return
        if event := event_of(command, data, self._rules.source, self._now):
            self._messages.append(event)
        self._move(trigger, after, request(trigger, data), data.by)
        self._resolve(command, Result.APPLIED, "")

    def _adopt(self, command: Message[Command], data: SessionStart) -> bool:
        """Note whose child a new session is; returns False where there is no parent that could have one."""
        if data.parent is None:
            return True
        parent = self._snapshot.parents.get(data.parent)
        if parent is None or parent.state in FINAL:
            self._refuse(command, orphan(data.parent, parent.state if parent else None))
            return False
        self._work = parent.work.inherited(data.parent)
        self._parent, self._name = data.parent, data.name or command.session
        self._fields |= {"parent": self._parent, "name": self._name}
        return True

    def _rework(self, command: Message[Command], data: Wanted) -> bool:
        """Note how it is to be worked on; returns False where it cannot be so."""
        try:
            self._work = self._work.changed(data)
        except ValueError as error:
            self._refuse(command, str(error))
            return False
        self._model = self._work.model or self._model
        return True

    def _meaning(self, command: Message[Command]) -> Trigger:
        """The trigger that a command stands for; a resume depends on what the session is doing."""
        trigger = _TRIGGERS[command.type]
        if trigger is not Trigger.RESUME:
            return trigger
        if self._state in HELD and not self._is_parked:
            return Trigger.NUDGE
        if self._state is State.PAUSED and not self._pending:
            return Trigger.REST
        return Trigger.RESUME

    @property
    def _is_parked(self) -> bool:
        return self._state in WAITING and not self._held

    def _refuse(self, command: Message[Command], reason: str) -> None:
        self._resolve(command, Result.REFUSED, reason, legal_commands(self._state))

    def _resolve(self, command: Message[Command], result: Result, reason: str, legal: Iterable[str] = ()) -> None:
        self._outcomes[command.id] = (command, result, reason, self._state, tuple(legal))

    # what the record says

    def look(self) -> None:
        """Compare the state with what the record says: the lease, the worker's picture, the resume time."""
        if self._state not in HELD:
            return
        if not self._held:
            self._look_at_nobody()
        elif self._record.lease_until is not None and self._record.lease_until <= self._now:
            if self._rules.reap:
                self._lose()
        else:
            self._look_at_picture()

    def _look_at_nobody(self) -> None:
        if not self._is_parked:
            self._apply(Trigger.LOSE, "no worker held it")
        elif self._resume_at is None and self._state is State.RETRYING:
            # An outage has a time; without one only a limit waits, for a person.
            self._apply(Trigger.WAKE, "nothing is waited for")
        elif self._resume_at is not None and self._resume_at <= self._now:
            self._apply(Trigger.WAKE, "the wait is over")

    def _lose(self) -> None:
        """Take the session from a worker that does not renew; where a call waits it is parked until that is over."""
        wait = self._record.picture.kept().wait_at(self._now)
        self._state = wait.state if wait else State.RUNNING
        losses, worker = self._record.losses + 1, self._record.worker
        name = worker.name if worker else "a worker"
        self._notices.append(
            Message.of(
                WorkerLost(worker=worker, losses=losses), source=self._rules.source, session=self._record.session, time=self._now
            )
        )
        self._fields["losses"] = str(losses)
        if losses >= self._rules.loss_limit:
            lost = f"{losses} workers in a row were" if losses > 1 else "a worker was"
            self._apply(Trigger.ABANDON, f"{lost} lost on it, the last was {name}: look at their logs")
        else:
            self._apply(Trigger.LOSE, f"{name} stopped renewing its lease" + ("; the wait goes on" if wait else ""))

    def _look_at_picture(self) -> None:
        """Follow what the worker shows; what it showed before a nudge is over."""
        if "nudge" in self._fields:
            return
        picture = self._record.picture
        waits = picture.wait_at(self._now)
        trigger = _meaning_of(waits)
        after = TABLE[self._state, trigger]
        self._wait = waits or picture.under_way
        reason, why = waits.reason if waits else None, waiting(self._wait)
        if after is not self._state:
            self._reason = reason
            self._told = _says(self._record.last, picture, after)
            self._move(trigger, after, why, None)
        elif (self._wait or self._calls_told) and (self._record.reason is not reason or self._record.why != why):
            # The next attempt of the same call, or its end: no change of state, but not the same story either.
            self._reason = reason
            self._fields |= {"why": why, "reason": reason or ""}

    @property
    def _calls_told(self) -> bool:
        """Whether the newest that was told is of a call: nothing else says now why the session is in its state.

        What an agent tells of its progress may come right after that, and hide it.
        """
        last = self._record.last
        if last is not None and isinstance(last.data, AgentProgress):
            return self._record.why != TAKEN_UP
        return last is not None and isinstance(last.data, LlmRetry | LlmAttempt | LlmRecovered)

    # moving

    def _apply(self, trigger: Trigger, why: str) -> None:
        self._move(trigger, TABLE[self._state, trigger], why, None)

    def _move(self, trigger: Trigger, after: State, why: str, by: str | None) -> None:
        """Go to a state and note what that does to the record."""
        before, self._state = self._state, after
        parks = before is after and trigger is Trigger.LOSE
        if trigger is Trigger.NUDGE:
            self._nudge()
        if trigger in (Trigger.SAY, Trigger.START, Trigger.REPORT):
            self._pending = True
        if trigger is Trigger.RESUME:
            # A person has looked at it: the schedule of the parks begins anew.
            self._fields |= {"parks": "0", "parked_ms": "0"}
        if before is after and not parks:
            return
        self._changed, self._why, self._by = True, why, by
        if before is State.ERROR:
            # A person has looked at it: the workers lost before that do not count any more.
            self._fields["losses"] = "0"
        if after not in HELD or parks:
            self._let_go(after, by, kept=trigger in (Trigger.LOSE, Trigger.WAKE))

    def _nudge(self) -> None:
        """Have the worker end its waits. The state may not show them yet: people read notices sooner than we decide."""
        self._wait, self._reason = None, None
        if self._record.picture.waits:
            self._fields |= {"nudge": str(self._record.nudge + 1), "picture": self._bare_picture}

    @property
    def _bare_picture(self) -> str:
        """A picture in which nothing waits; who comes later still sees which model it was, and what its agent does."""
        return Picture(model=self._model, progress=self._record.picture.progress).model_dump_json(exclude_defaults=True)

    def _let_go(self, after: State, by: str | None, *, kept: bool) -> None:
        """Take the session from its worker, if it has one.

        Args:
            kept: what has been counted of the calls under way stays, for the next worker, and what is waited for goes on; else
                every wait ends.
        """
        picture = self._record.picture.kept() if kept else Picture(model=self._model)
        resume_at = picture.resume_at if after in WAITING else None
        # Of what is deleted no old token may be left that still fits.
        self._revoke = self._revoke or self._held or after is State.DELETED
        self._held, self._failure, self._resume_at = False, None, resume_at
        self._wait = picture.wait_at(self._now) if after in WAITING else None
        self._reason = self._wait.reason if self._wait else None
        if after in FINAL:
            self._pending = False
        self._fields |= {"worker": "", "lease_until": "", "resume_at": milliseconds(resume_at)}
        self._fields["picture"] = picture.model_dump_json(exclude_defaults=True)
        self._fields["paused_by"] = by or "somebody" if after is State.PAUSED else ""

    # writing it down

    def decision(self) -> Decision:
        """Return what is to be written."""
        new = self._record.state is None and self._changed
        work = self._work if new or self._work != self._record.work else None
        if work is not None and not self._changed:
            # It is told with its state, in which it stays.
            self._changed, self._why, self._by = True, self._record.why.partition(_UNSERVED)[0], self._record.by
        if self._changed and (warning := self._unserved()):
            self._why += f"; {warning}"
        to = self._state if self._changed else None
        fields = dict(self._fields)
        if self._record.failures:
            fields["failures"] = "0"
        if self._pending != self._record.pending:
            fields["pending"] = str(int(self._pending))
        if to is not None:
            fields |= {"why": self._why, "reason": self._reason or "", "by": self._by or ""}
        child = self._child()
        if child is not None:
            fields["shown"] = shown_as(child)
        return Decision(
            to=to,
            revoke=self._revoke,
            ready=self._state is State.QUEUED,
            due=self._due(),
            handled=max((command.offset or 0 for command in self._snapshot.commands), default=self._record.handled),
            fields=fields,
            work=work,
            messages=tuple(self._messages),
            notices=tuple(self._notices),
            state=self._notice(to) if to is not None and not self._told else None,
            outcomes=tuple(self._outcome(*entry) for entry in self._outcomes.values()),
            child=child_state(child, self._parent, self._rules.source, self._now) if child and self._parent else None,
        )

    def _child(self) -> ChildState | None:
        """Return what its parent's people see of it, where that is something new."""
        if self._parent is None or self._state is None:
            return None
        child = ChildState(
            child=self._record.session,
            name=self._name or self._record.session,
            state=self._state,
            why=self._why if self._changed else self._fields.get("why", self._record.why),
            reason=self._reason,
            wait=self._wait if self._state in HELD else None,
            resume_at=self._resume_at,
            worker=self._record.worker if self._held else None,
            failure=self._failure,
            model=self._model,
        )
        return child if shown_as(child) != self._record.shown else None

    def _due(self) -> datetime | None:
        if self._snapshot.more or (self._changed and self._has_news()):
            return self._now
        if self._held:
            again = self._now + timedelta(seconds=self._rules.again_s)
            return max(self._record.lease_until, again) if self._record.lease_until else again
        return self._resume_at

    def _has_news(self) -> bool:
        """Whether its parent must be told that its turn is over, or its children that it is."""
        return (self._parent is not None and self._state in RESTS) or (self._record.children > 0 and self._state in FINAL)

    def _notice(self, to: State) -> Message[SessionState]:
        return Message.of(
            SessionState(
                to=to,
                version=0,
                why=self._why,
                by=self._by,
                reason=self._reason,
                wait=self._wait if to in HELD else None,
                resume_at=self._resume_at,
                worker=self._record.worker if self._held else None,
                model=self._model,
                work=self._work,
            ),
            source=self._rules.source,
            session=self._record.session,
            time=self._now,
        )

    def _unserved(self) -> str:
        """Say that it will wait because it has no worker; '' where it has one, or that is not known."""
        serves = self._rules.serves
        return (
            "" if serves is None or self._state is not State.QUEUED or serves(self._work.place) else _unserved(self._work.place)
        )

    def _outcome(
        self, command: Message[Command], result: Result, reason: str, state: State | None, legal: tuple[str, ...]
    ) -> tuple[Outcome, datetime | None]:
        outcome = Outcome(
            command_id=command.id,
            session=command.session,
            result=result,
            reason=reason,
            state=state,
            version=self._record.version + int(self._changed),
            legal=legal,
            warning=self._unserved() if result is Result.APPLIED else "",
        )
        expires_at = command.data.expires_at if result is Result.APPLIED else None
        return outcome, expires_at


def _unserved(place: Place) -> str:
    queue, agent = place
    return f"no live worker serves queue {queue!r}" + (f" with agent {agent!r}" if agent else "")


_UNSERVED = "; no live worker serves"
"""What is added to the reason of a session that waits for one, so that it stands on its line everywhere."""


def _meaning_of(wait: Wait | None) -> Trigger:
    """The trigger that a worker's picture stands for."""
    if wait is None:
        return Trigger.RECOVER
    return Trigger.LIMITED if wait.reason.is_rate_limit else Trigger.TROUBLED


def _says(last: Message[Notice] | None, picture: Picture, state: State) -> bool:
    """Whether the newest notice tells what a picture shows, so that followers have the new state from it."""
    if picture.unsaid or last is None:
        # They still count with the wait of a call that was left.
        return False
    if isinstance(last.data, LlmRetry):
        wait = picture.waits.get(last.data.llm)
        return wait is not None and wait.attempt == last.data.attempt and last.data.state is state
    if isinstance(last.data, LlmAttempt | LlmRecovered):
        return state is State.RUNNING
    return False
