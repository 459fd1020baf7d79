"""The servers that the other tests stand on."""

from __future__ import annotations

import asyncio
import shutil
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.processes import end, environment
from tests.servers import RunningServer, ServerOptions, valkey_binary
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.conftest import MakeServer

# redis-py retries ten times unless told otherwise.
ONCE = Retry(NoBackoff(), 0)


def test_both_addresses_reach_a_protected_server(make_server: MakeServer) -> None:
    """The socket and the port both lead to the server, with a password that needs quoting everywhere."""
    server = make_server(password='p"w @/\\#')
    for url in (server.url, server.tcp_url):
        with redis.Redis.from_url(url) as client:
            assert client.ping()
    with redis.Redis(port=server.port, retry=ONCE) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_options_become_configuration(make_server: MakeServer) -> None:
    """Further users and lines of configuration reach the server."""
    server = make_server(acl=["reader on >secret ~* +@read"], extra=["maxmemory 20mb"])
    assert server.command("CONFIG", "GET", "maxmemory") in (
        [b"maxmemory", b"20971520"],
        {b"maxmemory": b"20971520"},
    )
    with redis.Redis(port=server.port, username="reader", password="secret") as reader:
        assert reader.get("nothing") is None
        with pytest.raises(redis.exceptions.NoPermissionError):
            reader.set("nothing", 1)


def test_data_survives_a_kill_when_it_is_appended(make_server: MakeServer) -> None:
    """A server with an append-only file comes back on the same port with all it had acknowledged."""
    server = make_server(appendonly=True)
    port, pid = server.port, server.pid
    server.command("SET", "kept", "yes")
    server.kill()
    assert not server.running
    server.start()
    assert (server.port, server.command("GET", "kept")) == (port, b"yes")
    assert server.pid != pid


def test_a_frozen_server_answers_after_the_thaw(make_server: MakeServer) -> None:
    """A frozen server keeps its connections open and silent, and goes on where it was."""
    server = make_server()
    server.freeze()
    with redis.Redis.from_url(server.url, socket_timeout=0.2, retry=ONCE) as client:
        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.thaw()
        assert client.ping()


def test_a_frozen_server_can_be_stopped(make_server: MakeServer) -> None:
    """Stopping thaws first, and stopping twice does nothing."""
    server = make_server()
    server.freeze()
    server.stop()
    server.stop()
    assert not server.running


def test_a_server_that_cannot_start_says_why() -> None:
    """A wrong line of configuration fails at once, without a process or a wait left over."""
    server = RunningServer(valkey_binary(), ServerOptions(extra=["no-such-setting 1"]))
    with pytest.raises(RuntimeError, match="did not answer"):
        server.start()
    assert not server.running
    server.close()
    assert not server.folder.exists()


_HOLD = """
import sys
from tests.servers import RunningServer, valkey_binary
server = RunningServer(valkey_binary())
server.start()
print(server.url, flush=True)
sys.stdin.read()
"""


async def test_a_server_does_not_outlive_a_killed_test_run() -> None:
    """When the process that started it is SIGKILLed, the server dies too."""
    run = await asyncio.create_subprocess_exec(sys.executable, "-c", _HOLD, stdin=PIPE, stdout=PIPE, env=environment())
    assert run.stdout is not None
    url = (await run.stdout.readline()).decode().strip()

    def gone() -> bool:
        try:
            with redis.Redis.from_url(url) as client:
                return not client.ping()
        except redis.ConnectionError:
            return True

    assert not gone()
    await end(run)
    await eventually(gone)
    shutil.rmtree(Path(urlsplit(url).path).parent)


def test_each_transport_is_handed_out_empty(redis_url: str, real_url: str) -> None:
    """What one test left behind, the next one does not find."""
    with redis.Redis.from_url(real_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")
    assert redis_url.startswith(("memory://", "unix://"))
