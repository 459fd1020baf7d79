"""What redis-py and the operating system raise, turned into the errors of `tidings.bus.errors`; nowhere else."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from functools import lru_cache
from types import TracebackType

from redis import exceptions as lower

from tidings.bus.errors import (
    AccessDenied,
    LoginRefused,
    NotPrimary,
    ServerFull,
    TidingsError,
    UnexpectedReply,
    Unreachable,
    UnsupportedServer,
)
from tidings.bus.redis.address import Address

OLDEST_VERSION = (7, 0)
"""The oldest Redis that will do. Every Valkey will: the first one was 7.2."""

_LONGEST_REASON = 300
_AUTHENTICATION = (lower.AuthenticationError, lower.AuthenticationWrongNumberOfArgsError)
_RIGHTS = (lower.NoPermissionError, lower.AuthorizationError)
# How Redis and Valkey word it when a script meets a command that its user may not run.
# A transaction has no MULTI where that was refused before it.
_RIGHTS_IN_TEXT = ("the user executing the script can't", "acl failure in script", "exec without multi")
_LOST = (lower.ConnectionError, lower.TimeoutError, lower.InvalidResponse, OSError)
# Replies of a server that is there and cannot serve now. redis-py has classes for some, and takes the code out of their texts.
_UNABLE = (lower.ClusterDownError, lower.TryAgainError)
_UNABLE_CODES = ("BUSY", "MISCONF")
_UNABLE_IN_SCRIPT = "script killed by user"
_NOT_PRIMARY = (lower.ReadOnlyError, lower.MasterDownError)
_NOT_PRIMARY_CODES = ("NOREPLICAS",)
# Protected mode: a server that is open to all, as one is that was started without its configuration.
_DENIED_CODES = ("DENIED",)
_NO_HELLO = re.compile(r"unknown command\W+hello\b", re.IGNORECASE)
# Wording of redis-py where it replaces an OSError; that one is then the immediate context.
_MADE_FROM_OSERROR = "Error "
# Old servers quote the arguments of a command that they do not know, passwords included.
_QUOTED_ARGUMENTS = ", with args beginning with"


class Failures:
    """A context to send commands in: what fails comes out as an error of ours that says where and what to do.

    Errors of ours, cancellation, and what neither redis-py nor the operating system raised pass unchanged. Only commands belong
    inside: any OSError is taken for one of the connection. One object may be entered any number of times, also at once.

    Args:
        address: Where the commands go.
        greeted: Whether the server has taken our name and password before. When it refuses them later it is a server without its
            configuration, or a password that is just being changed: an absence to be outlasted, no reason to end.

    Raises:
        AccessDenied: Wrong user or password, none given where one is needed, or no right to the command.
        UnsupportedServer: The server is so old that it does not understand our greeting.
        ServerFull: The server has no memory left for what was to be stored.
        NotPrimary: The server is read-only, or cut off from its primary or its replicas.
        LoginRefused: The server refuses the user or the password, and has taken them before.
        Unreachable: Nothing answered in time, the connection was lost, or the server cannot serve now: it is loading, busy, or
            cannot write to its disk. Whether a write was applied is not known.
        UnexpectedReply: Any other error of the server.
    """

    __slots__ = ("address", "greeted")

    def __init__(self, address: Address, *, greeted: bool = False) -> None:
        self.address = address
        self.greeted = greeted

    def __repr__(self) -> str:
        return f"<Failures of {self.address}>"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        ours = None if error is None else self.translate(error)
        if ours is None:
            return
        clean = not any(self._holds_secret(link) for link in _chain(error))
        try:
            raise ours from (error if clean else None)
        finally:
            if not clean:
                # Not only hidden but gone: some reporters print suppressed contexts too.
                ours.__context__ = None

    def translate(self, error: BaseException) -> TidingsError | None:
        """Return the error of ours that stands for `error`, or None where it shall pass unchanged."""
        if isinstance(error, TidingsError) or not isinstance(error, (lower.RedisError, OSError)):
            return None
        links = list(_chain(error))
        return self._denied(links) or self._outdated(links) or self._lost(links) or self._unexpected(links[0])

    def _denied(self, links: list[BaseException]) -> AccessDenied | Unreachable | None:
        for link in links:
            reason = self.reason(link)
            if isinstance(link, _AUTHENTICATION) or _code(link) in _DENIED_CODES:
                advice = self._greeting_denied(reason)
                if self.greeted:
                    return LoginRefused(f"{self.address} {advice}; it is tried again", address=self.address.text)
                return self._access_denied(advice)
            if isinstance(link, _RIGHTS) or str(link).lower().startswith(_RIGHTS_IN_TEXT):
                return self._access_denied(f"does not let us do that ({reason}): ask for the right (ACL SETUSER)")
        return None

    def _greeting_denied(self, reason: str) -> str:
        if self.address.options.keys() & {"username", "password"}:
            return f"refuses the user name or the password ({reason}): correct them in the address"
        # In words: an example would look like a secret, and be redacted where it is logged.
        return (
            f"asks for a password ({reason}): put the user name and the password into the address, before the host, "
            "with a colon between them and an @ behind them"
        )

    def _access_denied(self, text: str) -> AccessDenied:
        return AccessDenied(f"{self.address} {text}", address=self.address.text)

    def _outdated(self, links: list[BaseException]) -> UnsupportedServer | None:
        if not any(_NO_HELLO.match(str(link)) for link in links):
            return None
        return unsupported(self.address, "a server from before Redis 6")

    def _lost(self, links: list[BaseException]) -> Unreachable | None:
        error = links[0]
        if isinstance(error, lower.OutOfMemoryError):
            return ServerFull(
                f"the server is full: {self.address} has no memory left ({self.reason(error)}); "
                "delete sessions (tidings delete), or raise its maxmemory",
                address=self.address.text,
            )
        if _is(error, _NOT_PRIMARY, _NOT_PRIMARY_CODES):
            return NotPrimary(
                f"{self.address} takes no writes now, as a primary would: {self.reason(error)}", address=self.address.text
            )
        told = next((text for link in links if (text := self._particular(link))), None)
        # A reply that quotes our credentials is one to our greeting, in any words.
        if told is None and not isinstance(error, _LOST) and not any(map(self._quotes_us, links)):
            return None
        return Unreachable(told or self._general(error), address=self.address.text)

    def _unexpected(self, error: BaseException) -> UnexpectedReply:
        reply = self.reason(error) or type(error).__name__
        return UnexpectedReply(
            f"{self.address} answers with an error that was not expected: {reply}", address=self.address.text, reply=reply
        )

    def _particular(self, link: BaseException) -> str | None:
        """Return the text for a failure that has an advice of its own."""
        reason = self.reason(link)
        if isinstance(link, lower.BusyLoadingError):
            return f"{self.address} is still loading its data: try again in a while"
        if isinstance(link, lower.InvalidResponse):
            return f"{self.address} answers, but not as a Redis server does ({reason}): correct the address"
        if _is(link, _UNABLE, _UNABLE_CODES) or _UNABLE_IN_SCRIPT in str(link).lower():
            return f"{self.address} cannot take the command now: {reason}"
        if isinstance(link, ssl.SSLCertVerificationError):
            return (
                f"{self.address} shows a certificate that is not trusted ({link.verify_message}): "
                "name its authority with ?ssl_ca_certs=file.pem, or correct the host name"
            )
        if isinstance(link, ssl.SSLError):
            return f"{self.address} does not speak TLS with us ({reason}): is it redis://, without TLS?"
        if isinstance(link, (FileNotFoundError, ConnectionRefusedError)):
            why = os.strerror(link.errno or 0)
            return f"nothing listens at {self.address} ({why}): start a server there or correct the address"
        return None

    def _general(self, error: BaseException) -> str:
        reason = self.reason(error) or type(error).__name__
        return f"{self.address} cannot be reached: {reason}"

    def _holds_secret(self, error: BaseException) -> bool:
        return _QUOTED_ARGUMENTS in f"{error} {error.args!r}" or self._quotes_us(error)

    def _quotes_us(self, error: BaseException) -> bool:
        shown = f"{error} {error.args!r}"
        return self.address.without_secrets(shown) != shown

    def reason(self, error: BaseException) -> str:
        """Return the text of `error` without secrets, on one line, bounded."""
        text = str(error).partition(_QUOTED_ARGUMENTS)[0]
        text = self.address.without_secrets(text)
        text = "".join(character if character.isprintable() else " " for character in text)
        return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + "…"


def errors(address: Address | str) -> Failures:
    """Return the context to send commands to `address` in.

    Args:
        address: Where the commands go. Given as text, its secrets are only known if they are in it, and in
            `Connection.address` there are none: `Connection.errors` is the safer one.

    Raises:
        BadAddress: The text cannot be read as an address.
    """
    return Failures(address) if isinstance(address, Address) else _failures(address)


@lru_cache(maxsize=64)
def _failures(address: str) -> Failures:
    return Failures(Address.parse(address))


def unsupported(address: Address, found: str) -> UnsupportedServer:
    """Return the error for a server that is too old.

    Args:
        address: Where it listens.
        found: What it is, for a person: ``Redis 6.2.14``.
    """
    needed = ".".join(map(str, OLDEST_VERSION))
    return UnsupportedServer(
        f"{address} is {found}, and Tidings needs Redis {needed} or newer, or any Valkey: "
        "upgrade it, or let embedded:// start one",
        address=address.text,
        found=found,
        needed=needed,
    )


def _is(error: BaseException, classes: tuple[type[BaseException], ...], codes: tuple[str, ...]) -> bool:
    return isinstance(error, classes) or _code(error) in codes


def _code(error: BaseException) -> str:
    """Return the first word of a reply for which redis-py has no class: the server's code for it."""
    return str(error).partition(" ")[0]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield `error` and what it was made from: redis-py wraps the error that says most.

    Nothing else of its context: that may be a failure which the caller was handling when it sent the command.
    """
    while error is not None:
        yield error
        made_from = error.__context__ if str(error).startswith(_MADE_FROM_OSERROR) else None
        error = error.__cause__ or (made_from if isinstance(made_from, OSError) else None)
