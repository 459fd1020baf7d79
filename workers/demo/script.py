"""The script: what happens, step by step. Each step waits for a condition, never for a time, and says what it saw."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidings.bus import CommandRefused, LlmRateLimited, LlmRetry, Message, SessionState, State, WorkerClaimed, WorkerLost
from tidings.workers.demo.scenario import CALLS, ORPHAN, PARKED, RETRY_AFTER_S, SESSIONS, first_line, hang, second_line
from tidings.workers.demo.summary import resumptions
from tidings.workers.testing import Fleet, Processes
from tidings.workers.testing.patience import stretch

if TYPE_CHECKING:
    from tidings.workers.terminal import Commentary

PATIENCE_S = 30.0 * stretch()
"""How long a step may take. On an idle machine the longest takes about 6 s."""
BY = "demo"


@dataclass(frozen=True, slots=True)
class Pace:
    """How much time there is.

    Attributes:
        window_s: seconds of the provider's window: waits are about as long.
        rest_s: seconds between two steps, to read them.
        offer_s: seconds in which a person may resume the parked session before the demo does.
    """

    window_s: float = 1.0
    rest_s: float = 0.0
    offer_s: float = 0.0


class Script:
    """Takes a fleet through it.

    Args:
        fleet: the fleet, at work; nothing has happened so far.
        processes: its processes.
        say: tells people a step, and below it what is to be copied.
        pace: how much time there is.
        command: what a person types in another terminal to resume the parked session.
        commentary: where a person is offered to do it; needed for an offer.

    Attributes:
        said: what was said in each session, in order.
        killed: the worker that was killed; '' so far.
    """

    def __init__(
        self,
        fleet: Fleet,
        processes: Processes,
        say: Callable[..., None],
        pace: Pace,
        *,
        command: str = "",
        commentary: Commentary | None = None,
    ) -> None:
        self._fleet, self._processes, self._say, self._pace = fleet, processes, say, pace
        self._command, self._commentary = command, commentary
        self.said: dict[str, tuple[str, ...]] = {}
        self.killed = ""

    async def play(self) -> None:
        """Play it from the beginning to the end.

        Raises:
            NotInTime: a step did not happen in time; the text says which, and where each session stands.
            ProcessLost: a process ended by itself.
            TidingsError: the bus failed.
        """
        await self._start()
        await self._hit_the_limit()
        await self._park()
        await self._resume()
        await self._fleet.idle(PATIENCE_S)
        await self._tell("every wait has cleared by itself: all eight have their answer")
        await self._ask_again()
        await self._kill()
        await self._take_over()
        await self._fleet.idle(PATIENCE_S)
        await self._tell("all eight have their second answer, each once")

    async def _tell(self, text: str) -> None:
        """Say what happened, and leave time to read it."""
        self._say(text)
        await asyncio.sleep(self._pace.rest_s)

    async def _start(self) -> None:
        lines = {session: first_line(session) for session in SESSIONS}
        await asyncio.gather(*(self._fleet.start(session, line) for session, line in lines.items()))
        self.said = {session: (line,) for session, line in lines.items()}
        self._say(f"eight sessions begin; the provider serves {CALLS} calls every {self._pace.window_s:g} s")

    async def _hit_the_limit(self) -> None:
        def refused() -> int:
            there_were = any(request.outcome == "refused" for request in self._fleet.provider.requests)
            return len(self._fleet.told(LlmRetry)) if there_were else 0

        told = await self._fleet.eventually(refused, "a call is refused and its retry is told", PATIENCE_S)
        retries = "1 retry" if told == 1 else f"{told} retries"
        await self._tell(f"the limit is hit: {retries} told on status.* before it waits; the prompt will not know")

    async def _park(self) -> None:
        await self._fleet.eventually(lambda: self._fleet.told(LlmRateLimited, PARKED), f"{PARKED} is parked", PATIENCE_S)
        if self._commentary is not None:
            self._commentary.selected = PARKED
        minutes = RETRY_AFTER_S // 60
        await self._tell(f"{PARKED} is asked to wait {minutes} minutes: it is parked, and its worker is free for others")

    async def _resume(self) -> None:
        """Resume the parked session, unless a person does."""
        await self._fleet.eventually(self._is_parked_or_resumed, f"{PARKED} is parked", PATIENCE_S)
        if self._commentary is not None and self._pace.offer_s:
            await self._offer(self._commentary)
        if not self._resumed():
            # Refused, a person was quicker: then it is resumed all the same.
            with contextlib.suppress(CommandRefused):
                await self._fleet.resume(PARKED)
        [first, *_] = await self._fleet.eventually(self._resumed, f"{PARKED} is resumed", PATIENCE_S)
        await self._tell(
            f"{PARKED} is resumed by {first.data.by}: the interrupted call is made again, nothing is added to the history"
        )

    async def _offer(self, commentary: Commentary) -> None:
        """Give a person the time to do it."""
        self._say("resume it: press r, or in another terminal:", self._command)
        deadline = time.monotonic() + self._pace.offer_s
        while (left_s := deadline - time.monotonic()) > 0 and not self._resumed():
            self._processes.check()
            commentary.hint = f" r resumes {PARKED}; the demo does it in {left_s:.0f} s "
            await asyncio.sleep(min(0.2, left_s))
        commentary.hint = ""

    def _resumed(self) -> list[Message[SessionState]]:
        return resumptions(self._fleet.told(SessionState, PARKED))

    def _is_parked_or_resumed(self) -> bool:
        return State.RATE_LIMITED in self._fleet.states(PARKED) or bool(self._resumed())

    async def _ask_again(self) -> None:
        self._fleet.provider.script(hang())
        lines = {session: second_line(session) for session in SESSIONS}
        await asyncio.gather(*(self._fleet.say(session, line) for session, line in lines.items()))
        self.said = {session: (*self.said[session], line) for session, line in lines.items()}
        await self._tell(f"a second question to each; the provider never answers {ORPHAN}'s call")

    async def _kill(self) -> None:
        """Kill the worker that waits for the call that hangs."""

        async def holder() -> str:
            if not any(request.fault == "timeout" for request in self._fleet.provider.requests):
                return ""
            worker = (await self._fleet.status(ORPHAN)).worker
            return worker.name if worker is not None and worker.name in self._processes.workers else ""

        self.killed = await self._fleet.eventually(holder, f"{ORPHAN}'s call hangs at one of our workers", PATIENCE_S)
        records = [await self._fleet.status(session) for session in SESSIONS]
        held = [record.session for record in records if record.worker is not None and record.worker.name == self.killed]
        self._processes.kill(self.killed)
        self._fleet.provider.clear_script()
        self._say(f"{self.killed}, in the middle of {', '.join(held)}, is killed (SIGKILL)")

    async def _take_over(self) -> None:
        def successor() -> str:
            lost = False
            for notice in self._fleet.notices:
                if notice.session == ORPHAN and isinstance(notice.data, WorkerLost) and notice.data.worker is not None:
                    lost = lost or notice.data.worker.name == self.killed
                elif notice.session == ORPHAN and isinstance(notice.data, WorkerClaimed) and lost:
                    return notice.data.worker.name
            return ""

        name = await self._fleet.eventually(successor, f"another worker takes {ORPHAN} over", PATIENCE_S)
        await self._tell(f"{self.killed} has not renewed its lease: {name} takes {ORPHAN} over from the history alone")
