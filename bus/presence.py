"""Presence: which workers and controllers there are, as they say themselves every few seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import Field, ValidationError

from bus.messages.envelope import Data, Instant, Text
from bus.records import instant
from bus.redis.clients import installed_version
from bus.redis.link import Argument, Link
from bus.roles import Role

BEAT_S = 2.0
"""How often a process says that it is there."""
LIVE_S = 3 * BEAT_S
"""For how long after that it is taken to live: two beats may be lost."""
KEEP_S = 24 * 3600.0
"""For how long a silent one is kept, so that people see in the morning what was lost in the night."""


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
        model: the model that a worker calls.
        starting: whether it is there and does not work yet.
        draining: whether it is about to end.
        unreadable: sessions that a controller has set aside because their records cannot be read.
        skipped: stored messages that it could not read and left out.
    """

    role: Role
    name: Text = Field(min_length=1)
    host: Text = ""
    pid: int = Field(default=0, ge=0)
    version: Text = Field(default_factory=installed_version)
    started_at: Instant | None = None
    sessions: tuple[str, ...] = ()
    concurrency: int = Field(default=0, ge=0)
    model: Text | None = None
    starting: bool = False
    draining: bool = False
    unreadable: int = Field(default=0, ge=0)
    skipped: int = Field(default=0, ge=0)

    @property
    def member(self) -> str:
        """How it is called in Redis."""
        return f"{self.role.value}/{self.name}"


@dataclass(frozen=True, slots=True)
class Attendant:
    """A process that said that it is there.

    Attributes:
        presence: what it said last.
        seen_at: when, on server time.
        live: whether that is so recent that it is taken to live.
    """

    presence: Presence
    seen_at: datetime
    live: bool


class Roll:
    """The list of the processes of one installation."""

    def __init__(self, link: Link) -> None:
        self._link = link

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
        names = self._link.names
        args: list[Argument] = [presence.member, what, int(KEEP_S * 1000)]
        await self._link.run_again("attend", [names.seen, names.presences], args)

    async def call(self) -> tuple[Attendant, ...]:
        """Return who was there within the last day, by role and name. What cannot be read is left out.

        Raises:
            Unreachable: the server does not answer.
            AccessDenied: the user may not do that.
        """
        names = self._link.names
        pipeline = self._link.pipeline(atomic=False)
        pipeline.zrange(names.seen, 0, -1, withscores=True)
        pipeline.hgetall(names.presences)
        pipeline.time()
        seen, said, (seconds, micros) = await self._link.read(pipeline)
        now_ms = seconds * 1000 + micros / 1000
        found = (_attendant(said.get(member), float(score), now_ms) for member, score in seen)
        return tuple(sorted((one for one in found if one), key=lambda one: (one.presence.role, one.presence.name)))


def _attendant(said: bytes | None, seen_ms: float, now_ms: float) -> Attendant | None:
    try:
        presence = Presence.model_validate_json(said or b"")
        return Attendant(presence, instant(seen_ms), now_ms - seen_ms <= LIVE_S * 1000)
    except (ValidationError, ValueError, OverflowError, OSError):
        # Of a later version, or not ours: a list must not fail over one line of it.
        return None
