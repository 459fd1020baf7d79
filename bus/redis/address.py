"""Where a server is and how to speak to it, read from a URL; the text of it that is safe to show.

    redis://[user:password@]host[:port][/db]    TCP
    rediss://…                                  TCP with TLS; options as in redis-py: ?ssl_ca_certs=ca.pem
    unix://[user:password@]/path[?db=1]         Unix socket
    embedded://[/folder]                        a server of our own; without a folder it keeps nothing
    memory://[name]                             no server at all, for tests; one process only

A URL that is not well formed is never quoted, not even in part: a password with an unescaped ``/``, ``?``
or ``#`` in it reads as host, port or path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from redis.asyncio.connection import parse_url

from tidings.bus.errors import BadAddress

DEFAULT_HOST = "localhost"
DEFAULT_PORT = 6379
UNREADABLE = "(an address that cannot be read)"

_TLS_OPTIONS = frozenset(
    {
        "ssl_ca_certs",
        "ssl_ca_data",
        "ssl_ca_path",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_ciphers",
        "ssl_exclude_verify_flags",
        "ssl_include_verify_flags",
        "ssl_keyfile",
        "ssl_min_version",
        "ssl_password",
    }
)
_OPTIONS = frozenset({"client_name", "db", "password", "username"})
_ALLOWED_OPTIONS = {"redis": _OPTIONS, "rediss": _OPTIONS | _TLS_OPTIONS, "unix": _OPTIONS}
# What redis-py would take from a URL, and what our guarantees rest on.
_OUR_OPTIONS = frozenset(
    {
        "decode_responses",
        "encoding",
        "encoding_errors",
        "health_check_interval",
        "legacy_responses",
        "max_connections",
        "protocol",
        "retry_on_error",
        "retry_on_timeout",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_read_size",
        "socket_timeout",
        "timeout",
    }
)
_SECRET_OPTIONS = frozenset({"password", "ssl_password", "username"})
_EXAMPLES = (
    "write redis://host:6379/0, rediss://host:6379/0, unix:///path/to/redis.sock, embedded://, "
    "embedded:///path/to/folder or memory://"
)
_ENCODE = "a user name or a password with any of / ? # @ : % in it must be percent-encoded there"
_DATABASE = re.compile(r"/?[0-9]{0,5}/?")
_MEMORY_NAME = re.compile(r"[A-Za-z0-9._-]{0,64}")
# Shorter ones would be found in the middle of ordinary words.
_SHORTEST_SECRET = 4
_REDACTED = "[redacted]"


@dataclass(frozen=True)
class Address:
    """One server's address.

    Attributes:
        scheme: ``redis``, ``rediss``, ``unix``, ``embedded`` or ``memory``.
        text: The address without user, password and options; safe to print, and what ``str()`` gives.
        url: The address as it was given, with everything in it.
        location: Host name, path of the socket, folder of the data, or name of the memory.
        options: What redis-py's connection takes, credentials included.
        secrets: User name and passwords, as they are and as they stand in the URL.
    """

    scheme: str
    text: str
    url: str = field(repr=False)
    location: str
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    def __str__(self) -> str:
        return self.text

    @staticmethod
    def parse(url: str) -> Address:
        """Read a URL.

        Raises:
            BadAddress: It cannot be used as written. The text says why, and quotes nothing of it.
        """
        url = url.strip()
        parts = _split(url)
        if parts is None or not url.isprintable():
            raise BadAddress(f"the address of the server cannot be read: {_EXAMPLES}; {_ENCODE}")
        if parts.scheme in _ALLOWED_OPTIONS:
            return _server(url, parts)
        if parts.scheme == "embedded":
            return _embedded(url, parts)
        if parts.scheme == "memory":
            return _memory(url, parts)
        raise BadAddress(f"the address of the server starts with none of the known schemes: {_EXAMPLES}")

    def without_secrets(self, text: str) -> str:
        """Return `text` with every user name and password of this address taken out of it."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, _REDACTED)
        return text


def address_of(url: str) -> str:
    """Return the part of `url` that is safe to show: no user, no password, no options.

    What cannot be read as an address is replaced as a whole. Never raises.
    """
    try:
        return Address.parse(url).text
    except BadAddress:
        return UNREADABLE


def _split(url: str) -> SplitResult | None:
    """Take the URL apart, or return None if that cannot be done without doubt."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # read to have it checked
    except ValueError:
        return None
    return parts if "://" in url and "#" not in url else None


def _server(url: str, parts: SplitResult) -> Address:
    if parts.scheme != "unix" and not _DATABASE.fullmatch(parts.path):
        raise BadAddress(f"after the host there may only be a database number, as in /0: {_ENCODE}")
    _check_options(parts)
    options = _parse_options(url)
    database = options.get("db", 0)
    if parts.scheme == "unix":
        location = _socket_path(parts)
        text = f"unix://{quote(location)}" + (f"?db={database}" if database else "")
        options |= {"path": location, "db": database}
    else:
        location = unquote(parts.hostname or DEFAULT_HOST)
        options |= {"host": location, "port": _port(parts), "db": database}
        if parts.scheme == "rediss":
            # Given no password at all, OpenSSL asks for that of an encrypted key on the terminal.
            options.setdefault("ssl_password", "")
        text = f"{parts.scheme}://{_shown_host(location)}:{options['port']}/{database}"
    return Address(parts.scheme, text, url, location, MappingProxyType(options), frozenset(_secrets(parts)))


def _check_options(parts: SplitResult) -> None:
    allowed = _ALLOWED_OPTIONS[parts.scheme]
    names = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    ours = sorted(names & _OUR_OPTIONS)
    if ours:
        raise BadAddress(f"leave {', '.join(ours)} out of the address: Tidings sets that itself")
    if names - allowed:
        raise BadAddress(
            f"the address has an option that cannot be given there; with {parts.scheme}:// there are "
            f"{', '.join(sorted(allowed))}; {_ENCODE}"
        )


def _parse_options(url: str) -> dict[str, object]:
    """Return redis-py's own reading of the URL, without its choice of a connection class."""
    reason = ""
    options: dict[str, object] = {}
    try:
        options = dict(parse_url(url))
    except ValueError as error:
        reason = str(error)
    # Raised out here, because the lower error's context quotes the value.
    if reason:
        raise BadAddress(f"an option of the address cannot be used: {reason}")
    options.pop("connection_class", None)
    database = options.get("db", 0)
    if isinstance(database, int) and database < 0:
        raise BadAddress("the database in the address is a number from 0 on")
    return options


def _socket_path(parts: SplitResult) -> str:
    user, _, host = parts.netloc.rpartition("@")
    path = unquote(parts.path)
    if host or not path or (user and "@" in parts.path) or not path.isprintable():
        raise BadAddress(f"three slashes, then the path of the socket: unix:///path/to/redis.sock; {_ENCODE}")
    return path


def _port(parts: SplitResult) -> int:
    if parts.port == 0:
        raise BadAddress("port 0 cannot be connected to: write the port that the server listens on")
    return parts.port or DEFAULT_PORT


def _shown_host(host: str) -> str:
    return f"[{host}]" if ":" in host else quote(host)


def _secrets(parts: SplitResult) -> Iterator[str]:
    written = [parts.username or "", parts.password or ""]
    for option in parts.query.split("&"):
        name, _, value = option.partition("=")
        if unquote(name) in _SECRET_OPTIONS:
            written.append(value)
    for text in written:
        plain = unquote(text)
        for form in (text, plain, unquote(text.replace("+", " ")), quote(plain), quote(plain, safe="")):
            if len(form) >= _SHORTEST_SECRET and form != "default":
                yield form


def _embedded(url: str, parts: SplitResult) -> Address:
    folder = unquote(parts.path)
    if parts.netloc or parts.query or not folder.isprintable():
        raise BadAddress("an embedded server is embedded:// or, with its data, embedded:///path/to/folder")
    return Address("embedded", f"embedded://{quote(folder)}", url, folder)


def _memory(url: str, parts: SplitResult) -> Address:
    if parts.path or parts.query or not _MEMORY_NAME.fullmatch(parts.netloc):
        raise BadAddress("memory is memory:// or memory://name, with a name of letters, digits, '.', '_' and '-'")
    return Address("memory", f"memory://{parts.netloc}", url, parts.netloc)
