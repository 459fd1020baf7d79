from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.bus.redis.resp import OK, stranger
from tests.conftest import MakeServer
from tests.servers import RunningServer
from tests.waiting import PATIENCE_S
from tidings.bus.errors import BadAddress
from tidings.bus.redis import clients
from tidings.bus.redis.address import Address
from tidings.bus.redis.clients import Subscriptions, Timeouts, check_tls, command_client, subscriber_client

CERTIFICATE = Path(__file__).with_name("localhost.pem")


async def test_a_command_whose_reply_is_lost_is_not_sent_again() -> None:
    """A connection that breaks after a write raises; the write is not replayed."""

    def answer(words: list[bytes]) -> bytes | None:
        return None if words[0] == b"PUBLISH" else OK

    async with stranger(answer) as server:
        client = command_client(Address.parse(server.url()), Timeouts(), 4)
        with pytest.raises(RedisConnectionError):
            await client.publish("news", "once")
        await client.aclose()
        assert server.count(b"PUBLISH") == 1


async def test_a_command_that_is_not_answered_is_not_sent_again() -> None:
    """The same holds when the reply is late."""

    def answer(words: list[bytes]) -> bytes:
        return b"" if words[0] == b"PUBLISH" else OK

    async with stranger(answer) as server:
        client = command_client(Address.parse(server.url()), Timeouts(reply_s=0.1), 4)
        with pytest.raises(RedisTimeoutError):
            await client.publish("news", "once")
        await client.aclose()
        assert server.count(b"PUBLISH") == 1


async def test_overlapping_commands_share_few_connections(real_url: str) -> None:
    """A burst waits for a free connection; none is refused and no storm of connections is opened."""
    client = command_client(Address.parse(real_url), Timeouts(), 3)
    before = await client.info("stats")
    await asyncio.gather(*(client.incr("count") for _ in range(200)))
    after = await client.info("stats")
    assert await client.get("count") == b"200"
    assert after["total_connections_received"] - before["total_connections_received"] <= 2
    await client.aclose()


async def test_a_silent_server_does_not_hold_the_greeting_of_a_subscriber() -> None:
    """Reads of Pub/Sub have no time-out, but making its connection has one."""
    async with stranger(lambda _: b"") as server:
        url = server.url("me:planted-word@")
        client = subscriber_client(Address.parse(url), Timeouts(connect_s=0.1))
        pubsub = client.pubsub()
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(RedisTimeoutError):
                await pubsub.subscribe("news")
        await pubsub.aclose()  # type: ignore[no-untyped-call]
        await client.aclose()


async def test_a_subscriber_whose_connection_broke_stays_broken(make_server: MakeServer) -> None:
    """Reading, subscribing and asking for a sign of life all raise, and no further connection is opened in silence."""
    server = make_server()
    client = subscriber_client(Address.parse(server.url), Timeouts())
    pubsub = Subscriptions(client.connection_pool)
    await pubsub.subscribe("news")
    assert (await pubsub.get_message(timeout=PATIENCE_S) or {})["type"] == "subscribe"
    server.command("CLIENT", "KILL", "TYPE", "pubsub")
    opened = server.command("INFO", "stats")["total_connections_received"]
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: pubsub.get_message(timeout=PATIENCE_S),
        lambda: pubsub.get_message(timeout=PATIENCE_S),
        lambda: pubsub.subscribe("weather"),
        pubsub.ping,
    ]
    for attempt in attempts:
        with pytest.raises(RedisConnectionError):
            await attempt()
    # This question is a connection of its own.
    assert server.command("INFO", "stats")["total_connections_received"] == opened + 1
    await pubsub.aclose()  # type: ignore[no-untyped-call]
    await client.aclose()


async def test_connections_are_greeted_once(valkey_server: RunningServer) -> None:
    """Also on a Unix socket, where redis-py would do it twice."""
    for url in (valkey_server.url, valkey_server.tcp_url):
        client = command_client(Address.parse(url), Timeouts(), 1)
        await client.config_resetstat()
        await client.ping()
        one_connection = await client.info("commandstats")
        await client.connection_pool.disconnect()
        await client.ping()
        two_connections = await client.info("commandstats")
        assert "cmdstat_hello" not in one_connection
        assert two_connections["cmdstat_hello"]["calls"] == 1
        await client.aclose()


async def test_the_server_sees_who_we_are(valkey_server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """CLIENT LIST names Tidings with its version, and the protocol that each client speaks."""
    monkeypatch.setattr(clients, "version", lambda _: "1.2.3")
    clients.installed_version.cache_clear()
    address = Address.parse(valkey_server.url)
    commands, subscriber = command_client(address, Timeouts(), 1), subscriber_client(address, Timeouts())
    assert [(entry["lib-name"], entry["resp"]) for entry in await _clients(commands)] == [("redis-py(tidings_v1.2.3)", "3")]
    await subscriber.ping()
    assert sorted(entry["resp"] for entry in await _clients(commands)) == ["2", "3"]
    await subscriber.aclose()
    await commands.aclose()
    clients.installed_version.cache_clear()


async def _clients(client: object) -> list[dict[str, str]]:
    entries: list[dict[str, str]] = await client.client_list()  # type: ignore[attr-defined]
    return [entry for entry in entries if "tidings" in entry.get("lib-name", "")]


def test_without_an_installed_package_the_version_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tidings run from a checkout has no version to tell, and connects all the same."""

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(clients, "version", missing)
    clients.installed_version.cache_clear()
    assert clients.policy()["driver_info"].formatted_name == "redis-py(tidings_v0)"
    clients.installed_version.cache_clear()


async def test_a_restarted_server_is_met_with_a_new_connection(make_server: MakeServer) -> None:
    """An idle connection that the server closed is replaced before a command is sent on it."""
    server = make_server()
    client = command_client(Address.parse(server.tcp_url), Timeouts(), 4)
    await asyncio.gather(*(client.ping() for _ in range(4)))
    connection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    await connection.connect()
    server.kill()
    server.start()
    # The end of a connection of the same age has arrived, so that of the others has.
    with pytest.raises(RedisConnectionError):
        await connection.read_response()
    assert await client.incr("count") == 1
    await connection.disconnect()
    await client.aclose()


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("ssl_ca_certs=/no/such/file.pem", "No such file"),
        (f"ssl_ca_certs={__file__}", "not usable"),
        (f"ssl_certfile={__file__}&ssl_password=planted-word", "not usable"),
        ("ssl_cert_reqs=CERT_NONE", "CERT_NONE"),
        ("ssl_ciphers=planted-word&ssl_password=planted-word", "not usable"),
        ("ssl_ca_data=planted-word&ssl_password=planted-word", "not usable"),
    ],
)
def test_tls_options_that_cannot_work_are_told_before_connecting(query: str, says: str) -> None:
    """A missing file or an unknown word is BadAddress, not a connection that fails."""
    with pytest.raises(BadAddress, match=says) as caught:
        check_tls(Address.parse(f"rediss://host?{query}"))
    assert "planted" not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.address == "rediss://host:6379/0"


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "rediss://host",
        "rediss://host?ssl_cert_reqs=none&ssl_check_hostname=no",
        f"rediss://host?ssl_ca_certs={CERTIFICATE}&ssl_certfile={CERTIFICATE}",
    ],
)
def test_tls_options_that_work_are_accepted(url: str) -> None:
    """TLS is checked where it is asked for, with the options that redis-py knows."""
    check_tls(Address.parse(url))
