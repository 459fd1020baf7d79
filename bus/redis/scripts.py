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
    "decide",
    "forget_due",
    "publish",
    "release",
    "renew",
    "restore",
    "set_aside",
    "take_due",
    "withdraw",
)
"""Every script; ``bus/redis/lua/<name>.lua`` explains its KEYS and ARGV."""


@cache
def source(name: str) -> str:
    """Return the text of a script, with the prelude that all share before it."""
    folder = files("bus.redis") / "lua"
    return (folder / "prelude.lua").read_text() + (folder / f"{name}.lua").read_text()


@cache
def _sha(name: str) -> str:
    return hashlib.sha1(source(name).encode(), usedforsecurity=False).hexdigest()


async def run(client: Redis, name: str, keys: Sequence[str], args: Sequence[str | bytes | int | float]) -> Any:
    """Run one script: EVALSHA, and EVAL once where the server does not know it yet.

    Returns what the script returns, in redis-py's types (bytes and ints).

    Raises:
        redis.exceptions.RedisError: as redis-py raises it; it has not been tried again.
    """
    try:
        return await client.evalsha(_sha(name), len(keys), *keys, *args)
    except NoScriptError:
        return await client.eval(source(name), len(keys), *keys, *args)
