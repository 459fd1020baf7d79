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
import socket

from tidings.bus import (
    AgentMessage,
    Bus,
    Claim,
    Event,
    LeaseLost,
    Message,
    Release,
    SessionHeld,
    SessionState,
    State,
    Trigger,
    UserMessage,
    WorkerRef,
    carries,
)
from tidings.workers.agent import to_prompt
from tidings.workers.hold import Hold, Revoked
from tidings.workers.llm import Llm, LlmError, close_litellm, load_litellm

DRAFTS = 3
SYSTEM_PROMPT = "You are a poet. Improve on your last draft, if there is one."


async def run(bus: Bus, session: str, task: str, *, model: str, api_base: str | None = None) -> State:
    """Work on one session until it is over; returns how it ended.

    Args:
        task: what to do, if the session does not exist yet.
        model: as litellm names it.
        api_base: where the provider is, if not where litellm thinks.
    """
    me = WorkerRef(name=f"own-loop-{os.getpid()}", host=socket.gethostname(), pid=os.getpid())
    # Before the claim: importing litellm takes seconds, and a lease does not wait.
    await asyncio.to_thread(load_litellm)
    while (claim := await _claim(bus, me, session, model)) is not None:
        # The hold renews the lease, carries what the Llm tells, and hears of pause, stop and resume.
        async with Hold(bus, claim) as hold:
            llm = hold.llm(model, api_base=api_base)
            try:
                release = await hold.guard(_work(bus, hold, llm, task))
                await hold.release(release)
            except (Revoked, LeaseLost) as news:
                # Somebody paused or stopped the session. The call to the model was cancelled; nothing of it can land any more.
                print(news)
    return (await bus.status(session)).state or State.STOPPED


async def _claim(bus: Bus, me: WorkerRef, session: str, model: str) -> Claim | None:
    """Take the session as soon as it wants a worker; None when it is over."""
    while True:
        try:
            return await bus.claim(me, session=session, create=True, model=model)
        except SessionHeld:
            if not await _wanted(bus, session):
                return None


async def _wanted(bus: Bus, session: str) -> bool:
    """Wait until the session wants a worker; False when it is over.

    The first notice is the present state, so nothing that happened before this call is missed.
    """
    async with bus.follow(session) as notices:
        async for notice in notices:
            if carries(notice, SessionState) and notice.data.to is State.QUEUED:
                return True
            if carries(notice, SessionState) and notice.data.to in (State.STOPPED, State.FINISHED):
                return False
    return False


async def _work(bus: Bus, hold: Hold, llm: Llm, task: str) -> Release:
    """Write drafts until there are enough, and say how the session is to be released."""
    claim, history = hold.claim, list[Message[Event]]()
    await _read_on(bus, claim, history)
    if not history:
        await _add(bus, claim, history, Message.of(UserMessage(text=task), session=claim.session))
    try:
        while _drafts(history) < DRAFTS:
            completion = await llm.complete(to_prompt(history, SYSTEM_PROMPT))
            # What was said after `read` is not answered by this: somebody may have spoken while the model was busy.
            said = AgentMessage(text=completion.text, model=completion.model, read=_end(history), cut=completion.cut)
            await _add(bus, claim, history, Message.of(said, session=claim.session))
    except LlmError as error:
        # Parked, where waiting helps: a controller queues it again when its time has come. Else it is in error.
        return hold.ending(error, read=_end(history))
    return Release(Trigger.FINISH, _end(history), why=f"{DRAFTS} drafts are written")


async def _add(bus: Bus, claim: Claim, history: list[Message[Event]], event: Message[Event]) -> None:
    """Store an event: once, and only if the session is still ours. Then read on, because people may have spoken meanwhile."""
    await bus.append(claim, [event], after=_end(history))
    await _read_on(bus, claim, history)


async def _read_on(bus: Bus, claim: Claim, history: list[Message[Event]]) -> None:
    while page := await bus.history(claim.session, after=_end(history)):
        history += page


def _end(history: list[Message[Event]]) -> int:
    return (history[-1].offset or 0) if history else 0


def _drafts(history: list[Message[Event]]) -> int:
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
