"""A loop of one's own: Tidings' bus, lease and retries, without Tidings' worker.

    export OPENAI_API_KEY=...
    python examples/own_loop.py poem "Write a poem of two lines about tides." --model openai/gpt-4o-mini

It writes three drafts, each from the history alone. People see its waits in `tidings watch` and, while a
`tidings controller` runs, steer it like any other session: pause, resume, stop, and say, which asks for three more
drafts. Started again after a crash it goes on where it was.

A session that was resumed wants a worker, and any worker of the same installation may take it. If there are others, give
a loop like this an installation of its own: ``--prefix poems.``, for the commands and the controller too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Sequence

from tidings import Bus, Event, Llm, LlmError, Message
from tidings.bus import AgentMessage, LeaseLost, SessionHeld, State, UserMessage
from tidings.workers.agent import answer, to_prompt
from tidings.workers.llm import close_litellm

DRAFTS = 3
SYSTEM_PROMPT = "You are a poet. Improve on your last draft, if there is one."


async def run(bus: Bus, session: str, task: str, *, model: str, api_base: str | None = None) -> State | None:
    """Work on one session until it is over; returns how it ended.

    Args:
        task: what to do, if the session does not exist yet.
        model: as litellm names it.
        api_base: where the provider is, if not where litellm thinks.
    """
    while True:
        try:
            # Waits until the session wants a worker: now, or when a person or a controller resumes it.
            async with bus.worker.lease(session, create=True, model=model) as lease:
                llm = Llm.on(lease, model, api_base=api_base)
                if not await lease.history():
                    await lease.append(UserMessage(text=task))
                while drafts(history := await lease.history()) < DRAFTS:
                    await lease.append(*answer(await llm.complete(to_prompt(history, SYSTEM_PROMPT))))
                lease.finish(f"{DRAFTS} drafts are written")
        except (LeaseLost, LlmError) as news:
            # It was paused or stopped, or it is parked or in error: people see it, and resume it.
            print(news)
        except SessionHeld:
            return (await bus.status(session)).state


def drafts(history: Sequence[Message[Event]]) -> int:
    """Count the drafts that were written in the knowledge of all that was said."""
    said = max((event.offset or 0 for event in history if isinstance(event.data, UserMessage)), default=0)
    return sum(isinstance(event.data, AgentMessage) and (event.data.read or 0) >= said for event in history)


async def _main() -> None:
    parser = argparse.ArgumentParser(description="Write three drafts of something.")
    parser.add_argument("session")
    parser.add_argument("task")
    parser.add_argument("--redis", default=os.environ.get("TIDINGS_REDIS_URL", "redis://127.0.0.1:6379/0"))
    parser.add_argument("--prefix", default=os.environ.get("TIDINGS_PREFIX", ""))
    parser.add_argument("--model", required=True)
    parser.add_argument("--api-base")
    given = parser.parse_args()
    try:
        async with Bus.connect(given.redis, prefix=given.prefix) as bus:
            state = await run(bus, given.session, given.task, model=given.model, api_base=given.api_base)
            print(f"{given.session} is {state}")
            for event in await bus.history(given.session):
                if isinstance(event.data, AgentMessage):
                    print(f"\n{event.data.text}")
    finally:
        await close_litellm()


if __name__ == "__main__":
    asyncio.run(_main())
