"""The side of the workers: claim sessions, keep their leases, append, release."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter
from typing import Any

from pydantic import ValidationError

from tidings.bus.channels import EVERYWHERE, Place
from tidings.bus.errors import (
    LeaseLost,
    OutcomeUnknown,
    ServerFull,
    SessionDeleted,
    SessionHeld,
    SpoiledLog,
    TidingsError,
    UnknownSession,
    Unreachable,
    UnreadableRecord,
    cause_of,
)
from tidings.bus.listener import Listener, Subscriber, Wakeup
from tidings.bus.logs import PAGE, Logs
from tidings.bus.messages import (
    DEFAULT_QUEUE,
    Event,
    Message,
    Notice,
    Picture,
    Reason,
    SessionState,
    Wait,
    Work,
    WorkerClaimed,
    WorkerRef,
    WorkerReleased,
    carries,
    check_session,
    encode,
    encode_state,
    is_session,
    kind_of,
    most_telling,
)
from tidings.bus.presence import Members, Presence
from tidings.bus.publisher import RETENTION, RETENTION_S, NoticeQueue, publish_notice
from tidings.bus.records import check_fit, instant, milliseconds
from tidings.bus.redis.context import Argument, RedisContext
from tidings.bus.states import FINAL, WAITING, State, Trigger, next_state
from tidings.bus.worker.keeper import Keeper
from tidings.bus.worker.lease import ALL_READ, LEASE_S, TAKEN_UP, Ending, Lease

log = logging.getLogger("tidings.worker")

_RELEASES = frozenset({Trigger.YIELD, Trigger.FINISH, Trigger.FAIL, Trigger.PARK, Trigger.OUTAGE, Trigger.HAND_BACK})
_LONGEST_WHY = 200
"""Bytes of a word of a record that an error repeats."""
_POLL_S = 2.0
"""How often a session is looked for in silence."""
_AT_ONCE = 100
"""Leases that one call of the script renews; it holds the server for some 10 us each."""
_LOOK = 16
"""Queued sessions that one attempt to claim looks at; other workers take some of them at the same moment."""


def new_epoch() -> str:
    """Return a fresh epoch (64 random bits)."""
    return secrets.token_hex(8)


def _refusal(session: str, answer: Any) -> TidingsError:
    """Return why the session named was not claimed."""
    state = answer[1].decode(errors="replace")
    if state == State.DELETED:
        return SessionDeleted(session)
    return SessionHeld(session, state) if state else UnknownSession(session)


def _state_of(value: bytes) -> State | None:
    """Return a state of a record, None for none and for what cannot be read."""
    try:
        return State(value.decode()) if value else None
    except ValueError:
        return None


def _plain(value: bytes | None) -> str:
    """Return text of a record, which others wrote, so that it can stand in a sentence."""
    text = (value or b"")[:_LONGEST_WHY].decode(errors="replace")
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _check_notices(session: str, notices: Sequence[Message[Notice]]) -> None:
    for notice in notices:
        if not carries(notice, Notice):
            raise TypeError(f"only notices are published, this is a {kind_of(notice)}")
        if notice.session != session:
            raise ValueError(f"a notice of session {notice.session!r} cannot be published in {session!r}")


def _waits_of(picture: bytes) -> dict[str, Wait]:
    """Return the calls that a record says are not over; none where it cannot be read, which a controller finds out."""
    try:
        return Picture.model_validate_json(picture).waits
    except ValidationError:
        return {}


def _as_kept(ending: Ending, now: datetime) -> tuple[State, Ending]:
    """Return what a session that is handed back is doing, and how: where a call waits it is parked until that is over."""
    picture = Picture(waits=dict(ending.waits)).kept()
    wait = picture.wait_at(now)
    if wait is None:
        return State.RUNNING, replace(ending, waits=picture.waits, resume_at=None)
    return wait.state, replace(ending, waits=picture.waits, resume_at=picture.resume_at, reason=wait.reason)


def _place(answer: Sequence[bytes]) -> Place:
    """Return the queue and the agent that a script says a session is of."""
    return answer[1].decode(errors="replace"), answer[2].decode(errors="replace") or None


def _work(value: bytes) -> Work:
    """Return how a session is worked on, by its record; the usual way where that cannot be read, which a controller finds out."""
    try:
        return Work.model_validate_json(value)
    except ValidationError:
        return Work()


@dataclass(frozen=True, slots=True)
class Renewed:
    """What the server says to the renewal of one lease.

    Attributes:
        held: whether the session is still this worker's.
        retry_now: how often it was resumed while held.
        state: state of a session that is no longer held; None where it is held, or gone.
        why: what became of it, as part of a sentence; '' where that is not known.
    """

    held: bool
    retry_now: int = 0
    state: State | None = None
    why: str = ""


class WorkerFace:
    """``bus.worker``: what workers do, ours or a loop of one's own."""

    def __init__(
        self,
        context: RedisContext,
        listener: Listener,
        roll: Members,
        logs: Logs,
        another: Callable[[], AbstractAsyncContextManager[WorkerFace]],
    ) -> None:
        self._context, self._listener, self._members, self._logs = context, listener, roll, logs
        self.another = another
        """Opens the same side of a bus of the same installation, for the event loop of another thread."""
        self._keeper: Keeper | None = None
        self._queues: list[NoticeQueue] = []
        self._crowd = 1
        """Among how many of the longest waiting sessions a claim chooses."""
        self._passed_over: set[str] = set()

    @property
    def keeper(self) -> Keeper:
        """What renews the leases that no other keeper does."""
        if self._keeper is None:
            self._keeper = Keeper(self)
        return self._keeper

    @property
    def in_memory(self) -> bool:
        """Whether there is no server but in this process's memory (``memory://``)."""
        return self._context.connection.memory

    def now(self) -> datetime:
        """Return the server's time, by our estimate."""
        return self._context.clock.now()

    def queue(self) -> NoticeQueue:
        """Return a queue of notices that never makes its caller wait; it is closed with the bus."""
        self._queues = [queue for queue in self._queues if not queue.closed]
        queue = NoticeQueue(self._context)
        self._queues.append(queue)
        return queue

    async def aclose(self) -> None:
        """Close what was opened for leases."""
        if self._keeper is not None:
            await self._keeper.aclose()
        for queue in self._queues:
            await queue.aclose()

    @asynccontextmanager
    async def lease(
        self,
        session: str | None = None,
        *,
        create: bool = False,
        worker: str = "",
        model: str | None = None,
        lease_s: float = LEASE_S,
        keeper: Keeper | None = None,
        queue: str = DEFAULT_QUEUE,
    ) -> AsyncIterator[Lease]:
        """Hold a session for as long as the block lasts; waits until it wants a worker. See `Lease` for how the block ends.

        Args:
            session: the session; None: the one that is queued longest.
            create: make the session named where there is none (for a loop of one's own, without a ``session.start``).
            worker: how people see the worker; '' is host and process.
            model: the model of the agent, for people to see.
            lease_s: length of the lease in seconds.
            keeper: renews the lease; None: that of the bus.
            queue: of a session that is made, and of those that are taken where none is named. With a queue of its own a loop
                shares an installation with other workers.

        Raises:
            LeaseLost: the session was taken away while the block ran.
            UnknownSession: there is no session of that name.
            SessionDeleted: the session named was deleted.
            SessionHeld: the session named is over: stopped or finished.
            UnreadableRecord: its record cannot be read, or was written with another schema.
            Unreachable: the server does not answer.
        """
        host = socket.gethostname()
        ref = WorkerRef(name=worker or f"{host}-{os.getpid()}", host=host, pid=os.getpid())
        lease = await self._claim_in_time(ref, session, create, model, lease_s, [(queue, None)])
        async with lease.kept_by(keeper or self.keeper):
            yield lease

    async def _claim_in_time(
        self, ref: WorkerRef, session: str | None, create: bool, model: str | None, lease_s: float, places: Sequence[Place]
    ) -> Lease:
        """Claim a session as soon as there is one to claim."""
        wake, told = Wakeup(), False
        try:
            await self.on_ready(wake)
            while True:
                wake.clear()
                try:
                    lease = await self.claim(ref, lease_s=lease_s, session=session, create=create, model=model, places=places)
                except SessionHeld as error:
                    if error.state in FINAL:
                        raise
                    lease = None
                    if not told:
                        # Nothing but a person ends that: a program that stands still must not do so in silence.
                        level = logging.WARNING if error.state == State.AWAITING_INPUT else logging.INFO
                        told = True
                        log.log(level, "lease.waits", extra={"session": session, "state": error.state})
                if lease is not None:
                    return lease
                await wake.wait_at_most(_POLL_S)
        finally:
            await self.forget(wake)

    async def on_ready(self, subscriber: Subscriber) -> None:
        """Have a subscriber told whenever a session wants a worker; a wake-up, not a promise: call ``claim`` now and then too."""
        await self._listener.listen(self._context.names.wake, subscriber)

    async def listen(self, session: str, subscriber: Subscriber) -> None:
        """Have a subscriber told of everything on one session's status channel; a wake-up, not a promise."""
        await self._listener.listen(self._context.names.channel("status", check_session(session)), subscriber)

    async def forget(self, subscriber: Subscriber) -> None:
        """Tell a subscriber nothing more."""
        await self._listener.forget(subscriber)

    async def attend(self, presence: Presence) -> None:
        """Say that a process is there; see ``Members.attend``."""
        await self._members.attend(presence)

    async def leave(self, presence: Presence) -> None:
        """Say that a process ends; see ``Members.leave``."""
        await self._members.leave(presence)

    async def claim(
        self,
        worker: WorkerRef,
        *,
        lease_s: float = LEASE_S,
        session: str | None = None,
        create: bool = False,
        model: str | None = None,
        places: Sequence[Place] = EVERYWHERE,
    ) -> Lease | None:
        """Take the session that has been queued longest, or the one named.

        Args:
            create: make the session named when there is none (for a loop of one's own, without a ``session.start``).
            model: the model of the agent where the session names none, for people to see.
            places: the queues, each with an agent or None, from which a session is taken; one that is made here is of the first.

        Returns:
            The lease, to be entered; None when nothing is queued.

        Raises:
            UnknownSession: there is no session of that name.
            SessionDeleted: the session named was deleted.
            SessionHeld: the session named does not want a worker now.
            UnreadableRecord: the record of the session named cannot be read, or was written with another schema.
            Unreachable: the server does not answer. If the claim was granted all the same, its lease runs out by itself.
        """
        if session is not None:
            check_session(session)
            answer, claim = await self._try(session, places[0], worker, lease_s, create, model)
            if answer[0] == b"moved":
                answer, claim = await self._try(session, _place(answer), worker, lease_s, create, model)
            check_fit(session, answer)
            if claim is None:
                raise _refusal(session, answer)
            return claim
        # Each candidate leaves ``ready``, claimed by us or by others, but for those of another schema or without a record.
        left_there = set[str]()
        while candidates := await self._queued(places, left_there):
            for candidate, place in self._in_turn(candidates):
                try:
                    answer, claim = await self._try(candidate, place, worker, lease_s, False, model)
                except UnreadableRecord as error:
                    self._pass_over(candidate, error)
                    left_there.add(candidate)
                    continue
                if claim is not None:
                    self._crowd = max(1, self._crowd - 1)
                    return claim
                if answer[0] == b"schema":
                    left_there.add(candidate)
                elif answer[0] != b"moved":
                    self._crowd = min(_LOOK, self._crowd * 2)
        return None

    def _in_turn(self, candidates: list[tuple[str, Place]]) -> Iterator[tuple[str, Place]]:
        """Yield candidates in the order in which to try them.

        A single claim takes the one that has waited longest. Many claims at the same moment would all try that one, and all
        but one of them in vain; so each loss widens the choice among the longest waiting, and each success narrows it again.
        """
        left = list(candidates)
        while left:
            yield left.pop(random.randrange(min(self._crowd, len(left))))

    async def _queued(self, places: Sequence[Place], left_there: set[str]) -> list[tuple[str, Place]]:
        """Return the sessions that have been queued longest, each with its place."""
        keys = [self._context.names.ready(*place) for place in places]
        while True:
            pipeline = self._context.pipeline(atomic=False)
            for key in keys:
                pipeline.zrange(key, 0, _LOOK + len(left_there) - 1, withscores=True)
            waiting: list[tuple[float, str, Place]] = []
            strange: dict[str, list[bytes]] = {}
            for key, place, found in zip(keys, places, await self._context.read(pipeline), strict=True):
                for member, since in found:
                    name = member.decode(errors="replace")
                    if is_session(name):
                        waiting.append((since, name, place))
                    else:
                        strange.setdefault(key, []).append(member)
            if not strange:
                return [(name, place) for _, name, place in sorted(waiting, key=itemgetter(0)) if name not in left_there][:_LOOK]
            await self._take_out(strange)

    async def _take_out(self, strange: Mapping[str, Sequence[bytes]]) -> None:
        """Take out what no session can be called; at the head of a queue it would keep workers from all others."""
        pipeline = self._context.pipeline(atomic=False)
        for key, members in strange.items():
            pipeline.zrem(key, *members)
        await self._context.read(pipeline)
        log.warning("ready.strange", extra={"count": sum(map(len, strange.values()))})

    def _pass_over(self, session: str, error: UnreadableRecord) -> None:
        """Say once of a queued session that it has no record that could be claimed; the doctor names it."""
        if session not in self._passed_over:
            self._passed_over = {session, *list(self._passed_over)[:_LOOK]}
            log.warning("ready.unreadable", extra={"session": session, "cause": error.cause})

    async def _try(
        self, session: str, place: Place, worker: WorkerRef, lease_s: float, create: bool, model: str | None
    ) -> tuple[Any, Lease | None]:
        """Return the script's answer, and the claim where it was granted."""
        key = secrets.token_hex(8)
        names, now = self._context.names, self._context.clock.now()
        source = f"worker/{worker.name}"
        claimed = Message.of(WorkerClaimed(worker=worker), session=session, source=source, time=now)
        running = SessionState(to=State.RUNNING, version=0, why=TAKEN_UP, worker=worker, model=model)
        state = Message.of(running, session=session, source=source, time=now)
        # A session that names its model is not told with that of its worker.
        own = state.model_copy(update={"data": running.model_copy(update={"model": None})})
        keys = [names.record(session), names.ready(*place), names.due, names.log("status", session), names.sessions]
        args: list[Argument] = [session, worker.model_dump_json(), int(lease_s * 1000), names.channel("status", session)]
        args += [
            RETENTION,
            int(RETENTION_S * 1000),
            claimed.id,
            encode(claimed, without=("token",)),
            state.id,
            encode_state(state),
        ]
        args += [new_epoch() if create else "", Picture(model=model).model_dump_json(), key]
        args += [*Work(queue=place[0], agent=place[1]).fields().values(), encode_state(own), Picture().model_dump_json()]
        answer = await self._context.run("claim", keys, args)
        if answer[0] != b"ok":
            return answer, None
        _, token, version, epoch, parks, lease_until, parent, name, picture, parked_ms, work = answer
        done_as = _work(work)
        return answer, Lease(
            self,
            session,
            worker,
            token=int(token),
            key=key,
            epoch=epoch.decode(),
            version=int(version),
            lease_s=lease_s,
            until=instant(int(lease_until)),
            parks=int(parks),
            parked_s=int(parked_ms) / 1000,
            parent=parent.decode(errors="replace") or None,
            name=name.decode(errors="replace") or None,
            model=done_as.model or model,
            work=done_as,
            waits=_waits_of(picture),
        )

    async def renew(self, leases: Sequence[Lease]) -> list[Renewed]:
        """Keep leases, however many, and say what each worker is doing; returns what the server says to each.

        Raises:
            Unreachable: the server does not answer; the leases run on until their ends.
        """
        answers: list[Renewed] = []
        for first in range(0, len(leases), _AT_ONCE):
            answers += await self._renew(leases[first : first + _AT_ONCE])
        return answers

    async def _renew(self, leases: Sequence[Lease]) -> list[Renewed]:
        names = self._context.names
        args: list[Argument] = []
        for lease in leases:
            args += [lease.session, *lease.shown, int(lease.lease_s * 1000), lease.picture.model_dump_json(), lease.retry_now]
        keys = [names.due, *(names.record(lease.session) for lease in leases)]
        return [
            await self._answer(lease, answer)
            for lease, answer in zip(leases, await self._context.run_again("renew", keys, args), strict=True)
        ]

    async def _answer(self, lease: Lease, answer: Any) -> Renewed:
        if answer[0] == b"ok":
            # A count that cannot be read is no answer to Lua.
            return Renewed(held=True, retry_now=int(answer[1] or 0) if len(answer) > 1 else 0)
        if answer[0] == b"unreadable":
            return Renewed(held=False, why="its lease cannot be renewed: its record cannot be read")
        return Renewed(held=False, state=_state_of(answer[1]), why=await self._what_became(lease))

    async def _what_became(self, lease: Lease) -> str:
        """Say what became of a session that is no longer held; '' where the server does not say."""
        pipeline = self._context.pipeline(atomic=False)
        pipeline.hmget(self._context.names.record(lease.session), ["epoch", "state", "by", "why", "worker"])
        try:
            epoch, state, by, why, worker = (_plain(value) for value in (await self._context.read(pipeline))[0])
        except TidingsError:
            return ""
        if epoch != lease.epoch and state != State.DELETED:
            return "it is gone" if not state else "it was made anew"
        if worker:
            # A worker has it: a pause or a stop would have taken it away.
            return "its lease expired, and a worker has claimed it since"
        if state in (State.PAUSED, State.STOPPED, State.DELETED):
            return f"it is {state}" + (f" by {by}" if by else "")
        return f"it is {state}" + (f": {why}" if why else "")

    async def append(
        self, lease: Lease, events: Sequence[Message[Event]], after: int, patience_s: float
    ) -> tuple[Message[Event], ...]:
        """Append events; see ``Lease.append``."""
        self._check(lease, events)
        if not events:
            return ()
        names, session = self._context.names, lease.session
        keys = [names.record(session), names.log("events", session)]
        args: list[Argument] = [*lease.shown, names.channel("events", session), after]
        for event in events:
            args += [event.id, encode(event, self._context.payload_limit)]
        answer = await self._patiently(lambda: self._context.run("append", keys, args), events, patience_s)
        check_fit(session, answer)
        if answer[0] != b"ok":
            raise LeaseLost(session, await self._what_became(lease))
        first = int(answer[1])
        return tuple(
            event.model_copy(update={"offset": first + index, "epoch": lease.epoch}) for index, event in enumerate(events)
        )

    def _check(self, lease: Lease, events: Sequence[Message[Event]]) -> None:
        for event in events:
            if not carries(event, Event):
                raise TypeError(f"only events enter the history, this is a {kind_of(event)}")
            if event.session != lease.session:
                raise ValueError(f"an event of session {event.session!r} cannot be appended to {lease.session!r}")
        if len({event.id for event in events}) != len(events):
            raise ValueError("two events of one step have the same id")

    async def _patiently(self, call: Callable[[], Any], events: Sequence[Message[Event]], patience_s: float) -> Any:
        loop = asyncio.get_running_loop()
        end, delay, told = loop.time() + patience_s, 0.05, False
        while True:
            try:
                return await call()
            except Unreachable as error:
                if isinstance(error, ServerFull) and not told:
                    told = True
                    log.warning("append.waits", extra={"session": events[0].session, "cause": cause_of(error)})
                if loop.time() + delay > end:
                    if isinstance(error, ServerFull):
                        # Known all the same: the script looks for the ids first, and is refused where it writes.
                        raise
                    raise OutcomeUnknown(tuple(event.id for event in events)) from error
            await asyncio.sleep(delay)
            delay = min(1.0, delay * 2)

    async def release_blocked(self, lease: Lease, why: str, *, guilty: bool) -> None:
        """Release a session whose worker's event loop does not move any more.

        Args:
            guilty: whether its own work is what the loop is in; else it is handed back.
        """
        if guilty:
            ending = Ending(Trigger.FAIL, read=ALL_READ, reason=Reason.UNKNOWN, why=why)
        else:
            ending = Ending(Trigger.HAND_BACK, read=ALL_READ, why=f"{why}, by another session of its worker")
        await self.release(lease, lease.complete(ending))

    async def events_after(self, session: str, after: int) -> tuple[tuple[Message[Event], ...], bool]:
        """Return the next events of a session after an offset, and whether there are more.

        Raises:
            SessionDeleted: it was deleted meanwhile.
            SpoiledLog: something else wrote into the log.
            Unreachable: the server does not answer.
        """
        page = await self._logs.page("events", session, after, PAGE)
        if page.deleted:
            raise SessionDeleted(session)
        if page.foreign:
            raise SpoiledLog(session)
        events = tuple(message for _, message in page.entries if carries(message, Event))
        last = page.entries[-1][0] if page.entries else after
        return events, last < page.end and bool(page.entries)

    async def publish(self, lease: Lease, notice: Message[Notice]) -> Message[Notice]:
        """Publish a notice under a lease; see ``Lease.publish``."""
        offset, epoch = await publish_notice(self._context, notice, lease.proof)
        return notice.model_copy(update={"offset": offset, "epoch": epoch})

    async def release(self, lease: Lease, ending: Ending) -> tuple[State, int]:
        """Let the session go, in one step with its new state; returns that and the version. See ``Lease.release``."""
        names, session = self._context.names, lease.session
        _check_notices(session, ending.notices)
        source, now = f"worker/{lease.worker.name}", self._context.clock.now()
        doing = State.RUNNING
        if ending.trigger is Trigger.HAND_BACK:
            doing, ending = _as_kept(ending, now)
        call = most_telling(ending.waits.values())
        to = next_state(doing, ending.trigger) if ending.trigger in _RELEASES else None
        if to is None:
            raise ValueError(f"{ending.trigger} is not a way to release a session")
        rest = Picture(model=ending.model or lease.model or (call.model if call else None))
        picture = rest.model_copy(update={"waits": dict(ending.waits)})
        released = Message.of(
            WorkerReleased(worker=lease.worker, why=ending.trigger.value), session=session, source=source, time=now
        )
        told, queued = self._state(lease, to, ending, picture, source, now)
        args: list[Argument] = [session, *lease.shown, to.value, ending.read or 0, milliseconds(ending.resume_at), ending.parks]
        args += [picture.model_dump_json(), ending.reason or "", ending.why, names.channel("status", session)]
        args += [
            RETENTION,
            int(RETENTION_S * 1000),
            names.wake,
            told.id,
            encode_state(told),
            encode_state(queued),
            ending.awaits,
            rest.model_dump_json(),
        ]
        args += [round(ending.parked_s * 1000)]
        rest_of: list[Argument] = []
        for notice in (*ending.notices, released):
            rest_of += [notice.id, encode(notice, self._context.payload_limit)]
        place = lease.work.place
        while True:
            keys = [names.record(session), names.ready(*place), names.due, names.log("status", session), names.sessions]
            answer = await self._context.run_again("release", keys, [*args, place[0], place[1] or "", *rest_of])
            if answer[0] != b"moved":
                break
            # Somebody has moved it to another queue while it was held.
            place = _place(answer)
        check_fit(session, answer)
        if answer[0] != b"ok":
            raise LeaseLost(session, await self._what_became(lease))
        state = _state_of(answer[1]) if len(answer) > 2 else None
        if state is None:
            raise UnreadableRecord(session, "state: not a state")
        return state, int(answer[2])

    def _state(
        self, lease: Lease, to: State, ending: Ending, picture: Picture, source: str, now: datetime
    ) -> tuple[Message[SessionState], Message[SessionState]]:
        told = Message.of(
            SessionState(
                to=to,
                version=0,
                why=ending.why,
                reason=ending.reason,
                wait=picture.wait if to in WAITING else None,
                resume_at=ending.resume_at,
                failure=picture.wait if to is State.ERROR else None,
                model=picture.model,
            ),
            session=lease.session,
            source=source,
            time=now,
        )
        model = picture.model
        queued = told.model_copy(
            update={
                "data": SessionState(to=State.QUEUED, version=0, why="something was said while the run was closing", model=model),
            }
        )
        return told, queued
