"""The Lua scripts, one named file per atomic step, and the one seam through which they are called."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

NAMES = (
    "append",
    "attend",
    "claim",
    "command",
    "command_when_full",
    "decide",
    "force_delete",
    "forget_due",
    "publish",
    "quarantine",
    "release",
    "renew",
    "restore",
    "dequeue_due",
    "withdraw",
)
"""Every script; its file in ``bus/redis/lua`` explains its KEYS and ARGV."""


ON_A_FULL_SERVER = frozenset(
    {
        "attend",
        "command_when_full",
        "decide",
        "dequeue_due",
        "force_delete",
        "forget_due",
        "quarantine",
        "release",
        "renew",
        "withdraw",
    }
)
"""Scripts that a server without memory (``maxmemory``) runs all the same, of those that need some.

They are the whole way of a deletion, which gives memory back, and what keeps and puts down the sessions that are held: a worker
that could not renew its lease would be taken for lost. What they store is bounded by what is there already. Not so with the
others: they begin something new, or make a history longer.
"""

_FILES = {"command_when_full": "command"}
"""Scripts that are another one's file: the same step, under other conditions."""


@cache
def source(name: str, *, plain: bool = False) -> str:
    """Return the text of a script, with the prelude that all share before it.

    Args:
        name: one of `NAMES`.
        plain: leave out the line in which a script tells a server how to run it, which fakeredis does not know.
    """
    folder = files("tidings.bus.redis") / "lua"
    # With such a line and without this flag a script would be refused before it begins. Without one it is refused at its first
    # write that takes memory, and so still says what it found: that the message is stored already.
    head = "#!lua flags=allow-oom\n" if name in ON_A_FULL_SERVER and not plain else ""
    return head + (folder / "prelude.lua").read_text() + (folder / f"{_FILES.get(name, name)}.lua").read_text()


@cache
def _sha(name: str, *, plain: bool) -> str:
    return hashlib.sha1(source(name, plain=plain).encode(), usedforsecurity=False).hexdigest()


async def run(client: Redis, name: str, keys: Sequence[str], args: Sequence[str | bytes | int | float]) -> Any:
    """Run one script: EVALSHA, and EVAL once where the server does not know it yet.

    Returns what the script returns, in redis-py's types (bytes and ints).

    Raises:
        redis.exceptions.RedisError: as redis-py raises it; it has not been tried again.
    """
    plain = getattr(client.connection_pool.connection_class, "plain_scripts", False)
    try:
        return await client.evalsha(_sha(name, plain=plain), len(keys), *keys, *args)
    except NoScriptError:
        return await client.eval(source(name, plain=plain), len(keys), *keys, *args)
