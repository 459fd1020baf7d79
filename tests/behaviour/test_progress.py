"""What an agent tells of its progress: people see it, and no model does."""

from __future__ import annotations

from tests.behaviour.agents import Gate
from tests.fleet import Fleet
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import AgentProgress, Progress, SessionState, State, carries
from tidings.workers.agent import ChatAgent, Step
from tidings.workers.context import Context

TOLD = "compiling for people"


class Telling(ChatAgent):
    """Tells what it does in every turn, and stays at the gate before it asks."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    async def step(self, ctx: Context) -> Step:
        """Tell it, and answer."""
        await ctx.progress(TOLD, 3, 8)
        await self._gate.stay()
        return await super().step(ctx)


async def test_progress_is_for_people_and_in_no_prompt(redis_url: str) -> None:
    """Told, kept and shown to those who come later; the history and every prompt are without it, and it ends with the turn."""
    gate = Gate()
    async with Fleet(redis_url, agent=lambda: Telling(gate)) as fleet:
        await fleet.start("s", "hello")
        await gate.reached()
        (told,) = await fleet.until_told("s", AgentProgress)
        assert (told.source, told.data.doing, told.data.done, told.data.total) == ("worker/w1", TOLD, 3, 8)
        async with fleet.bus.follow("s") as late:
            first = await anext(aiter(late))
            assert carries(first, SessionState)
            assert first.data.progress == Progress(doing=TOLD, done=3, total=8)
        gate.open()
        await fleet.until("s", State.AWAITING_INPUT)
        await fleet.say("s", "and again")
        await eventually(lambda: len(fleet.provider.requests) == 2, PATIENCE_S)
        await fleet.until("s", State.AWAITING_INPUT)
        assert (await fleet.bus.status("s")).picture.progress is None
        assert [event.type for event in await fleet.history("s")] == ["user.message", "agent.message"] * 2
        for request in fleet.provider.requests:
            assert TOLD not in str(request.messages)


async def test_a_session_that_is_handed_back_has_no_progress(redis_url: str) -> None:
    """The next one begins anew, and people see nothing of the old turn meanwhile."""
    gate = Gate()
    async with Fleet(redis_url, agent=lambda: Telling(gate)) as fleet:
        await fleet.start("s", "hello")
        await gate.reached()
        await fleet.until_told("s", AgentProgress)
        await fleet.workers[0].end()
        record = await fleet.bus.status("s")
        assert (record.state, record.progress, record.picture.progress) == (State.QUEUED, None, None)
