"""The least that one's own loop needs to be seen: an Llm that tells, and the bus.

    export OPENAI_API_KEY=...
    python examples/own_loop_bare.py nightly "Why is the sea salt?" --model openai/gpt-4o-mini

One question, one answer. People see each retry and wait in `tidings watch`, and the conversation in `tidings history`.
It does not obey pause and stop at once: a `Hold` does that (own_loop.py). All the same, once a controller has taken the
session away the answer is refused, so whoever reads the history is not misled.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket

from bus import (
    AgentMessage,
    AgentMessageData,
    Bus,
    Claim,
    LlmRecovered,
    LlmRetry,
    LlmRetryData,
    Notice,
    Outbox,
    Picture,
    Release,
    Seat,
    Trigger,
    Unreachable,
    UserMessage,
    UserMessageData,
    Wait,
    WorkerRef,
)
from workers.agent import to_prompt
from workers.llm import Llm, LlmError, Told, close_litellm, load_litellm


class Teller:
    """Passes on what the Llm tells, and remembers what is being waited for."""

    def __init__(self, bus: Bus, claim: Claim) -> None:
        self._bus, self._claim = bus, claim
        self._outbox: Outbox = bus.outbox()
        self._picture = Picture(model=claim.model)
        self._nudge = 0

    def tell(self, told: Told) -> None:
        """Tell people. A call to a model never waits for that, so it goes into an outbox."""
        session, at = self._claim.session, self._bus.now()
        notice: Notice
        if isinstance(told, LlmRetryData):
            wait = Wait.model_validate(told.model_dump(include=set(Wait.model_fields)))
            self._picture = Picture(model=told.model, waits={told.llm: wait})
            notice = LlmRetry(subject=session, source="own-loop", time=at, data=told)
        else:
            self._picture = Picture(model=told.model)
            notice = LlmRecovered(subject=session, source="own-loop", time=at, data=told)
        # The picture goes along: it is what `tidings status` shows, and what controllers make the state from.
        self._outbox.put(notice, Seat(self._claim, self._nudge, self._picture))

    async def keep_lease(self) -> None:
        """Say once a second that we are alive, and what we wait for; otherwise the session is taken away."""
        while True:
            with contextlib.suppress(Unreachable):
                renewal = await self._bus.renew(self._claim, self._picture, self._nudge)
                if not renewal.held:
                    return
                self._nudge = renewal.nudge
            await asyncio.sleep(1)

    async def release(self, release: Release) -> None:
        """Let the session go, once what was told is out."""
        await self._outbox.drain(1)
        await self._bus.release(self._claim, release)


async def ask(bus: Bus, session: str, question: str, *, model: str, api_base: str | None = None) -> str:
    """Ask one question in a new session, and return the answer.

    Raises:
        SessionHeld: there is a session of that name already.
        LeaseLost: somebody paused or stopped the session meanwhile.
        LlmError: there is no answer; the session is in error and says why.
    """
    await asyncio.to_thread(load_litellm)
    me = WorkerRef(name=f"own-loop-{os.getpid()}", host=socket.gethostname(), pid=os.getpid())
    claim = await bus.claim(me, session=session, create=True, model=model)
    assert claim is not None, "a claim by name is granted or raises"
    teller = Teller(bus, claim)
    keeper = asyncio.create_task(teller.keep_lease())
    try:
        asked = await bus.append(claim, [UserMessage(subject=session, data=UserMessageData(text=question))], after=0)
        llm = Llm(model, tell=teller.tell, now=bus.now, api_base=api_base)
        answer = (await llm.complete(to_prompt(asked))).text
        said = AgentMessageData(text=answer, model=model, read=1)
        await bus.append(claim, [AgentMessage(subject=session, data=said)], after=1)
        await teller.release(Release(Trigger.FINISH, read=2, why="answered"))
    except LlmError as error:
        why = error.failure.message
        await teller.release(Release(Trigger.FAIL, read=1, reason=error.failure.reason, why=why))
        raise
    finally:
        keeper.cancel()
    return answer


async def _main() -> None:
    parser = argparse.ArgumentParser(description="Ask one question.")
    parser.add_argument("session")
    parser.add_argument("question")
    parser.add_argument("--redis", default=os.environ.get("TIDINGS_REDIS_URL", "redis://127.0.0.1:6379/0"))
    parser.add_argument("--model", required=True)
    parser.add_argument("--api-base")
    given = parser.parse_args()
    try:
        async with Bus.connect(given.redis) as bus:
            print(await ask(bus, given.session, given.question, model=given.model, api_base=given.api_base))
    finally:
        await close_litellm()


if __name__ == "__main__":
    asyncio.run(_main())
