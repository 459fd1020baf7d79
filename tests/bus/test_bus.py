from __future__ import annotations

import asyncio
import gc
import time
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from redis.asyncio import Redis

from tests import actors
from tests.conftest import MakeServer
from tests.waiting import PATIENCE_S, eventually
from tidings import bus as package
from tidings.bus import (
    Bus,
    Closed,
    Ending,
    Event,
    InvalidName,
    LlmRecovered,
    Notice,
    PayloadTooLarge,
    SessionPause,
    State,
    Trigger,
    UnknownSession,
    Unreachable,
)
from tidings.bus import bus as module
from tidings.bus.redis.context import RedisContext, ServerClock

pytestmark = pytest.mark.contract


class Ear:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.acks = 0
        self.heard: list[str] = []

    def on_subscribed(self) -> None:
        self.acks += 1

    def receive(self, name: str, payload: bytes) -> None:
        self.heard.append(name)


# the package


def test_all_is_what_there_is() -> None:
    """`__all__` is sorted, has no doubles, and names everything public but the modules."""
    public = {name for name, value in vars(package).items() if not name.startswith("_") and not isinstance(value, ModuleType)}
    assert set(package.__all__) == public
    assert package.__all__ == sorted(set(package.__all__), key=lambda name: (name != name.lower(), name)) or (
        package.__all__ == sorted(set(package.__all__))
    )


def test_public_classes_say_what_they_promise() -> None:
    """Each has a docstring of its own, and so has each public method of the bus."""
    undocumented = [name for name in package.__all__ if not (getattr(package, name).__doc__ or "").strip()]
    undocumented += [name for name, value in vars(Bus).items() if not name.startswith("_") and not value.__doc__]
    assert undocumented == []


async def test_another_thread_has_a_bus_of_its_own(make_server: MakeServer) -> None:
    """Of the same installation, for the event loop of that thread; credentials and limits are the same."""
    server = make_server(password="planted-8h2k")
    async with Bus.connect(server.url, prefix="mine.", payload_limit=2048) as first:
        claim = await actors.hold(first)
        assert not first.in_memory

        async def elsewhere() -> None:
            async with first.another() as second:
                assert second is not first
                assert (second.url, repr(second), second.payload_limit) == (first.url, repr(first), 2048)
                assert [one.held for one in await second.worker.renew([claim])] == [True]

        await asyncio.to_thread(asyncio.run, elsewhere())
    async with Bus.connect("memory://") as memory:
        assert memory.in_memory


# reading


async def test_history_comes_in_pages(bus: Bus) -> None:
    """After an offset, up to a limit, and to the end without one."""
    claim = await actors.hold(bus)
    await claim.append(*[actors.answer("s") for _ in range(5)], after=0)
    assert [event.offset for event in await bus.history("s", after=1, limit=2)] == [2, 3]
    assert [event.offset for event in await bus.history("s", after=3)] == [4, 5]
    assert await bus.history("s", after=5) == ()


async def test_history_of_a_session_without_events_is_empty(bus: Bus) -> None:
    """One that does not exist is unknown instead."""
    await actors.hold(bus)
    assert await bus.history("s") == ()
    with pytest.raises(UnknownSession):
        await bus.history("other")


async def test_history_holds_events_and_nothing_else(bus: Bus) -> None:
    """Whatever happened to the session: no notice ever enters."""
    claim = await actors.hold(bus)
    await actors.publish(bus, actors.retry("s"))
    await claim.append(actors.answer("s"), after=0)
    await claim.release(Ending(Trigger.YIELD, read=1, notices=(actors.retry("s"),)))
    history = await bus.history("s")
    assert len(history) == 1
    assert all(isinstance(event.data, Event) and not isinstance(event.data, Notice) for event in history)


async def test_sessions_in_one_state(bus: Bus) -> None:
    """Or all of them, as records."""
    await actors.queue(bus, "a", "b")
    await actors.hold(bus, "c")
    assert {record.session async for record in bus.sessions()} == {"a", "b", "c"}
    assert {record.session async for record in bus.sessions(State.QUEUED)} == {"a", "b"}
    assert [record async for record in bus.sessions(State.ERROR)] == []


async def test_more_sessions_than_a_page(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read in batches, each once."""
    monkeypatch.setattr(module, "PAGE", 2)
    await actors.queue(bus, *"abcde")
    assert sorted([record.session async for record in bus.sessions()]) == list("abcde")


async def test_a_state_that_has_just_changed_is_the_records(bus: Bus, raw: Redis) -> None:
    """The index is only where to look."""
    await actors.hold(bus)
    await raw.hset(bus._context.names.sessions, "s", "queued")
    assert [record async for record in bus.sessions(State.QUEUED)] == []


@pytest.mark.parametrize("name", ["", "no spaces", "a.b", "*", "-x", "x" * 65])
async def test_names_are_checked_before_anything_is_asked(bus: Bus, name: str) -> None:
    """A wrong session id never becomes part of a key."""
    for call in (bus.status(name), bus.history(name), bus.worker.claim(actors.WORKER, session=name), bus.on_status(name, Ear())):
        with pytest.raises(InvalidName):
            await call
    if name != "*":
        with pytest.raises(InvalidName):
            bus.follow(name, Event)


async def test_the_payload_limit_is_the_installations(redis_url: str) -> None:
    """Smaller than the default, if one wants."""
    async with Bus.connect(redis_url, payload_limit=300) as bus:
        claim = await actors.hold(bus)
        with pytest.raises(PayloadTooLarge):
            await claim.append(actors.answer("s", "x" * 300), after=0)


# hearing


async def test_workers_are_woken_when_a_session_is_queued(bus: Bus) -> None:
    """By whoever queues it; and no more once they are forgotten."""
    ear = Ear()
    await bus.worker.on_ready(ear)
    await eventually(lambda: ear.acks)
    await actors.queue(bus, "s")
    await eventually(lambda: ear.heard == ["ready.0"])
    await bus.forget(ear)
    await bus.forget(ear)
    other = Ear()
    await bus.worker.on_ready(other)
    await eventually(lambda: other.acks)
    await actors.queue(bus, "t")
    await eventually(lambda: other.heard)
    assert ear.heard == ["ready.0"]


async def test_controllers_are_woken_by_notices_and_commands(bus: Bus) -> None:
    """Of every session; not by events."""
    ear = Ear()
    await bus.controller.on_change(ear)
    await eventually(lambda: ear.acks)
    claim = await actors.hold(bus)
    await claim.append(actors.answer("s"), after=0)
    asking = asyncio.create_task(bus.send("s", SessionPause(), timeout_s=30))
    await eventually(lambda: "commands.s" in ear.heard)
    assert set(ear.heard) == {"status.s", "commands.s"}
    asking.cancel()


async def test_the_holder_hears_of_its_session(bus: Bus) -> None:
    """And of no other."""
    ear = Ear()
    await bus.on_status("s", ear)
    await eventually(lambda: ear.acks)
    await actors.hold(bus, "other")
    await actors.hold(bus, "s")
    await eventually(lambda: len(ear.heard) == 2)
    assert set(ear.heard) == {"status.s"}


# several on one server


@pytest.mark.parametrize(("ours", "theirs"), [("", "b:"), ("a:", "b:"), ("", "status."), ("x.", "x.status.")])
async def test_two_prefixes_see_nothing_of_each_other(redis_url: str, ours: str, theirs: str) -> None:
    """Not a session, not a message, not a wake-up, also where one prefix looks like a channel of the other."""
    async with Bus.connect(redis_url, prefix=ours) as one, Bus.connect(redis_url, prefix=theirs) as two:
        ears = {"change": Ear(), "ready": Ear()}
        await one.controller.on_change(ears["change"])
        await one.worker.on_ready(ears["ready"])
        await eventually(lambda: all(ear.acks for ear in ears.values()))
        async with one.follow() as notices:
            await actors.queue(two, "s")
            seen = await actors.snapshot(two)
            await two.controller.decide(seen, actors.settled(seen, messages=(actors.spoken("s"),)))
            assert await one.worker.claim(actors.WORKER) is None
            assert (await one.controller.due()).sessions == ()
            assert [record async for record in one.sessions()] == []
            with pytest.raises(UnknownSession):
                await one.history("s")
            await actors.queue(one, "mine")
            first = await anext(notices)
            assert getattr(first, "session", None) == "mine"
        assert set(ears["change"].heard) == {f"{ours}status.mine"}
        assert set(ears["ready"].heard) == {f"{ours}ready.0"}
        assert [record.session async for record in two.sessions()] == ["s"]


async def test_two_buses_on_one_server_share_everything(redis_url: str) -> None:
    """What one writes the other hears and reads."""
    async with Bus.connect(redis_url) as one, Bus.connect(redis_url) as two:
        claim = await actors.hold(one)
        async with two.follow("s", Event) as events:
            [stored] = await claim.append(actors.answer("s"), after=0)
            assert await anext(events) == stored
        assert await two.history("s") == (stored,)


async def test_a_prefix_that_could_catch_others_is_refused(redis_url: str) -> None:
    """Before anything is opened."""
    with pytest.raises(InvalidName):
        async with Bus.connect(redis_url, prefix="*"):
            pytest.fail("it opened")


# opening and closing


async def test_credentials_are_shown_nowhere(make_server: MakeServer) -> None:
    """They are in `url`, which is for connecting, and in nothing that is for people."""
    server = make_server(password="planted-word")
    async with Bus.connect(server.tcp_url, prefix="p:") as bus:
        await actors.hold(bus)
        assert "planted-word" in bus.url
        for shown in (repr(bus), str(bus), bus.address, repr(bus._context), repr(bus.follow("s", Event))):
            assert "planted-word" not in shown
        assert f"127.0.0.1:{server.port}" in repr(bus)


async def test_time_is_the_servers(bus: Bus) -> None:
    """Now, and at a moment of our own clock."""
    loop = asyncio.get_running_loop()
    assert abs(bus.at(loop.time() + 60) - bus.now() - timedelta(seconds=60)) < timedelta(seconds=5)


async def test_the_clock_is_measured_again(bus: Bus, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It drifts; and while the server does not answer it goes on as it was."""
    monkeypatch.setattr(module, "_CLOCK_S", 0.01)
    async with Bus.connect(redis_url) as other:
        other._context.clock.set(0.0, 0.0, 0.0)
        await eventually(lambda: abs(other.now() - bus.now()) < timedelta(seconds=5))


async def test_a_bus_that_closes_ends_what_hangs_on_it(redis_url: str) -> None:
    """Readers get the end of their iteration, queues close, and nothing new can begin."""
    reading: asyncio.Task[list[object]]
    async with Bus.connect(redis_url) as bus:
        await actors.hold(bus)
        subscription = bus.follow("s", Event)
        await subscription.__aenter__()

        async def read() -> list[object]:
            return [item async for item in subscription]

        reading = asyncio.create_task(read())
        queue = bus.worker.queue()
        await eventually(lambda: bus.connected)
    assert await reading == []
    assert queue.closed
    assert not bus.connected
    with pytest.raises(Closed):
        await bus.worker.on_ready(Ear())
    with pytest.raises(Closed):
        await bus.follow("*", Notice).__aenter__()


async def test_a_bus_that_was_closed_asks_the_server_nothing(redis_url: str) -> None:
    """A command that is sent then, or again because the close cut it short, would open a connection that is never closed."""
    async with Bus.connect(redis_url) as bus:
        await actors.hold(bus)
    pool: Any = bus._context.connection.commands.connection_pool
    for call in (bus.status("s"), bus.history("s"), bus.publish("s", LlmRecovered(attempt=2)), bus._context.measure_clock()):
        with pytest.raises(Closed):
            await call
    assert not any(connection.is_connected for connection in pool._available_connections)


async def test_closing_is_not_outlasted_by_a_swallowed_cancellation(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client can swallow one that meets the end of its own time-out; the clock is kept no longer all the same."""
    started = asyncio.Event()

    async def swallow(context: RedisContext) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise Unreachable("it timed out, it says") from None

    monkeypatch.setattr(module, "_CLOCK_S", 0.01)
    async with asyncio.timeout(PATIENCE_S), Bus.connect(redis_url):
        monkeypatch.setattr(RedisContext, "measure_clock", swallow)
        await started.wait()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "tidings-clock"]


async def test_a_clock_of_ones_own_is_what_the_bus_goes_by(redis_url: str) -> None:
    """It is measured on entering like any other, and who sets it moves the time of the bus at once."""
    clock = ServerClock()
    clock.set(0.0, 0.0, 0.0)
    async with Bus.connect(redis_url, clock=clock) as bus:
        assert bus.now().year > 2000
        clock.set(0.0, time.monotonic(), time.monotonic())
        assert bus.now().year == 1970


async def test_who_waits_to_enter_hears_that_the_bus_closed(make_server: MakeServer) -> None:
    """The server was away, and the subscription never stood."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        server.stop()
        entering = asyncio.create_task(bus.follow("s", Event).__aenter__())
        await eventually(lambda: bus._listener._exact)
    with pytest.raises(Closed):
        await entering


async def test_subscriptions_are_not_kept(bus: Bus) -> None:
    """One that nobody enters or that has been left is nobody's burden."""
    for _ in range(3):
        async with bus.follow("s", Event):
            pass
        bus.follow("s", Event)
    gc.collect()
    assert len(bus._subscriptions) == 0


async def test_a_page_is_read_with_the_place_of_its_log(bus: Bus) -> None:
    """For those who keep the places of their readers: epoch, end and the messages after an offset."""
    claim = await actors.hold(bus, "s")
    await claim.append(*[actors.answer("s", str(number)) for number in range(5)], after=0)
    page = await bus.page("events.s", 1, 2)
    assert (page.epoch, page.end, [offset for offset, _ in page.entries]) == (claim.epoch, 5, [2, 3])
    assert (await bus.page("events.nobody")).epoch is None
    for wrong in ("events.*", "letters.s", "events.no name"):
        with pytest.raises(InvalidName):
            await bus.page(wrong)
