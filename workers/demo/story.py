"""The story: what happens, step by step. Each step waits for a condition, never for a time, and says what it saw."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bus import (
    Bus,
    CommandData,
    CommandRefused,
    LlmRateLimited,
    LlmRetry,
    Notice,
    Outcome,
    SayData,
    SessionResume,
    SessionSay,
    SessionStart,
    StartData,
    State,
    WorkerClaimed,
    WorkerLost,
)
from workers.demo.cast import (
    CALLS,
    CONTROLLERS,
    ORPHAN,
    PARKED,
    RETRY_AFTER_S,
    SESSIONS,
    WINDOW_S,
    WORKERS,
    first_line,
    hang,
    second_line,
)
from workers.demo.checks import resumptions
from workers.demo.display import Display
from workers.demo.stage import Stage
from workers.demo.witness import Witness
from workers.provider import Provider

T = TypeVar("T")

BY = "demo"
_FLEET = len(CONTROLLERS) + len(WORKERS)
START_S = 50.0
"""How long the processes may take to load everything: three imports of litellm at once, about 4 s on two idle cores."""
PATIENCE_S = 30.0
"""How long any other step may take. On an idle machine the longest takes about 6 s."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How much time is left for somebody who watches.

    Attributes:
        rest_s: seconds between two steps.
        offer_s: seconds in which a person may resume the parked session before the demo does.
    """

    rest_s: float = 0.0
    offer_s: float = 0.0


class Story:
    """Takes the fleet through it.

    Args:
        bus: where the sessions are.
        provider: what the workers call.
        stage: where the processes run.
        witness: hears what is told.
        display: where people read what happens.
        pace: how much time is left for them.

    Attributes:
        said: what was said in each session, in order.
        killed: the worker that was killed; None so far.
        resume_now: set by a person who does not want to wait for the demo to resume the parked session.
    """

    def __init__(self, bus: Bus, provider: Provider, stage: Stage, witness: Witness, display: Display, pace: Pace) -> None:
        self._bus, self._provider, self._stage = bus, provider, stage
        self._witness, self._display, self._pace = witness, display, pace
        self._spoken_at: dict[str, int] = {}
        self.said: dict[str, tuple[str, ...]] = {}
        self.killed: str | None = None
        self.resume_now = asyncio.Event()

    async def play(self) -> None:
        """Play it from the beginning to the end.

        Raises:
            NotInTime: a step did not come about; the text says which.
            ActorLost: a process ended by itself.
            TidingsError: the bus failed.
        """
        await self._enter()
        await self._start()
        await self._hit_the_limit()
        await self._park()
        await self._resume()
        await self._all_answered("every wait has cleared by itself: all eight have their answer")
        await self._ask_again()
        await self._kill()
        await self._take_over()
        await self._all_answered("all eight have their second answer, each once")

    # the steps

    async def _enter(self) -> None:
        """Start the processes and wait until they have loaded what takes time."""
        for name in CONTROLLERS:
            await self._stage.start("controller", name)
        for name in WORKERS:
            await self._stage.start("worker", name)
        processes = ", ".join(f"{name} (process {self._stage.pid(name)})" for name in (*CONTROLLERS, *WORKERS))
        self._display.step(f"starting {processes}; the workers import litellm, which takes a few seconds ...")
        await self._until(lambda: f"all processes are ready; {self._stage.ready} of {_FLEET} are", self._all_ready, START_S)
        self._display.ask("")
        self._display.step("2 controllers and 3 workers are ready")

    async def _start(self) -> None:
        await self._speak({session: first_line(session) for session in SESSIONS})
        self._display.step(f"eight sessions begin; the provider serves {CALLS} calls every {WINDOW_S:g} s")

    async def _hit_the_limit(self) -> None:
        retried = await self._until("a call is refused and its retry is told", self._retried)
        await self._tell(f"the limit is hit: {retried} told on status.* before it waits; the prompt will not know")

    async def _park(self) -> None:
        what = f"{PARKED} is parked"
        await self._until(what, lambda: self._witness.of(PARKED, LlmRateLimited) and self._parked())
        await self._tell(
            f"{PARKED} is asked to wait {RETRY_AFTER_S // 60} minutes: it is parked, and its worker is free for others"
        )

    async def _resume(self) -> None:
        """Resume the parked session, unless a person does."""
        if self._pace.offer_s:
            await self._offer()
        if not self._resumed():
            await self._send_resume()
        await self._until(f"{PARKED} is resumed", self._resumed)
        by = resumptions(self._witness.notices[PARKED])[0].data.by
        await self._tell(f"{PARKED} is resumed by {by}: the interrupted call is made again, nothing is added to the history")

    async def _offer(self) -> None:
        """Give a person the time to do it."""
        command = self._display.command("resume", PARKED)
        self._display.step(f"resume it: press r, or in another terminal: {command}")
        deadline = time.monotonic() + self._pace.offer_s
        while (left_s := deadline - time.monotonic()) > 0 and not (self.resume_now.is_set() or self._resumed()):
            self._stage.check()
            self._display.ask(f"r  resume {PARKED} (the demo does it in {left_s:.0f} s)   q  quit")
            await self._witness.pause(min(0.2, left_s))
        self._display.ask("")

    async def _send_resume(self) -> None:
        data = CommandData(by="you") if self.resume_now.is_set() else CommandData(by=BY, why="the demo shows how")
        try:
            await self._bus.send(SessionResume(subject=PARKED, data=data), PATIENCE_S)
        except CommandRefused:
            # Somebody was quicker: then it is resumed all the same, which is waited for next.
            return

    async def _ask_again(self) -> None:
        self._provider.script(hang())
        await self._speak({session: second_line(session) for session in SESSIONS})
        await self._tell(f"a second question to each; the provider never answers {ORPHAN}'s call")

    async def _kill(self) -> None:
        """Kill the worker that waits for the call that hangs."""
        await self._until(f"{ORPHAN}'s call hangs at one of our workers", lambda: self._hangs() and self._held_by_ours())
        name = self._witness.holder(ORPHAN)
        held = [session for session in SESSIONS if self._held(session) and self._witness.holder(session) == name]
        self._stage.kill(name)
        self._provider.clear_script()
        self.killed = name
        self._display.step(f"{name}, in the middle of {', '.join(held)}, is killed (SIGKILL)")

    async def _take_over(self) -> None:
        await self._until(f"the loss of {self.killed} is told", self._after_loss)
        successor = await self._until(f"another worker takes {ORPHAN} over", self._successor)
        await self._tell(f"{self.killed} has not renewed its lease: {successor} takes {ORPHAN} over from the history alone")

    async def _all_answered(self, text: str) -> None:
        await self._until(
            lambda: f"all sessions are answered; still waiting for {', '.join(self._unanswered())}",
            lambda: not self._unanswered(),
        )
        await self._tell(text)

    # speaking and telling

    async def _speak(self, lines: dict[str, str]) -> None:
        """Start the sessions, or say something more in them, all at once."""
        outcomes = await asyncio.gather(*(self._say(session, text) for session, text in lines.items()))
        for outcome in outcomes:
            self._spoken_at[outcome.session] = outcome.version

    async def _say(self, session: str, text: str) -> Outcome:
        begun = self.said.get(session, ())
        command: SessionSay | SessionStart
        if begun:
            command = SessionSay(subject=session, data=SayData(by=BY, text=text))
        else:
            command = SessionStart(subject=session, data=StartData(by=BY, text=text))
        outcome = await self._bus.send(command, PATIENCE_S)
        self.said[session] = (*begun, text)
        return outcome

    async def _tell(self, text: str) -> None:
        """Say what happened, and leave time to read it."""
        self._display.step(text)
        deadline = time.monotonic() + self._pace.rest_s
        while (left_s := deadline - time.monotonic()) > 0:
            self._stage.check()
            await self._witness.pause(left_s)

    # what is known

    def _all_ready(self) -> bool:
        self._display.ask(f"{self._stage.ready} of {_FLEET} processes are ready")
        return self._stage.ready == _FLEET

    async def _until(self, what: str | Callable[[], str], condition: Callable[[], T], patience_s: float | None = None) -> T:
        def look() -> T:
            self._stage.check()
            return condition()

        return await self._witness.until(what, look, PATIENCE_S if patience_s is None else patience_s)

    def _retried(self) -> str:
        refused = sum(record.outcome == "refused" for record in self._provider.requests)
        told = self._witness.count(LlmRetry)
        return f"{told} {'retry' if told == 1 else 'retries'}" if refused and told else ""

    def _parked(self) -> bool:
        return self._witness.state(PARKED) is State.RATE_LIMITED or self._resumed()

    def _resumed(self) -> bool:
        return bool(resumptions(self._witness.notices.get(PARKED, ())))

    def _hangs(self) -> bool:
        return any(record.fault == "timeout" for record in self._provider.requests)

    def _held(self, session: str) -> bool:
        return self._witness.state(session) in (State.RUNNING, State.RETRYING, State.RATE_LIMITED)

    def _held_by_ours(self) -> bool:
        return self._held(ORPHAN) and self._witness.holder(ORPHAN) in self._stage

    def _after_loss(self) -> Sequence[Notice]:
        """Return what was told of the orphan from the loss of the killed worker on; nothing so far."""
        told = self._witness.notices[ORPHAN]
        for index, notice in enumerate(told):
            if isinstance(notice, WorkerLost) and notice.data.worker and notice.data.worker.name == self.killed:
                return told[index:]
        return ()

    def _successor(self) -> str:
        """Return who claimed the orphan after that; '' so far."""
        claims = (notice.data.worker.name for notice in self._after_loss() if isinstance(notice, WorkerClaimed))
        return next(claims, "")

    def _unanswered(self) -> Sequence[str]:
        """Return the sessions that have not come to rest since something was said in them, with their states."""
        witness = self._witness
        return [
            f"{session} ({witness.state(session)})"
            for session in SESSIONS
            if witness.state(session) is not State.AWAITING_INPUT or witness.version(session) <= self._spoken_at[session]
        ]
