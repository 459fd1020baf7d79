"""The witness hears all that is told, and waits for what is to come."""

from __future__ import annotations

import asyncio

import pytest

from bus import Bus, Notice, Release, SessionState, State, Trigger, WorkerClaimed, WorkerRef, WorkerReleased
from workers.demo.witness import NotInTime, Witness

PATIENCE_S = 5.0


async def work(bus: Bus, session: str, worker: str = "w1") -> None:
    """Have a worker take a session up and let it go."""
    claim = await bus.claim(WorkerRef(name=worker), session=session, create=True)
    assert claim is not None
    await bus.release(claim, Release(Trigger.YIELD, read=0))


async def test_it_hears_everything_in_order(bus: Bus) -> None:
    """Offsets begin with 1 and have no hole, in every session."""
    async with Witness(bus) as witness:
        for session in ("athens", "berlin"):
            await work(bus, session)
            await witness.until("it is heard", lambda session=session: witness.of(session, WorkerReleased), PATIENCE_S)  # type: ignore[misc]
    assert sorted(witness.notices) == ["athens", "berlin"]
    for told in witness.notices.values():
        assert [notice.offset for notice in told] == list(range(1, len(told) + 1))
    assert witness.count(WorkerClaimed) == 2


async def test_it_knows_state_version_and_holder(bus: Bus) -> None:
    """What it knows of a session is what it was told last."""
    async with Witness(bus) as witness:
        assert (witness.state("athens"), witness.version("athens"), witness.holder("athens")) == (None, 0, "")
        assert witness.has_heard("athens", 0)
        assert not witness.has_heard("athens", 1)
        await work(bus, "athens")
        record = await bus.status("athens")
        await witness.until("all is heard", lambda: witness.has_heard("athens", record.status), PATIENCE_S)
        assert witness.state("athens") is State.AWAITING_INPUT
        assert witness.version("athens") == record.version
        assert witness.holder("athens") == "w1"


async def test_listeners_get_every_notice(bus: Bus) -> None:
    """What is heard is handed on."""
    heard: list[Notice] = []
    async with Witness(bus) as witness:
        witness.add_listener(heard.append)
        await work(bus, "athens")
        await witness.until("it is heard", lambda: witness.of("athens", WorkerReleased), PATIENCE_S)
        await witness.until("the state is heard", lambda: witness.state("athens") is State.AWAITING_INPUT, PATIENCE_S)
    assert heard == witness.notices["athens"]
    assert isinstance(heard[-1], SessionState)


@pytest.mark.parametrize("what", ["berlin is parked", lambda: "berlin is parked"], ids=["text", "made late"])
async def test_a_wait_that_is_in_vain_says_for_what(bus: Bus, what: str) -> None:
    """Every wait is bounded, and its error names the condition."""
    async with Witness(bus) as witness:
        with pytest.raises(NotInTime, match=r"not within 0.01 s: berlin is parked"):
            await witness.until(what, lambda: False, 0.01)


async def test_what_ends_the_listening_ends_the_waiting(bus: Bus) -> None:
    """A listener's defect comes to light instead of a time-out."""

    def fail(notice: Notice) -> None:
        raise ZeroDivisionError

    async def watch() -> None:
        async with Witness(bus) as witness:
            witness.add_listener(fail)
            await work(bus, "athens")
            await witness.until("never", lambda: False, PATIENCE_S)

    with pytest.raises(ZeroDivisionError):
        await watch()


async def test_a_defect_that_nobody_waited_for_comes_to_light_at_the_end(bus: Bus) -> None:
    """Nothing was heard from then on, so what was heard is not all."""
    failed = asyncio.Event()

    def fail(notice: Notice) -> None:
        failed.set()
        raise ZeroDivisionError

    async def look_away() -> None:
        async with Witness(bus) as witness:
            witness.add_listener(fail)
            await work(bus, "athens")
            await asyncio.wait_for(failed.wait(), PATIENCE_S)

    with pytest.raises(ZeroDivisionError):
        await look_away()
