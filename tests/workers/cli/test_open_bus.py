"""The bus that a command works on."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from tests.conftest import MakeServer
from tests.servers import free_port
from tests.workers.cli.conftest import Tidings
from tidings.bus import Bus
from tidings.workers.cli.exits import BadUsage
from tidings.workers.cli.open_bus import on_bus, open_bus
from tidings.workers.settings import Settings


@pytest.mark.parametrize("url", ["memory://", " MEMORY://x"])
async def test_memory_is_refused_with_an_explanation(url: str) -> None:
    """A command that talks to itself would look as if it worked."""
    with pytest.raises(BadUsage, match="lives inside one process"):
        async with open_bus(Settings(redis_url=SecretStr(url))):
            pass


async def test_the_settings_reach_the_bus(real_url: str) -> None:
    """Address, prefix and payload limit are those of the settings."""
    settings = Settings(redis_url=SecretStr(real_url), prefix="mine.", payload_limit=2048)

    async def look(bus: Bus) -> int:
        assert "mine." in repr(bus)
        return 5

    assert await asyncio.to_thread(on_bus, settings, look) == 5


async def test_nothing_there_is_1_and_one_line(tidings: Tidings) -> None:
    """The line says what and where, without the password."""
    done = await tidings("status", "demo", "--redis", f"redis://:hunter2@127.0.0.1:{free_port()}/0")
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "nothing listens" in done.stderr
    assert "hunter2" not in done.stderr


async def test_a_wrong_password_is_1_and_one_line(tidings: Tidings, make_server: MakeServer) -> None:
    """It says what to do, and does not repeat the password."""
    server = make_server(password="right")
    url = server.tcp_url.replace(":right@", ":wrong-one@")
    done = await tidings("sessions", "--redis", url)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "password" in done.stderr
    assert "wrong-one" not in done.stderr


@pytest.mark.parametrize("url", ["http://x", "redis://:sec/ret@h", "memory://"])
async def test_a_bad_address_is_2(tidings: Tidings, url: str) -> None:
    """Nothing of what cannot be read is quoted."""
    done = await tidings("status", "demo", "--redis", url)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "sec" not in done.stderr
