"""The health checks and the numbers."""

from __future__ import annotations

import asyncio

import pytest

from tests.conftest import MakeServer
from tests.waiting import eventually
from tests.workers.cli.stage import bring, park
from tests.workers.gateway.calling import OPERATOR, calling, gateway_and_caller, options
from tidings.bus import Bus, Member, State
from tidings.workers.controller import Controller
from tidings.workers.gateway import Gateway
from tidings.workers.gateway.health import Readiness
from tidings.workers.settings import Settings


async def test_ready_means_that_redis_answers_and_a_controller_lives(make_server: MakeServer) -> None:
    """What is false says why; the process itself is well in any case."""
    server = make_server()
    async with Bus.connect(server.url) as bus, gateway_and_caller(bus) as (_, caller):
        answer = await caller.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"ready": False, "redis": True, "controller": False})
        controller = Controller(bus, Settings(controller_poll_s=0.05), name="c1")
        task = asyncio.create_task(controller.run())

        async def ready() -> bool:
            return (await caller.get("/readyz")).status_code == 200

        await eventually(ready)
        controller.stop()
        await task
        server.kill()

        async def away() -> bool:
            answer = await caller.get("/readyz")
            return (answer.status_code, answer.json()) == (503, {"ready": False, "redis": False, "controller": False})

        await eventually(away)
        assert (await caller.json("/healthz")) == {"status": "ok"}


async def test_redis_is_asked_once_for_all_who_ask_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those at the same time share one answer, whoever of them goes away; after a second it is asked anew."""
    async with Bus.connect("memory://") as bus, Gateway(bus, options()) as gateway:
        now, asked, answered = [0.0], [0], asyncio.Event()

        async def roll() -> tuple[Member, ...]:
            asked[0] += 1
            await answered.wait()
            return ()

        monkeypatch.setattr(bus.admin, "processes", roll)
        readiness = Readiness(gateway.hub, lambda: now[0])
        first, *others = [asyncio.create_task(readiness.found()) for _ in range(5)]
        await eventually(lambda: asked[0] == 1)
        first.cancel()
        answered.set()
        assert await asyncio.gather(*others) == [{"redis": True, "controller": False}] * 4
        now[0] = 0.9
        await readiness.found()
        assert asked[0] == 1
        now[0] = 1.0
        await readiness.found()
        assert asked[0] == 2


@pytest.mark.parametrize(("path", "token"), [("/healthz", None), ("/readyz", None), ("/", None), ("/", OPERATOR)])
async def test_uptime_checks_may_ask_with_head(path: str, token: str | None) -> None:
    """The status and the headers of a GET, without its body; what else may be asked is told to who asks otherwise."""
    async with (
        Bus.connect("memory://") as bus,
        gateway_and_caller(bus) as (served, caller),
        calling(served.url, token) as watcher,
    ):
        asked, got = await watcher.http.head(path), await watcher.get(path)
        assert (asked.status_code, asked.content) == (got.status_code, b"")
        length = ("content-type", "content-length")
        assert [asked.headers[name] for name in length] == [got.headers[name] for name in length]
        wrong = await caller.http.put(path)
        assert (wrong.status_code, set(wrong.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})


async def test_numbers(bus: Bus) -> None:
    """Sessions by state, viewers, frames, commands and processes, under fixed names."""
    await bring(bus, "a", State.AWAITING_INPUT)
    await bring(bus, "b", State.ERROR)
    await park(bus, "c", resume_in_s=60)
    async with gateway_and_caller(bus, command_timeout_s=0.05) as (_, caller), caller.follow("/api/stream") as stream:
        await stream.until("ready")
        await caller.post("/api/sessions/a/commands", {"type": "session.pause"})

        async def counted() -> bool:
            text = (await caller.get("/metrics")).text
            for line in (
                'tidings_gateway_viewers{stream="fleet"} 1.0',
                'tidings_gateway_viewers{stream="session"} 0.0',
                'tidings_sessions{state="awaiting_input"} 1.0',
                'tidings_sessions{state="error"} 1.0',
                'tidings_sessions{state="running"} 0.0',
                'tidings_sessions{state="rate_limited"} 1.0',
                'tidings_sessions_parked{state="rate_limited"} 1.0',
                'tidings_sessions_parked{state="retrying"} 0.0',
                'tidings_gateway_commands_total{result="expired",type="session.pause"} 1.0',
                'tidings_processes{role="gateway"} 1.0',
                "tidings_llm_retries_total 0.0",
                "tidings_gateway_reconnects_total 0.0",
                "tidings_gateway_connected 1.0",
            ):
                assert line in text, line
            return 'tidings_gateway_frames_total{stream="fleet"}' in text

        await eventually(counted)
