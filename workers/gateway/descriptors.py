"""How many descriptors this process may open (``RLIMIT_NOFILE``, ``ulimit -n``), and how many of them connections get."""

from __future__ import annotations

import resource
from typing import Final

MOST_CONNECTIONS: Final = 12_000
"""However many descriptors there are: ten thousand streams, and what is asked beside them."""
_MOST_AT_ONCE: Final = 64


def connection_limit() -> int:
    """Return how many connections there may be: three quarters of the descriptors, and at most `MOST_CONNECTIONS`.

    The rest is for Redis, files, the models of workers in the same process, and connections that are about to be refused.
    """
    soft = _descriptors()
    return min(MOST_CONNECTIONS, max(1, soft - soft // 4))


def accepted_at_once() -> int:
    """Return how many connections are accepted in one turn of the loop.

    One that is refused has its descriptor for about four turns, so four times as many may go beyond the limit.
    """
    return max(1, min(_MOST_AT_ONCE, _descriptors() // 32))


def _descriptors() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 2 * MOST_CONNECTIONS
