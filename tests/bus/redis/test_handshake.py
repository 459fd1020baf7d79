from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from tests.bus.redis.resp import OK, PONG, Answer, bulk, redis_that_says, stranger
from tests.conftest import MakeServer
from tests.waiting import PATIENCE_S
from tidings.bus.errors import AccessDenied, BadAddress, Unreachable, UnsupportedServer
from tidings.bus.redaction import redact
from tidings.bus.redis.connection import Timeouts, open_connection

SHORT = Timeouts(connect_s=0.2)
NO_RIGHT = b"-NOPERM this user has no permissions to run the command\r\n"


async def refusal(url: str, timeouts: Timeouts = Timeouts()) -> str:  # noqa: B008  frozen
    """Return the text with which a server is refused."""
    with pytest.raises((Unreachable, UnsupportedServer)) as caught:
        async with open_connection(url, timeouts=timeouts):
            pass
    return str(caught.value)


async def test_redis_before_7_is_refused_by_name() -> None:
    """The error says what was found, where, what is needed and what to do."""
    async with stranger(redis_that_says("# Server\r\nredis_version:6.2.14\r\n")) as old:
        with pytest.raises(UnsupportedServer) as caught:
            async with open_connection(old.url()):
                pass
    assert caught.value.found == "Redis 6.2.14"
    assert caught.value.needed == "7.0"
    assert caught.value.address == old.url()
    assert "Redis 6.2.14" in str(caught.value)
    assert "embedded://" in str(caught.value)


async def test_redis_before_6_is_refused_though_it_cannot_be_greeted() -> None:
    """A server that does not know HELLO is told to be old, and the password that it quotes is not told."""

    def answer(words: list[bytes]) -> bytes:
        quoted = b" ".join(b"`" + word + b"`" for word in words[1:])
        return b"-ERR unknown command `" + words[0] + b"`, with args beginning with: " + quoted + b"\r\n"

    async with stranger(answer) as ancient:
        text = await refusal(ancient.url("me:planted-word@"))
    assert "before Redis 6" in text
    assert "planted" not in text


@pytest.mark.parametrize(
    "info",
    [
        "redis_version:7.0.0",
        "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2",
        "redis_version:10.0",
        "something:else",
    ],
)
async def test_newer_servers_and_those_that_do_not_tell_are_accepted(info: str) -> None:
    """Only a server known to be too old is turned away."""
    async with stranger(redis_that_says(info)) as server, open_connection(server.url()) as connection:
        assert connection.address == server.url()


def without_info(hello: bytes) -> Answer:
    """Return the answers of a server that refuses PING and INFO, and says `hello` to a bare HELLO."""

    def answer(words: list[bytes]) -> bytes:
        if words[0].upper() in (b"PING", b"INFO"):
            return NO_RIGHT
        return hello if words == [b"HELLO"] else OK

    return answer


@pytest.mark.parametrize(
    "hello",
    [
        b"%1\r\n" + bulk("version") + bulk("6.2.5"),
        b"*2\r\n" + bulk("version") + bulk("6.2.5"),
    ],
)
async def test_without_the_right_to_info_the_greeting_tells_the_version(hello: bytes) -> None:
    """HELLO needs no right; its answer is understood in both versions of the protocol."""
    async with stranger(without_info(hello)) as old:
        assert "Redis 6.2.5" in await refusal(old.url())


@pytest.mark.parametrize("hello", [NO_RIGHT, OK, b"%1\r\n" + bulk("version") + b":7\r\n"])
async def test_a_server_that_will_not_tell_its_version_is_accepted(hello: bytes) -> None:
    """Rights withheld are no reason to turn a server away."""
    async with stranger(without_info(hello)) as server, open_connection(server.url()) as connection:
        assert server.count(b"INFO") == 1
        assert connection.address == server.url()


async def test_a_user_with_few_rights_connects_to_a_real_server(make_server: MakeServer) -> None:
    """A user who may neither PING nor ask for INFO is let in by HELLO."""
    server = make_server(acl=["worker on >planted-word ~* &* +@all -ping -info"])
    async with open_connection(f"redis://worker:planted-word@127.0.0.1:{server.port}/0") as connection:
        with connection.errors:
            assert await connection.commands.set("a", "b")


async def test_a_version_told_by_a_stranger_is_cut_to_what_a_version_may_hold() -> None:
    """Neither control characters nor length reach the error."""
    async with stranger(redis_that_says("redis_version:1.0\x1b[31m" + "9" * 1000)) as server:
        text = await refusal(server.url())
    assert "Redis 1.031m999" in text
    assert text.isprintable()
    assert len(text) < 250


async def test_a_server_that_is_loading_is_waited_for_by_the_caller() -> None:
    """A server that reads its data says so; the error says to try again."""

    def answer(words: list[bytes]) -> bytes:
        return b"-LOADING Redis is loading the dataset in memory\r\n" if words[0] == b"PING" else OK

    async with stranger(answer) as server:
        assert "still loading" in await refusal(server.url())


async def test_loading_that_begins_during_the_greeting_is_no_missing_right() -> None:
    """INFO refused for loading is not the same as INFO refused for rights."""

    def answer(words: list[bytes]) -> bytes:
        return {b"PING": PONG, b"INFO": b"-LOADING soon\r\n"}.get(words[0].upper(), OK)

    async with stranger(answer) as server:
        assert "still loading" in await refusal(server.url())


async def test_a_web_server_is_told_to_be_none_of_ours() -> None:
    """What does not speak the protocol is named as that."""
    async with stranger(lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n") as web:
        assert "not as a Redis server does" in await refusal(web.url())


async def test_a_server_that_closes_at_once_is_unreachable() -> None:
    """A connection that is closed in the greeting is told with the address."""
    async with stranger(lambda _: None) as closing:
        assert closing.url() in await refusal(closing.url())


async def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    """A port that accepts and says nothing does not hold the caller for longer than the limit."""
    async with stranger(lambda _: b"") as silent, asyncio.timeout(PATIENCE_S):
        text = await refusal(silent.url(), SHORT)
    assert silent.url() in text


async def test_a_frozen_server_is_given_up_in_time(make_server: MakeServer) -> None:
    """The same holds for a real server that has stopped, over TCP and over its socket."""
    server = make_server()
    server.freeze()
    try:
        async with asyncio.timeout(PATIENCE_S):
            for url in (server.tcp_url, server.url):
                assert url in await refusal(url, SHORT)
    finally:
        server.thaw()


def test_the_default_limits_keep_the_promise_of_two_seconds() -> None:
    """Look-up, connection and greeting share one limit, which is below 2 s."""
    assert Timeouts().connect_s < 2


async def test_wrong_and_missing_passwords_are_told_apart(make_server: MakeServer) -> None:
    """Both are refused at once, over TCP and over the socket, each with its advice."""
    server = make_server(password="planted-word")
    for wrong, missing in (
        (f"redis://:another-word@127.0.0.1:{server.port}", f"redis://127.0.0.1:{server.port}"),
        (f"unix://:another-word@{server.socket}", f"unix://{server.socket}"),
    ):
        with pytest.raises(AccessDenied, match="refuses the user name or the password"):
            async with open_connection(wrong):
                pass
        with pytest.raises(AccessDenied, match="asks for a password") as caught:
            async with open_connection(missing):
                pass
        # What is advised is read in logs: it must not look like a secret.
        assert redact(str(caught.value)) == str(caught.value)
    for right in (server.url, server.tcp_url):
        async with open_connection(right) as connection:
            assert "planted" not in f"{connection!r} {connection.address} {connection.commands!r}"


async def test_a_database_that_is_not_there_is_told(real_url: str) -> None:
    """A number beyond the server's last one is a fault of the address, and the error names it."""
    with pytest.raises(BadAddress, match="no database 99999"):
        async with open_connection(f"{real_url}?db=99999"):
            pass


async def test_a_reply_that_no_redis_gives_is_told() -> None:
    """An error in answer to the greeting comes out as ours, with the reply in it."""
    async with stranger(lambda _: b"-ERR what do you mean\r\n") as server:
        assert "what do you mean" in await refusal(server.url())


class Resolver:
    """A name service under the test's control, in place of `socket.getaddrinfo`."""

    def __init__(self, error: Exception | None) -> None:
        self.asked = threading.Event()
        self.answer = threading.Event()
        self.error = error

    def __call__(self, host: str, *_: Any, **__: Any) -> list[Any]:
        self.asked.set()
        assert self.answer.wait(10)
        if self.error is not None:
            raise self.error
        return []


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (socket.gaierror(), "the look-up failed"),
        (UnicodeError("label too long"), "not a host name"),
    ],
)
async def test_an_unknown_host_is_named(monkeypatch: pytest.MonkeyPatch, error: Exception, says: str) -> None:
    """The error says that it is the name that is wrong."""
    resolver = Resolver(error)
    resolver.answer.set()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    text = await refusal("redis://nowhere:1")
    assert says in text
    assert "redis://nowhere:1/0" in text


async def test_a_dead_name_server_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up is given up in time, and its late answer harms nobody."""
    resolver = Resolver(None)
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    assert "did not answer within 0.2 s" in await refusal("redis://nowhere:1", SHORT)
    assert resolver.asked.is_set()
    resolver.answer.set()
    for thread in threading.enumerate():
        if thread.name == "tidings-look-up":
            await asyncio.to_thread(thread.join, 10)
    await asyncio.sleep(0)


def test_an_answer_after_the_end_of_the_loop_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up that outlives the program's loop ends without an error in its thread."""
    resolver = Resolver(None)
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    asyncio.run(_ignore_refusal())
    waiting = [thread for thread in threading.enumerate() if thread.name == "tidings-look-up"]
    resolver.answer.set()
    for thread in waiting:
        thread.join(10)
        assert not thread.is_alive()


async def _ignore_refusal() -> None:
    await refusal("redis://nowhere:1", SHORT)
