"""The side of the controllers: take the sessions that are due, read each, and write what it decided in one step."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tidings.bus.children import forget_children
from tidings.bus.errors import InvalidMessage, StaleDecision, TidingsError
from tidings.bus.listener import Listener, Subscriber
from tidings.bus.messages import (
    ChildState,
    Command,
    Event,
    Message,
    Notice,
    Outcome,
    Result,
    SessionStart,
    SessionState,
    Work,
    decode_command,
    encode,
    encode_state,
)
from tidings.bus.publisher import RETENTION, RETENTION_S
from tidings.bus.records import Record, check_fit, count_of, instant, milliseconds, offset_of, parse_record
from tidings.bus.redis.context import Argument, RedisContext
from tidings.bus.states import State

log = logging.getLogger("tidings.controller")

OUTCOME_S = 24 * 3600.0
"""Life of an outcome: an asker that sends the same command again within a day gets the first answer."""
QUARANTINE_S = 60.0
"""For how long a session is left alone that cannot be read or written; it doubles each time in a row, …"""
QUARANTINE_CAP_S = 900.0
"""… up to this."""
_COMMANDS = 100
_WAITING = 1000
"""Commands that are refused at once; no more can wait."""


@dataclass(frozen=True, slots=True)
class Due:
    """Sessions that were due, now hidden from other controllers for the visibility time."""

    now: datetime
    sessions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A session that was set aside, because it cannot be read or written.

    Attributes:
        times: how often in a row; 0: it was not, because another schema wrote it or something was asked of it meanwhile.
        seconds: after which it is looked at again.
        refused: the commands that waited there.
    """

    times: int
    seconds: float
    refused: tuple[Message[Command], ...]


@dataclass(frozen=True, slots=True)
class Parent:
    """A session as whose child another one may be started.

    Attributes:
        state: its state.
        work: how it is worked on, which its child inherits.
    """

    state: State
    work: Work = field(default_factory=Work)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may rest on.

    Attributes:
        record: the session record.
        commands: the commands that wait, in the order of their offsets.
        resolved: ids of those that have an outcome already (withdrawn by their askers).
        now: server time.
        more: whether further commands wait that were not read.
        parents: the sessions as whose child this one may be started, by id; one that is not there is unknown.
    """

    record: Record
    commands: tuple[Message[Command], ...]
    resolved: frozenset[str]
    now: datetime
    more: bool = False
    parents: Mapping[str, Parent] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be written about one session; all of it or nothing.

    Attributes:
        to: new state; None: it stays as it is, and so does the version.
        revoke: take the session from its worker: raise the fencing token.
        ready: put it into ``ready`` and wake the workers.
        due: when a controller must look again; None: when something happens.
        handled: offset of the newest command that this handles; it never goes back.
        fields: fields of the record to set, as Redis keeps them.
        work: how it is worked on from now on; None: as before.
        messages: events to append: what people said, results of children.
        notices: notices to publish before the state.
        state: the ``session.state`` notice; None where the state stays, or where a notice of its worker says the same already.
        outcomes: outcome and expiry of each handled command that has none yet.
        child: the ``child.state`` notice for the parent; its ``subject`` is the parent.
    """

    to: State | None = None
    revoke: bool = False
    ready: bool = False
    due: datetime | None = None
    handled: int = 0
    fields: Mapping[str, str] = field(default_factory=dict)
    work: Work | None = None
    messages: tuple[Message[Event], ...] = ()
    notices: tuple[Message[Notice], ...] = ()
    state: Message[SessionState] | None = None
    outcomes: tuple[tuple[Outcome, datetime | None], ...] = ()
    child: Message[ChildState] | None = None


class ControllerFace:
    """``bus.controller``: takes what is due, reads it, and writes what was decided."""

    def __init__(self, context: RedisContext, listener: Listener) -> None:
        self._context, self._listener = context, listener

    async def on_change(self, subscriber: Subscriber) -> None:
        """Have a subscriber told of every notice and command of every session; a wake-up: ``due`` is the promise."""
        await self._listener.listen_planes(frozenset({"status", "commands"}), subscriber)

    async def forget(self, subscriber: Subscriber) -> None:
        """Tell a subscriber nothing more."""
        await self._listener.forget(subscriber)

    async def forget_children(self, session: str) -> None:
        """Forget the children of a session that was deleted, when all of them are over."""
        await forget_children(self._context, session)

    async def due(self, limit: int = 100, visibility_s: float = 5.0) -> Due:
        """Take the sessions that want a controller now.

        Each comes up again after ``visibility_s`` unless a decision sets another time: a controller that dies is followed by
        another.

        Raises:
            Unreachable: the server does not answer.
            UnexpectedKey: ``due`` is no sorted set.
        """
        args: list[Argument] = [int(visibility_s * 1000), limit]
        now, strange, *sessions = await self._context.run_again("dequeue_due", [self._context.names.due], args)
        if strange:
            log.warning("due.strange", extra={"count": strange})
        return Due(instant(int(now)), tuple(name.decode() for name in sessions))

    async def forget_due(self, session: str) -> None:
        """Take a session without a record out of ``due``; one that was started meanwhile stays.

        Raises:
            Unreachable: the server does not answer.
        """
        await self._context.run_again("forget_due", [self._context.names.record(session), self._context.names.due], [session])

    async def snapshot(self, session: str) -> Snapshot | None:
        """Read all that a decision about the session may rest on; None where there is no such session.

        Raises:
            Unreachable: the server does not answer.
            UnreadableRecord: the record cannot be read; see ``quarantine``.
            SchemaMismatch: another version wrote it.
        """
        names = self._context.names
        pipeline = self._context.pipeline(atomic=True)
        pipeline.hgetall(names.record(session))
        pipeline.xrange(names.log("commands", session), count=_COMMANDS)
        pipeline.time()
        fields, raw, (seconds, micros) = await self._context.read(pipeline)
        record = parse_record(session, fields)
        if record is None:
            return None
        waiting = [_command(session, item) for item in raw if offset_of(item) <= record.commands]
        commands = tuple(command for command in waiting if (command.offset or 0) > record.handled)
        resolved = await self._resolved(session, commands)
        now = instant(int(seconds) * 1000 + int(micros) // 1000)
        parents = await self._parents(commands) if record.state is None else {}
        return Snapshot(record, commands, resolved, now, len(waiting) == _COMMANDS, parents)

    async def quarantine(self, session: str, reason: str) -> Quarantined:
        """Leave a session alone that cannot be read or written, longer each time in a row, and refuse the commands that wait.

        A decision ends it. What another schema wrote is not touched and comes up again after a second: controllers of that
        version take turns with us. A session that was asked for something since its record was read comes up at once.

        Args:
            reason: why its commands are refused, for people.

        Raises:
            Unreachable: the server does not answer.
        """
        names = self._context.names
        touched, commands = await self._waiting(session)
        outcomes = [Outcome(command_id=one.id, session=session, result=Result.REFUSED, reason=reason) for one in commands]
        keys = [names.record(session), names.due, names.log("commands", session)]
        keys += [names.outcome(session, one.command_id) for one in outcomes]
        args: list[Argument] = [session, int(QUARANTINE_S * 1000), int(QUARANTINE_CAP_S * 1000), touched]
        args += [names.outcomes(session), int(OUTCOME_S * 1000), max((one.offset or 0 for one in commands), default=0)]
        times, wait_ms = await self._context.run_again("quarantine", keys, [*args, *(one.model_dump_json() for one in outcomes)])
        return Quarantined(int(times), int(wait_ms) / 1000, commands if times else ())

    async def _waiting(self, session: str) -> tuple[bytes, tuple[Message[Command], ...]]:
        """Return what can be read of a session: the touched count as it stands there, and the commands that wait."""
        names = self._context.names
        pipeline = self._context.pipeline(atomic=True)
        pipeline.hmget(names.record(session), ["touched", "commands"])
        pipeline.xrange(names.log("commands", session), count=_WAITING)
        counts, raw = await self._context.read_each(pipeline)
        touched, end = (None, None) if isinstance(counts, TidingsError) else counts
        newest = count_of(end)
        # What lies beyond the count is no command of ours; where that cannot be read, what the scripts can count with may be.
        ours = [] if isinstance(raw, TidingsError) else [item for item in raw if offset_of(item) <= (newest or 2**53 - 2)]
        # An outcome is a key that a script is given: two of one id are one.
        known = {command.id: command for command in (_command(session, item) for item in ours)}
        return touched or b"0", tuple(known.values())

    async def _parents(self, commands: tuple[Message[Command], ...]) -> dict[str, Parent]:
        """Read the sessions as whose child a new one may be started."""
        starts = [command.data.parent for command in commands if isinstance(command.data, SessionStart)]
        wanted = list(dict.fromkeys(parent for parent in starts if parent is not None))
        if not wanted:
            return {}
        pipeline = self._context.pipeline(atomic=False)
        for parent in wanted:
            pipeline.hmget(self._context.names.record(parent), ["state", "work"])
        found: dict[str, Parent] = {}
        for parent, answer in zip(wanted, await self._context.read_each(pipeline), strict=True):
            state, work = (b"", None) if isinstance(answer, TidingsError) else answer
            # A state that this version does not know is none that a child could be started under, nor is what cannot be read.
            with contextlib.suppress(ValueError):
                found[parent] = Parent(State((state or b"").decode()), Work.model_validate_json(work or b"{}"))
        return found

    async def _resolved(self, session: str, commands: tuple[Message[Command], ...]) -> frozenset[str]:
        if not commands:
            return frozenset()
        pipeline = self._context.pipeline(atomic=False)
        for command in commands:
            pipeline.exists(self._context.names.outcome(session, command.id))
        found = await self._context.read(pipeline)
        return frozenset(command.id for command, there in zip(commands, found, strict=True) if there)

    async def decide(self, snapshot: Snapshot, decision: Decision) -> int:
        """Write a decision; returns the version of the record after it.

        Raises:
            ValueError: there is a notice without a new state.
            StaleDecision: the record or a command is not what the decision rests on any more; nothing was written.
            SchemaMismatch: another version has written it meanwhile; nothing was written.
            SpoiledLog: the events log takes no event; nothing was written.
            UnreadableRecord: what the scripts count with cannot be read; nothing was written.
            Unreachable: the server does not answer; deciding anew is safe.
        """
        if decision.to is None and decision.state is not None:
            raise ValueError("a decision that tells a state has that state")
        record, names, work = snapshot.record, self._context.names, decision.work or snapshot.record.work
        session = record.session
        keys = [names.record(session), names.log("events", session), names.log("status", session)]
        keys += [names.log("commands", session), names.ready(*work.place), names.due, names.sessions]
        keys += [names.outcome(session, outcome.command_id) for outcome, _ in decision.outcomes]
        if decision.child is not None:
            parent = decision.child.session
            keys += [names.record(parent), names.log("status", parent), names.children(parent)]
        if work.place != record.work.place:
            keys += [names.ready(*record.work.place)]
        answer = await self._context.run("decide", keys, self._args(snapshot, decision))
        check_fit(session, answer)
        if answer[0] != b"ok":
            raise StaleDecision(session)
        return int(answer[1])

    def _args(self, snapshot: Snapshot, decision: Decision) -> list[Argument]:
        names, limit, record = self._context.names, self._context.payload_limit, snapshot.record
        session = record.session
        args: list[Argument] = [session, record.version, record.handled, record.touched]
        args += [max(record.handled, decision.handled)]
        args += [decision.to or "", int(decision.revoke), int(decision.ready), milliseconds(decision.due)]
        args += [names.channel("events", session), names.channel("status", session), names.wake, names.outcomes(session)]
        args += [RETENTION, int(RETENTION_S * 1000), int(OUTCOME_S * 1000)]
        args += [decision.state.id, encode_state(decision.state)] if decision.state else ["", ""]
        args += [record.epoch, record.state or "", record.lease]
        args += _counted([*decision.fields.items(), *(decision.work.fields().items() if decision.work else ())])
        args += _counted([(message.id, encode(message, limit)) for message in decision.messages])
        args += _counted([(notice.id, encode(notice, limit)) for notice in decision.notices])
        args += _counted([(outcome.model_dump_json(), milliseconds(expiry)) for outcome, expiry in decision.outcomes])
        args += self._shown(decision.child)
        return args

    def _shown(self, child: Message[ChildState] | None) -> list[Argument]:
        """Return how a child is told to those who watch its parent."""
        if child is None:
            return [0]
        channel = self._context.names.channel("status", child.session)
        return [1, child.id, encode(child, self._context.payload_limit), channel, child.data.model_dump_json()]


def _counted(pairs: list[tuple[Any, Any]]) -> list[Argument]:
    return [len(pairs), *(item for pair in pairs for item in pair)]


def _command(session: str, item: Any) -> Message[Command]:
    """Read a stored command; one that cannot be read is kept as an unknown one, so that it gets its outcome."""
    offset = offset_of(item)
    command: Message[Command] | None
    try:
        command = decode_command(item[1][b"m"])
    except (InvalidMessage, KeyError):
        command = None
    if command is None or command.session != session:
        command = _unreadable(session, item[1].get(b"id", b"").decode("ascii", "replace"), offset)
    return command.model_copy(update={"offset": offset})


def _unreadable(session: str, command_id: str, offset: int) -> Message[Command]:
    """Stand in for a command that cannot be read; under its own id, if that is one, so that its asker hears of it."""
    try:
        return Message.unknown("commands", "unreadable", session=session, id=command_id)
    except InvalidMessage:
        return Message.unknown("commands", "unreadable", session=session, id=f"unreadable-{offset}")
