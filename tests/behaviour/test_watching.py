"""People who watch: they see what is going on at once, and can harm nobody."""

from __future__ import annotations

import asyncio

from tests.fleet import Fleet
from tests.waiting import PATIENCE_S
from tidings.bus import Bus, Message, Notice, SessionState, State, carries

LONG = "429:retry-after=50"


async def test_a_late_subscriber_sees_the_running_wait_at_once(redis_url: str) -> None:
    """The first thing that it is given is the state with its wait, on the channel of the session and on that of all."""
    async with Fleet(redis_url) as fleet:
        fleet.script(LONG)
        await fleet.start("s")
        record = await fleet.until("s", State.RATE_LIMITED)
        async with Bus.connect(redis_url) as late:
            for session in ("s", "*"):
                async with late.follow(session) as notices, asyncio.timeout(PATIENCE_S):
                    first = await anext(notices)
                    assert carries(first, SessionState)
                    assert first.data.to is State.RATE_LIMITED
                    assert first.data.wait is not None
                    assert first.data.wait == record.wait
                    assert (first.data.wait.attempt, first.data.wait.max_attempts) == (1, 6)
                    assert first.data.wait.retry_at is not None
                    assert first.data.wait.retry_at > late.now()


class Raising:
    """Raises whatever it hears."""

    def __init__(self) -> None:
        self.heard = 0

    def on_subscribed(self) -> None:
        """Raise."""
        raise RuntimeError("not I")

    def receive(self, name: str, payload: bytes) -> None:
        """Raise."""
        self.heard += 1
        raise RuntimeError("nor I")


async def test_a_subscriber_that_raises_hangs_or_is_slow_harms_nobody(redis_url: str) -> None:
    """Not even on the worker's own connection: the session does its work, and other readers get everything."""
    raising, slow_read = Raising(), list[Message[Notice]]()
    async with Fleet(redis_url) as fleet:
        worker_bus: Bus = fleet.workers[0].bus
        await worker_bus.on_status("s", raising)
        async with worker_bus.follow("s", Notice, buffer=1), worker_bus.follow("*", Notice, buffer=1) as slow:
            for number in range(3):
                fleet.script("429")
                await (fleet.say("s", f"word {number}") if number else fleet.start("s", "word 0"))
                await fleet.until("s", State.AWAITING_INPUT)
                notice = await anext(slow)
                assert carries(notice, Notice)
                slow_read.append(notice)
        assert raising.heard > 0
        answers = [text for text in await fleet.said("s") if text.startswith("agent")]
        assert answers == [f"agent: You said: word {number}" for number in range(3)]
        assert len(fleet.provider.requests) == 6
        assert fleet.gaps == 0
        offsets = [notice.offset for notice in fleet.told if notice.session == "s"]
        assert offsets == sorted(offsets, key=lambda offset: offset or 0)
        assert len(set(offsets)) == len(offsets)
