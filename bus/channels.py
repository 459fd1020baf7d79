"""Every name and key of the system. They are built here and nowhere else.

Channel names (what Pub/Sub clients see) are ``<prefix><plane>.<session>``. Keys carry the partition as a hash tag, so that every
script stays on one node of a cluster: ``<prefix>{0}:<what>...``.

    record       hash      <prefix>{0}:session.<session>
    log          stream    <prefix>{0}:<plane>.<session>          (status: a short ring that expires)
    outcome      string    <prefix>{0}:outcome.<session>.<command id>
    key          string    <prefix>{0}:key.<session>.<digest>     the id of the command that was sent under a key
    ready        sorted    <prefix>{0}:ready.<queue>              session by the time at which it was queued
                           <prefix>{0}:ready.<queue>.<agent>      the same, of sessions that name their agent
    due          sorted    <prefix>{0}:due                        session by the time at which a controller must look at it
    sessions     hash      <prefix>{0}:sessions                   session to state
    children     hash      <prefix>{0}:children.<session>         child to what is known of it, for the viewers of its parent
    seen         sorted    <prefix>{0}:seen                       process by the time at which it was last heard of
    presences    hash      <prefix>{0}:presences                  process to what it says of itself

    wake-up      channel   <prefix>ready.0                        a session id whenever one enters ``ready``
    outcomes     channel   <prefix>outcomes.<session>             the outcome of each command
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tidings.bus.errors import InvalidName
from tidings.bus.messages import DEFAULT_QUEUE, check_session, is_session

Place = tuple[str, str | None]
"""A queue, and the agent that a session names; None: the first one of its worker."""
EVERYWHERE: tuple[Place, ...] = ((DEFAULT_QUEUE, None),)
"""Where a worker takes sessions from that was told nothing else."""

PLANES = ("status", "events", "commands")
"""The families of channels; their first letters differ (see ``Names.pattern``)."""

_KINDS = {"outcome": "string", "key": "string", "ready": "zset", "due": "zset", "seen": "zset"} | dict.fromkeys(PLANES, "stream")
"""What the keys hold that are no hashes."""

_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{0,64}")


@dataclass(frozen=True, slots=True)
class Channel:
    """``<plane>.<session>``; the session ``*`` means every session of the plane."""

    plane: str
    session: str

    @classmethod
    def parse(cls, name: str) -> Channel:
        """Read a channel as people write it, e.g. ``status.demo`` or ``status.*``.

        Raises:
            InvalidName: there is no such plane, or the session is not a session id.
        """
        plane, dot, session = name.partition(".")
        if plane not in PLANES or not dot:
            raise InvalidName(f"{repr(name)[:80]} is not a channel: write <plane>.<session>, the planes are {', '.join(PLANES)}")
        if session != "*":
            check_session(session)
        return cls(plane, session)

    @property
    def is_pattern(self) -> bool:
        """Whether it stands for every session of the plane."""
        return self.session == "*"

    def __str__(self) -> str:
        return f"{self.plane}.{self.session}"


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one installation.

    Args:
        prefix: lets several installations share one Redis; letters, digits and ``_ . : -``.

    Raises:
        InvalidName: the prefix holds something else (a glob character would catch other people's channels).
    """

    prefix: str = ""
    partition: int = 0

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise InvalidName(f"{self.prefix[:80]!r} is not a prefix: use up to 64 letters, digits and '_.:-'")

    def _key(self, rest: str) -> str:
        return f"{self.prefix}{{{self.partition}}}:{rest}"

    def record(self, session: str) -> str:
        """Key of the session record."""
        return self._key(f"session.{session}")

    def log(self, plane: str, session: str) -> str:
        """Key of the stream behind a channel."""
        return self._key(f"{plane}.{session}")

    def outcome(self, session: str, command_id: str) -> str:
        """Key of the outcome of one command."""
        return self._key(f"outcome.{session}.{command_id}")

    def key(self, session: str, digest: str) -> str:
        """Key of the id of the command that was sent under a key of its sender's, which may be any text: hence a digest of it."""
        return self._key(f"key.{session}.{digest}")

    def place(self, key: str) -> tuple[str, str | None]:
        """Return what a key of ours holds, as the server's TYPE calls it, and the session that it is of; None: of all of them."""
        what, _, rest = key.removeprefix(self._key("")).partition(".")
        return _KINDS.get(what, "hash"), (rest.partition(".")[0] or None) if what != "ready" else None

    def ready(self, queue: str = DEFAULT_QUEUE, agent: str | None = None) -> str:
        """Key of the sessions of a queue that want a worker with an agent; None: the first one that it has."""
        return self._key(f"ready.{queue}.{agent}" if agent else f"ready.{queue}")

    @property
    def due(self) -> str:
        """Key of the sessions that want a controller."""
        return self._key("due")

    @property
    def sessions(self) -> str:
        """Key of the index of sessions and their states."""
        return self._key("sessions")

    def children(self, session: str) -> str:
        """Key of what is known of the children of a session."""
        return self._key(f"children.{session}")

    @property
    def seen(self) -> str:
        """Key of the processes by the time at which they were last heard of."""
        return self._key("seen")

    @property
    def presences(self) -> str:
        """Key of what the processes say of themselves."""
        return self._key("presences")

    def channel(self, plane: str, session: str) -> str:
        """Name of the Pub/Sub channel of one session on one plane."""
        return f"{self.prefix}{plane}.{session}"

    @property
    def wake(self) -> str:
        """Name of the channel that wakes workers; the message is a session id."""
        return f"{self.prefix}ready.{self.partition}"

    def outcomes(self, session: str) -> str:
        """Name of the channel on which the outcomes of a session's commands are told."""
        return f"{self.prefix}outcomes.{session}"

    def pattern(self, planes: Iterable[str]) -> str:
        """The one pattern that covers the planes named.

        One process registers at most one pattern, because PUBLISH slows down with each. Several planes share one by their first
        letters; what it catches besides is dropped by ``channel_of``.
        """
        wanted = sorted(set(planes))
        if len(wanted) == 1:
            return f"{self.prefix}{wanted[0]}.*"
        return f"{self.prefix}[{''.join(plane[0] for plane in wanted)}]*.*"

    def channel_of(self, name: str) -> Channel | None:
        """Return the channel that a Pub/Sub name stands for, None where it is none of ours.

        The session is looked at too: with a prefix that ends in a plane and a dot, another installation's names begin like ours.
        """
        if not name.startswith(self.prefix):
            return None
        plane, _, session = name[len(self.prefix) :].partition(".")
        return Channel(plane, session) if plane in PLANES and is_session(session) else None
