"""A team: an agent that sends out two others, waits for what they find, and answers from it.

    export OPENAI_API_KEY=...
    tidings worker --model openai/gpt-4o-mini --concurrency 3 --agent examples.research_team:ResearchTeam

Each child is a session of its own, with its own history, state and waits; any worker may run it. `tidings status SESSION` lists
them with what they wait for. Whoever stops the parent stops them too, and when one of them fails the parent is told of it, not
ended by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

from tidings.bus import ChildStart, Event, Message, UserMessage, carries
from tidings.workers.agent import AgentFactory, ChatAgent, Step, answer, open_children, to_prompt, unanswered
from tidings.workers.context import Context

SYSTEM_PROMPT = (
    "You lead a small team. Answer the user from what your researchers report. "
    "If one of them failed, say what is missing, and answer with what there is."
)


class ResearchTeam:
    """Has each question looked at from two sides, and answers when both have reported."""

    children: ClassVar[Mapping[str, AgentFactory]] = MappingProxyType(
        {
            "searcher": lambda: ChatAgent("Collect the facts that bear on the question. Be brief, and name your sources."),
            "critic": lambda: ChatAgent("Say what could be wrong with the obvious answer to the question. Be brief."),
        }
    )
    """Who runs the children, by the names under which they are started; the worker looks here."""

    async def step(self, ctx: Context) -> Step:
        """Send the team out, wait for it, or answer."""
        waiting = unanswered(ctx.history)
        # While a child is at work there is nothing to do here: its report brings the next turn, on whichever worker is free.
        if not waiting or open_children(ctx.history):
            return Step()
        asked = [event for event in waiting if carries(event, UserMessage)]
        if asked and not _sent_out_since(ctx.history, asked[-1]):
            return Step([ChildStart(name=name, text=asked[-1].data.text) for name in self.children])
        completion = await ctx.llm.complete(to_prompt(ctx.history, SYSTEM_PROMPT))
        return Step(answer(completion))


def _sent_out_since(history: Sequence[Message[Event]], question: Message[Event]) -> bool:
    """Whether the team has been sent out for a question."""
    return any(isinstance(event.data, ChildStart) and (event.offset or 0) > (question.offset or 0) for event in history)
