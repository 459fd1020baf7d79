from __future__ import annotations

import asyncio
import logging
import random
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from tests import actors
from tests.conftest import MakeServer
from tests.proxy import Proxy
from tests.servers import RunningServer
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import Bus, Closed, Event, WorkerClaimed, carries
from tidings.bus.listener import Listener

STATUS, BOTH = frozenset({"status"}), frozenset({"status", "commands"})


class Ear:
    """Writes down what it is told, in order; an acknowledgement is a `+`."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @property
    def acks(self) -> int:
        return self.heard.count("+")

    def on_subscribed(self) -> None:
        self.heard.append("+")

    def receive(self, name: str, payload: bytes) -> None:
        self.heard.append(f"{name} {payload.decode()}")


class Deaf(Ear):
    """Raises at everything."""

    def on_subscribed(self) -> None:
        super().on_subscribed()
        raise RuntimeError("cannot")

    def receive(self, name: str, payload: bytes) -> None:
        super().receive(name, payload)
        raise RuntimeError("cannot")


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the listener has logged."""
    return [record.getMessage() for record in caplog.records if record.name == "tidings.listener"]


@pytest.fixture
async def listener(bus: Bus) -> Listener:
    """A listener over each transport in turn."""
    return bus._listener


@pytest.fixture
def server(request: pytest.FixtureRequest, real_url: str) -> RunningServer:
    """The real server behind `real_url`."""
    found = request.getfixturevalue(f"{request.node.callspec.params['real_url']}_server")
    assert isinstance(found, RunningServer)
    return found


def numpat(server: RunningServer) -> int:
    """Return how many patterns are registered."""
    return int(server.command("PUBSUB", "NUMPAT"))


def channels(server: RunningServer) -> set[str]:
    """Return the channels that somebody listens to."""
    return {name.decode() for name in server.command("PUBSUB", "CHANNELS")}


async def listening(listener: Listener, name: str, ear: Ear | None = None) -> Ear:
    """Listen to a channel, acknowledged."""
    ear = ear or Ear()
    await listener.listen(name, ear)
    await eventually(lambda: ear.acks)
    return ear


# what arrives


async def test_messages_follow_the_acknowledgement(listener: Listener, raw: Redis) -> None:
    """Everything published after it arrives, in order, on the channel named and on no other."""
    ear = await listening(listener, "status.s")
    for index in range(50):
        await raw.publish("status.s", str(index))
        await raw.publish("status.t", "other")
    await eventually(lambda: len(ear.heard) == 51)
    assert ear.heard == ["+", *(f"status.s {index}" for index in range(50))]
    assert listener.connected


async def test_planes_are_heard_of_every_session(listener: Listener, raw: Redis) -> None:
    """Those asked for; what the shared pattern catches besides is dropped."""
    status, both = Ear(), Ear()
    await listener.listen_planes(STATUS, status)
    await listener.listen_planes(BOTH, both)
    await eventually(lambda: status.acks and both.acks)
    for name in ("status.a", "commands.b", "events.c", "status.not a session", "strange.d", "status.e"):
        await raw.publish(name, "x")
    await eventually(lambda: status.heard[-1] == both.heard[-1] == "status.e x")
    assert [heard for heard in status.heard if heard != "+"] == ["status.a x", "status.e x"]
    assert [heard for heard in both.heard if heard != "+"] == ["status.a x", "commands.b x", "status.e x"]


async def test_who_comes_later_is_acknowledged_at_once(listener: Listener) -> None:
    """The subscription stands already."""
    await listening(listener, "status.s")
    ear = Ear()
    await listener.listen("status.s", ear)
    assert ear.acks == 1
    first, second = Ear(), Ear()
    await listener.listen_planes(STATUS, first)
    await eventually(lambda: first.acks)
    await listener.listen_planes(STATUS, second)
    assert second.acks == 1


async def test_many_on_one_channel_all_hear(listener: Listener, raw: Redis) -> None:
    """Also those who came before the server had answered."""
    ears = [Ear() for _ in range(20)]
    await asyncio.gather(*(listener.listen("status.s", ear) for ear in ears))
    await eventually(lambda: all(ear.acks for ear in ears))
    await raw.publish("status.s", "x")
    await eventually(lambda: all(ear.heard[-1] == "status.s x" for ear in ears))


async def test_who_is_forgotten_hears_nothing_more(listener: Listener, raw: Redis) -> None:
    """On channels and planes alike; the others go on. Twice is no error."""
    gone, kept = Ear(), await listening(listener, "status.s")
    await listener.listen("status.s", gone)
    await listener.listen("status.t", gone)
    await listener.listen_planes(BOTH, gone)
    await eventually(lambda: gone.acks == 3)
    await asyncio.gather(listener.forget(gone), listener.forget(gone))
    heard = list(gone.heard)
    await raw.publish("status.t", "x")
    await raw.publish("status.s", "x")
    await eventually(lambda: kept.heard == ["+", "status.s x"])
    assert gone.heard == heard


async def test_a_channel_given_up_and_wanted_again(listener: Listener, raw: Redis) -> None:
    """Its acknowledgement is that of the last asking: from there on nothing is missed."""
    await listening(listener, "status.other")
    for _ in range(3):
        ear = Ear()
        await listener.listen("status.s", ear)
        await listener.forget(ear)
    ear = await listening(listener, "status.s")
    await raw.publish("status.s", "x")
    await eventually(lambda: ear.heard == ["+", "status.s x"])


async def test_nothing_is_kept_of_channels_given_up(listener: Listener) -> None:
    """A worker gives up a channel for each session that it has worked on, and must not grow with them."""
    await listening(listener, "status.stays")
    for number in range(3):
        await listener.forget(await listening(listener, f"status.gone-{number}"))
    kept = [name for name, value in vars(listener).items() if "gone" in str(value)]
    assert kept == []
    assert "stays" in str(vars(listener))


async def test_a_sink_that_raises_harms_nobody(listener: Listener, raw: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """Neither those before it nor those after it, nor itself the next time."""
    before, deaf, after = Ear(), Deaf(), Ear()
    for ear in (before, deaf, after):
        await listener.listen("status.s", ear)
        await listener.listen_planes(STATUS, ear)
    await eventually(lambda: all(ear.acks >= 2 for ear in (before, deaf, after)))
    await raw.publish("status.s", "1")
    await raw.publish("status.s", "2")
    await eventually(lambda: all(ear.heard.count("status.s 2") == 2 for ear in (before, deaf, after)))
    assert set(messages(caplog)) == {"listener.sink_failed"}
    assert (listener.connected, listener.reconnects) == (True, 0)


async def test_a_channel_that_is_not_text_harms_nobody(listener: Listener, raw: Redis) -> None:
    """Anybody can publish under a pattern."""
    ear = Ear()
    await listener.listen_planes(STATUS, ear)
    await eventually(lambda: ear.acks)
    await raw.publish(b"status.\xff\xfe", "x")
    await raw.publish("status.s", "x")
    await eventually(lambda: ear.heard == ["+", "status.s x"])
    assert listener.reconnects == 0


# one connection


async def test_one_connection_and_one_pattern(real_url: str, server: RunningServer) -> None:
    """However many listen in one process."""
    async with Bus.connect(real_url) as bus:
        ears = [Ear() for _ in range(30)]
        for index, ear in enumerate(ears):
            await bus.on_status(f"s{index}", ear)
            await bus.controller.on_change(ear)
        async with bus.follow(), bus.follow(), bus.follow("s1", Event), bus.follow("s1", Event):
            await eventually(lambda: all(ear.acks >= 2 for ear in ears))
            assert len(server.command("CLIENT", "LIST", "TYPE", "pubsub").splitlines()) == 1
            assert numpat(server) == 1
            assert channels(server) == {"events.s1", *(f"status.s{index}" for index in range(30))}


async def test_the_pattern_follows_what_is_wanted(real_url: str, server: RunningServer) -> None:
    """Wider and narrower, always one; and none at the end, nor a connection."""
    async with Bus.connect(real_url) as bus:
        narrow, wide = Ear(), Ear()
        async with bus.follow():
            await bus.controller.on_change(wide)
            await eventually(lambda: wide.acks and numpat(server) == 1)
            await bus.controller.on_change(narrow)
            assert narrow.acks == 1
            await bus.on_status("s", wide)
            await eventually(lambda: channels(server) == {"status.s"})
            await bus.forget(wide)
            await eventually(lambda: channels(server) == set())
            await bus.forget(narrow)
            await eventually(lambda: numpat(server) == 1)
            await eventually(lambda: bus._listener._acked == {"status.*"})
        await eventually(lambda: numpat(server) == 0)
        await eventually(lambda: not bus.connected)
        assert server.command("CLIENT", "LIST", "TYPE", "pubsub") == b""
        again = await listening(bus._listener, "status.s")
        assert (again.acks, bus.reconnects) == (1, 0)


@pytest.mark.parametrize("seed", range(3))
async def test_the_connection_ends_up_with_what_is_wanted(real_url: str, server: RunningServer, seed: int) -> None:
    """After any mingling of comings and goings, and of broken connections."""
    rng = random.Random(seed)
    names = [f"status.s{index}" for index in range(20)]
    async with Bus.connect(real_url) as bus:
        listener, ears, wanted = bus._listener, [Ear() for _ in range(8)], dict[int, set[str]]()

        async def step(turn: int) -> None:
            who = rng.randrange(len(ears))
            match rng.randrange(5):
                case 0 | 1:
                    name = rng.choice(names)
                    wanted.setdefault(who, set()).add(name)
                    await listener.listen(name, ears[who])
                case 2:
                    planes = rng.choice([STATUS, BOTH])
                    wanted.setdefault(who, set()).update(planes)
                    await listener.listen_planes(planes, ears[who])
                case 3:
                    wanted.pop(who, None)
                    await listener.forget(ears[who])
                case _ if turn % 20 == 0:
                    server.command("CLIENT", "KILL", "TYPE", "pubsub")

        for turn in range(0, 200, 5):
            await asyncio.gather(*(step(turn + index) for index in range(5)))
        planes = {plane for want in wanted.values() for plane in want & BOTH}
        exact = {name for want in wanted.values() for name in want - BOTH}
        await eventually(lambda: channels(server) == exact and numpat(server) == bool(planes))
        for ear in ears:
            ear.heard.clear()
        await eventually(lambda: listener._acked >= exact)
        for name in [*names, "commands.end"]:
            server.command("PUBLISH", name, "x")
        for who, ear in enumerate(ears):
            want = wanted.get(who, set())
            due = {f"{name} x" for name in names if name in want or "status" in want} | (
                {"commands.end x"} if "commands" in want else set()
            )
            await eventually(lambda ear=ear, due=due: set(ear.heard) - {"+"} == due)  # type: ignore[misc]


# a connection that breaks


async def test_a_lost_connection_is_opened_anew(make_server: MakeServer, caplog: pytest.LogCaptureFixture) -> None:
    """Everything wanted is acknowledged again; the loss is counted, and told once."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        listener = bus._listener
        ear, plane = await listening(listener, "status.s"), Ear()
        await listener.listen_planes(STATUS, plane)
        await eventually(lambda: plane.acks)
        for losses in (1, 2):
            server.command("CLIENT", "KILL", "TYPE", "pubsub")
            await eventually(lambda losses=losses: ear.acks == plane.acks == losses + 1)  # type: ignore[misc]
            assert (listener.connected, listener.reconnects) == (True, losses)
        assert messages(caplog) == ["listener.disconnected"] * 2


async def test_a_long_absence_is_one_loss(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However often it was tried in between; who comes meanwhile is served when the server is back."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        listener = bus._listener
        ear, tries = await listening(listener, "status.s"), []
        open_one = bus._context.connection.pubsub

        def count() -> PubSub:
            tries.append(1)
            return open_one()

        monkeypatch.setattr(bus._context.connection, "pubsub", count)
        server.kill()
        await eventually(lambda: len(tries) >= 3)
        late = Ear()
        await listener.listen("status.t", late)
        server.start()
        await eventually(lambda: ear.acks == 2 and late.acks == 1)
        assert listener.reconnects == 1
        assert messages(caplog) == ["listener.disconnected"]


async def test_a_server_that_was_never_there_is_told(make_server: MakeServer, caplog: pytest.LogCaptureFixture) -> None:
    """It went away before anybody listened; nothing was lost, and it is waited for."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        server.stop()
        ear = Ear()
        await bus.worker.on_ready(ear)
        await eventually(lambda: messages(caplog) == ["listener.disconnected"])
        server.start()
        await eventually(lambda: ear.acks == 1)
        assert bus.reconnects == 0


async def test_a_connection_that_nothing_comes_through_is_given_up(lossy: Bus, proxy: Proxy) -> None:
    """Its packets are dropped and no error is told: the heartbeat notices."""
    ear = await listening(lossy._listener, "status.s")
    proxy.freeze()
    await eventually(lambda: not lossy.connected)
    proxy.thaw()
    await eventually(lambda: ear.acks == 2)
    assert lossy.reconnects == 1


async def test_a_frozen_server_is_given_up_too(make_server: MakeServer) -> None:
    """Its kernel goes on accepting connections; greetings are bounded as well."""
    server = make_server()
    async with Bus.connect(server.url, heartbeat_s=0.05) as bus:
        ear = await listening(bus._listener, "status.s")
        server.freeze()
        await eventually(lambda: not bus.connected)
        server.thaw()
        await eventually(lambda: ear.acks == 2)


async def test_silence_is_no_loss(make_server: MakeServer) -> None:
    """The server answers the heartbeat, and the connection stays."""
    server = make_server()
    async with Bus.connect(server.url, heartbeat_s=0.02) as bus:
        await listening(bus._listener, "status.s")
        server.command("CONFIG", "RESETSTAT")
        await eventually(lambda: server.command("INFO", "commandstats").get("cmdstat_ping", {"calls": 0})["calls"] >= 5)
        assert (bus.connected, bus.reconnects) == (True, 0)


async def test_asking_over_a_broken_connection(make_server: MakeServer) -> None:
    """Nobody has noticed yet that it is broken; what is asked for is asked again on the next one."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        listener = bus._listener
        ear, late = await listening(listener, "status.s"), Ear()
        pubsub = listener._pubsub
        assert pubsub is not None
        connection: Any = pubsub.connection
        whole = connection.send_command

        async def break_once(*args: object, **kwargs: object) -> None:
            connection.send_command = whole
            raise ConnectionResetError("broken")

        connection.send_command = break_once
        await listener.listen("status.t", late)
        await eventually(lambda: late.acks == 1 and ear.acks == 2)


async def test_a_defect_of_ours_does_not_end_it(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, raw: Redis
) -> None:
    """It is told with its cause, and the connection is opened anew."""
    ear = await listening(listener, "status.s")
    with monkeypatch.context() as patch:
        patch.setattr(listener, "_deliver", lambda *args: 1 // 0)
        await raw.publish("status.s", "lost")
        await eventually(lambda: not listener.connected)
    await eventually(lambda: ear.acks == 2)
    await raw.publish("status.s", "x")
    await eventually(lambda: ear.heard[-1] == "status.s x")
    [record] = [record for record in caplog.records if record.getMessage() == "listener.failed"]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None


# the end


async def test_closing_twice_is_no_error(listener: Listener) -> None:
    """Afterwards nobody can listen; forgetting is still allowed."""
    ear = await listening(listener, "status.s")
    await listener.aclose()
    await listener.aclose()
    assert not listener.connected
    with pytest.raises(Closed):
        await listener.listen("status.s", Ear())
    with pytest.raises(Closed):
        await listener.listen_planes(STATUS, Ear())
    await listener.forget(ear)


async def test_closing_while_the_server_is_away(make_server: MakeServer) -> None:
    """It does not wait for it."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        await actors.hold(bus)
        await listening(bus._listener, "status.s")
        server.kill()
        await eventually(lambda: bus.reconnects)


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="tasks are never eager before Python 3.12")
async def test_tasks_that_begin_at_once_hear_everything(bus: Bus) -> None:
    """A loop may be told to begin each task where it is made; textual does so, and users may."""
    asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - mypy looks at Python 3.11
    try:
        async with bus.follow() as notices:
            await actors.hold(bus)
            async with asyncio.timeout(PATIENCE_S):
                told = await anext(notices)
        assert carries(told, WorkerClaimed)
    finally:
        asyncio.get_running_loop().set_task_factory(None)


async def test_the_end_of_a_time_that_meets_a_subscription_is_not_lost(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Python 3.12 redis-py can swallow a cancellation while it sends: who has waited long enough goes on all the same."""
    ear = Ear()
    await bus._listener.listen("x", ear)
    await eventually(lambda: ear.acks)
    subscribe = PubSub.subscribe

    async def swallowing(self: PubSub, *names: str) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await subscribe(self, *names)

    monkeypatch.setattr(PubSub, "subscribe", swallowing)

    async def listen() -> None:
        await bus._listener.listen("y", ear)
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(listen(), 0.01)
