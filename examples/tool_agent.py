"""An agent with two tools, run by Tidings' own worker.

    export OPENAI_API_KEY=...
    tidings worker --model openai/gpt-4o-mini --agent examples.tool_agent:ToolAgent

Start the worker in the folder that contains `examples`: it looks for modules where it is started.

An agent keeps nothing between its steps. What it knows is the history, so any worker can go on where another one stopped,
and what a person resumes is simply the next step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tidings.bus import Message, ToolCall, ToolResult
from tidings.workers.agent import Next, Step, answer, open_calls, to_prompt, unanswered
from tidings.workers.context import Context

SYSTEM_PROMPT = "You help with texts. Count words with count_words. Keep what the user wants kept with write_note."

# Declared with every call: when a worker is lost in the middle of one of these, the next worker just runs it again.
IDEMPOTENT = frozenset({"count_words"})


def _tool(name: str, description: str) -> dict[str, Any]:
    text = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": text}}


TOOLS = [
    _tool("count_words", "Count the words of a text."),
    _tool("write_note", "Add a line to the notes."),
]


class ToolAgent:
    """Answers with the help of its tools.

    Args:
        notes: file that ``write_note`` appends to.
    """

    def __init__(self, notes: Path = Path("notes.txt")) -> None:
        self._notes = notes

    async def step(self, ctx: Context) -> Step:
        """Run the tools that wait for it, or else ask the model what to do.

        A call to a tool takes two steps. The first returns the call, and the worker stores it; only then the second runs the tool
        and returns its result. A worker that dies in between so leaves the call behind, for whoever takes over to see.
        """
        calls = open_calls(ctx.history)
        if calls:
            results = []
            for done, call in enumerate(calls):
                # People see it on the session's line, as `running tools 1/2`; the model does not.
                await ctx.progress("running tools", done, len(calls))
                results.append(self._run(call))
            return Step(results, Next.CONTINUE)
        if not unanswered(ctx.history):
            return Step()
        # Retries, waits and notices are the Llm's; an error of it may pass through, the worker parks or fails the session.
        completion = await ctx.llm.complete(to_prompt(ctx.history, SYSTEM_PROMPT), tools=TOOLS)
        follow = Next.CONTINUE if completion.tool_calls else Next.AWAIT_INPUT
        return Step(answer(completion, IDEMPOTENT), follow)

    def _run(self, call: Message[ToolCall]) -> ToolResult:
        """Run one tool; what goes wrong is told to the model, which may do better next time."""
        name = call.data.name
        try:
            return ToolResult(call_id=call.data.call_id, name=name, content=self._use(name, _text_of(call)))
        except (OSError, ValueError) as error:
            return ToolResult(call_id=call.data.call_id, name=name, content=f"failed: {error}", is_error=True)

    def _use(self, name: str, text: str) -> str:
        if name == "count_words":
            return f"{len(text.split())} words"
        if name == "write_note":
            # Not idempotent: twice would be two lines. When a worker is lost in here, the one that takes over does not
            # run it again; it gives the call a result that says `interrupted`, and the model decides.
            with self._notes.open("a", encoding="utf-8") as notes:
                notes.write(f"{text}\n")
            return "noted"
        raise ValueError(f"there is no tool {name!r}")


def _text_of(call: Message[ToolCall]) -> str:
    """Return the argument ``text``; models also send none, or something that is no JSON at all."""
    arguments = call.data.arguments
    text = arguments.get("text") if isinstance(arguments, dict) else None
    if not isinstance(text, str):
        raise ValueError("the argument text is missing")
    return text
