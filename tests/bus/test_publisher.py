from __future__ import annotations

import asyncio
import logging

import pytest

from tests import actors
from tests.conftest import MakeServer
from tests.proxy import Proxy, What
from tests.servers import RunningServer
from tests.waiting import eventually
from tidings.bus import (
    Bus,
    LeaseLost,
    LlmRetry,
    PayloadTooLarge,
    UnknownSession,
    Unreachable,
    WorkerReleased,
    carries,
)
from tidings.bus import messages as m
from tidings.bus import publisher as module
from tidings.bus.publisher import NoticeQueue, publish_notice


async def told(bus: Bus, session: str = "s") -> list[int]:
    """Return the attempts that the ring tells of, in order."""
    page = await bus._logs.page("status", session, 0)
    return [notice.data.attempt for _, notice in page.entries if carries(notice, LlmRetry)]


# one by one


async def test_a_notice_is_published(bus: Bus) -> None:
    """Stored as it is given back; whoever listens gets it as it was, with its place."""
    await actors.hold(bus)
    notice = actors.retry("s").data
    async with bus.follow("s") as notices:
        await anext(notices)
        stored = await bus.publish("s", notice, id="n1", source="worker/w1", traceparent="00-1-2-03")
        assert (stored.id, stored.source, stored.traceparent, stored.data) == ("n1", "worker/w1", "00-1-2-03", notice)
        assert (stored.offset, stored.epoch) == (3, (await bus.status("s")).epoch)
        assert await anext(notices) == stored


async def test_a_notice_to_nobody(bus: Bus) -> None:
    """There is no such session."""
    with pytest.raises(UnknownSession) as caught:
        await actors.publish(bus, actors.retry("s"))
    assert caught.value.session == "s"


async def test_only_notices_are_published(bus: Bus) -> None:
    """Events are appended, commands are sent."""
    await actors.hold(bus)
    with pytest.raises(TypeError, match="AgentMessage"):
        await actors.publish(bus, actors.answer("s"))  # type: ignore[arg-type]


async def test_a_notice_has_a_limit(bus: Bus) -> None:
    """As every message."""
    await actors.hold(bus)
    with pytest.raises(PayloadTooLarge):
        await bus.publish("s", WorkerReleased(worker=actors.WORKER, why="x" * m.PAYLOAD_LIMIT))


async def test_a_seat_carries_the_picture(bus: Bus) -> None:
    """It is shown from then on, unless it was drawn before a nudge."""
    claim = await actors.hold(bus)
    await publish_notice(bus._context, actors.retry("s"), actors.proof(claim, actors.limited()))
    assert (await bus.status("s")).picture == actors.limited()
    await publish_notice(bus._context, actors.retry("s"), actors.proof(claim))
    assert (await bus.status("s")).picture == actors.limited()
    with pytest.raises(LeaseLost):
        await publish_notice(bus._context, actors.retry("s"), actors.proof(claim, token=claim.token - 1))


@pytest.mark.parametrize("what", ["request", "reply"])
async def test_a_notice_over_a_broken_connection_is_stored_once(lossy: Bus, proxy: Proxy, what: What) -> None:
    """It is looked for before it is stored a second time."""
    await actors.hold(lossy)
    proxy.lose_script(what, "publish")
    offset = (await actors.publish(lossy, actors.retry("s"))).offset
    assert (proxy.lost, offset, await told(lossy)) == (1, 3, [1])
    proxy.lose_script(what, "publish", times=2)
    with pytest.raises(Unreachable):
        await actors.publish(lossy, actors.retry("s"))


# the queue


async def test_an_queue_keeps_the_order(bus: Bus) -> None:
    """All of it gets there, in the order in which it was put."""
    await actors.hold(bus)
    queue = bus.worker.queue()
    for attempt in range(1, 41):
        queue.put(actors.retry("s", attempt))
    assert await queue.drain(10)
    assert await told(bus) == list(range(1, 41))
    assert (queue.published, queue.dropped, queue.refused) == (40, 0, 0)
    assert await queue.drain(0)


async def test_what_is_refused_does_not_stop_the_rest(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    """An old token, no such session, a notice too large: each is counted, and the next one goes out."""
    caplog.set_level(logging.INFO)
    claim = await actors.hold(bus)
    queue = bus.worker.queue()
    queue.put(actors.retry("s"), actors.proof(claim, token=claim.token + 1))
    queue.put(actors.retry("nobody"))
    queue.put(actors.retry("s").model_copy(update={"traceparent": "x" * m.PAYLOAD_LIMIT}))
    queue.put(actors.retry("s", 2), actors.proof(claim))
    assert await queue.drain(10)
    assert (queue.published, queue.refused, await told(bus)) == (1, 3, [2])
    causes = [record.__dict__["cause"] for record in caplog.records if record.getMessage() == "notices.refused"]
    assert causes == ["LeaseLost", "UnknownSession", "PayloadTooLarge"]


async def test_a_defect_does_not_stop_the_rest(
    bus: Bus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever publishing raises, it stays with the queue."""
    await actors.hold(bus)

    async def fail(*args: object) -> int:
        raise RuntimeError("a defect")

    queue = bus.worker.queue()
    monkeypatch.setattr(module, "publish_notice", fail)
    queue.put(actors.retry("s"))
    assert await queue.drain(10)
    monkeypatch.setattr(module, "publish_notice", publish_notice)
    queue.put(actors.retry("s", 2))
    assert await queue.drain(10)
    assert (queue.published, queue.refused, await told(bus)) == (1, 1, [2])
    assert [record.getMessage() for record in caplog.records] == ["notices.failed"]


async def test_the_newest_wait_while_the_server_is_away(make_server: MakeServer, caplog: pytest.LogCaptureFixture) -> None:
    """The oldest make room; that is counted, and told once per absence. Then all that waited goes out in order."""
    server = make_server(appendonly=True)
    async with Bus.connect(server.url) as bus:
        await actors.hold(bus)
        queue = NoticeQueue(bus._context, size=10)
        for absence in (1, 2):
            server.stop()
            queue.put(actors.retry("s", 1000 * absence))
            await eventually(lambda: not queue._queue)
            for attempt in range(1, 31):
                queue.put(actors.retry("s", 1000 * absence + attempt))
            assert not await queue.drain(0.01)
            server.start()
            assert await queue.drain(10)
            kept = [1000 * absence, *range(1000 * absence + 21, 1000 * absence + 31)]
            assert (await told(bus))[-11:] == kept
            assert (queue.published, queue.dropped) == (11 * absence, 20 * absence)
            assert [record.getMessage() for record in caplog.records].count("notices.dropping") == absence
        await queue.aclose()


async def test_a_server_that_hangs_delays_nobody(make_server: MakeServer) -> None:
    """Putting is done at once, whatever the server does."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        await actors.hold(bus)
        queue = NoticeQueue(bus._context, size=10)
        server.freeze()
        queue.put(actors.retry("s"))
        await eventually(lambda: not queue._queue)
        for attempt in range(2, 100):
            queue.put(actors.retry("s", attempt))
        assert (len(queue._queue), queue.dropped, queue.published) == (10, 88, 0)
        server.thaw()
        assert await queue.drain(10)
        assert await told(bus) == [1, *range(90, 100)]
        await queue.aclose()


async def test_a_closed_queue_counts_what_it_did_not_get_out(make_server: MakeServer) -> None:
    """What waits, what is on its way, and what is put afterwards; closing again changes nothing."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        await actors.hold(bus)
        queue = bus.worker.queue()
        server.stop()
        for attempt in range(1, 4):
            queue.put(actors.retry("s", attempt))
        await eventually(lambda: len(queue._queue) == 2)
        await queue.aclose()
        assert queue.dropped == 3
        queue.put(actors.retry("s"))
        assert (queue.closed, queue.dropped, queue.published) == (True, 4, 0)
        await queue.aclose()
        assert queue.dropped == 4
        assert await queue.drain(0)


async def test_closing_is_not_outlasted_by_a_swallowed_cancellation(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client can swallow one that meets the end of its own time-out; the queue ends all the same."""
    started = asyncio.Event()

    async def swallow(*args: object) -> int:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Unreachable("it timed out, it says") from None
        return 0

    monkeypatch.setattr(module, "publish_notice", swallow)
    queue = bus.worker.queue()
    queue.put(actors.retry("s"))
    await started.wait()
    await queue.aclose()
    assert queue.dropped == 1


async def test_queues_are_closed_with_the_bus(valkey_server: RunningServer) -> None:
    """Those that were closed before are not kept."""
    async with Bus.connect(valkey_server.url) as bus:
        for _ in range(3):
            await bus.worker.queue().aclose()
        queue = bus.worker.queue()
        assert bus.worker._queues == [queue]
    assert queue.closed
