"""What a worker does with a session: claim, renew, append, release."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from tidings.bus.errors import (
    LeaseLost,
    OutcomeUnknown,
    ServerFull,
    SessionDeleted,
    SessionHeld,
    TidingsError,
    UnknownSession,
    Unreachable,
    UnreadableRecord,
    cause_of,
)
from tidings.bus.lease import LEASE_S, Claim, Release, Released, Renewal
from tidings.bus.messages import (
    Event,
    Message,
    Notice,
    Picture,
    SessionState,
    Wait,
    WorkerClaimed,
    WorkerRef,
    WorkerReleased,
    carries,
    encode,
    encode_state,
    is_session,
    kind_of,
    most_telling,
)
from tidings.bus.publisher import RING, RING_S
from tidings.bus.records import check_fit, instant, milliseconds
from tidings.bus.redis.link import Argument, Link
from tidings.bus.states import WAITING, State, Trigger, next_state

log = logging.getLogger("tidings.sessions")

_RELEASES = frozenset({Trigger.YIELD, Trigger.FINISH, Trigger.FAIL, Trigger.PARK, Trigger.OUTAGE, Trigger.HAND_BACK})
_LONGEST_WHY = 200
"""Bytes of a word of a record that an error repeats."""
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


def _as_kept(release: Release, now: datetime) -> tuple[State, Release]:
    """Return what a session that is handed back is doing, and how: where a call waits it is parked until that is over."""
    picture = Picture(waits=dict(release.waits)).kept()
    wait = picture.wait_at(now)
    if wait is None:
        return State.RUNNING, replace(release, waits=picture.waits, resume_at=None)
    return wait.state, replace(release, waits=picture.waits, resume_at=picture.resume_at, reason=wait.reason)


class Sessions:
    """Claims, renews, appends and releases on behalf of workers."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._crowd = 1
        """Among how many of the longest waiting sessions a claim chooses."""
        self._passed_over: set[str] = set()

    async def claim(
        self,
        worker: WorkerRef,
        *,
        lease_s: float = LEASE_S,
        session: str | None = None,
        create: bool = False,
        model: str | None = None,
    ) -> Claim | None:
        """Take the session that has been queued longest, or the one named.

        Args:
            create: make the session named when there is none (for a loop of one's own, without a ``session.start``).
            model: the model of the agent, for people to see.

        Returns:
            The claim; None when nothing is queued.

        Raises:
            UnknownSession: there is no session of that name.
            SessionDeleted: the session named was deleted.
            SessionHeld: the session named does not want a worker now.
            UnreadableRecord: the record of the session named cannot be read, or was written with another schema.
            Unreachable: the server does not answer. If the claim was granted all the same, its lease runs out by itself.
        """
        if session is not None:
            answer, claim = await self._try(session, worker, lease_s, create, model)
            check_fit(session, answer)
            if claim is None:
                raise _refusal(session, answer)
            return claim
        # Each candidate leaves ``ready``, claimed by us or by others, but for those of another schema or without a record.
        left_there = 0
        while candidates := await self._queued(left_there):
            for candidate in self._in_turn(candidates):
                try:
                    answer, claim = await self._try(candidate, worker, lease_s, False, model)
                except UnreadableRecord as error:
                    self._pass_over(candidate, error)
                    left_there += 1
                    continue
                if claim is not None:
                    self._crowd = max(1, self._crowd - 1)
                    return claim
                if answer[0] == b"schema":
                    left_there += 1
                else:
                    self._crowd = min(_LOOK, self._crowd * 2)
        return None

    def _in_turn(self, candidates: list[str]) -> Iterator[str]:
        """Yield candidates in the order in which to try them.

        Who claims alone takes the one that has waited longest. Many who claim at the same moment would all try that one, and all
        but one of them in vain; so each loss widens the choice among the longest waiting, and each success narrows it again.
        """
        left = list(candidates)
        while left:
            yield left.pop(random.randrange(min(self._crowd, len(left))))

    async def _queued(self, first: int) -> list[str]:
        ready = self._link.names.ready
        while True:
            pipeline = self._link.pipeline(atomic=False)
            pipeline.zrange(ready, first, first + _LOOK - 1)
            found: list[bytes] = (await self._link.read(pipeline))[0]
            names = [name.decode(errors="replace") for name in found]
            strange = [member for member, name in zip(found, names, strict=True) if not is_session(name)]
            if not strange:
                return names
            # No session can be called that; at the head of the queue they would keep workers from all others.
            pipeline.zrem(ready, *strange)
            await self._link.read(pipeline)
            log.warning("ready.strange", extra={"count": len(strange)})

    def _pass_over(self, session: str, error: UnreadableRecord) -> None:
        """Say once of a queued session that it has no record that could be claimed; the doctor names it."""
        if session not in self._passed_over:
            self._passed_over = {session, *list(self._passed_over)[:_LOOK]}
            log.warning("ready.unreadable", extra={"session": session, "cause": error.cause})

    async def _try(
        self, session: str, worker: WorkerRef, lease_s: float, create: bool, model: str | None
    ) -> tuple[Any, Claim | None]:
        """Return the script's answer, and the claim where it was granted."""
        lease = secrets.token_hex(8)
        names, now = self._link.names, self._link.clock.now()
        source = f"worker/{worker.name}"
        claimed = Message.of(WorkerClaimed(worker=worker), session=session, source=source, time=now)
        state = Message.of(
            SessionState(to=State.RUNNING, version=0, why="taken up by a worker", worker=worker, model=model),
            session=session,
            source=source,
            time=now,
        )
        keys = [names.record(session), names.ready, names.due, names.log("status", session), names.sessions]
        args: list[Argument] = [session, worker.model_dump_json(), int(lease_s * 1000), names.channel("status", session)]
        args += [RING, int(RING_S * 1000), claimed.id, encode(claimed, without=("token",)), state.id, encode_state(state)]
        args += [new_epoch() if create else "", Picture(model=model).model_dump_json(), lease]
        answer = await self._link.run("claim", keys, args)
        if answer[0] != b"ok":
            return answer, None
        _, token, version, epoch, parks, lease_until, parent, name, picture, parked_ms = answer
        return answer, Claim(
            session,
            worker,
            int(token),
            lease,
            epoch.decode(),
            int(version),
            int(parks),
            lease_s,
            instant(int(lease_until)),
            parent.decode(errors="replace") or None,
            name.decode(errors="replace") or None,
            model,
            _waits_of(picture),
            int(parked_ms) / 1000,
        )

    async def renew(self, claim: Claim, picture: Picture, nudge: int = 0) -> Renewal:
        """Keep the lease for another ``lease_s``, and say what the worker is doing.

        Args:
            nudge: nudges that the worker has seen.

        Raises:
            Unreachable: the server does not answer; the lease runs on until its end.
        """
        names = self._link.names
        keys = [names.record(claim.session), names.due]
        args: list[Argument] = [claim.session, *claim.shown, int(claim.lease_s * 1000), picture.model_dump_json(), nudge]
        answer = await self._link.run_again("renew", keys, args)
        if answer[0] == b"ok":
            # A count that cannot be read is no answer to Lua.
            return Renewal(held=True, nudge=int(answer[1] or 0) if len(answer) > 1 else 0)
        return Renewal(held=False, state=_state_of(answer[1]), why=await self._what_became(claim))

    async def _what_became(self, claim: Claim) -> str:
        """Say what became of a session that is no longer held; '' where the server does not say."""
        pipeline = self._link.pipeline(atomic=False)
        pipeline.hmget(self._link.names.record(claim.session), ["epoch", "state", "by", "why", "worker"])
        try:
            epoch, state, by, why, worker = (_plain(value) for value in (await self._link.read(pipeline))[0])
        except TidingsError:
            return ""
        if epoch != claim.epoch and state != State.DELETED:
            return "it is gone" if not state else "it was made anew"
        if worker:
            # Somebody has it: a pause or a stop would have taken it from them.
            return "its lease expired, and a worker has claimed it since"
        if state in (State.PAUSED, State.STOPPED, State.DELETED):
            return f"it is {state}" + (f" by {by}" if by else "")
        return f"it is {state}" + (f": {why}" if why else "")

    async def append(
        self, claim: Claim, events: Sequence[Message[Event]], after: int, *, patience_s: float = LEASE_S
    ) -> tuple[Message[Event], ...]:
        """Append the events of one step to the history, all or none.

        While the connection is broken or the server is full it waits and tries again with the same ids, which stores one copy.

        Args:
            after: offset up to which the caller has read; its own events, if stored already, lie beyond it.
            patience_s: how long to go on trying, in seconds.

        Returns:
            The events as stored, with their offsets.

        Raises:
            TypeError: something other than an event was passed; notices never enter the history.
            ValueError: an event is of another session, or one id is there twice.
            LeaseLost: the session was taken away, or the server has lost what was read; nothing was written, unless by a try
                before whose answer was lost.
            SchemaMismatch: another version has written the record.
            SpoiledLog: something else wrote into the log; nothing was written.
            UnreadableRecord: what the scripts count with cannot be read; nothing was written.
            ServerFull: the server has no memory left; nothing was written.
            OutcomeUnknown: the connection stayed broken; append the same events after the same offset again to know.
            PayloadTooLarge: an event is over the limit; nothing was written.
        """
        self._check(claim, events)
        if not events:
            return ()
        names, session = self._link.names, claim.session
        keys = [names.record(session), names.log("events", session)]
        args: list[Argument] = [*claim.shown, names.channel("events", session), after]
        for event in events:
            args += [event.id, encode(event, self._link.payload_limit)]
        answer = await self._patiently(lambda: self._link.run("append", keys, args), events, patience_s)
        check_fit(session, answer)
        if answer[0] != b"ok":
            raise LeaseLost(session, await self._what_became(claim))
        first = int(answer[1])
        return tuple(
            event.model_copy(update={"offset": first + index, "epoch": claim.epoch}) for index, event in enumerate(events)
        )

    def _check(self, claim: Claim, events: Sequence[Message[Event]]) -> None:
        for event in events:
            if not carries(event, Event):
                raise TypeError(f"only events enter the history, this is a {kind_of(event)}")
            if event.session != claim.session:
                raise ValueError(f"an event of session {event.session!r} cannot be appended to {claim.session!r}")
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

    async def release(self, claim: Claim, release: Release) -> Released:
        """Let the session go, in one step with its new state; whatever is still in flight cannot land any more.

        Raises:
            TypeError: something other than a notice is to be published.
            ValueError: the trigger does not release, or a notice is of another session.
            LeaseLost: it was taken away before, or the server has lost what was read; nothing was written.
            SchemaMismatch: another version has written the record.
            UnreadableRecord: what the scripts count with cannot be read; nothing was written.
            Unreachable: the server does not answer; the lease runs out by itself.
        """
        names, session = self._link.names, claim.session
        _check_notices(session, release.notices)
        source, now = f"worker/{claim.worker.name}", self._link.clock.now()
        doing = State.RUNNING
        if release.trigger is Trigger.HAND_BACK:
            doing, release = _as_kept(release, now)
        call = most_telling(release.waits.values())
        to = next_state(doing, release.trigger) if release.trigger in _RELEASES else None
        if to is None:
            raise ValueError(f"{release.trigger} is not a way to release a session")
        rest = Picture(model=release.model or claim.model or (call.model if call else None))
        picture = rest.model_copy(update={"waits": dict(release.waits)})
        released = Message.of(
            WorkerReleased(worker=claim.worker, why=release.trigger.value), session=session, source=source, time=now
        )
        told, queued = self._state(claim, to, release, picture, source, now)
        keys = [names.record(session), names.ready, names.due, names.log("status", session), names.sessions]
        args: list[Argument] = [session, *claim.shown, to.value, release.read, milliseconds(release.resume_at), release.parks]
        args += [picture.model_dump_json(), release.reason or "", release.why, names.channel("status", session)]
        args += [
            RING,
            int(RING_S * 1000),
            names.wake,
            told.id,
            encode_state(told),
            encode_state(queued),
            release.awaits,
            rest.model_dump_json(),
        ]
        args += [round(release.parked_s * 1000)]
        for notice in (*release.notices, released):
            args += [notice.id, encode(notice, self._link.payload_limit)]
        answer = await self._link.run_again("release", keys, args)
        check_fit(session, answer)
        if answer[0] != b"ok":
            raise LeaseLost(session, await self._what_became(claim))
        state = _state_of(answer[1]) if len(answer) > 2 else None
        if state is None:
            raise UnreadableRecord(session, "state: not a state")
        return Released(state, int(answer[2]))

    def _state(
        self, claim: Claim, to: State, release: Release, picture: Picture, source: str, now: datetime
    ) -> tuple[Message[SessionState], Message[SessionState]]:
        told = Message.of(
            SessionState(
                to=to,
                version=0,
                why=release.why,
                reason=release.reason,
                wait=picture.wait if to in WAITING else None,
                resume_at=release.resume_at,
                failure=picture.wait if to is State.ERROR else None,
                model=picture.model,
            ),
            session=claim.session,
            source=source,
            time=now,
        )
        model = picture.model
        queued = told.model_copy(
            update={
                "data": SessionState(to=State.QUEUED, version=0, why="somebody spoke while the run was closing", model=model),
            }
        )
        return told, queued
