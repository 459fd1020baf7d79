"""Find out, within a time limit, whether a Redis answers that will do."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
import threading
from collections.abc import Mapping
from typing import Any

import redis.asyncio as redis
from redis.exceptions import NoPermissionError, ResponseError

from tidings.bus.errors import BadAddress, UnexpectedReply, Unreachable
from tidings.bus.redis.address import Address
from tidings.bus.redis.failures import OLDEST_VERSION, Failures, unsupported

_NO_DATABASE = re.compile(r"\bDB index\b|\bSELECT is not allowed\b")


async def greet(client: redis.Redis, address: Address, limit_s: float) -> None:
    """Connect, and make sure of the credentials and of the server's age.

    Args:
        client: A client for commands to that address.
        address: For the errors.
        limit_s: Seconds for all of it: name look-up, connection, two or three replies.

    Raises:
        Unreachable: Nothing answered in that time, or the server is still loading its data.
        AccessDenied: Wrong user or password, or none where one is needed.
        UnsupportedServer: Redis before 7.0.
        BadAddress: The server does not have that database.
    """
    failures = Failures(address)
    try:
        async with asyncio.timeout(limit_s):
            if address.scheme != "unix":
                await _look_up(address)
            with failures:
                with contextlib.suppress(NoPermissionError):
                    await client.ping()
                found, version = await _identify(client)
    except UnexpectedReply as error:
        raise _unexpected(error.reply, address) from error
    except TimeoutError:
        raise Unreachable(
            f"{address} did not answer within {limit_s:g} s: is that the address of a Redis, and can it be reached from here?",
            address=address.text,
        ) from None
    if version and version < OLDEST_VERSION:
        raise unsupported(address, found)


def _unexpected(reply: str, address: Address) -> BadAddress | Unreachable:
    """Return the error for a reply that no right password and no other server would have prevented."""
    database = address.options["db"]
    if database and _NO_DATABASE.search(reply):
        return BadAddress(
            f"{address}: the server has no database {database} ({reply}): leave it out of the address",
            address=address.text,
        )
    return Unreachable(
        f"{address} does not answer as a Redis server does ({reply}): correct the address",
        address=address.text,
    )


async def _identify(client: redis.Redis) -> tuple[str, tuple[int, ...]]:
    """Return the server's name for a person, and the version of Redis it stands for, or () if not told."""
    try:
        server: Mapping[str, Any] = await client.info("server")
    except ResponseError:
        # No right to INFO, or a proxy that does not know it. HELLO needs no right.
        return await _identify_by_hello(client)
    version = str(server.get("redis_version", ""))
    return _named(version), _numbers(version)


async def _identify_by_hello(client: redis.Redis) -> tuple[str, tuple[int, ...]]:
    try:
        reply: Any = await client.execute_command("HELLO")  # type: ignore[no-untyped-call]
    except ResponseError:
        return "", ()
    if isinstance(reply, (list, tuple)):
        reply = dict(zip(reply[::2], reply[1::2], strict=False))
    version = reply.get(b"version", b"") if isinstance(reply, dict) else b""
    text = version.decode(errors="replace") if isinstance(version, bytes) else str(version)
    return _named(text), _numbers(text)


def _named(version: str) -> str:
    """Return the name of a server of that version, cut to what a version may hold: a stranger told it."""
    return f"Redis {re.sub(r'[^A-Za-z0-9.+-]', '', version)[:40]}"


def _numbers(version: str) -> tuple[int, ...]:
    """Return (7, 0) for "7.0.15" or "7", and () for what does not begin with a number."""
    leading = re.match(r"(\d+)(?:\.(\d+))?", version)
    return (int(leading[1]), int(leading[2] or 0)) if leading else ()


async def _look_up(address: Address) -> None:
    """Make sure that the host name is known.

    In a thread that is not waited for: asyncio's own look-up runs in the default executor, and at the end of
    the program asyncio waits for that, however long a dead name server takes.

    Raises:
        Unreachable: The name is not known.
    """
    host = address.location
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    def settle(reason: str) -> None:
        if not answer.done():
            answer.set_result(reason)

    def look_up() -> None:
        try:
            socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            reason = ""
        except (OSError, UnicodeError) as error:
            reason = error.strerror or "" if isinstance(error, OSError) else "not a host name"
            reason = reason or "the look-up failed"
        # RuntimeError: the loop was closed meanwhile.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, reason)

    threading.Thread(target=look_up, name="tidings-look-up", daemon=True).start()
    reason = await answer
    if reason:
        raise Unreachable(f"the host of {address} cannot be found ({reason}): correct the address", address=address.text)
