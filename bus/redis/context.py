"""What every part of the bus shares: the connection, the names, the clock, and how a script is run when the connection breaks."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError, ResponseError

from tidings.bus.channels import Names
from tidings.bus.errors import (
    TAKE_AWAY,
    Closed,
    NotPrimary,
    ServerFull,
    TidingsError,
    UnexpectedKey,
    UnexpectedReply,
    Unreachable,
    UnreadableRecord,
)
from tidings.bus.messages import PAYLOAD_LIMIT
from tidings.bus.redis import scripts
from tidings.bus.redis.connection import Connection

T = TypeVar("T")

Argument = str | bytes | int | float

_KINDS = {kind: kind for kind in ("hash", "stream", "string", "list", "set")} | {"zset": "sorted set"}
"""What a person calls the types of the server."""
_MISPLACED = "WRONGTYPE"
"""With what the server's words begin where a key holds another type of value."""
_READINGS = 5


class ServerClock:
    """Server time, estimated from one measured difference and our own monotonic clock.

    Wall clocks of workers differ and jump; the scripts use the server's TIME, so all others convert to it.
    """

    def __init__(self) -> None:
        self._server = time.time()
        self._ours = time.monotonic()

    def set(self, server: float, before: float, after: float) -> None:
        """Take a measurement: server time in seconds, and our monotonic clock before asking and after the answer."""
        self._server = server
        self._ours = (before + after) / 2

    def now(self) -> datetime:
        """Return the server's time, now."""
        return self.at(time.monotonic())

    def at(self, monotonic: float) -> datetime:
        """Return the server's time at a moment of our monotonic clock."""
        return datetime.fromtimestamp(self._server, tz=UTC) + timedelta(seconds=monotonic - self._ours)


@dataclass
class RedisContext:
    """One Redis, as the parts of the bus see it."""

    connection: Connection
    names: Names
    payload_limit: int = PAYLOAD_LIMIT
    clock: ServerClock = field(default_factory=ServerClock)
    _led_astray: bool = field(default=False, init=False)
    """Whether a server that is no primary has answered since a script last ran."""

    async def run(self, script: str, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Run one script once.

        Raises:
            ServerFull: the server has no memory left for what the script stores.
            Unreachable: the connection broke, or the server cannot serve now; whether the script ran is not known.
            AccessDenied: the server refused it.
            UnexpectedKey: a key that all sessions share holds another type of value.
            UnreadableRecord: a key of the session does.
        """
        try:
            answer = await self._ask(scripts.run(self.connection.commands, script, keys, args))
        except UnexpectedReply as error:
            if not error.reply.startswith(_MISPLACED):
                raise
        else:
            await self._follow_primary()
            return answer
        raise await self._misplaced(keys)

    async def run_again(
        self,
        script: str,
        keys: Sequence[str],
        args: Sequence[Argument],
        again: Sequence[Argument] | None = None,
    ) -> Any:
        """Run a script that may run twice; a second time at once when the connection broke.

        After a restart of the server each connection in the pool fails once, and that is not yet news for the caller.

        Args:
            again: arguments of the second time, where they differ (a flag that says: look first whether it is there).

        Raises:
            ServerFull: the server has no memory left for what the script stores.
            Unreachable: it broke again, or the server still cannot serve.
            AccessDenied: the server refused it.
        """
        try:
            return await self.run(script, keys, args)
        except ServerFull:
            raise
        except Unreachable:
            return await self.run(script, keys, args if again is None else again)

    def pipeline(self, *, atomic: bool) -> Pipeline:
        """Return a pipeline for reading; ``atomic`` where the answers must belong together."""
        return self.connection.pipeline(atomic=atomic)

    async def read(self, pipeline: Pipeline) -> list[Any]:
        """Run a pipeline of reads, a second time at once when the connection broke.

        Raises:
            Unreachable: it broke again, or the server still cannot serve.
            AccessDenied: the server refused it.
            UnexpectedKey: a key that all sessions share holds another type of value.
            UnreadableRecord: a key of a session does.
        """
        answers = await self.read_each(pipeline)
        for answer in answers:
            if isinstance(answer, TidingsError):
                raise answer
        return answers

    async def read_each(self, pipeline: Pipeline) -> list[Any]:
        """Run a pipeline of reads like ``read``; in the place of what a key of another type should have held stands the error.

        Raises:
            Unreachable: it broke again.
        """
        commands = list(pipeline.command_stack)
        try:
            answers = await self._execute(pipeline, commands)
        except Unreachable:
            # redis-py forgets the commands of a pipeline that failed, unless it failed before it had a connection.
            answers = await self._execute(pipeline, commands)
        for index, answer in enumerate(answers):
            if isinstance(answer, ResponseError):
                answers[index] = await self._misplaced([_text(commands[index][0][1])])
        return answers

    async def _execute(self, pipeline: Pipeline, commands: list[Any]) -> list[Any]:
        pipeline.command_stack = list(commands)
        try:
            return await self._ask(_answers(pipeline))
        except ServerFull:
            return await self._read_unchanged(commands)

    async def _read_unchanged(self, commands: list[Any]) -> list[Any]:
        """Read what belongs together from a full server, which refuses every transaction, also one that only reads.

        It is read twice: what was the same both times was so at the moment in between.

        Raises:
            ServerFull: it changed each time.
        """
        count = len(commands)
        for _ in range(_READINGS):
            pipeline = self.pipeline(atomic=False)
            pipeline.command_stack = commands * 2
            answers = await self._ask(_answers(pipeline))
            pairs = zip(commands, answers[:count], answers[count:], strict=True)
            if all(_same(first, second) for (words, _), first, second in pairs if words[0] != "TIME"):
                return answers[:count]
        address = self.connection.address
        raise ServerFull(f"the server is full: {address} reads nothing as a whole: try again", address=address)

    async def _misplaced(self, keys: Sequence[str]) -> TidingsError:
        """Return the error for the first of the keys that holds another type of value than we keep there."""
        found, key = "value of another type", keys[0]
        for one in keys:
            kind = _text(await self._ask(self.connection.commands.type(one)))
            if kind not in (self.names.place(one)[0], "none"):
                found, key = _KINDS.get(kind, kind), one
                break
        kept, session = self.names.place(key)
        if session is None:
            return UnexpectedKey(key, found, _KINDS[kept], address=self.connection.address)
        return UnreadableRecord(session, f"the key {key} is a {found} and not a {_KINDS[kept]}", TAKE_AWAY)

    async def measure_clock(self) -> None:
        """Ask the server for its time.

        Raises:
            Unreachable: it does not answer.
        """
        before = time.monotonic()
        seconds, micros = await self._ask(self.connection.commands.time())
        self.clock.set(seconds + micros / 1e6, before, time.monotonic())

    async def _follow_primary(self) -> None:
        """Have the Pub/Sub connection made anew when a script ran after a server had answered that is no primary."""
        if self._led_astray:
            self._led_astray = False
            await self.connection.drop_pubsub()

    async def _ask(self, call: Awaitable[T]) -> T:
        """Await a command. When a server answers that is no primary, no connection to it is used again.

        After a failover behind one address the connections that stand still lead to the server that was the primary before.
        """
        if self.connection.closed:
            if inspect.iscoroutine(call):
                call.close()
            raise Closed("the bus was closed")
        try:
            with self.connection.errors:
                return await heeding(call)
        except NotPrimary:
            self._led_astray = True
            await self.connection.drop_idle()
            raise


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


async def _answers(pipeline: Pipeline) -> list[Any]:
    """Run a pipeline; of its errors those are among the answers that say that a key holds another type of value."""
    answers: list[Any] = await pipeline.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, RedisError) and not (isinstance(answer, ResponseError) and str(answer).startswith(_MISPLACED)):
            raise answer
    return answers


def _same(first: Any, second: Any) -> bool:
    """Whether two answers are alike; errors are compared by their words."""
    return bool(first == second) or (isinstance(first, ResponseError) and repr(first.args) == repr(getattr(second, "args", None)))


async def heeding(call: Awaitable[T]) -> T:
    """Await a command; a cancellation that redis-py swallows on the way comes out all the same.

    redis-py sends in ``asyncio.wait_for``, and before Python 3.12 that drops a cancellation (or the end of a time-out, which is
    one) that arrives in the moment in which the command has just been sent.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        return await call
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError
