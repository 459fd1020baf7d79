"""The fleet: a controller and workers with the agent under test, and what a test asks of them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from tidings.bus import (
    Bus,
    Command,
    CommandExpired,
    Event,
    Message,
    Notice,
    Outcome,
    Record,
    SessionPause,
    SessionResume,
    SessionSay,
    SessionStart,
    SessionStop,
    StaleDecision,
    State,
    UnknownSession,
)
from tidings.bus.states import FINAL
from tidings.workers.agent import Agent, AgentFactory, ChatAgent
from tidings.workers.controller.decision import Rules, decide
from tidings.workers.provider import Provider
from tidings.workers.testing.clock import Clock, check_move
from tidings.workers.testing.in_process import InProcess, fleet_settings
from tidings.workers.testing.processes import APART, Processes
from tidings.workers.testing.recorder import N, NoticeRecorder
from tidings.workers.testing.report import NotInTime, at_rest, children_begun
from tidings.workers.testing.waiter import TIMEOUT_S, Waiter

T = TypeVar("T")

BY = "test"
"""The sender of a fleet's commands."""

_PAGE = 500


class Fleet:
    """Controllers and workers on one bus, in this process or in others; an async context manager.

    Its waits are bounded in real time and end with `NotInTime`, whose text shows each session. In this process jitter is at its
    upper bound, so that back-offs are the same in every run. The environment's ``TIDINGS_*`` does not count.

    Args:
        bus: where the sessions are, best one of `memory_bus`.
        provider: what the agent's models are; it must be running.
        agent: the agent's class (with ``from_settings``, that makes it), a function that makes one, or one that serves every run.
        clock: moves the time of that bus and of the waits; None: both pass in real time.
        workers: how many work in this process, beside one controller.
        processes: `Processes` that work in place of these; the agent must then be a class that they can import.
        by: sender of the commands.
        timeout_s: how long each wait may last.
        settings: fields of `Settings`, over `QUICK` (`testing.in_process`) or `APART` (`testing.processes`).

    Raises:
        BadSetting: there is no such setting, or its value cannot be used.
        TypeError: the agent is none.
        ValueError: processes have a clock of their own, and cannot reach a bus in memory.
    """

    def __init__(
        self,
        bus: Bus,
        provider: Provider,
        agent: type[Agent] | AgentFactory | Agent = ChatAgent,
        *,
        clock: Clock | None = None,
        workers: int = 1,
        processes: Processes | None = None,
        by: str = BY,
        timeout_s: float = TIMEOUT_S,
        **settings: object,
    ) -> None:
        self.bus, self.provider, self.clock = bus, provider, clock
        self.settings = fleet_settings({**({} if processes is None else APART), "api_base": provider.base_url, **settings})
        self._by, self._timeout_s = by, timeout_s
        self._recorder = NoticeRecorder()
        self._members: InProcess | Processes
        if processes is None:
            self._members = InProcess(bus, agent, self.settings, clock, workers)
        elif clock is not None:
            raise ValueError("the time of other processes cannot be moved: leave the clock away")
        else:
            processes.join(bus, agent, self.settings)
            self._members = processes
        self._waiter = Waiter(bus, provider, self._members, self._recorder, clock, timeout_s)

    async def __aenter__(self) -> Self:
        try:
            await self.bus.controller.on_change(self._recorder)
            async with asyncio.timeout(self._timeout_s):
                await self._recorder.ready.wait()
            await self._members.start()
        except BaseException:
            await self.bus.forget(self._recorder)
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._members.check()
        finally:
            await self._members.close()
            await self.bus.forget(self._recorder)

    # what a person does

    async def start(self, session: str, text: str | None = None) -> Outcome:
        """Make a session, with a first user message if there is one; returns, like the others, when a controller has applied it.

        Raises:
            CommandRefused: the controller refused; the error says what would be legal. So do the others.
        """
        return await self._send(session, SessionStart(by=self._by, text=text))

    async def say(self, session: str, text: str) -> Outcome:
        """Say something to the agent."""
        return await self._send(session, SessionSay(by=self._by, text=text))

    async def resume(self, session: str) -> Outcome:
        """Go on with what was interrupted, or end a wait now."""
        return await self._send(session, SessionResume(by=self._by))

    async def pause(self, session: str) -> Outcome:
        """Stop work on a session until it is resumed."""
        return await self._send(session, SessionPause(by=self._by))

    async def stop(self, session: str) -> Outcome:
        """End a session for good."""
        return await self._send(session, SessionStop(by=self._by))

    async def _send(self, session: str, command: Command) -> Outcome:
        try:
            return await self.bus.send(session, command, self.settings.command_timeout_s)
        except CommandExpired:
            self._members.check()
            raise

    # what there is to see

    async def status(self, session: str) -> Record:
        """Return what is known of a session.

        Raises:
            UnknownSession: there is no such session.
        """
        return await self.bus.status(session)

    async def history(self, session: str) -> list[Message[Event]]:
        """Return all events of a session.

        Raises:
            UnknownSession: there is no such session.
        """
        events: list[Message[Event]] = []
        while page := await self.bus.history(session, (events[-1].offset or 0) if events else 0, _PAGE):
            events += page
        return events

    @property
    def notices(self) -> list[Message[Notice]]:
        """What was told since the fleet began, each session's in order. After a wait of the fleet none is missing."""
        return list(self._recorder.notices)

    def told(self, kind: type[N], session: str | None = None) -> list[Message[N]]:
        """Return the notices of one kind, e.g. ``LlmRetry``, of all sessions or of one."""
        return self._recorder.told(kind, session)

    def states(self, session: str) -> list[State]:
        """Return the states that a session came to, in order."""
        return self._recorder.states(session)

    @property
    def prompts(self) -> list[list[dict[str, Any]]]:
        """The messages of each request that the provider received, refused and failed ones too, in order."""
        return [record.messages for record in self.provider.requests]

    # waiting

    async def until(self, session: str, *states: State, timeout_s: float | None = None) -> Record:
        """Wait until a session is in one of the states; returns its record.

        The clock is not moved. A state that passes by itself (queued, running) can be missed; ``states`` has it.

        Raises:
            NotInTime: it did not come to that in time; or at once, when it is in error or in a final state, and none of these.
            ValueError: no state was given.
        """
        __tracebackhide__ = True
        if not states:
            raise ValueError("until waits for states: give at least one")
        wanted = " or ".join(states)

        async def reached() -> Record | None:
            try:
                record = await self.bus.status(session)
            except UnknownSession:
                return None
            if record.state in states:
                # And everything that was told by then has been heard.
                return record if self._waiter.has_heard(record) else None
            if record.state in FINAL or record.state is State.ERROR:
                raise NotInTime(await self._waiter.report(f"session {session!r} will not be {wanted}: it is {record.state}"))
            return None

        found = await self._waiter.eventually(reached, f"session {session!r} is {wanted}", timeout_s)
        assert found is not None
        return found

    async def idle(self, timeout_s: float | None = None) -> None:
        """Wait until there is nothing left to do: all sessions await a person, or are paused, in error, stopped or finished.

        Waits are skipped: when nothing else is left to do, the clock is moved to the end of the next one.

        Raises:
            NotInTime: there was still something to do.
        """
        __tracebackhide__ = True

        async def idle() -> bool:
            records = await self._waiter.records()
            busy = [record for record in records if not (at_rest(record) and children_begun(record, records))]
            left = [self._waiter.left_s(record) for record in busy]
            if left and None not in left:
                await self.advance(min(seconds for seconds in left if seconds is not None))
            return not busy and not self._members.busy and all(map(self._waiter.has_heard, records))

        await self._waiter.eventually(idle, "the fleet is idle", timeout_s)

    @overload
    async def eventually(self, predicate: Callable[[], Awaitable[T]], what: str = ..., timeout_s: float | None = ...) -> T: ...

    @overload
    async def eventually(self, predicate: Callable[[], T], what: str = ..., timeout_s: float | None = ...) -> T: ...

    async def eventually(self, predicate: Callable[[], T | Awaitable[T]], what: str = "", timeout_s: float | None = None) -> T:
        """Wait until a plain or async function returns something true; returns that.

        Args:
            what: what is waited for, in words, for the text of a failure.

        Raises:
            NotInTime: it did not in time.
            RuntimeError: a worker or the controller has ended on its own.
        """
        __tracebackhide__ = True

        async def ask() -> T:
            value = predicate()
            return await value if inspect.isawaitable(value) else value

        return await self._waiter.eventually(ask, what or inspect.getdoc(predicate) or "what was waited for", timeout_s)

    # time

    async def advance(self, seconds: float) -> None:
        """Move the clock: waits pass, parked sessions become due.

        It returns when the clock has moved, not when what goes on by it has happened: wait for that. No worker loses a session by
        it: a move longer than half a lease is made in steps, each after the leases were renewed.

        Raises:
            RuntimeError: this fleet has no clock.
            ValueError: it is no time, or a step back.
            NotInTime: a worker did not renew its leases.
        """
        __tracebackhide__ = True
        clock, step = self._moved_clock(), self.settings.lease_s / 2
        check_move(seconds)
        while seconds > step and await self._waiter.held():
            clock.move(step)
            seconds -= step
            await self._waiter.renewed(self.settings.lease_s)
        clock.move(seconds)
        await self._waiter.renewed(self.settings.lease_s)

    async def skip_wait(self, session: str, timeout_s: float | None = None) -> float:
        """Wait until a session waits for a time, move the clock to the end of that, and wait until the session has gone on.

        A held session has gone on when its next attempt has ended and that was told; a parked one when it is queued again.

        Returns:
            How far the clock was moved, in seconds.

        Raises:
            RuntimeError: this fleet has no clock.
            NotInTime: it did not wait, or did not go on.
        """
        __tracebackhide__ = True
        self._moved_clock()

        async def waits() -> tuple[float, int] | None:
            record = await self.bus.status(session)
            left = self._waiter.left_s(record)
            return None if left is None else (left, record.status)

        found = await self._waiter.eventually(waits, f"session {session!r} waits for a time", timeout_s)
        assert found is not None
        seconds, told = found
        await self.advance(seconds)

        async def gone_on() -> bool:
            record = await self.bus.status(session)
            return record.status > told and self._waiter.has_heard(record)

        await self._waiter.eventually(gone_on, f"session {session!r} has gone on after its wait", timeout_s)
        return seconds

    def _moved_clock(self) -> Clock:
        if self.clock is None:
            raise RuntimeError(f"the time of {self.bus.address} cannot be moved: use a bus of memory_bus, and give its clock")
        return self.clock

    # trouble

    async def lose_worker(self, session: str, timeout_s: float | None = None) -> None:
        """Take a session from its worker as if that had not been heard of until its lease ended; another run takes it over.

        What the worker is doing is cancelled and what it still writes is refused; ``worker.lost`` is told. Unlike a process that
        was killed, the agent sees the cancellation.

        Raises:
            NotInTime: no worker held it.
        """
        __tracebackhide__ = True
        rules = Rules(f"controller/{self._by}", reap=True, loss_limit=self.settings.loss_limit)

        async def lost() -> bool:
            seen = await self.bus.controller.snapshot(session)
            # What people asked for is decided first, at the time that it is.
            if seen is None or not seen.record.held or seen.record.lease_until is None or seen.commands:
                return False
            late = replace(seen, now=max(seen.now, seen.record.lease_until))
            try:
                await self.bus.controller.decide(seen, decide(late, rules))
            except StaleDecision:
                return False
            return True

        await self._waiter.eventually(lost, f"session {session!r} is held by a worker, which is then lost", timeout_s)
