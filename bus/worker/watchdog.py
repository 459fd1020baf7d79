"""The watchdog: a thread that keeps the leases of a process while its event loop is blocked, and says where it is.

Code that does not yield, such as a computation in an agent, keeps all else on its loop from running, the renewals of its
leases too. Other workers would take its sessions over, and run into the same code. The thread has a connection of its own. It
cannot help where code holds Python's lock (a C extension that does not let it go) or the process is stopped: then the thread
stands still too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidings.bus.errors import TidingsError, cause_of
from tidings.bus.place import Place, handle_now, place_now
from tidings.bus.presence import BEAT_S, Presence
from tidings.bus.states import State

if TYPE_CHECKING:
    from tidings.bus.worker.face import WorkerFace
    from tidings.bus.worker.lease import Lease

log = logging.getLogger("tidings.watchdog")

BLOCKED_LIMIT_S = 120.0
"""For how long the leases are kept, by default."""
WARN_S = 1.0
"""How long a loop may be blocked before it is told."""
_LOOKS = 1000
"""Looks at where the loop is that are kept."""
RELEASE_TIMEOUT_S = 5.0
"""How long the thread tries to release the sessions at the end; after that their leases expire."""


WORK: ContextVar[Lease | None] = ContextVar("tidings-work", default=None)
"""The lease whose work is running; everything that the work begins has it in its context."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """An event loop that has not moved.

    Attributes:
        seconds: for how long.
        place: the line that it is in; None: not known.
        lease: of the session whose work it is running; None: of none, or not known.
    """

    seconds: float
    place: Place | None
    lease: Lease | None

    def __str__(self) -> str:
        where = "step()" if self.place is None else f"{self.place.function}() ({self.place.file}:{self.place.line})"
        return f"the event loop was blocked for {max(1, round(self.seconds))} s in {where}"


class Watchdog:
    """Keeps the leases that it watches while the event loop is blocked.

    The thread runs while there are any. On ``memory://``, which no other thread can connect to, it
    only says that the loop is blocked.

    Args:
        face: where the sessions are.
        renew_s: seconds between renewals.
        lease_s: length of the leases, in seconds.
        limit_s: for how long after the loop last moved it keeps them. Then the session whose work the loop is in gets an error,
            and the others are handed back; where it is not known whose work it is, the leases run out.
        give_up: called in the thread after that, unless the loop has moved: it may end the process.
    """

    def __init__(
        self,
        face: WorkerFace,
        renew_s: float,
        lease_s: float,
        limit_s: float = BLOCKED_LIMIT_S,
        give_up: Callable[[], object] | None = None,
    ) -> None:
        self._face, self._renew_s, self._limit_s, self._give_up = face, renew_s, limit_s, give_up
        self._lease_s = lease_s
        self._after_s = min(renew_s, lease_s / 5)
        """How long the loop may be silent before the leases are renewed for it."""
        self._look_s = min(self._after_s, WARN_S, limit_s) / 2
        self._loop: asyncio.AbstractEventLoop
        self._loop_thread = 0
        """The loop and its thread, from the first lease on."""
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._leases: set[Lease] = set()
        self._presences: list[Callable[[], Presence]] = []
        self._attending = threading.Lock()
        """Held while the thread says that a process is there."""
        self._asked = self._answered = 0
        self._looked_at = time.monotonic()
        self._handle: object = None
        self._silent_s = 0.0
        """For how long the loop has not answered."""
        self._blocked_s = 0.0
        """For how long it has been in one and the same piece of work."""
        self._places: deque[Place] = deque(maxlen=_LOOKS)
        """Where the loop was, look by look, in that piece of work."""
        self._told: set[Lease | None] = set()
        self._taken: set[Lease] = set()
        """Leases that are known to be lost, while the loop has not heard of it."""
        self._telling = False
        self._away = self._over = False

    def stop(self) -> None:
        """Have the thread end; returns at once."""
        self._ended.set()
        self._thread = None

    def watch(self, lease: Lease) -> None:
        """Keep a lease from now on while the loop is blocked."""
        self._leases.add(lease)
        if self._thread is None:
            self._loop, self._loop_thread = asyncio.get_running_loop(), threading.get_ident()
            self._looked_at, self._ended = time.monotonic(), threading.Event()
            self._asked = self._answered = 0
            self._thread = threading.Thread(target=self._run, args=(self._ended,), name="tidings-watchdog", daemon=True)
            self._thread.start()

    def forget(self, lease: Lease) -> None:
        """Leave a lease alone."""
        self._leases.discard(lease)
        self._told.discard(lease)
        self._taken.discard(lease)

    @contextlib.asynccontextmanager
    async def attend_for(self, describe: Callable[[], Presence]) -> AsyncIterator[None]:
        """Say for a process that it is there, too, while the loop is blocked; nothing of it is under way any more on leaving."""
        self._presences.append(describe)
        try:
            yield
        finally:
            self._presences.remove(describe)
            # What is under way would land after the farewell, and the process would seem to have been lost.
            if await asyncio.to_thread(self._attending.acquire, timeout=RELEASE_TIMEOUT_S):
                self._attending.release()

    # looking, in the thread

    def _run(self, ended: threading.Event) -> None:
        while not ended.wait(self._look_s):
            try:
                if self._loop.is_closed():
                    return
                if not self._look():
                    continue
                if self._face.in_memory or self._over:
                    continue
                if self._blocked_s >= self._limit_s:
                    self._over = True
                    self._end()
                elif self._silent_s >= self._after_s:
                    asyncio.run(self._stand_in())
            except Exception:
                if self._loop.is_closed():
                    return
                log.exception("watchdog.failed")

    def _look(self) -> bool:
        """See whether the loop is silent, and tell of it. One that has been stopped is not blocked."""
        if not self._loop.is_running():
            return False
        now = time.monotonic()
        # A look that comes late says nothing of the loop: the process was stopped, or the machine is busy.
        passed, self._looked_at = min(now - self._looked_at, 2 * self._look_s), now
        if self._answered == self._asked:
            self._moves_again()
            if self._leases:
                self._asked += 1
                self._loop.call_soon_threadsafe(self._answer, self._asked)
            return False
        handle = handle_now(self._loop_thread)
        self._silent_s += passed
        if handle is not self._handle:
            # Many short pieces of work in a row: the loop moves, and the renewals have their turn in the end.
            self._handle, self._blocked_s = handle, 0.0
            self._places.clear()
        self._blocked_s += passed
        if place := place_now(self._loop_thread):
            self._places.append(place)
        self._tell()
        return True

    def _answer(self, number: int) -> None:
        """Show that the loop moves; called by the loop."""
        self._answered = number

    def _tell(self) -> None:
        """Say once for each turn that the loop is blocked; and leave it with the lease, once it is longer than a lease."""
        if self._blocked_s < min(WARN_S, self._lease_s):
            return
        blocked = self._blocked()
        if blocked.lease is not None and blocked.seconds >= self._lease_s:
            blocked.lease.blocked = blocked
        if blocked.seconds >= WARN_S and not self._telling and blocked.lease not in self._told:
            self._telling = True
            self._told.add(blocked.lease)
            log.warning("loop.blocked", extra=_fields(blocked))

    def _moves_again(self) -> None:
        if self._telling:
            log.warning("loop.moves_again", extra={"silent_s": round(self._silent_s, 1)})
        self._handle, self._silent_s, self._blocked_s = None, 0.0, 0.0
        self._places.clear()
        self._telling = self._away = self._over = False

    def _blocked(self) -> Blocked:
        """Return what the loop is in, as far as it can be known from outside."""
        context = getattr(handle_now(self._loop_thread), "_context", None)
        lease = context.get(WORK) if context is not None else None
        leases = tuple(self._leases)
        if lease not in leases:
            # No session's work; or that of a session which is over, and has left something running.
            lease = leases[0] if len(leases) == 1 else None
        return Blocked(self._blocked_s, self._usual_place(), lease)

    def _usual_place(self) -> Place | None:
        """Return the newest line in the function that the loop was in most of the time: it may be on its way out by now."""
        most = Counter((place.file, place.function) for place in self._places).most_common(1)
        return next((place for place in reversed(self._places) if (place.file, place.function) == most[0][0]), None)

    def _held(self) -> list[Lease]:
        return [lease for lease in tuple(self._leases) if lease.lost is None and lease not in self._taken]

    # renewing in place of the loop

    async def _stand_in(self) -> None:
        """Renew the leases until the loop moves, or until it is too late."""
        keeping = asyncio.create_task(self._keep())
        try:
            # What it looks at is in another thread, which has no time to set an event.
            while self._look() and self._blocked_s < self._limit_s and not self._ended.is_set():  # noqa: ASYNC110
                await asyncio.sleep(self._look_s)
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})

    async def _keep(self) -> None:
        while True:
            try:
                async with self._face.another() as face:
                    await self._renew_again_and_again(face)
            except TidingsError as error:
                if not self._away:
                    self._away = True
                    log.warning("watchdog.unreachable", extra={"cause": cause_of(error)})
            except Exception:
                log.exception("watchdog.failed")
            await asyncio.sleep(self._after_s)

    async def _renew_again_and_again(self, face: WorkerFace) -> None:
        said_at = -BEAT_S
        while True:
            await self._renew(face)
            if time.monotonic() - said_at >= BEAT_S:
                said_at = time.monotonic()
                await self._attend(face)
            await asyncio.sleep(self._renew_s)

    async def _attend(self, face: WorkerFace) -> None:
        """Say that the processes are there; what has been begun is ended, also when the loop moves meanwhile."""
        with self._attending:
            for presence in self._described():
                saying = asyncio.ensure_future(face.attend(presence))
                try:
                    await asyncio.shield(saying)
                finally:
                    await asyncio.wait({saying}, timeout=RELEASE_TIMEOUT_S)
                    if saying.done() and not saying.cancelled():
                        # Cancelled, this is not told what went wrong, and asyncio would complain that it was lost.
                        saying.exception()

    async def _renew(self, face: WorkerFace) -> None:
        """Renew the leases as their keeper would, and leave the answers with them."""
        asked_at, leases = time.monotonic(), self._held()
        for lease, answer in zip(leases, await face.renew(leases), strict=True):
            if answer.held:
                lease.renewed(asked_at)
            else:
                self._lose(lease, answer.state, answer.why)

    def _described(self) -> Iterator[Presence]:
        for describe in tuple(self._presences):
            # The loop may move again just now, and change what is described.
            with contextlib.suppress(RuntimeError):
                yield describe()

    def _lose(self, lease: Lease, state: State | None, why: str) -> None:
        """Have the work of a lease end as soon as the loop moves; until then the lease is left alone."""
        self._taken.add(lease)
        self._loop.call_soon_threadsafe(lease.lose, state, why)

    # the end

    def _end(self) -> None:
        """Let the sessions go: a loop that has not moved for so long will not."""
        blocked, held = self._blocked(), self._held()
        for lease in held:
            # It is the reason of the end now, and not beside it.
            lease.blocked = None
        log.error("loop.blocked_too_long", extra=_fields(blocked) | {"sessions": len(held)})
        try:
            asyncio.run(self._let_go(held, blocked))
        except (TidingsError, TimeoutError) as error:
            log.warning("watchdog.unreachable", extra={"cause": cause_of(error)})
        for lease in held:
            self._lose(lease, None, str(blocked))
        if self._give_up is not None and self._answered != self._asked:
            self._give_up()

    async def _let_go(self, held: list[Lease], blocked: Blocked) -> None:
        async with asyncio.timeout(RELEASE_TIMEOUT_S), self._face.another() as face:
            if blocked.lease is not None:
                # Else the one that is to blame would be handed back, and block worker after worker. A lost worker is counted.
                await asyncio.gather(*(self._release(face, lease, blocked) for lease in held))
            for presence in self._described():
                await face.leave(presence)

    async def _release(self, face: WorkerFace, lease: Lease, blocked: Blocked) -> None:
        try:
            await face.release_blocked(lease, str(blocked), guilty=lease is blocked.lease)
        except TidingsError as error:
            log.warning("watchdog.not_released", extra={"session": lease.session, "cause": cause_of(error)})


def _fields(blocked: Blocked) -> dict[str, object]:
    """Return what a line of the log says of a blocked loop."""
    return {
        "session": blocked.lease.session if blocked.lease else None,
        "blocked_s": round(blocked.seconds, 1),
        "place": str(blocked.place) if blocked.place else None,
    }
