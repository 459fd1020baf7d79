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
    Ending,
    Event,
    InvalidMessage,
    Lease,
    Message,
    Reason,
    ToolCall,
    ToolResult,
    Trigger,
)
from tidings.bus.place import described, place_of
from tidings.bus.redaction import environment_secrets, one_line
from tidings.workers.agent import Agent, Next, as_event, open_calls, open_children, take_step
from tidings.workers.child_starts import Children, check_children, patiently
from tidings.workers.containment import is_ctrl_c, root_of
from tidings.workers.context import Context
from tidings.workers.errors import LlmError
from tidings.workers.llm import Llm
from tidings.workers.llm.secrets import scrub
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


class Turn:
    """Takes an agent through its steps, from the history alone.

    Args:
        bus: where the session is.
        lease: the lease of it.
        agent: takes the steps.
        settings: model, plan of the retries.
        llm_options: further arguments of the `Llm`.
    """

    def __init__(
        self, bus: Bus, lease: Lease, agent: Agent, settings: Settings, llm_options: Mapping[str, Any] | None = None
    ) -> None:
        self._lease, self._agent = lease, agent
        self._children = Children(bus, lease)
        self.llm = Llm.on(
            lease,
            lease.work.model or settings.model or "",
            plan=settings.plan(),
            timeout_s=settings.llm_timeout_s,
            max_answer_bytes=settings.max_answer_bytes,
            api_base=settings.api_base,
            **(llm_options or {}),
        )

    async def turn(self) -> Ending:
        """Take steps until the turn is over; returns how the session is to be released.

        Raises:
            TidingsError: the bus failed; what the agent did since the last append is lost, and the step will be repeated.
        """
        history = await self._history()
        await self._settle_open_calls(history)
        await self._children.start_missing(history)
        try:
            return await self._steps()
        except LlmError as error:
            return error.ending(self._lease)
        except _AgentFailed as failed:
            return await self._blame(failed.error)

    async def _steps(self) -> Ending:
        idle = 0
        while idle < IDLE_STEPS:
            # What was said since, by us and by people.
            history = tuple(await self._history())
            seen = self._lease.read
            events, follow = await self._step(history)
            if await self._append(events) and follow is Next.AWAIT_INPUT:
                follow = Next.CONTINUE
            if follow is Next.FINISH:
                return Ending(Trigger.FINISH, read=seen, why="the agent has finished")
            if follow is Next.AWAIT_INPUT:
                awaits = len(open_children([*history, *events]))
                return Ending(Trigger.YIELD, read=seen, why=_resting(awaits), awaits=awaits)
            idle = 0 if events or self._lease.read > seen else idle + 1
        raise _AgentFailed(RuntimeError(f"the agent took {IDLE_STEPS} steps that added nothing"))

    async def _step(self, history: Sequence[Message[Event]]) -> tuple[list[Message[Event]], Next]:
        """Take one step.

        Raises:
            LlmError: as the agent let it pass.
            _AgentFailed: the agent's own code failed, or gave back what is no step.
        """
        try:
            step = await take_step(self._agent, Context(self._lease.session, history, self.llm, self._lease.tell))
            events = [as_event(data, self._lease.session, self._lease.source, self._lease.read) for data in step.events]
            check_children([*history, *events])
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

    async def _blame(self, error: BaseException) -> Ending:
        """End the run with an error of the agent's own code."""
        seen, error = self._lease.read, root_of(error)
        kind, place = type(error).__name__, place_of(error)
        message = one_line(scrub(error, environment_secrets(os.environ)))
        extra = {"session": self._lease.session, "kind": kind, "place": str(place) if place else None}
        log.error("run.agent_failed", extra=extra, exc_info=error)
        await self._store(AgentError(kind=kind, message=f"{message} ({place})".strip() if place else message))
        why = f"the agent's own code failed: {described(error, message)}"
        return Ending(Trigger.FAIL, read=seen, reason=Reason.UNKNOWN, why=why)

    # the history

    async def _history(self) -> Sequence[Message[Event]]:
        """Read what has been appended since."""
        return await patiently(self._lease.history)

    async def _append(self, events: Sequence[Message[Event]]) -> bool:
        """Append what an agent made, and start its children; returns whether one of them could not be, and the history says so.

        Raises:
            _AgentFailed: it cannot be stored: it is too large.
        """
        try:
            await self._lease.append(*events, patience_s=PATIENCE_S)
        except InvalidMessage as error:
            raise _AgentFailed(error) from error
        return await self._children.start(events)

    async def _store(self, *events: Event) -> None:
        """Append something that is ours to say."""
        await self._lease.append(*events, patience_s=PATIENCE_S)

    async def _settle_open_calls(self, history: Sequence[Message[Event]]) -> None:
        """Give an outcome to tool calls that another run left open: it is not known how far the tool got.

        Those declared idempotent stay open, for the agent to run again.
        """
        cut = [call for call in open_calls(history) if not call.data.idempotent]
        await self._store(*(_interrupted(call) for call in cut))


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
