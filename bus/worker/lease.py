"""The lease: a session in a worker's hands, from the claim until it is released.

Entered, it keeps itself: it is renewed with the current picture, hears of pause, stop and resume, and ends the work the moment
the session is taken away.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from tidings.bus.errors import LeaseLost, OutcomeUnknown, TidingsError, Unreachable, cause_of
from tidings.bus.messages import (
    AgentMessage,
    AgentProgress,
    Event,
    LlmAttempt,
    LlmRecovered,
    LlmRetry,
    Message,
    Notice,
    Picture,
    Progress,
    Reason,
    Wait,
    Work,
    WorkerRef,
)
from tidings.bus.place import described
from tidings.bus.publisher import Proof
from tidings.bus.redaction import EXCERPT, environment_secrets, redact
from tidings.bus.states import State, Trigger
from tidings.bus.worker.throttle import Throttle
from tidings.bus.worker.watchdog import WORK, Blocked

if TYPE_CHECKING:
    from tidings.bus.worker.face import WorkerFace
    from tidings.bus.worker.keeper import Keeper

log = logging.getLogger("tidings.lease")

LEASE_S = 10.0
"""Length of a lease in seconds, by default."""
ALL_READ = 2**53 - 1
"""As ``Ending.read``: what was said does not queue the session again (the largest whole number that Lua holds exactly)."""
RELEASE_S = 5.0
"""How long the end of the block tries to release the session; after that its lease expires."""
DRAIN_S = 1.0
"""How long a release waits for notices that are still on their way."""
APPEND_S = 10.0
"""How long an append is tried again while the server is away, by default."""
TAKEN_UP = "taken up by a worker"
"""Why a session runs that was just claimed; ``claim.lua`` has the same."""
PROGRESS_S = 0.5
"""Shortest time between two notices of the agent's progress; quicker than people read, and no flood for those who follow."""

_AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a worker lets a session go.

    Attributes:
        trigger: YIELD, FINISH, FAIL, PARK, OUTAGE or HAND_BACK.
        read: offset up to which the worker has read the events; a user message beyond it queues the session again. None: what the
            lease has read.
        parks: parks in a row, this one included; 0 after a success.
        parked_s: seconds of those parks for which no provider named an instant.
        resume_at: when a parked session is queued again; None: a person must. A session that is handed back in a wait is parked
            until that is over, for any value here.
        waits: by LLM path: of a parked session what it waits for, of one that failed the call that did, of one that is handed
            back the calls that are not over.
        reason: reason of a park or failure.
        why: one line for a person.
        notices: further notices to publish in the same step, before the new state.
        awaits: children whose results the agent waits for. A child that ends its turn so has not done what it was asked yet, and
            nothing is reported to its own parent.
        model: the model of the agent; None: that of the lease, else of the call that is parked or failed.
    """

    trigger: Trigger
    read: int | None = None
    parks: int = 0
    parked_s: float = 0.0
    resume_at: datetime | None = None
    waits: Mapping[str, Wait] = field(default_factory=dict)
    reason: Reason | None = None
    why: str = ""
    notices: tuple[Message[Notice], ...] = ()
    awaits: int = 0
    model: str | None = None


_OVER = Ending(Trigger.YIELD, why="the turn is over")


@runtime_checkable
class HasEnding(Protocol):
    """An error that says how the session ends whose work it ends, such as an error of a call to a model."""

    def ending(self, lease: Lease) -> Ending:
        """Return how to release the session."""
        ...


class Lease:
    """A session held by a worker; an async context manager.

    Entered, it is renewed until it is left. The body is cancelled, as `asyncio.timeout` does it, when the session is taken away
    (paused, stopped, deleted, or the lease could not be kept), and `LeaseLost` leaves the block. Else the session is released on
    leaving: a person speaks next after a body that ends; after an error it is what the error says (`HasEnding`), in ``error`` if
    it says nothing, and free for another worker if the body was cancelled. Where the server was away for too long
    (`OutcomeUnknown`, `Unreachable`) the lease is left to expire. The error leaves the block.

    Attributes:
        session: session id.
        worker: the worker that holds it.
        token: fencing token; it grows with each claim.
        key: random part of the lease; a server that has lost its last writes can give a token twice, but not this.
        epoch: identity of the session's logs.
        version: version of the record when it was claimed, then when it was released.
        parks: parks in a row before this claim.
        parked_s: seconds of those parks for which no provider named an instant.
        lease_s: length of the lease in seconds.
        until: server time at which the lease ends if it is never renewed.
        parent: session of which it is a child; None: of none.
        name: what its parent calls it.
        model: what is asked for the agent: the session's own model, else that of its worker; None: not said.
        work: how it is worked on.
        waits: calls that an earlier worker has begun and that have failed, by LLM path; the next attempt counts on from there.
        read: offset up to which the history has been read.
        retry_now: how often it was resumed while held, as far as we know: each ends the waits under way.
        blocked: what the event loop was blocked by for longer than a lease, while its work ran; None: by nothing.
        lost: why it is not ours any more; None while it is.
        released: whether it was released.
        ending: how it is released when the body ends without an error; None: the turn is over, and a person speaks next.
        on_retry: called with each retry that is told.
    """

    def __init__(
        self,
        face: WorkerFace,
        session: str,
        worker: WorkerRef,
        *,
        token: int,
        key: str,
        epoch: str,
        version: int,
        lease_s: float,
        until: datetime,
        parks: int = 0,
        parked_s: float = 0.0,
        parent: str | None = None,
        name: str | None = None,
        model: str | None = None,
        work: Work | None = None,
        waits: Mapping[str, Wait] | None = None,
    ) -> None:
        self._face, self._keeper = face, face.keeper
        self.session, self.worker, self.token, self.key, self.epoch, self.version = session, worker, token, key, epoch, version
        self.lease_s, self.until, self.parks, self.parked_s = lease_s, until, parks, parked_s
        self.parent, self.name, self.model, self.waits = parent, name, model, dict(waits or {})
        self.work = work or Work()
        self.read = 0
        self.retry_now = 0
        self.blocked: Blocked | None = None
        self.lost: LeaseLost | None = None
        self.released = False
        self.ending: Ending | None = None
        self.on_retry: Callable[[LlmRetry], object] | None = None
        self._history: list[Message[Event]] = []
        self._calls = dict(self.waits)
        """The calls that have failed and are not over, by path."""
        self._left: dict[str, Wait] = {}
        """What was told of calls that were left, by path; nothing was told of their paths since."""
        self._model = model
        self._on_retry_now: list[Callable[[], object]] = []
        self._achieved: list[Callable[[], object]] = []
        self._fresh = False
        """Whether the row of parks is over: something was achieved, or a person has resumed it."""
        self._queue = face.queue()
        self._progress: Progress | None = None
        self._throttle: Throttle[AgentProgress] = Throttle(PROGRESS_S, self._put, asyncio.get_running_loop())
        self._cut: set[str] = set()
        """Paths whose call was left while the work is being cancelled: if the work ends so, they are not over."""
        self._task: asyncio.Task[Any] | None = None
        self._inside = False
        self._cancelling = 0
        self._cancelled = False
        self._on_lost: list[Callable[[], object]] = []
        # The lease began when the server granted it, which may be a while ago.
        granted_s = (until - face.now()).total_seconds() - lease_s
        self._renewed_at = asyncio.get_running_loop().time() + min(0.0, granted_s)

    def __repr__(self) -> str:
        return f"Lease({self.session!r}, worker={self.worker.name!r}, token={self.token})"

    @property
    def shown(self) -> tuple[int, str, str]:
        """What each write shows for its right to write: the scripts compare all three with the record."""
        return self.token, self.key, self.epoch

    @property
    def proof(self) -> Proof:
        """What it shows with a notice: the right to write, and what is being done as of now."""
        return (*self.shown, self.picture.model_dump_json(), self.retry_now)

    @property
    def source(self) -> str:
        """What its messages are from."""
        return f"worker/{self.worker.name}"

    def now(self) -> datetime:
        """Return the server's time, by our estimate."""
        return self._face.now()

    # the block

    def kept_by(self, keeper: Keeper) -> Self:
        """Have another keeper renew it than that of the bus; to be said before it is entered."""
        self._keeper = keeper
        return self

    async def __aenter__(self) -> Self:
        # Nothing is waited for: the caller holds the session once it enters, and must not lose it to a cancellation in here.
        self._task, self._inside = asyncio.current_task(), True
        self._cancelling = self._task.cancelling() if self._task else 0
        if self.lost is not None:
            raise self.lost
        self._mark = WORK.set(self)
        self._keeper.keep(self)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._inside, task = False, self._task
        self._settle()
        # Each cancellation of ours is taken back, as asyncio.timeout does: what is left is another's.
        ours = self._cancelled and task is not None and task.uncancel() <= self._cancelling
        WORK.reset(self._mark)
        try:
            if self.lost is None and not self.released and not isinstance(error, LeaseLost | OutcomeUnknown | Unreachable):
                await self._release_after(error)
        finally:
            self._throttle.drop()
            await self._keeper.leave(self)
            await self._queue.aclose()
        if self.lost is not None and (error is None or (ours and isinstance(error, asyncio.CancelledError))):
            raise self.lost from error

    async def _release_after(self, error: BaseException | None) -> None:
        """Release the session as the end of the body asks for. An error that comes meanwhile does not hide that of the body."""
        releasing = asyncio.ensure_future(self._release_in_time(self._ending_after(error)))
        try:
            await asyncio.shield(releasing)
        except asyncio.CancelledError:
            # The end waits for it: else the session would have to wait for the lease to expire.
            await asyncio.wait({releasing})
            failed = None if releasing.cancelled() else releasing.exception()
            if failed is not None:
                self._tell_not_released(failed)
            raise
        except (TidingsError, TimeoutError) as failed:
            if error is None and isinstance(failed, TidingsError):
                raise
            self._tell_not_released(failed)

    def _tell_not_released(self, failed: BaseException) -> None:
        log.warning("lease.release_failed", extra={"session": self.session, "cause": cause_of(failed)})

    async def _release_in_time(self, ending: Ending) -> None:
        async with asyncio.timeout(RELEASE_S):
            await self.release(ending)

    def _ending_after(self, error: BaseException | None) -> Ending:
        if error is None:
            return self.ending or _OVER
        if isinstance(error, HasEnding):
            return error.ending(self)
        if isinstance(error, Exception):
            text = redact(str(error), environment_secrets(os.environ), EXCERPT)
            told = f"the loop failed: {described(error, text)}"
            return Ending(Trigger.FAIL, read=ALL_READ, reason=Reason.UNKNOWN, why=told)
        return Ending(Trigger.HAND_BACK, read=ALL_READ, why="its worker ends")

    # the history

    async def history(self) -> Sequence[Message[Event]]:
        """Return all events of the session, oldest first; only what is new is read. ``read`` is then the newest.

        Raises:
            SessionDeleted: it was deleted meanwhile.
            SpoiledLog: something else wrote into the log.
            Unreachable: the server does not answer.
        """
        while not await self._read_on():
            continue
        return self._history

    async def _read_on(self) -> bool:
        """Read a page; returns whether it was the last."""
        events, more = await self._face.events_after(self.session, self.read)
        self._took(events)
        return not more

    def _took(self, events: Sequence[Message[Event]]) -> None:
        self._history += events
        if events:
            self.read = events[-1].offset or self.read

    async def append(
        self, *events: Event | Message[Event], after: int | None = None, patience_s: float = APPEND_S
    ) -> tuple[Message[Event], ...]:
        """Append the events of one step to the history, all or none.

        While the connection is broken or the server is full it waits and tries again with the same ids, which stores one copy.

        Args:
            events: what is said; or, with an id of its own, a message.
            after: offset up to which the caller has read; its own events, if stored already, lie beyond it. None: ``read``.
            patience_s: how long to go on trying, in seconds.

        Returns:
            The events as stored, with their offsets. Where nothing was said meanwhile, they are part of ``history`` at once.

        Raises:
            TypeError: something other than an event was passed; notices never enter the history.
            ValueError: an event is of another session, or one id is there twice.
            LeaseLost: the session was taken away, or the server has lost what was read; nothing was written, unless by a try
                before whose answer was lost.
            SchemaMismatch: another version has written the record.
            SpoiledLog: something else wrote into the log; nothing was written.
            UnreadableRecord: what the scripts count with cannot be read; nothing was written.
            ServerFull: the server has no memory left; nothing was written.
            OutcomeUnknown: the connection stayed broken; append the same messages after the same offset again to know.
            PayloadTooLarge: an event is over the limit; nothing was written.
        """
        read = self.read if after is None else after
        made = [event if isinstance(event, Message) else self._message(event) for event in events]
        stored = await self._face.append(self, made, read, patience_s)
        if stored and stored[0].offset == self.read + 1:
            self._took(stored)
        if stored:
            self._fresh = True
        return stored

    def _message(self, said: Any) -> Message[Any]:
        if not isinstance(said, Event | Notice):
            raise TypeError(f"only events enter the history, this is a {type(said).__name__}")
        if isinstance(said, AgentMessage) and said.read is None:
            # What people say after that stands before it in the log, and is not answered by it.
            said = said.model_copy(update={"read": self.read})
        return Message.of(said, session=self.session, source=self.source, time=self.now())

    # what people are told

    async def publish(self, notice: Notice) -> Message[Notice]:
        """Tell something about the session, and wait until it is stored; see ``Bus.publish``.

        Raises:
            LeaseLost: the session was taken away.
            TidingsError: as ``Bus.publish``.
        """
        return await self._face.publish(self, self._message(notice))

    def tell(self, notice: Notice) -> None:
        """Tell something about the session; returns at once.

        A retry, an attempt and a recovery of a call change the picture of the session as well, and so does what the agent does
        (`AgentProgress`). Of that the picture has the newest at once; as a notice it is told every 0.5 s at most, and what came
        in between is left out.
        """
        if isinstance(notice, AgentProgress):
            self._progress = notice.progress()
            self._throttle.put(notice)
        else:
            self._put(notice)

    def _put(self, notice: Notice) -> None:
        message = self._message(notice)
        if isinstance(notice, LlmRetry | LlmAttempt | LlmRecovered):
            self._draw(notice, message.time)
        self._queue.put(message, self.proof)

    def _draw(self, told: LlmRetry | LlmAttempt | LlmRecovered, at: datetime) -> None:
        if told.llm == _AGENT or self._model is None:
            self._model = told.model
        self._left.pop(told.llm, None)
        self._cut.discard(told.llm)
        if isinstance(told, LlmRetry):
            if self.on_retry is not None:
                self.on_retry(told)
            self._calls[told.llm] = told.wait()
        elif isinstance(told, LlmAttempt):
            self._calls[told.llm] = told.under_way(self._calls.get(told.llm), at)
        else:
            self._calls.pop(told.llm, None)

    def clear(self, llm: str) -> None:
        """Take a path's wait out of the picture: its call has ended without success. The next renewal carries it.

        A call that is cut short because the worker ends is not over: the worker that takes the session over goes on with it.
        """
        self._cut.add(llm)
        self._settle()
        if self._cut:
            # A time-out within the work cancels it as well, and takes that back at once.
            asyncio.get_running_loop().call_soon(self._settle)

    def _settle(self) -> None:
        """Take the calls that were left for over, unless the work is being cancelled."""
        if self._task is not None and self._task.cancelling() > self._cancelling:
            return
        for llm in self._cut:
            if wait := self._calls.pop(llm, None):
                self._left[llm] = wait
        self._cut.clear()

    @property
    def picture(self) -> Picture:
        """What is being done right now."""
        self._settle()
        return Picture(model=self._model, waits=dict(self._calls), unsaid=bool(self._left), progress=self._progress)

    @property
    def waiting(self) -> bool:
        """Whether a call to a model waits for its next attempt."""
        now = self.now()
        return any(wait.lasts(now) for wait in self._calls.values())

    def waits_until(self, llm: str) -> datetime | None:
        """Return until when the calls of other paths than this were to wait, by what was told; None: none was."""
        others = {path: wait for path, wait in (self._left | self._calls).items() if path != llm}
        return Picture(waits=others).resume_at

    # what the turn has brought

    def on_retry_now(self, end_waits: Callable[[], object]) -> None:
        """Have something called when a person resumes the session while it is held: the waits are over."""
        self._on_retry_now.append(end_waits)

    def counts(self, achieved: Callable[[], object]) -> None:
        """Have something asked whether the turn has brought anything: then the row of parks before it is over."""
        self._achieved.append(achieved)

    @property
    def achieved(self) -> bool:
        """Whether the turn has brought anything, such as an event or an answer; or a person has resumed it."""
        return self._fresh or any(achieved() for achieved in self._achieved)

    # the end

    def finish(self, why: str = "it has finished") -> None:
        """Have the session end for good when the block ends."""
        self.ending = Ending(Trigger.FINISH, why=why)

    async def release(self, ending: Ending | None = None) -> State:
        """Let the session go, after a short wait for notices on their way; returns its new state.

        What is still in flight cannot land any more. While the server is away it is tried again, for as long as the lease lasts.

        Args:
            ending: how; None: the turn is over, and a person speaks next.

        Raises:
            TypeError: it is no `Ending`, or something other than a notice is to be published.
            ValueError: the trigger does not release, or a notice is of another session.
            LeaseLost: it was taken away before.
            SchemaMismatch: another version has written the record.
            UnreadableRecord: what the scripts count with cannot be read; nothing was written.
            Unreachable: the server has not answered; the lease expires by itself.
        """
        ending = ending or _OVER
        if not isinstance(ending, Ending):
            raise TypeError(
                f"a session is released by an Ending, not by {type(ending).__name__}: Ending(Trigger.YIELD), for example"
            )
        self._throttle.flush()
        await self._queue.drain(DRAIN_S)
        while True:
            lost = self.lost
            try:
                state, self.version = await self._face.release(self, self.complete(ending))
            except Unreachable:
                if lost is not None or not self._keeper.keeps(self):
                    raise
                await self._keeper.pause(self)
            else:
                self.released = True
                await self._keeper.leave(self)
                return state

    def complete(self, ending: Ending) -> Ending:
        """Add to an ending what only we know: what was read, the model, that the loop was blocked, which calls are not over."""
        why = f"{ending.why}; {self.blocked}" if self.blocked else ending.why
        read = self.read if ending.read is None else ending.read
        ending = replace(ending, read=read, model=ending.model or self._model, why=why)
        if ending.trigger is not Trigger.HAND_BACK:
            return ending
        parks, parked_s = (0, 0.0) if self.achieved else (self.parks, self.parked_s)
        return replace(ending, waits=dict(self._calls), parks=parks, parked_s=parked_s)

    # the side of its keeper

    @property
    def margin_s(self) -> float:
        """How long before the server would give the session to another the work ends, in seconds."""
        return min(self._keeper.renew_s, self.lease_s / 5)

    @property
    def ends_at(self) -> float:
        """When the work ends if the lease is not renewed, on the loop's clock."""
        return self._renewed_at + self.lease_s - self.margin_s

    @property
    def silent_s(self) -> float:
        """For how long it has not been renewed."""
        return asyncio.get_running_loop().time() - self._renewed_at

    def renewed(self, asked_at: float, retry_now: int | None = None) -> None:
        """Take note that the lease was renewed; without ``retry_now`` it may be called by another thread.

        Args:
            asked_at: when the renewal was sent, on the monotonic clock, which is the loop's.
            retry_now: how often the session was resumed while held; more than before: the waits are over.
        """
        self._renewed_at = max(self._renewed_at, asked_at)
        if retry_now is None or retry_now == self.retry_now:
            return
        self.retry_now, self._fresh = retry_now, True
        now = self.now()
        for waits in (self._calls, self._left):
            waits |= {llm: wait.model_copy(update={"retry_at": now}) for llm, wait in waits.items()}
        for end_waits in self._on_retry_now:
            end_waits()

    def lose(self, state: State | None, why: str = "") -> None:
        """End the work: the session is not ours any more.

        Args:
            state: what it is now; None: not known, or gone.
            why: what became of it, or why the lease could not be kept, as part of a sentence.
        """
        if self.lost is not None or self.released:
            return
        self._throttle.drop()
        self.lost = LeaseLost(self.session, why or (f"it is {state}" if state else "its lease has ended"), state)
        for heard in self._on_lost:
            heard()
        self._cancel()

    def _cancel(self) -> None:
        # What the body itself finds out needs no cancellation.
        if self._task is not None and self._inside and not self._cancelled and asyncio.current_task() is not self._task:
            self._cancelled = True
            self._task.cancel()

    def on_lost(self, hear: Callable[[], object]) -> None:
        """Have something called when the session is taken away."""
        self._on_lost.append(hear)

    # the side of the bus

    def on_subscribed(self) -> None:
        """Ask at once: the session may have been taken away meanwhile."""
        self._keeper.poke(self)

    def receive(self, name: str, payload: bytes) -> None:
        """Ask at once when the state of the session changed; our own notices do not matter here."""
        if b'"type":"session.state"' in payload:
            self._keeper.poke(self)
