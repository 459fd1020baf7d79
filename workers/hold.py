"""The hold: a claimed session, kept while somebody works on it.

It renews the lease every second with the current picture, tells notices on behalf of the LLM paths, ends a wait when a person
resumes, and cancels the work when the session is taken away. Workers use it; so can a loop of one's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

from tidings.bus import (
    AccessDenied,
    Bus,
    Claim,
    LlmAttempt,
    LlmRetry,
    Message,
    Notice,
    Outbox,
    Picture,
    Release,
    Released,
    Renewal,
    Seat,
    State,
    TidingsError,
    Trigger,
    Unreachable,
    Wait,
)
from tidings.bus.errors import cause_of
from tidings.workers.ending import ending
from tidings.workers.errors import LlmError
from tidings.workers.llm import Llm, Nudge, Told
from tidings.workers.retry import RetryPlan
from tidings.workers.watchdog import WORK, Blocked, Watchdog

log = logging.getLogger("tidings.hold")

T = TypeVar("T")

DRAIN_S = 1.0
"""How long a release waits for notices that are still on their way."""
CANCEL_S = 5.0
"""How long work that was cancelled may take to end before it is left behind; its writes are refused by then."""

_AGENT = "agent"


class Revoked(Exception):
    """The session was taken away: paused, stopped, or (state None) the lease could not be kept.

    Attributes:
        state: state of the session, as far as it is known.
        why: what became of it, or why the lease could not be kept, as part of a sentence.
    """

    def __init__(self, session: str, state: State | None, why: str = "") -> None:
        why = why or (f"it is {state}" if state else "its lease has ended")
        super().__init__(f"session {session!r} was taken away: {why}")
        self.session, self.state, self.why = session, state, why


class Hold:
    """Keeps one claim; an async context manager.

    Args:
        bus: where the session is.
        claim: the claim to keep.
        renew_s: seconds between renewals; well under half the lease.
        watchdog: keeps the lease while the event loop is blocked: that of the process; else the hold has one of its own.
        on_retry: called with each retry that is told.

    Attributes:
        blocked: what the loop was blocked by for longer than a lease, while this work ran.
        lost: whether the session is known to be taken away.
    """

    def __init__(
        self,
        bus: Bus,
        claim: Claim,
        renew_s: float = 1.0,
        watchdog: Watchdog | None = None,
        *,
        on_retry: Callable[[LlmRetry], None] | None = None,
    ) -> None:
        self._bus, self.claim = bus, claim
        self._watchdog = watchdog or Watchdog(bus, renew_s, claim.lease_s)
        self._shared = watchdog is not None
        self.blocked: Blocked | None = None
        self.lost = False
        self._on_retry = on_retry
        self._renew_s = renew_s
        self._margin_s = min(renew_s, claim.lease_s / 5)
        self._pause_s = renew_s
        self._outbox: Outbox = bus.outbox()
        self._waits: dict[str, Wait] = dict(claim.waits)
        self._left: dict[str, Wait] = {}
        """What was told of calls that were left, by path; nothing was told of their paths since."""
        self._model = claim.model
        self._llms: list[Llm] = []
        self._fresh = False
        """Whether the row of parks is over: something was achieved, or a person has resumed it."""
        self._ending = False
        """Whether the work is being cancelled: what it leaves then is not over."""
        self._nudges = 0
        self.nudge = Nudge()
        self._poke = asyncio.Event()
        self._revoked: asyncio.Future[Revoked] = asyncio.get_running_loop().create_future()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        # The lease began when the server granted it, which may be a while ago.
        granted_s = (claim.lease_until - bus.now()).total_seconds() - claim.lease_s
        self._renewed_at = asyncio.get_running_loop().time() + min(0.0, granted_s)

    async def __aenter__(self) -> Self:
        # Nothing is waited for: whoever enters has the claim in hand, and must not lose it to a cancellation in here.
        session = self.claim.session
        self._watchdog.watch(self)
        self._tasks = (
            asyncio.create_task(self._keep(), name=f"tidings-hold-{session}"),
            asyncio.create_task(self._bus.on_status(session, self), name=f"tidings-hold-listens-{session}"),
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._end()
        await self._outbox.aclose()

    async def _end(self) -> None:
        """Stop renewing and listening."""
        self._watchdog.forget(self)
        if not self._shared:
            self._watchdog.stop()
        self._take_away(None)
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._bus.forget(self)

    # what the work needs

    def llm(self, model: str, **options: Any) -> Llm:
        """Make an `Llm` for the work under this hold: its waits are told and kept, a resume ends them.

        It goes on with the calls that failed under an earlier worker: it asks no sooner than was told then, and counts on.

        Args:
            model: as litellm is asked for it.
            options: further arguments of the `Llm`.
        """
        given: dict[str, Any] = {"tell": self.tell, "gave_up": self.clear, "nudge": self.nudge, "now": self._bus.now}
        made = Llm(model, waits=self.claim.waits, **(given | options))
        self._llms.append(made)
        return made

    def progressed(self) -> None:
        """Note that the turn has brought something, such as an event: the row of parks before it is over."""
        self._fresh = True

    @property
    def _progress(self) -> bool:
        return self._fresh or any(llm.usage.succeeded for llm in self._llms)

    def ending(self, error: LlmError, read: int) -> Release:
        """Return how to release a session whose turn a failed call has ended: parked until its time has come, or in error.

        Args:
            error: as the `Llm` raised it.
            read: offset up to which the loop has read the history.
        """
        plan = self._llms[0].plan if self._llms else RetryPlan()
        # Of calls made at once, one that gives up ends the turn of all; what the others were told holds all the same.
        others = {llm: wait for llm, wait in (self._left | self._waits).items() if llm != error.llm}
        until = Picture(waits=others).resume_at
        return ending(error, self.claim, plan, read, self._bus.now(), progress=self._progress, not_before=until)

    # what people are told

    @property
    def picture(self) -> Picture:
        """What is being done right now."""
        return Picture(model=self._model, waits=dict(self._waits), unsaid=bool(self._left))

    @property
    def waiting(self) -> bool:
        """Whether a call to a model waits for its next attempt."""
        now = self._bus.now()
        return any(wait.lasts(now) for wait in self._waits.values())

    def tell(self, data: Told) -> None:
        """Tell a retry, an attempt or a recovery, and change the picture; returns at once and never raises."""
        if data.llm == _AGENT or self._model is None:
            self._model = data.model
        self._left.pop(data.llm, None)
        now, subject, source = self._bus.now(), self.claim.session, self._source
        notice: Message[Notice]
        if isinstance(data, LlmRetry):
            if self._on_retry is not None:
                self._on_retry(data)
            self._waits[data.llm] = data.wait()
            notice = Message.of(data, session=subject, source=source, time=now)
        elif isinstance(data, LlmAttempt):
            self._waits[data.llm] = data.under_way(self._waits.get(data.llm), now)
            notice = Message.of(data, session=subject, source=source, time=now)
        else:
            self._waits.pop(data.llm, None)
            notice = Message.of(data, session=subject, source=source, time=now)
        self._outbox.put(notice, Seat(self.claim, self._nudges, self.picture))

    def clear(self, llm: str) -> None:
        """Take a path's wait out of the picture: its call has ended without success. The next renewal carries it.

        A call that is cut short because the worker ends is not over: who takes the session up goes on with it.
        """
        if not self._ending and (wait := self._waits.pop(llm, None)):
            self._left[llm] = wait

    @property
    def _source(self) -> str:
        return f"worker/{self.claim.worker.name}"

    # the side of the bus

    def acknowledged(self) -> None:
        """Ask at once: the session may have been taken away meanwhile."""
        self._poke.set()

    def receive(self, name: str, payload: bytes) -> None:
        """Ask at once when the state of the session changed; our own notices do not matter here."""
        if b'"type":"session.state"' in payload:
            self._poke.set()

    async def _keep(self) -> None:
        """Renew until the session is taken away, or until the lease is about to end by our own clock."""
        try:
            while not self._revoked.done():
                await self._renew()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pause_s):
                        await self._poke.wait()
                self._poke.clear()
        except TidingsError as error:
            # Work that nobody holds the session for must not go on.
            log.error("hold.failed", extra={"session": self.claim.session, "cause": cause_of(error)})
            self._take_away(None, f"its lease cannot be renewed: {error}")
        except Exception as error:
            log.exception("hold.failed", extra={"session": self.claim.session})
            self._take_away(None, f"its lease cannot be renewed: {cause_of(error)}")

    async def _renew(self) -> None:
        """Renew once; afterwards ``_pause_s`` says when to do it again."""
        loop = asyncio.get_running_loop()
        asked_at, self._pause_s = loop.time(), self._renew_s
        try:
            async with asyncio.timeout_at(self._end_at):
                renewal = await self._bus.renew(self.claim, self.picture, self._nudges)
        except (AccessDenied, Unreachable, TimeoutError) as error:
            self._pause_s = self._margin_s / 2
            # The end is looked up anew: when the loop was blocked, the watchdog has renewed meanwhile.
            if loop.time() + self._pause_s >= self._end_at:
                silent_s = loop.time() - self._renewed_at
                cause = str(error) or ("the process stood still" if asked_at >= self._end_at else "the server does not answer")
                log.warning(
                    "hold.lease_ends", extra={"session": self.claim.session, "silent_s": round(silent_s, 1), "cause": cause}
                )
                self._take_away(None, f"its lease could not be renewed for {silent_s:.0f} s: {cause}")
        else:
            self.renewed(asked_at)
            self._heed(renewal)

    @property
    def _end_at(self) -> float:
        """When the work ends if the lease is not renewed, on the loop's clock: before the server gives the session to another."""
        return self._renewed_at + self.claim.lease_s - self._margin_s

    def _heed(self, renewal: Renewal) -> None:
        if not renewal.held:
            self._take_away(renewal.state, renewal.why)
        elif renewal.nudge != self._nudges:
            self._nudges, self._fresh = renewal.nudge, True
            now = self._bus.now()
            for waits in (self._waits, self._left):
                waits |= {llm: wait.model_copy(update={"retry_at": now}) for llm, wait in waits.items()}
            self.nudge.set()

    def _take_away(self, state: State | None, why: str = "") -> None:
        self.lost = True
        if not self._revoked.done():
            self._revoked.set_result(Revoked(self.claim.session, state, why))

    # the side of the watchdog

    @property
    def nudges(self) -> int:
        """How often the session was resumed while held, as far as we know."""
        return self._nudges

    def renewed(self, asked_at: float) -> None:
        """Take note that the lease was renewed; may be called by another thread.

        Args:
            asked_at: when the renewal was sent, on the monotonic clock, which is the loop's.
        """
        self._renewed_at = max(self._renewed_at, asked_at)

    def lose(self, state: State | None, why: str) -> None:
        """End the work: the session was taken away while the loop was blocked."""
        self._take_away(state, why)

    # the side of the work

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """Do some work, and cancel it the moment the session is taken away.

        Raises:
            Revoked: the session was taken away; whatever the work wanted to write would have been refused.
            Exception: as the work raised it.
        """
        if self._revoked.done():
            work.close()
            raise self._revoked.result()
        context = contextvars.copy_context()
        context.run(WORK.set, self)
        task = asyncio.create_task(work, name=f"tidings-work-{self.claim.session}", context=context)
        try:
            either: set[asyncio.Future[Any]] = {task, self._revoked}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise self._revoked.result()
            return task.result()
        finally:
            await self._put_down(task)

    async def _put_down(self, work: asyncio.Task[Any]) -> None:
        """End work that is not wanted any more; what it still raises is nobody's news."""
        if not work.done():
            self._ending = True
            work.cancel()
            await asyncio.wait({work}, timeout=CANCEL_S)
        if not work.done():
            log.error("hold.work_does_not_end", extra={"session": self.claim.session})
        elif not work.cancelled():
            work.exception()

    async def release(self, release: Release) -> Released:
        """Let the session go, after a short wait for notices on their way.

        While the server is away it tries again, for as long as the lease lasts.

        Raises:
            TypeError: it is no `Release`; the text says what to return.
            LeaseLost: it was taken away before.
            Unreachable: the server has not answered; the lease runs out by itself.
        """
        if not isinstance(release, Release):
            kind = type(release).__name__
            raise TypeError(
                f"a session is let go by a Release, not by {kind}: return Release(Trigger.YIELD, read=...), for example"
            )
        await self._outbox.drain(DRAIN_S)
        while True:
            ended = self._revoked.done()
            try:
                released = await self._bus.release(self.claim, self.complete(release))
            except Unreachable:
                if ended:
                    raise
                await asyncio.wait({self._revoked}, timeout=self._margin_s / 2)
            else:
                await self._end()
                return released

    def complete(self, release: Release) -> Release:
        """Add to a release what only we know: the model, that the loop was blocked, and which calls are not over."""
        why = f"{release.why}; {self.blocked}" if self.blocked else release.why
        release = replace(release, model=release.model or self._model, why=why)
        if release.trigger is not Trigger.HAND_BACK:
            return release
        parks, parked_s = (0, 0.0) if self._progress else (self.claim.parks, self.claim.parked_s)
        return replace(release, waits=dict(self._waits), parks=parks, parked_s=parked_s)
