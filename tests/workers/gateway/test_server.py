"""Serving a gateway: where it listens, for whom, and how it ends."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.conftest import MakeServer
from tests.servers import free_port
from tests.workers.gateway.calling import calling, options
from tidings.bus import Bus, Unreachable
from tidings.workers.gateway import GatewayOptions, new_token, serve


async def test_it_listens_where_it_was_told() -> None:
    """On loopback, on the port given or on a free one; the link lets its reader in."""
    port = free_port()
    async with Bus.connect("memory://") as bus:
        async with serve(bus, port=port) as served, calling(served.url, served.token) as caller:
            assert served.url == f"http://127.0.0.1:{port}"
            assert served.link == f"{served.url}/?token={served.token}"
            assert (await caller.json("/api/me"))["role"] == "operator"
        async with serve(bus) as one, serve(bus) as other:
            assert one.url != other.url
            assert one.token != other.token


async def test_a_port_that_is_taken_is_an_error() -> None:
    """At once, and nothing is left running."""
    async with Bus.connect("memory://") as bus:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with pytest.raises(OSError, match="in use"):
                async with serve(bus, port=taken.getsockname()[1]):
                    pass
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("tidings-gateway")]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "gateway.example.org"])
async def test_nobody_is_let_in_from_outside_by_accident(host: str) -> None:
    """Other addresses than loopback need a token that somebody has chosen."""
    async with Bus.connect("memory://") as bus:
        with pytest.raises(ValueError, match="TIDINGS_TOKEN"):
            async with serve(bus, host):
                pass
        with pytest.raises(ValueError, match="TIDINGS_TOKEN"):
            async with serve(bus, host, options=GatewayOptions(new_token(), generated=True)):
                pass


async def test_with_a_chosen_token_it_listens_everywhere() -> None:
    """And its address is one that this machine reaches."""
    async with Bus.connect("memory://") as bus, serve(bus, "0.0.0.0", options=options()) as served, calling(served.url) as caller:
        assert served.url.startswith("http://127.0.0.1:")
        assert (await caller.get("/healthz")).status_code == 200


async def test_ipv6_loopback() -> None:
    """The address is written as addresses are."""
    if not _has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    async with Bus.connect("memory://") as bus, serve(bus, "::1") as served, calling(served.url, served.token) as caller:
        assert served.url.startswith("http://[::1]:")
        assert (await caller.get("/healthz")).status_code == 200


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_a_server_that_is_away_is_said_at_once(make_server: MakeServer) -> None:
    """Before it listens."""
    server = make_server()
    async with Bus.connect(server.url) as bus:
        server.kill()
        with pytest.raises(Unreachable):
            async with serve(bus):
                pass
