"""Delivery while things break: on real servers, because fakeredis has no connection to lose."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests import actors
from tests.conftest import MakeServer
from tests.proxy import Proxy, proxy_to
from tests.readers import Writer, offsets, read_to, take
from tests.servers import RunningServer
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import Bus, Event, Gap, Message, Notice, SessionState, State, carries

HEARTBEAT_S = 0.1
NEVER_S = 600.0
"""No look at the log in silence helps out here."""


async def until(predicate: Callable[[], bool]) -> None:
    """Wait as long as a busy machine may need."""
    await eventually(predicate, timeout=PATIENCE_S)


class Scene:
    """A server behind a relay, a writer on the server's side of it, and readers on the other.

    Args:
        far: the readers' bus.
    """

    def __init__(self, server: RunningServer, proxy: Proxy, far: Bus, writer: Writer) -> None:
        self.server, self.proxy, self.far, self.writer = server, proxy, far, writer
        self.readers: list[asyncio.Task[list[Message[Any] | Gap]]] = []
        self._end = asyncio.get_running_loop().create_future()

    async def read(self, count: int) -> None:
        """Have so many readers read the history until the writer has come to its end."""
        entered = [asyncio.Event() for _ in range(count)]
        self.readers += [asyncio.create_task(self._reader(event)) for event in entered]
        for event in entered:
            await event.wait()

    async def _reader(self, entered: asyncio.Event) -> list[Message[Any] | Gap]:
        async with self.far.follow("s", Event, reread_s=NEVER_S) as events:
            entered.set()
            items: list[Message[Any] | Gap] = []
            async for item in events:
                items.append(item)
                if self._end.done() and not isinstance(item, Gap) and item.offset == self._end.result():
                    break
            return items

    async def go_on(self, count: int = 20) -> None:
        """Wait until so many further events are written."""
        aim = self.writer.written + count
        await until(lambda: self.writer.written >= aim)

    async def judge(self) -> None:
        """End the writing; every reader has got every event once, in order, and no gap."""
        await self.writer.stop()
        # One more, that no reader can have passed before it knew that it is the last.
        self._end.set_result(self.writer.written + 1)
        await self.writer.write()
        async with asyncio.timeout(PATIENCE_S):
            for items in await asyncio.gather(*self.readers):
                assert offsets(items) == list(range(1, self.writer.written + 1))


@asynccontextmanager
async def scene(server: RunningServer) -> AsyncIterator[Scene]:
    """Set a scene on a server: the writer at work, five readers who have entered."""
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(proxy_to(server))
        near = await stack.enter_async_context(Bus.connect(server.url))
        far = await stack.enter_async_context(Bus.connect(proxy.url, heartbeat_s=HEARTBEAT_S))
        writer = Writer(near, await actors.hold(near, lease_s=600))
        await writer.write()
        made = Scene(server, proxy, far, writer)
        await made.read(5)
        writer.start()
        await made.go_on()
        yield made


@asynccontextmanager
async def _loss(at: Scene) -> AsyncIterator[None]:
    """Wait until the readers' connection, where there was one, is known to be lost."""
    stood, losses = at.far.connected, at.far.reconnects
    yield
    await until(lambda: not stood or at.far.reconnects > losses)


async def _stop(at: Scene) -> None:
    await asyncio.to_thread(at.server.stop)
    await until(lambda: not at.far.connected)
    await asyncio.to_thread(at.server.start)


async def _kill(at: Scene) -> None:
    await asyncio.to_thread(at.server.kill)
    await until(lambda: not at.far.connected)
    await asyncio.to_thread(at.server.start)


async def _kill_subscribers(at: Scene) -> None:
    async with _loss(at):
        at.server.command("CLIENT", "KILL", "TYPE", "pubsub")


async def _kill_everybody(at: Scene) -> None:
    at.server.command("CLIENT", "KILL", "TYPE", "normal")
    await _kill_subscribers(at)


async def _cut(at: Scene) -> None:
    async with _loss(at):
        at.proxy.cut()


async def _black_hole(at: Scene) -> None:
    """Relay nothing until the heartbeat has noticed."""
    at.proxy.freeze()
    await until(lambda: not at.far.connected)
    at.proxy.thaw()


async def _stutter(at: Scene) -> None:
    """Relay nothing for a while that nobody takes for a loss."""
    at.proxy.freeze()
    await at.go_on(5)
    at.proxy.thaw()


async def _freeze(at: Scene) -> None:
    at.server.freeze()
    await until(lambda: not at.far.connected)
    at.server.thaw()


Fault = Callable[[Scene], Awaitable[None]]
FAULTS: list[Fault] = [_stop, _kill, _kill_subscribers, _kill_everybody, _cut, _black_hole, _stutter, _freeze]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
async def test_no_hole_and_no_double_whatever_breaks(make_server: MakeServer, fault: Fault) -> None:
    """Readers that were there and readers that come afterwards get every event once."""
    async with scene(make_server(appendonly=True)) as at:
        for _ in range(2):
            await fault(at)
            await at.go_on()
            await until(lambda: at.far.connected)
        await at.read(2)
        await at.judge()


@pytest.mark.parametrize("seed", range(3))
async def test_no_hole_and_no_double_in_any_weather(make_server: MakeServer, seed: int) -> None:
    """Any faults in any order, also before the one before is over."""
    rng = random.Random(seed)
    async with scene(make_server(appendonly=True)) as at:
        for _ in range(6):
            await rng.choice(FAULTS)(at)
            if rng.random() < 0.5:
                await until(lambda: at.far.connected)
            if rng.random() < 0.5:
                await at.go_on(rng.randrange(10))
            if rng.random() < 0.3:
                await until(lambda: at.far.connected)
                await at.read(1)
        await at.judge()


async def test_a_reader_that_the_server_cuts_off_loses_nothing(make_server: MakeServer) -> None:
    """Its connection takes nothing, the server's buffer for it overflows, and it is dropped without a word."""
    server = make_server(extra=["client-output-buffer-limit pubsub 64kb 64kb 0"])
    async with proxy_to(server) as proxy, Bus.connect(server.url) as near, Bus.connect(proxy.url, heartbeat_s=600) as far:
        writer = Writer(near, await actors.hold(near))
        async with far.follow("s", Event, reread_s=NEVER_S) as events:
            await writer.write()
            assert offsets(await take(events, 1)) == [1]
            proxy.freeze()
            for _ in range(80):
                await writer.write("x" * 200_000)
                if not server.command("CLIENT", "LIST", "TYPE", "pubsub"):
                    break
            else:
                pytest.fail("the server did not cut the reader off")
            proxy.thaw()
            assert offsets(await read_to(events, writer.written)) == list(range(2, writer.written + 1))
            assert (far.reconnects, events.statistics().gaps) == (1, 0)


async def test_the_last_word_before_a_silence_is_not_lost(make_server: MakeServer) -> None:
    """It was said while nothing came through, and nobody says anything afterwards."""
    server = make_server()
    async with proxy_to(server) as proxy, Bus.connect(server.url) as near, Bus.connect(proxy.url, heartbeat_s=HEARTBEAT_S) as far:
        writer = Writer(near, await actors.hold(near))
        async with far.follow("s", Event, reread_s=NEVER_S) as events, far.follow("*", Notice, reread_s=NEVER_S) as notices:
            await take(notices, 1)
            proxy.cut()
            await writer.write()
            await actors.revoke(near)
            assert offsets(await take(events, 1)) == [1]
            [last] = await take(notices, 1)
            assert carries(last, SessionState)
            assert (last.data.to, last.offset) == (State.PAUSED, 3)


async def test_a_restart_without_the_data_is_told(make_server: MakeServer) -> None:
    """One reset; what begins anew is delivered from its first message on."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        writer = Writer(bus, await actors.hold(bus))
        await writer.write()
        async with bus.follow("s", Event, reread_s=NEVER_S) as events, bus.follow("*", Notice, reread_s=NEVER_S) as notices:
            await take(events, 1)
            await take(notices, 1)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            assert offsets(await take(events, 1)) == [("reset", 2, 1)]
            assert offsets(await take(notices, 1)) == [("reset", 3, 2)]
            anew = Writer(bus, await actors.hold(bus))
            await anew.write()
            assert offsets(await take(events, 1)) == [1]
            assert offsets(await take(notices, 2)) == [1, 2]


async def test_status_is_whole_again_after_a_restart(make_server: MakeServer) -> None:
    """What happened to any session while its watcher was cut off arrives, whatever else goes on."""
    server = make_server(appendonly=True)
    async with proxy_to(server) as proxy, Bus.connect(server.url) as near, Bus.connect(proxy.url, heartbeat_s=HEARTBEAT_S) as far:
        await actors.queue(near, "a", "b", "c")
        async with far.follow("*", Notice, reread_s=NEVER_S) as notices:
            await take(notices, 3)
            proxy.freeze()
            await until(lambda: not far.connected)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            await actors.publish(near, actors.retry("a"))
            await actors.publish(near, actors.retry("b"))
            await actors.hold(near, "d")
            proxy.thaw()
            items = await take(notices, 3)
            seen = {(getattr(item, "session", ""), item.offset) for item in items if not isinstance(item, Gap)}
            # A session that came into being meanwhile is new to the watcher: it begins with its picture.
            assert seen == {("a", 5), ("b", 5), ("d", 2)}


async def test_entering_and_reading_wait_for_the_server(make_server: MakeServer) -> None:
    """Who comes while it is away is served when it is back, whether it entered before or not."""
    server = make_server(appendonly=True)
    async with Bus.connect(server.url) as bus:
        writer = Writer(bus, await actors.hold(bus))
        async with bus.follow("s", Event) as early:
            await writer.write()
            await asyncio.to_thread(server.stop)
            reading = asyncio.create_task(take(early, 1))
            late = bus.follow("s", Event)
            entering = asyncio.create_task(late.__aenter__())
            picture = bus.follow("s")
            drawing = asyncio.create_task(picture.__aenter__())
            await until(lambda: not bus.connected)
            assert not any(task.done() for task in (reading, entering, drawing))
            await asyncio.to_thread(server.start)
            assert offsets(await reading) == [1]
            await asyncio.gather(entering, drawing)
            assert offsets([*await take(late, 1), *await take(picture, 1)]) == [1, 2]
            await late.aclose()
            await picture.aclose()
