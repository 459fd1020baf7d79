"""Inspection: what a server is like, how long its queues are, and what we may do there. Facts only; others judge them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from redis.exceptions import NoPermissionError, OutOfMemoryError, RedisError, ResponseError

from tidings.bus.channels import EVERYWHERE, Place
from tidings.bus.records import LAST_MS, instant
from tidings.bus.redis.context import RedisContext
from tidings.bus.roles import Role, trials

_ECHOES = 21
"""Round trips that are measured; with an odd number the median is one of them."""
_SECTIONS = ("server", "memory", "persistence", "replication")


@dataclass(frozen=True, slots=True)
class Server:
    """What a server is like. None: it does not say, or we may not ask.

    Attributes:
        program: ``redis`` or ``valkey``.
        version: its version.
        replica: whether it only follows another server, and so takes no writes.
        appendonly: whether it keeps an append-only file.
        appendfsync: when it writes that to the disk: ``always``, ``everysec`` or ``no``.
        disk_error: whether its last attempt to write to the disk failed.
        memory: bytes that it uses.
        maxmemory: bytes that it may use; 0: no limit.
        maxmemory_policy: what it does beyond that; anything but ``noeviction`` throws data away.
        latency_s: median of some round trips in seconds.
        latency_worst_s: the longest of them.
        clock_s: how far its clock is ahead of ours, in seconds.
    """

    program: str | None
    version: str | None
    replica: bool | None
    appendonly: bool | None
    appendfsync: str | None
    disk_error: bool | None
    memory: int | None
    maxmemory: int | None
    maxmemory_policy: str | None
    latency_s: float
    latency_worst_s: float
    clock_s: float


@dataclass(frozen=True, slots=True)
class Queue:
    """Sessions by time.

    Attributes:
        length: sessions in it.
        first: the first of them; None when it is empty.
        since: its time.
    """

    length: int
    first: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Queues:
    """What waits.

    Attributes:
        ready: sessions that want a worker, by the time at which they were queued.
        due: sessions that want a controller, by the time at which to look at them; most of them lie ahead.
    """

    ready: Queue
    due: Queue


class Inspection:
    """Asks one server."""

    def __init__(self, context: RedisContext) -> None:
        self._context = context

    async def server(self) -> Server:
        """Ask the server what it is like.

        Raises:
            Unreachable: it does not answer.
            AccessDenied: we may not even ask for the time.
        """
        info = await self._ask("INFO", *_SECTIONS)
        told = {str(name): _text(value) for name, value in info.items()}
        config = await self._ask("CONFIG GET", "appendfsync")
        trips, clock_s = await self._round_trips()
        valkey = told.get("valkey_version")
        return Server(
            program=("valkey" if valkey else "redis") if "redis_version" in told else None,
            version=valkey or told.get("redis_version"),
            replica=_is(told.get("role"), "slave"),
            appendonly=_is(told.get("aof_enabled"), "1"),
            appendfsync=next((_text(value) for value in config.values()), None),
            disk_error=_is(told.get("aof_last_write_status"), "err"),
            memory=_number(told.get("used_memory")),
            maxmemory=_number(told.get("maxmemory")),
            maxmemory_policy=told.get("maxmemory_policy"),
            latency_s=sorted(trips)[len(trips) // 2],
            latency_worst_s=max(trips),
            clock_s=clock_s,
        )

    async def _ask(self, *words: str) -> Mapping[Any, Any]:
        """Ask what we may have no right to, what a host of Redis has taken away, or what fakeredis does not know."""
        if self._context.connection.memory:
            return {}
        with self._context.connection.errors:
            try:
                answer: Any = await self._context.connection.commands.execute_command(*words)  # type: ignore[no-untyped-call]
            except ResponseError:
                return {}
        return answer if isinstance(answer, Mapping) else {}

    async def _round_trips(self) -> tuple[list[float], float]:
        """Return round trips in seconds, and how far the server's clock is ahead of our wall clock by the median of them."""
        trips: list[float] = []
        ahead: list[float] = []
        for _ in range(_ECHOES):
            before, wall = time.perf_counter(), time.time()
            with self._context.connection.errors:
                seconds, micros = await self._context.connection.commands.time()
            trips.append(time.perf_counter() - before)
            ahead.append(seconds + micros / 1e6 - wall - trips[-1] / 2)
        return trips, sorted(ahead)[len(ahead) // 2]

    async def queues(self, places: Sequence[Place] = EVERYWHERE) -> Queues:
        """Return how long the queues are, and what is first in them.

        Args:
            places: the queues of workers, each with an agent or None; they are counted together.

        Raises:
            Unreachable: the server does not answer.
            AccessDenied: the user may not do that.
        """
        names = self._context.names
        pipeline = self._context.pipeline(atomic=False)
        for key in (names.due, *(names.ready(*place) for place in places)):
            pipeline.zcard(key)
            pipeline.zrange(key, 0, 0, withscores=True)
        due, first_due, *found = await self._context.read(pipeline)
        first_ready = sorted(itertools.chain.from_iterable(found[1::2]), key=itemgetter(1))[:1]
        return Queues(_queue(sum(found[::2]), first_ready), _queue(due, first_due))

    async def denied(self, role: Role) -> tuple[str, ...]:
        """Return the commands of a role that we may not send, such as ``HSET {0}:session.doctor``; none is carried out.

        They are queued in a transaction, where the server checks the rights to each, and then discarded.

        Raises:
            Unreachable: the server does not answer.
            AccessDenied: we may not open a transaction, so that nothing can be tried.
        """
        if self._context.connection.memory:
            return ()
        commands = list(trials(role, self._context.names))
        pool = self._context.connection.commands.connection_pool
        with self._context.connection.errors:
            connection = await pool.get_connection()  # type: ignore[no-untyped-call]
            try:
                answers = await _try(connection, commands)
            except BaseException:
                # It may be in the middle of a transaction, or of an answer.
                await connection.disconnect()
                raise
            finally:
                await pool.release(connection)
        return tuple(_named(words) for words, answer in zip(commands, answers, strict=True) if answer is not None)


async def _try(connection: Any, commands: list[tuple[str, ...]]) -> list[RedisError | None]:
    """Queue commands in a transaction and discard it; return for each why it was refused, None where it was not."""
    await connection.send_packed_command(connection.pack_commands([("MULTI",)]))
    # Waited for before anything else is sent: without the transaction the commands would be carried out.
    await connection.read_response()
    await connection.send_packed_command(connection.pack_commands([*commands, ("DISCARD",)]))
    answers = [await _refusal(connection) for _ in commands]
    await connection.read_response()
    return answers


async def _refusal(connection: Any) -> RedisError | None:
    try:
        await connection.read_response()
    except NoPermissionError as error:
        return error
    except OutOfMemoryError:
        # A full server queues nothing; it has looked at the rights before.
        return None
    return None


def _named(words: tuple[str, ...]) -> str:
    """Return a command and what it works on, for a person; of a script not its text."""
    return words[0] if words[0] in ("EVAL", "EVALSHA") else " ".join(words[:2])


def _queue(length: int, first: list[Any]) -> Queue:
    if not first:
        return Queue(0)
    member, score = first[0]
    # Where the time is none of ours it is at the end of time that is nearer.
    return Queue(int(length), member.decode(errors="replace"), instant(min(max(float(score), 0.0), LAST_MS)))


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _is(told: str | None, wanted: str) -> bool | None:
    return None if told is None else told == wanted


def _number(told: str | None) -> int | None:
    return int(told) if told is not None and told.isdecimal() else None
