"""The options of a gateway: tokens, origins and limits."""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass, field
from typing import Self

from tidings.workers.gateway.descriptors import connection_limit
from tidings.workers.gateway.hub import HEARTBEAT_S
from tidings.workers.settings import Settings


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """How a gateway behaves.

    Attributes:
        token: of operators, who may do everything.
        viewer_token: of viewers, who may only look; None: there are none.
        generated: whether the token was made here and is known only here.
        allowed_origins: origins such as ``https://ops.example.org``; their pages may call us from a browser.
        command_rate: commands a minute that each token may send.
        command_timeout_s: how long a command waits for its outcome.
        payload_limit: bytes of one message.
        heartbeat_s: how often a stream says that it is alive.
        most_viewers: streams that may be open at a time.
        most_connections: connections that may be open at a time, streams among them; see ``descriptors.connection_limit``.
        request_timeout_s: how long the head of a request may take to arrive, and then its body.
        send_timeout_s: how long an answer may be blocked by a client that does not read it; after that the connection is ended.
    """

    token: str = field(repr=False)
    viewer_token: str | None = field(default=None, repr=False)
    generated: bool = False
    allowed_origins: frozenset[str] = frozenset()
    command_rate: int = 60
    command_timeout_s: float = 10.0
    payload_limit: int = 256 * 1024
    heartbeat_s: float = HEARTBEAT_S
    most_viewers: int = 10_000
    most_connections: int = field(default_factory=connection_limit)
    request_timeout_s: float = 20.0
    send_timeout_s: float = 60.0

    @property
    def most_streams(self) -> int:
        """Streams that may be open at a time: a quarter of the connections is left for what else is asked."""
        return max(1, min(self.most_viewers, self.most_connections * 3 // 4))

    @property
    def most_streams_per_token(self) -> int:
        """Streams that may be open with one token: three quarters of all, so that another one always has some."""
        return max(1, self.most_streams * 3 // 4) if self.viewer_token else self.most_streams

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the options that the settings ask for; without a token one is made."""
        token, viewer = settings.token, settings.viewer_token
        return cls(
            token=token.get_secret_value() if token else new_token(),
            viewer_token=viewer.get_secret_value() if viewer else None,
            generated=token is None,
            allowed_origins=settings.origins(),
            command_rate=settings.command_rate,
            command_timeout_s=settings.command_timeout_s,
            payload_limit=settings.payload_limit,
        )


def new_token() -> str:
    """Return a fresh token (256 random bits)."""
    return secrets.token_urlsafe(32)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach what listens there; a name other than ``localhost`` may be anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
