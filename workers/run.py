"""One run: a session from the moment a worker has claimed it until it lets it go."""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from tidings.bus import (
    AgentError,
    Bus,
    Claim,
    Event,
    InvalidMessage,
    Message,
    Reason,
    Release,
    SessionDeleted,
    SpoiledLog,
    ToolCall,
    ToolResult,
    Trigger,
    carries,
)
from tidings.workers.agent import Agent, Next, as_event, open_calls, open_children, take_step
from tidings.workers.children import Children, check_children, patiently
from tidings.workers.containment import is_ctrl_c, root_of
from tidings.workers.errors import LlmError
from tidings.workers.hold import Hold
from tidings.workers.llm.secrets import scrub
from tidings.workers.place import described, place_of
from tidings.workers.redaction import environment_secrets, one_line
from tidings.workers.settings import Settings

log = logging.getLogger("tidings.run")

PAGE = 500
IDLE_STEPS = 100
"""Steps in a row that may add nothing; more is an agent that turns in a circle."""
PATIENCE_S = math.inf
"""How long to try to append: what was made was paid for. The end of the lease ends this too; on a full server it is renewed."""


class _AgentFailed(Exception):
    """The agent's own code failed; ``error`` is how."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class Run:
    """Takes an agent through its steps, from the history alone.

    Args:
        bus: where the session is.
        hold: the hold on it.
        agent: takes the steps.
        settings: model, plan of the retries.
        llm_options: further arguments of the `Llm`.
    """

    def __init__(
        self, bus: Bus, hold: Hold, agent: Agent, settings: Settings, llm_options: Mapping[str, Any] | None = None
    ) -> None:
        self._bus, self._hold, self._agent = bus, hold, agent
        self._claim: Claim = hold.claim
        self._history: list[Message[Event]] = []
        self._read = 0
        self._children = Children(bus, hold.claim)
        self.llm = hold.llm(
            settings.model or "",
            plan=settings.plan(),
            timeout_s=settings.llm_timeout_s,
            max_answer_bytes=settings.max_answer_bytes,
            api_base=settings.api_base,
            **(llm_options or {}),
        )

    async def turn(self) -> Release:
        """Take steps until the turn is over; returns how the session is to be released.

        Raises:
            TidingsError: the bus failed; what the agent did since the last append is lost, and the step will be repeated.
        """
        await self._catch_up()
        await self._settle_open_calls()
        if await self._children.start_missing(self._history):
            await self._catch_up()
        try:
            return await self._steps()
        except LlmError as error:
            return self._hold.ending(error, self._read)
        except _AgentFailed as failed:
            return await self._blame(failed.error)

    async def _steps(self) -> Release:
        idle = 0
        while idle < IDLE_STEPS:
            seen = self._read
            events, follow = await self._step()
            if await self._append(events) and follow is Next.AWAIT_INPUT:
                follow = Next.CONTINUE
            if follow is Next.FINISH:
                return Release(Trigger.FINISH, read=seen, why="the agent has finished")
            if follow is Next.AWAIT_INPUT:
                awaits = len(open_children([*self._history, *events]))
                return Release(Trigger.YIELD, read=seen, why=_resting(awaits), awaits=awaits)
            await self._catch_up()
            idle = 0 if self._read > seen else idle + 1
        raise _AgentFailed(RuntimeError(f"the agent took {IDLE_STEPS} steps that added nothing"))

    async def _step(self) -> tuple[list[Message[Event]], Next]:
        """Take one step.

        Raises:
            LlmError: as the agent let it pass.
            _AgentFailed: the agent's own code failed, or gave back what is no step.
        """
        try:
            step = await take_step(self._agent, tuple(self._history), self.llm)
            events = [as_event(data, self._claim.session, self._source, self._read) for data in step.events]
            check_children([*self._history, *events])
            return events, Next(step.next)
        except LlmError:
            raise
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            # The agent cancelled something of its own and let that pass; nobody wants this run to end.
            raise _AgentFailed(error) from error
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            if is_ctrl_c(error):
                raise
            root = root_of(error)
            if isinstance(root, LlmError):
                # Out of a task group of the agent's; where calls beside it have failed too, one of them says enough.
                raise root from error
            raise _AgentFailed(error) from error

    async def _blame(self, error: BaseException) -> Release:
        """End the run with an error of the agent's own code."""
        seen, error = self._read, root_of(error)
        kind, place = type(error).__name__, place_of(error)
        message = one_line(scrub(error, environment_secrets(os.environ)))
        extra = {"session": self._claim.session, "kind": kind, "place": str(place) if place else None}
        log.error("run.agent_failed", extra=extra, exc_info=error)
        await self._store([AgentError(kind=kind, message=f"{message} ({place})".strip() if place else message)])
        why = f"the agent's own code failed: {described(error, message)}"
        return Release(Trigger.FAIL, read=seen, reason=Reason.UNKNOWN, why=why)

    # the history

    async def _catch_up(self) -> None:
        """Read what has been appended since, by us and by people."""
        while page := await self._page():
            self._history += page
            self._read = page[-1].offset or self._read

    async def _page(self) -> tuple[Message[Event], ...]:
        """Read on.

        Raises:
            SessionDeleted: it was deleted meanwhile.
            SpoiledLog: something else wrote into the log.
        """
        session = self._claim.session
        page = await patiently(lambda: self._bus.page(f"events.{session}", self._read, PAGE))
        if page.deleted:
            raise SessionDeleted(session)
        if page.foreign:
            # Before a call to a model: nothing that it answers could be kept.
            raise SpoiledLog(session)
        return tuple(message for _, message in page.entries if carries(message, Event))

    async def _append(self, events: Sequence[Message[Event]]) -> bool:
        """Append what an agent made, and start its children; returns whether one of them could not be, and the history says so.

        Raises:
            _AgentFailed: it cannot be stored: it is too large.
        """
        try:
            await self._bus.append(self._claim, events, self._read, patience_s=PATIENCE_S)
        except InvalidMessage as error:
            raise _AgentFailed(error) from error
        if events:
            self._hold.progressed()
        return await self._children.start(events)

    async def _store(self, events: Sequence[Event]) -> None:
        """Append something that is ours to say."""
        made = [as_event(data, self._claim.session, self._source) for data in events]
        await self._bus.append(self._claim, made, self._read, patience_s=PATIENCE_S)

    async def _settle_open_calls(self) -> None:
        """Give an outcome to tool calls that another run left open: nobody knows how far the tool got.

        Those declared idempotent stay open, for the agent to run again.
        """
        cut = [call for call in open_calls(self._history) if not call.data.idempotent]
        if cut:
            await self._store([_interrupted(call) for call in cut])
            await self._catch_up()

    @property
    def _source(self) -> str:
        return f"worker/{self._claim.worker.name}"


def _resting(awaits: int) -> str:
    """Say why the turn is over."""
    if not awaits:
        return "the turn is over"
    return f"it waits for {awaits} {'child' if awaits == 1 else 'children'}"


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _interrupted(call: Message[ToolCall]) -> ToolResult:
    return ToolResult(
        call_id=call.data.call_id,
        name=call.data.name,
        content="The tool was interrupted; it is not known how far it got.",
        is_error=True,
        interrupted=True,
    )
