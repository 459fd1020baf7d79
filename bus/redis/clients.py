"""Clients of redis-py, set up so that none of its conveniences breaks a guarantee of ours.

Nothing is retried (a replayed write is a double), every step of making a connection is bounded in time,
connections are not opened in a storm, and the server's CLIENT LIST names us.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import redis.asyncio as redis
from redis.asyncio import connection as lower
from redis.asyncio.client import Pipeline, PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from tidings.bus.errors import BadAddress
from tidings.bus.redis.address import Address


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for a server.

    Attributes:
        connect_s: Seconds for making a connection: name look-up, socket, TLS and greeting.
        reply_s: Seconds for the reply to one command, and for a free connection to send it on.
    """

    connect_s: float = 1.5
    reply_s: float = 5.0


class _BoundedGreeting(lower.AbstractConnection):
    """A connection whose greeting (AUTH, HELLO, SELECT) is bounded like the making of its socket.

    redis-py bounds only the socket: without a socket time-out, as Pub/Sub needs it, a frozen server would
    hold the greeting for ever.
    """

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        try:
            async with asyncio.timeout(self.socket_connect_timeout):
                await super().on_connect_check_health(check_health=check_health)
        except TimeoutError:
            raise RedisTimeoutError("Timeout greeting the server") from None


class _TcpConnection(_BoundedGreeting, lower.Connection):
    pass


class _TlsConnection(_BoundedGreeting, lower.SSLConnection):
    pass


class _UnixConnection(_BoundedGreeting, lower.UnixDomainSocketConnection):
    async def on_connect(self) -> None:
        """Leave the greeting to `on_connect_check_health`.

        redis-py 8.1 greets twice on Unix sockets, first here, where a wrong password becomes a mere
        connection error.
        """


_CONNECTION_CLASSES: dict[str, type[lower.AbstractConnection]] = {
    "redis": _TcpConnection,
    "rediss": _TlsConnection,
    "unix": _UnixConnection,
}


@cache
def installed_version() -> str:
    """Return the version of Tidings; ``0`` where it is not installed."""
    try:
        return version("tidings")
    except PackageNotFoundError:
        return "0"


def policy() -> dict[str, Any]:
    """Return what every connection pool of ours is given, for every server."""
    return {
        # redis-py's retries replay writes: one lost reply, two stored copies.
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        "decode_responses": False,
        "driver_info": DriverInfo().add_upstream_driver("tidings", installed_version()),
        # These cost a round trip at every connect, and switch off the check for left-over data.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def command_client(address: Address, timeouts: Timeouts, max_connections: int) -> redis.Redis:
    """Return a client for commands. It connects at the first one.

    Its pool makes users wait. redis-py's other one opens a connection for each overlapping command, and
    raises when there are too many.
    """
    pool = redis.BlockingConnectionPool(
        max_connections=max_connections,
        timeout=timeouts.reply_s,
        connection_class=_CONNECTION_CLASSES[address.scheme],
        socket_timeout=timeouts.reply_s,
        socket_connect_timeout=timeouts.connect_s,
        **policy(),
        **_where(address),
    )
    return redis.Redis.from_pool(pool)


def subscriber_client(address: Address, timeouts: Timeouts) -> redis.Redis:
    """Return a client for Pub/Sub: one connection, on RESP2, and reads without a time-out of their own.

    RESP2, because redis-py formats a debug line for each message that it receives on RESP3.
    """
    pool = redis.ConnectionPool(
        max_connections=1,
        connection_class=_CONNECTION_CLASSES[address.scheme],
        socket_timeout=None,
        socket_connect_timeout=timeouts.connect_s,
        protocol=2,
        **policy(),
        **_where(address),
    )
    return redis.Redis.from_pool(pool)


class Reads(Pipeline):
    """A pipeline whose errors are in the server's words, as everywhere else.

    redis-py writes the command and its number before them, and then no error can be told by its code.
    """

    def annotate_exception(self, exception: Exception, number: int, command: Iterable[object]) -> None:
        """Leave the words as they are."""


class Subscriptions(PubSub):
    """A PubSub that stays broken once its connection broke; its owner opens another one.

    redis-py reconnects in the middle of what failed, also when told not to retry. That would hide the loss, and a read and a
    subscription that fail at the same moment would open two connections, one of which would stay open.
    """

    async def connect(self) -> None:
        """Connect the first time.

        Raises:
            redis.exceptions.ConnectionError: It had been connected, and that connection is gone.
        """
        self._check()
        await super().connect()  # type: ignore[no-untyped-call]

    async def parse_response(self, *args: Any, **kwargs: Any) -> Any:
        """Read one reply.

        Raises:
            redis.exceptions.ConnectionError: The connection is gone.
        """
        self._check()
        return await super().parse_response(*args, **kwargs)

    def _check(self) -> None:
        if self.connection is not None and not self.connection.is_connected:
            raise RedisConnectionError("the Pub/Sub connection is gone")

    async def _reconnect(self, conn: Any, *args: Any, **kwargs: Any) -> None:
        await conn.disconnect()


def check_tls(address: Address) -> None:
    """Build the TLS context once, so that a wrong option is told as such and not as a lost connection.

    Raises:
        BadAddress: An option is not understood, or a file that it names cannot be used.
    """
    if address.scheme != "rediss":
        return
    reason = ""
    try:
        _TlsConnection(**_where(address)).ssl_context.get()
    except (OSError, RedisError, TypeError, ValueError) as error:
        reason = address.without_secrets(_reason(error))
    if reason:
        raise BadAddress(f"the TLS options of {address} cannot be used: {reason}", address=address.text)


def _where(address: Address) -> dict[str, Any]:
    return dict(address.options)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        # Not its text, which has nothing for a person. Some have no reason either.
        told = getattr(error, "reason", None)
        return "a certificate, key, password or cipher is not usable" + (f" ({told})" if told else "")
    return str(error)
