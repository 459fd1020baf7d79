"""An agent with four paths to models: one names the conversation, one chooses which of two models answers a question.

    export OPENAI_API_KEY=...
    tidings worker --model openai/gpt-4o-mini --agent examples.title_and_router:RoutingAgent

Each path has a name, and its retries and waits are shown under it: `tidings status` says whether it is the title, the router or
the answer that waits. A path may have a model of its own; it keeps its name whichever model it calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tidings.bus import AgentMessage, Event, Message, UserMessage
from tidings.workers.agent import Step, answer, to_prompt, unanswered
from tidings.workers.context import Context
from tidings.workers.llm import Llm, LlmError

MODELS: Mapping[str, str | None] = MappingProxyType({"easy": None, "hard": "openai/gpt-4o"})
"""What answers; None is the model that the worker was started with."""
ROUTE = "Is the question of the user easy or hard? Answer with that one word."
TITLE = "Name this conversation in at most five words."


class RoutingAgent:
    """Answers each question with the model that it deserves, and begins its first answer with a title.

    Args:
        models: the model for easy and for hard questions.
    """

    def __init__(self, models: Mapping[str, str | None] = MODELS) -> None:
        self._models = models

    async def step(self, ctx: Context) -> Step:
        """Choose and name at the same time, then answer."""
        waiting = unanswered(ctx.history)
        if not waiting:
            return Step()
        first = not any(isinstance(event.data, AgentMessage) for event in ctx.history)
        naming = asyncio.create_task(_title(ctx.history, ctx.llm) if first else _none())
        try:
            kind = await _route(waiting, ctx.llm)
            title = await naming
        finally:
            # A router that fails, or a person who stops the session, ends the other call as well.
            naming.cancel()
        completion = await ctx.llm.named(f"{kind}-answer", self._models[kind]).complete(to_prompt(ctx.history))
        events = answer(completion)
        if title:
            events.insert(0, AgentMessage(text=f"# {title}", model=ctx.llm.model))
        return Step(events)


async def _title(history: Sequence[Message[Event]], llm: Llm) -> str:
    """Return a title; none where there is trouble. A conversation can do without one, so it neither parks nor fails for it."""
    try:
        completion = await llm.named("title").complete([*to_prompt(history), {"role": "user", "content": TITLE}])
    except LlmError:
        return ""
    return completion.text.strip()


async def _none() -> str:
    return ""


async def _route(waiting: Sequence[Message[Event]], llm: Llm) -> str:
    """Return how hard the newest question is, by the word of a model; what it says beside the point counts as easy."""
    asked = [event.data.text for event in waiting if isinstance(event.data, UserMessage)]
    question = asked[-1] if asked else ""
    prompt = [{"role": "system", "content": ROUTE}, {"role": "user", "content": question}]
    completion = await llm.named("router").complete(prompt)
    return "hard" if "hard" in completion.text.lower() else "easy"
