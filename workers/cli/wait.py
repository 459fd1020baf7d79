"""Waiting for a session to reach a state, for scripts: it ends with an answer in every case."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from tidings.bus import Bus, Record, State, UnknownSession, Unreachable
from tidings.bus.listener import Wakeup
from tidings.bus.messages import check_session
from tidings.bus.states import FINAL
from tidings.workers.cli.exits import Exit
from tidings.workers.cli.open_bus import on_bus
from tidings.workers.cli.output import complain
from tidings.workers.cli.show import parse_states, tell_family
from tidings.workers.settings import Settings
from tidings.workers.view import SessionView, clock

_LOOK_S = 0.5
"""How often the record is read when nothing wakes us: Pub/Sub alone promises nothing."""
_ANSWER_S = 1.0
"""How long the server has for an answer, at least, when the time is nearly up."""
_PATIENCE_S = 3.0
"""How long the server may be away before we say so; a restart takes less."""


def wait(settings: Settings, session: str, until: str, timeout_s: float, *, as_json: bool) -> int:
    """Wait until a session is in one of some states, and print what it is then; returns the exit code.

    Args:
        until: the states, separated by commas.
        timeout_s: most seconds to wait.
    """
    check_session(session)
    states = parse_states(until)

    async def act(bus: Bus) -> int:
        waiting = Waiting(bus, session, states)
        verdict = await waiting.run(timeout_s)
        if waiting.record is not None:
            await tell_family(bus, waiting.record, as_json=as_json)
        if verdict.text:
            complain(verdict.text)
        return verdict.code

    return on_bus(settings, act)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the waiting ended, and what to tell a person about it."""

    code: Exit
    text: str = ""


def judge(record: Record, until: frozenset[State]) -> Verdict | None:
    """Say whether the waiting is over; None while what is waited for may still come by itself.

    A session that awaits input, is queued or waits for a retry may go on. One that is over, in error, paused,
    or parked without a time does not go on unless a person steps in. One that awaits input while its agent waits for children
    goes on by itself when they report: it has not come to rest.
    """
    state = record.state
    if state in until and not (state is State.AWAITING_INPUT and record.awaits):
        return Verdict(Exit.DONE)
    if state in FINAL:
        return Verdict(Exit.REFUSED, f"{record.session} is {state} for good")
    if state is State.ERROR:
        return Verdict(Exit.REFUSED, f"{record.session} is in error: {record.why or 'look at its status'}")
    if state is State.PAUSED:
        by = f" by {record.paused_by}" if record.paused_by else ""
        return Verdict(Exit.REFUSED, f"{record.session} was paused{by}, and only a person resumes it")
    if record.state is State.RATE_LIMITED and record.parked and record.resume_at is None:
        wanted = record.wait.action if record.wait else ""
        return Verdict(Exit.REFUSED, f"{record.session} is parked and nothing will resume it: {wanted or record.why}")
    return None


def _as_it_is(record: Record) -> str:
    """Say the state of a session; of a parked one also when it goes on, and what helps."""
    row = SessionView.of(record, record.since or datetime.now(UTC))
    word = row.look.word if row.look else "starting"
    if not row.parked:
        return word
    goes_on = f", and goes on at {clock(row.resume_at)}" if row.resume_at else ""
    return f"{word}{goes_on}: {row.to_do}"


class Waiting:
    """Reads a session's record until it is judged: woken by its status channel, and now and then in any case.

    Attributes:
        record: the newest record read; None before the first.
    """

    def __init__(self, bus: Bus, session: str, until: frozenset[State], *, patience_s: float = _PATIENCE_S) -> None:
        self._bus, self._session, self._until = bus, session, until
        self._patience_s = patience_s
        self._changed = Wakeup()
        self._unreachable: Unreachable | None = None
        self.record: Record | None = None

    @property
    def away(self) -> bool:
        """Whether the server did not answer the last time that it was asked."""
        return self._unreachable is not None

    async def run(self, timeout_s: float) -> Verdict:
        """Wait, at most so many seconds; the server is asked at least once."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        try:
            async with self._listening():
                return await self._judged(deadline)
        except TimeoutError:
            return self._out_of_time(timeout_s)
        except UnknownSession as error:
            return Verdict(Exit.REFUSED, str(error))

    async def _judged(self, deadline: float) -> Verdict:
        """Read the record until it is judged.

        Raises:
            TimeoutError: the time is up.
        """
        loop = asyncio.get_running_loop()
        seen = loop.time()
        while True:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(max(deadline, loop.time() + _ANSWER_S)):
                    self.record = await self._bus.status(self._session)
            except Unreachable as error:
                self._unreachable = error
                if loop.time() - seen > self._patience_s:
                    return Verdict(Exit.FAILED, str(error))
            else:
                self._unreachable, seen = None, loop.time()
                verdict = judge(self.record, self._until)
                if verdict is not None:
                    return verdict
            # Looked at here too: a time-out is a cancellation, and those can get lost (see `tidings.workers.cli.tasks`).
            if loop.time() >= deadline:
                raise TimeoutError
            await self._changed.wait_at_most(min(_LOOK_S, deadline - loop.time()))

    def _out_of_time(self, timeout_s: float) -> Verdict:
        if self._unreachable is not None:  # whether the state was reached cannot be known
            return Verdict(Exit.FAILED, str(self._unreachable))
        if self.record is None or self.record.state is None:
            return Verdict(Exit.NO_ANSWER, f"the server did not answer within {timeout_s:g} s")
        return Verdict(Exit.NO_ANSWER, f"after {timeout_s:g} s {self._session} is still {_as_it_is(self.record)}")

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        await self._bus.on_status(self._session, self._changed)
        try:
            yield
        finally:
            await self._bus.forget(self._changed)
