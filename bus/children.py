"""The children of a session, as its viewers see them."""

from __future__ import annotations

import logging

from tidings.bus.errors import InvalidMessage, cause_of
from tidings.bus.messages import ChildState, read_child
from tidings.bus.redis.context import RedisContext

log = logging.getLogger("tidings.bus")


async def read_children(context: RedisContext, session: str) -> tuple[ChildState, ...]:
    """Return what is known of the children of a session, by name; what cannot be read is left out.

    Each is as the newest ``child.state`` told it.

    Raises:
        Unreachable: the server does not answer.
        UnreadableRecord: what is kept of them is no hash.
    """
    pipeline = context.pipeline(atomic=False)
    pipeline.hgetall(context.names.children(session))
    known = (await context.read(pipeline))[0]
    found: list[ChildState] = []
    for value in known.values():
        try:
            found.append(read_child(value))
        except InvalidMessage as error:
            log.warning("child.unreadable", extra={"session": session, "cause": cause_of(error)})
    return tuple(sorted(found, key=lambda child: (child.name, child.child)))


async def forget_children(context: RedisContext, session: str) -> None:
    """Forget the children of a session that was deleted; each of them goes on being what it is.

    Raises:
        Unreachable: the server does not answer; doing it again is safe.
    """
    pipeline = context.pipeline(atomic=False)
    pipeline.delete(context.names.children(session))
    await context.read(pipeline)
