"""The way to Redis: addresses, connections, servers of our own, and the Lua scripts that run there.

Inside this package ``import redis`` is the redis-py distribution, as everywhere: imports are absolute.
"""

from __future__ import annotations

from tidings.bus.redis.address import Address, address_of
from tidings.bus.redis.connection import Connection, Timeouts, open_connection

__all__ = ["Address", "Connection", "Timeouts", "address_of", "open_connection"]
