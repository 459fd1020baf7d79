"""Presence: which workers and controllers there are, as they say themselves every few seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import Field, ValidationError

from tidings.bus.channels import Place
from tidings.bus.messages.values import Data, Instant, SessionId, Text
from tidings.bus.messages.work import QueueName
from tidings.bus.records import instant
from tidings.bus.redis.clients import installed_version
from tidings.bus.redis.context import Argument, RedisContext
from tidings.bus.roles import Role

BEAT_S = 2.0
"""How often a process says that it is there."""
LIVE_S = 3 * BEAT_S
"""For how long after that it is taken to live: two beats may be lost."""
KEEP_S = 24 * 3600.0
"""For how long a silent one is kept, so that people see in the morning what was lost in the night."""


HELD = 1000
"""Most sessions that one process holds; a worker has no more slots."""
CALLED = 1000
"""Most processes on the roll: those heard of last."""
CALLED_BYTES = 1024 * 1024
"""Most bytes that the processes on the roll say of themselves; what is beyond that is no fleet of ours. Each viewer of a
gateway gets all of it, again and again."""
_MOST = 2**53 - 1
"""The largest number that every reader of JSON holds exactly."""


class Presence(Data):
    """What a process says of itself.

    Attributes:
        role: what it does.
        name: unique among its role; what notices call it.
        host: the machine, or the container.
        pid: the process on that machine.
        version: of Tidings.
        started_at: since when it works.
        sessions: sessions that it holds right now.
        concurrency: sessions that it can hold; 0 for one that holds none.
        model: the model that a worker calls where a session names none.
        queues: the queues that a worker serves.
        agents: the names of its agents; a session that names none is run by its first one.
        starting: whether it is there and does not work yet.
        draining: whether it is about to end.
        unreadable: sessions that a controller has set aside because their records cannot be read.
        skipped: stored messages that it could not read and left out.
    """

    role: Role
    name: Text = Field(min_length=1, max_length=200)
    host: Text = Field(default="", max_length=255)
    pid: int = Field(default=0, ge=0, le=_MOST)
    version: Text = Field(default_factory=installed_version, max_length=64)
    started_at: Instant | None = None
    sessions: tuple[SessionId, ...] = Field(default=(), max_length=HELD)
    concurrency: int = Field(default=0, ge=0, le=_MOST)
    model: Text | None = Field(default=None, max_length=200)
    queues: tuple[QueueName, ...] = Field(default=(), max_length=64)
    agents: tuple[QueueName, ...] = Field(default=(), max_length=64)
    starting: bool = False
    draining: bool = False
    unreadable: int = Field(default=0, ge=0, le=_MOST)
    skipped: int = Field(default=0, ge=0, le=_MOST)

    def serves(self, place: Place) -> bool:
        """Whether it takes sessions of a queue that want an agent; None: any."""
        queue, agent = place
        return queue in self.queues and (agent is None or agent in self.agents) and not self.draining

    @property
    def member(self) -> str:
        """How it is called in Redis."""
        return f"{self.role.value}/{self.name}"


@dataclass(frozen=True, slots=True)
class Member:
    """A process that said that it is there.

    Attributes:
        presence: what it said last.
        seen_at: when, on server time.
        live: whether that is so recent that it is taken to live.
    """

    presence: Presence
    seen_at: datetime
    live: bool


class Members:
    """The list of the processes of one installation.

    Attributes:
        left_out: entries that were left out when the list was read last: not to be read, too many, or too large.
    """

    def __init__(self, context: RedisContext) -> None:
        self._context = context
        self.left_out = 0

    async def attend(self, presence: Presence) -> None:
        """Say that a process is there; it is taken to live for `LIVE_S`.

        Raises:
            Unreachable: the server does not answer.
            AccessDenied: the user may not do that.
        """
        await self._say(presence, presence.model_dump_json())

    async def leave(self, presence: Presence) -> None:
        """Say that a process ends; it is forgotten at once.

        Raises:
            Unreachable: the server does not answer; the process is taken for silent.
            AccessDenied: the user may not do that.
        """
        await self._say(presence, "")

    async def _say(self, presence: Presence, what: str) -> None:
        names = self._context.names
        args: list[Argument] = [presence.member, what, int(KEEP_S * 1000)]
        await self._context.run_again("attend", [names.seen, names.presences], args)

    async def processes(self) -> tuple[Member, ...]:
        """Return the processes of the last day, by role and name: at most `CALLED` processes, those heard of last.

        What cannot be read, or would take the whole beyond `CALLED_BYTES`, is left out and counted in ``left_out``.

        Raises:
            Unreachable: the server does not answer.
            UnexpectedKey: a key of the list holds another type of value.
            AccessDenied: the user may not do that.
        """
        names = self._context.names
        pipeline = self._context.pipeline(atomic=False)
        pipeline.zrange(names.seen, -CALLED - 1, -1, withscores=True)
        # Also where there are none: a key of another type is told.
        pipeline.hmget(names.presences, [""])
        pipeline.time()
        seen, _, (seconds, micros) = await self._context.read(pipeline)
        seen.reverse()
        said = await self._said([member for member, _ in seen[:CALLED]])
        now_ms = seconds * 1000 + micros / 1000
        found: list[Member] = []
        size = 0
        for (member, score), what in zip(seen, said, strict=False):
            one = _member(member, what, float(score), now_ms) if size + len(what or b"") <= CALLED_BYTES else None
            if one is not None:
                found.append(one)
                size += len(what or b"")
        self.left_out = len(seen) - len(found)
        return tuple(sorted(found, key=lambda one: (one.presence.role, one.presence.name)))

    async def _said(self, members: list[bytes]) -> list[bytes | None]:
        if not members:
            return []
        pipeline = self._context.pipeline(atomic=False)
        pipeline.hmget(self._context.names.presences, members)
        found: list[bytes | None] = (await self._context.read(pipeline))[0]
        return found


def _member(member: bytes, said: bytes | None, seen_ms: float, now_ms: float) -> Member | None:
    try:
        presence = Presence.model_validate_json(said or b"")
        seen_at = instant(seen_ms)
    except (ValidationError, ValueError, OverflowError, OSError):
        # Of a later version, or not ours: a list must not fail over one line of it.
        return None
    # What was heard of in the future was not heard of.
    live = abs(now_ms - seen_ms) <= LIVE_S * 1000
    return Member(presence, seen_at, live) if presence.member.encode() == member else None
