"""An agent that has a long history condensed, so that its prompts stay short while the history keeps everything.

    export OPENAI_API_KEY=...
    tidings worker --model openai/gpt-4o-mini --agent examples.condensing_agent:CondensingAgent

The summary is an event of its own, ``history.condensed``. Nothing is deleted: `tidings history` shows all that was said, and only
the prompt has the summary in the place of what it stands for. The condenser is a path of its own, so people see "condenser" where
it is the one that waits for a rate limit.
"""

from __future__ import annotations

from collections.abc import Sequence

from tidings.bus import Event, HistoryCondensed, Message
from tidings.workers.agent import Next, Step, answer, to_prompt, unanswered
from tidings.workers.context import Context
from tidings.workers.llm import Llm

SYSTEM_PROMPT = "You are a patient tutor."
CONDENSE = "Condense the conversation above in at most 150 words. Keep names, numbers, decisions and open questions."


class CondensingAgent:
    """Answers; before a prompt would become too long, it has the older part of the history condensed.

    Args:
        longest: characters of a prompt beyond which it is too long. Tokens would be more exact, and this needs no tokenizer.
        keep: newest events that always stay as they are.
    """

    def __init__(self, longest: int = 24_000, keep: int = 6) -> None:
        self._longest, self._keep = longest, keep

    async def step(self, ctx: Context) -> Step:
        """Condense, or answer.

        Condensing is a step of its own: when the worker is lost after it, the summary is there and is not paid for twice.
        """
        if not unanswered(ctx.history):
            return Step()
        through = self._through(ctx.history)
        if through:
            return Step([await self._condensed(ctx.history, through, ctx.llm)], Next.CONTINUE)
        completion = await ctx.llm.complete(to_prompt(ctx.history, SYSTEM_PROMPT))
        return Step(answer(completion))

    def _through(self, history: Sequence[Message[Event]]) -> int:
        """Return the offset through which to condense; 0 while the prompt is short enough, or nothing more can be left out."""
        if _length(to_prompt(history)) <= self._longest:
            return 0
        done = max((event.data.through for event in history if isinstance(event.data, HistoryCondensed)), default=0)
        # What waits for its answer stays as it was said.
        first_open = unanswered(history)[0].offset or 0
        through = min(first_open - 1, (history[-1].offset or 0) - self._keep)
        return through if through > done else 0

    async def _condensed(self, history: Sequence[Message[Event]], through: int, llm: Llm) -> HistoryCondensed:
        # An earlier summary counts as well: it stands for what came before it.
        older = [event for event in history if (event.offset or 0) <= through or isinstance(event.data, HistoryCondensed)]
        condenser = llm.named("condenser")
        completion = await condenser.complete([*to_prompt(older), {"role": "user", "content": CONDENSE}])
        return HistoryCondensed(text=completion.text, through=through, llm=condenser.name)


def _length(prompt: Sequence[dict[str, object]]) -> int:
    return sum(len(str(message["content"] or "")) for message in prompt)
