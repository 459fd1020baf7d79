"""`tidings gateway`: what it prints, where it refuses to listen, and how it ends."""

from __future__ import annotations

import asyncio
import signal
import socket

import pytest

from tests.conftest import SpawnTidings
from tests.processes import run_tidings
from tests.waiting import PATIENCE_S
from tests.workers.cli.conftest import Tidings
from tests.workers.cli.stage import bring
from tests.workers.gateway.calling import calling
from tidings.bus import Bus, State
from tidings.workers.cli import serve

TOKEN = "chosen-token-0123456789"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--host", "0.0.0.0"), "--token (TIDINGS_TOKEN)"),
        (("--host", "gateway.example.org"), "--token (TIDINGS_TOKEN)"),
        (("--token", "short"), "--token (TIDINGS_TOKEN)"),
        (("--port", "99999"), "--port (TIDINGS_PORT)"),
        (("--name", ""), "--name"),
        (("--token", TOKEN, "--viewer-token", TOKEN), "--viewer-token (TIDINGS_VIEWER_TOKEN)"),
    ],
)
async def test_what_cannot_be_served_is_2(tidings: Tidings, arguments: tuple[str, ...], text: str) -> None:
    """One line that says what is wrong, before anything is connected to, and never a token."""
    done = await tidings("gateway", *arguments)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert text in done.stderr
    assert TOKEN not in done.stderr


async def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tidings: Tidings) -> None:
    """With the extra to install."""
    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    done = await tidings("gateway")
    assert (done.code, "tidings[gateway]" in done.stderr) == (1, True)


async def test_a_port_that_is_taken_is_1(server_bus: Bus, tidings: Tidings) -> None:
    """And it says which."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = await tidings("gateway", "--port", port)
    assert done.code == 1
    assert f"127.0.0.1 port {port}" in done.stderr


@pytest.mark.process
async def test_it_prints_a_link_and_ends_when_told(server_bus: Bus, spawn_tidings: SpawnTidings) -> None:
    """The link lets its reader in; health sees it; SIGTERM ends open streams, and the code is 0 without a word of trouble."""
    await bring(server_bus, "sea", State.AWAITING_INPUT)
    env = {"TIDINGS_REDIS_URL": server_bus.url}
    process = await spawn_tidings("gateway", "--port", "0", "--log-level", "debug", env=env)
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE_S):
        link = (await process.stdout.readline()).decode().strip()
    url, _, token = link.partition("/?token=")
    assert url.startswith("http://127.0.0.1:")
    async with calling(url, None) as browser:
        assert (await browser.get(link.removeprefix(url))).status_code == 303
        assert (await browser.json("/api/sessions"))["total"] == 1
        async with browser.follow("/api/sessions/sea/stream") as stream, browser.follow("/api/stream") as fleet:
            await stream.until("status")
            await fleet.until("ready")
            healthy = await run_tidings("health", "gateway", env=env)
            assert healthy.code == 0, healthy.stderr
            process.send_signal(signal.SIGTERM)
            _, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
            assert process.returncode == 0, err.decode()
    log = err.decode()
    assert "gateway.started" in log
    assert "gateway.ended" in log
    assert "Traceback" not in log
    assert token not in log
    assert [one.presence.name for one in await server_bus.admin.processes()] == []


@pytest.mark.process
async def test_a_token_that_was_chosen_is_not_printed(server_bus: Bus, spawn_tidings: SpawnTidings) -> None:
    """Only where to look; the token works."""
    env = {"TIDINGS_REDIS_URL": server_bus.url, "TIDINGS_TOKEN": TOKEN, "TIDINGS_PORT": "0"}
    process = await spawn_tidings("gateway", env=env)
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        url = (await process.stdout.readline()).decode().strip()
    assert TOKEN not in url
    async with calling(url, TOKEN) as caller:
        assert (await caller.json("/api/me"))["role"] == "operator"
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
