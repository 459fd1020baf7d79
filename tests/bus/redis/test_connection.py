from __future__ import annotations

import asyncio
import socket
import ssl
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bus.redis.resp import Stranger, stranger
from tests.conftest import MakeServer
from tests.servers import RunningServer, ServerOptions, valkey_binary
from tests.waiting import PATIENCE_S, eventually
from tidings.bus.errors import TidingsError, Unreachable
from tidings.bus.redis import open_connection
from tidings.bus.redis.connection import Timeouts

CERTIFICATE = Path(__file__).with_name("localhost.pem")
# Both marks together are in every planted password and in nothing else.
MARKS = ("Zq7", "x9W")
PASSWORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12).map(
    lambda text: f"{MARKS[0]}{text}{MARKS[1]}"
)


async def test_commands_and_news_travel_over_every_transport(redis_url: str) -> None:
    """One connection publishes, another one with the same address receives."""
    async with open_connection(redis_url) as one, open_connection(redis_url) as other:
        pubsub = other.pubsub()
        await pubsub.subscribe("news")
        acknowledgement = await pubsub.get_message(timeout=PATIENCE_S)
        with one.errors:
            assert await one.commands.publish("news", b"\xff\x00") == 1
        message = await pubsub.get_message(timeout=PATIENCE_S)
        await pubsub.aclose()  # type: ignore[no-untyped-call]

        async def nobody_hears() -> bool:
            return await one.commands.publish("news", "nobody hears it") == 0

        # The server learns of a closed connection a moment later.
        await eventually(nobody_hears)
    assert acknowledgement is not None
    assert acknowledgement["type"] == "subscribe"
    assert message is not None
    assert message["data"] == b"\xff\x00"


async def test_a_connection_tells_where_it_leads(redis_url: str) -> None:
    """Address and URL are those that were given, and memory is told from a server."""
    async with open_connection(redis_url) as connection:
        assert connection.url == redis_url
        assert connection.address == redis_url
        assert connection.memory == redis_url.startswith("memory")
        assert repr(connection) == f"<Connection to {redis_url}>"


async def test_an_embedded_server_is_reached_by_others_through_the_url() -> None:
    """The URL of an embedded server is that of its socket, and the server ends with the connection."""
    async with open_connection("embedded://") as owner:
        assert owner.url.startswith("unix:///")
        assert owner.address == owner.url
        assert not owner.memory
        await owner.commands.set("a", "b")
        async with open_connection(owner.url) as guest:
            assert await guest.commands.get("a") == b"b"
    with pytest.raises(Unreachable, match="nothing listens"):
        async with open_connection(owner.url):
            pass


async def test_closing_twice_is_closing_once(redis_url: str) -> None:
    """`aclose` may come before the end of the context, which then does nothing more."""
    async with open_connection(redis_url) as connection:
        await connection.commands.ping()
        await connection.aclose()
        await connection.aclose()


async def test_a_server_that_is_gone_does_not_disturb_the_closing(make_server: MakeServer) -> None:
    """Closing raises nothing when the server was killed, or stands still."""
    server = make_server()
    async with open_connection(server.tcp_url, timeouts=Timeouts(connect_s=0.5)) as connection:
        await connection.commands.ping()
        server.kill()
    server.start()
    async with open_connection(server.tcp_url, timeouts=Timeouts(connect_s=0.5)) as connection:
        pubsub = connection.pubsub()
        await pubsub.subscribe("news")
        server.freeze()
    server.thaw()
    await pubsub.aclose()  # type: ignore[no-untyped-call]


async def test_waiting_in_vain_for_a_free_connection_is_told(real_url: str) -> None:
    """When every connection is taken for longer than the limit, the command fails as unreachable."""
    limits = Timeouts(reply_s=0.1)
    async with open_connection(real_url, timeouts=limits, max_connections=1) as connection:
        taken = await connection.commands.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        with pytest.raises(Unreachable, match="No connection available"), connection.errors:
            await connection.commands.ping()
        await connection.commands.connection_pool.release(taken)


async def test_there_is_one_pubsub_at_a_time(redis_url: str) -> None:
    """A second PubSub raises until the first is closed: subscribers share one connection."""
    async with open_connection(redis_url) as connection:
        first, second = connection.pubsub(), connection.pubsub()
        await first.subscribe("news")
        with pytest.raises(Unreachable), connection.errors:
            await second.subscribe("news")
        await first.aclose()  # type: ignore[no-untyped-call]
        await second.subscribe("news")
        await second.aclose()  # type: ignore[no-untyped-call]


@asynccontextmanager
async def tls_in_front_of(server: RunningServer) -> AsyncIterator[int]:
    """Yield a port that speaks TLS with the certificate of the tests, and hands on to `server`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    pumps: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_unix_connection(str(server.socket))
        there, back = pump(reader, behind[1]), pump(behind[0], writer)
        tasks = {asyncio.ensure_future(there), asyncio.ensure_future(back)}
        pumps.update(tasks)
        await asyncio.wait(tasks)

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield proxy.sockets[0].getsockname()[1]
    finally:
        proxy.close()
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        await proxy.wait_closed()


async def test_tls_works_with_an_authority_that_is_named(valkey_server: RunningServer) -> None:
    """`rediss://` with the right certificate carries commands and news."""
    async with tls_in_front_of(valkey_server) as port:
        url = f"rediss://localhost:{port}?ssl_ca_certs={CERTIFICATE}"
        async with open_connection(url) as connection:
            assert await connection.commands.ping()
            pubsub = connection.pubsub()
            await pubsub.subscribe("news")
            assert await pubsub.get_message(timeout=PATIENCE_S) is not None
            await pubsub.aclose()  # type: ignore[no-untyped-call]


async def test_a_wrong_certificate_is_told_as_such(valkey_server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an unknown authority nor another host's certificate is accepted, and each is told as itself."""
    async with tls_in_front_of(valkey_server) as port:
        with pytest.raises(Unreachable, match=r"not trusted \(self.signed certificate\).*ssl_ca_certs"):
            async with open_connection(f"rediss://localhost:{port}"):
                pass
        find = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **named: find("127.0.0.1", *rest, **named))
        with pytest.raises(Unreachable, match=r"certificate is not valid for 'another.test'"):
            async with open_connection(f"rediss://another.test:{port}?ssl_ca_certs={CERTIFICATE}"):
                pass


async def test_tls_and_plain_text_mixed_up_are_told_as_such(valkey_server: RunningServer) -> None:
    """TLS spoken to a plain port, and plain text to a TLS port, fail at once with the address."""
    limits = Timeouts(connect_s=0.3)
    with pytest.raises(Unreachable, match="rediss://localhost"):
        async with open_connection(f"rediss://localhost:{valkey_server.port}", timeouts=limits):
            pass
    async with tls_in_front_of(valkey_server) as port:
        with pytest.raises(Unreachable, match="redis://localhost"):
            async with open_connection(f"redis://localhost:{port}", timeouts=limits):
                pass


def talkative(words: list[bytes]) -> bytes:
    """Answer as a server that quotes all it hears."""
    if words[0] == b"HELLO":
        return b"-ERR what do you mean by " + b" ".join(words) + b"\r\n"
    return b"-WRONGPASS invalid: " + b" ".join(words) + b"\r\n"


async def failures_of(urls: list[str]) -> list[TidingsError]:
    """Return what comes of opening each URL and sending one command; every one of them fails."""
    found = []
    for url in urls:
        try:
            async with open_connection(url, timeouts=Timeouts(connect_s=1, reply_s=1)) as connection:
                with connection.errors:
                    await connection.commands.get("a")
        except TidingsError as error:
            found.append(error)
        else:
            raise AssertionError("it should have failed")
    return found


def wrong_urls(quoting: Stranger, denying: RunningServer, password: str) -> list[str]:
    """Return addresses with that password in them, none of which works."""
    p = quote(password, safe="")
    return [
        f"redis://:{p}@127.0.0.1:1",
        f"redis://{p}:{p}@127.0.0.1:1/0?password={p}",
        f"rediss://:{p}@127.0.0.1:1?ssl_password={p}&ssl_certfile=/no/such/file",
        f"unix://{p}:{p}@/no/such/socket",
        f"unix:///no/such/socket?username={p}&password={p}",
        f"redis://:{p}@127.0.0.1:{denying.port}",
        f"unix://{p}:{p}@{denying.socket}",
        quoting.url(f":{p}@"),
        quoting.url(f"{p}:{p}@"),
        quoting.url(path=f"/0?username={p}&password={p}"),
        f"redis://:{p}@127.0.0.1:1?db={p}",
        f"redis://:{password}@:not-a-port",
        f"{p}://127.0.0.1",
        f"memory://:{p}@",
        f"embedded://{p}@/",
    ]


@pytest.fixture(scope="module")
def denying() -> Iterator[RunningServer]:
    """A real server with a password that nobody here knows."""
    server = RunningServer(valkey_binary(), ServerOptions(password="the right one"))
    server.start()
    yield server
    server.close()


@settings(max_examples=20)
@given(password=PASSWORDS)
def test_a_planted_password_is_in_no_error(denying: RunningServer, password: str) -> None:
    """Neither text, representation, arguments, attributes nor traceback of any failure shows a part of it."""

    async def collect() -> list[TidingsError]:
        async with stranger(talkative) as quoting:
            return await failures_of(wrong_urls(quoting, denying, password))

    for error in asyncio.run(collect()):
        for shown in everything_told_by(error):
            assert not any(mark in shown for mark in MARKS), shown


def everything_told_by(error: BaseException) -> list[str]:
    """Return all that could be printed of an error and of what led to it."""
    told = ["".join(traceback.format_exception(error))]
    link: BaseException | None = error
    while link is not None:
        told.append(f"{link} {link!r} {link.args!r} {vars(link)!r}")
        link = link.__cause__ or link.__context__
    return told
