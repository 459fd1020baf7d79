"""Agents that stop where a test wants them to, and tell what they saw."""

from __future__ import annotations

import asyncio

from tests.waiting import PATIENCE_S
from tidings.bus import AgentMessage, ToolCall, ToolResult
from tidings.workers.agent import ChatAgent, Next, Step, answer, open_calls, to_prompt
from tidings.workers.context import Context
from tidings.workers.llm import LlmError


class Gate:
    """A place in an agent at which it stays until the test lets it go on."""

    def __init__(self) -> None:
        self._reached = asyncio.Event()
        self._open = asyncio.Event()
        self.visits = 0

    async def stay(self) -> None:
        """Be here until the gate is opened."""
        self.visits += 1
        self._reached.set()
        await self._open.wait()

    async def reached(self) -> None:
        """Wait until somebody is here."""
        async with asyncio.timeout(PATIENCE_S):
            await self._reached.wait()

    def open(self) -> None:
        """Let whoever comes pass."""
        self._open.set()


class Witness(ChatAgent):
    """Keeps the errors that its calls ended with, and lets them pass."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[LlmError] = []

    async def step(self, ctx: Context) -> Step:
        """Answer."""
        try:
            return await super().step(ctx)
        except LlmError as error:
            self.errors.append(error)
            raise


class Lingering(ChatAgent):
    """Has its answer, and stays at the gate before it gives it."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    async def step(self, ctx: Context) -> Step:
        """Answer, later."""
        step = await super().step(ctx)
        await self._gate.stay()
        return step


class Condensing:
    """Calls a second path first, which it can do without; stays at the gate in between."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def step(self, ctx: Context) -> Step:
        """Try to condense, then answer."""
        try:
            await ctx.llm.named("condenser").complete([{"role": "user", "content": "condense"}])
        except LlmError:
            await self._gate.stay()
        return Step(answer(await ctx.llm.complete(to_prompt(ctx.history))))


class TwoSteps(ChatAgent):
    """Says that it thinks, stays at the gate, and answers in a second step."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    async def step(self, ctx: Context) -> Step:
        """Think, or answer."""
        if self._gate.visits:
            return await super().step(ctx)
        await self._gate.stay()
        return Step([AgentMessage(text="I think")], Next.CONTINUE)


class Failing(ChatAgent):
    """Has a defect until it is mended."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error: Exception | None = error

    async def step(self, ctx: Context) -> Step:
        """Fail, or answer."""
        if self.error is not None:
            raise self.error
        return await super().step(ctx)


class ToolUser:
    """Calls one tool, stays at the gate while it runs for the first time, and then answers."""

    def __init__(self, gate: Gate, *, idempotent: bool) -> None:
        self._gate = gate
        self._idempotent = idempotent
        self.runs = 0

    async def step(self, ctx: Context) -> Step:
        """Call the tool, run it, answer."""
        calls = open_calls(ctx.history)
        if calls:
            self.runs += 1
            if self.runs == 1:
                await self._gate.stay()
            found = [ToolResult(call_id=call.data.call_id, name="look", content="found") for call in calls]
            return Step(found, Next.CONTINUE)
        if not any(event.type == "tool.call" for event in ctx.history):
            return Step([ToolCall(call_id="a", name="look", idempotent=self._idempotent)], Next.CONTINUE)
        return Step(answer(await ctx.llm.complete(to_prompt(ctx.history))))
