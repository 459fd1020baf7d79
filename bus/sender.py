"""Sending commands, and waiting for the one outcome that each gets."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta

from pydantic import ValidationError

from tidings.bus.controller import OUTCOME_S
from tidings.bus.errors import (
    CommandExpired,
    CommandRefused,
    IdempotencyConflict,
    InvalidMessage,
    SessionDeleted,
    UnknownSession,
    Unreachable,
    unreadable,
)
from tidings.bus.listener import Listener, Wakeup
from tidings.bus.messages import (
    Command,
    Message,
    Outcome,
    Result,
    SessionDelete,
    SessionReport,
    SessionSay,
    SessionStart,
    encode,
    explain,
)
from tidings.bus.records import check_fit
from tidings.bus.redis.context import Argument, RedisContext
from tidings.bus.worker.face import new_epoch

_LOOK_S = 0.5
_WITHDRAW_S = 2.0
_WAITING = 1000
"""Commands that may wait for a controller in one session. No person types that many; a program that sends them is told."""
_EVENT_ROOM = 512
"""Bytes by which the event may be larger than the command that it is made of: the name of the controller stands in it."""
_WHY = "its record or its log of commands does not fit, or controllers have set it aside"
_UNDECIDED_S = 24 * 3600.0


class CommandSender:
    """Sends commands on behalf of people and programs."""

    def __init__(self, context: RedisContext, listener: Listener) -> None:
        self._context, self._listener = context, listener

    async def send(self, command: Message[Command], timeout_s: float, key: str = "") -> Outcome:
        """Send a command and wait for its outcome; see ``Bus.send``."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        expires_at = self._context.clock.now() + timedelta(seconds=timeout_s)
        command = command.model_copy(update={"data": command.data.model_copy(update={"expires_at": expires_at})})
        heard = Wakeup()
        try:
            async with asyncio.timeout_at(deadline):
                await self._listener.listen(self._context.names.outcomes(command.session), heard)
                outcome = await self.submit(command, key) or await self._await_outcome(command, heard)
        except TimeoutError:
            outcome = await self._withdraw(command)
        finally:
            await self._listener.forget(heard)
        return _raise_unless_applied(outcome)

    async def submit(self, command: Message[Command], key: str = "", *, when_full: bool = False) -> Outcome | None:
        """Store a command and wait for nothing; see ``Bus.submit``."""
        names, session = self._context.names, command.session
        keys = [names.record(session), names.log("commands", session), names.due, names.outcome(session, command.id)]
        keys += [names.key(session, _digest(key))] if key else []
        epoch = new_epoch() if isinstance(command.data, SessionStart) else ""
        room = _EVENT_ROOM if isinstance(command.data, SessionStart | SessionSay | SessionReport) else 0
        payload = encode(command, self._context.payload_limit - room)
        args: list[Argument] = [session, names.channel("commands", session), command.id, payload, epoch]
        args += [int(_UNDECIDED_S * 1000), _WAITING, int(isinstance(command.data, SessionDelete)), int(OUTCOME_S * 1000)]
        script = "command_when_full" if when_full or isinstance(command.data, SessionDelete) else "command"
        answer = await self._context.run_again(script, keys, args)
        if answer[0] == b"unreadable":
            raise CommandRefused(command.id, unreadable(session, _WHY), "", ())
        check_fit(session, answer)
        if answer[0] == b"reused":
            raise IdempotencyConflict(session)
        if answer[0] == b"unknown":
            raise UnknownSession(session, start=not isinstance(command.data, SessionDelete))
        if answer[0] == b"deleted":
            raise SessionDeleted(session)
        if answer[0] == b"full":
            raise CommandRefused(command.id, f"{_WAITING} commands wait in this session already", "", ())
        if answer[0] == b"done":
            return _read(answer[1])
        return None

    async def _await_outcome(self, command: Message[Command], heard: Wakeup) -> Outcome:
        # The key is looked at as well: Pub/Sub alone promises nothing.
        while True:
            heard.clear()
            outcome = await self._outcome(command)
            if outcome is not None:
                return outcome
            await heard.wait_at_most(_LOOK_S)

    async def _outcome(self, command: Message[Command]) -> Outcome | None:
        pipeline = self._context.pipeline(atomic=False)
        pipeline.get(self._context.names.outcome(command.session, command.id))
        try:
            value = (await self._context.read(pipeline))[0]
        except Unreachable:
            return None
        return _read(value) if value else None

    async def _withdraw(self, command: Message[Command]) -> Outcome:
        """Stop waiting: from here on the command cannot be applied, unless it just was.

        Raises:
            Unreachable: the server does not answer; the command expires by its own time.
        """
        expired = Outcome(
            command_id=command.id, session=command.session, result=Result.EXPIRED, reason="no controller answered in time"
        )
        args: list[Argument] = [expired.model_dump_json(), int(OUTCOME_S * 1000)]
        keys = [self._context.names.outcome(command.session, command.id)]
        try:
            async with asyncio.timeout(_WITHDRAW_S):
                return _read(await self._context.run_again("withdraw", keys, args))
        except TimeoutError:
            address = self._context.connection.address
            raise Unreachable(f"{address} does not answer: look whether the server is well", address=address) from None


def _read(value: bytes) -> Outcome:
    try:
        return Outcome.model_validate_json(value)
    except ValidationError as error:
        raise InvalidMessage(f"the outcome of the command cannot be read, something else wrote it: {explain(error)}") from None


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()[:32]


def _raise_unless_applied(outcome: Outcome) -> Outcome:
    if outcome.result is Result.REFUSED:
        raise CommandRefused(outcome.command_id, outcome.reason, outcome.state or "", outcome.legal)
    if outcome.result is Result.EXPIRED:
        raise CommandExpired(outcome.command_id)
    return outcome
