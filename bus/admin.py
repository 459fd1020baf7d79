"""The side of those who look after an installation: its processes, queues and server, and sessions in, out and away by force."""

from __future__ import annotations

from collections.abc import AsyncIterator

from tidings.bus.channels import Place
from tidings.bus.errors import TidingsError, UnknownSession
from tidings.bus.inspection import Inspection
from tidings.bus.logs import PAGE, Logs, Unreadable
from tidings.bus.messages import DEFAULT_QUEUE, Message, SessionState, check_session, encode_state, is_session
from tidings.bus.presence import Members
from tidings.bus.publisher import RETENTION, RETENTION_S
from tidings.bus.records import check_fit
from tidings.bus.redis.context import Argument, RedisContext
from tidings.bus.states import State
from tidings.bus.transfer import Transfer
from tidings.bus.worker.face import new_epoch


class AdminFace(Members, Inspection, Transfer):
    """``bus.admin``: which processes there are, what waits, what the server is like, what we may do there, and exports."""

    def __init__(self, context: RedisContext, logs: Logs) -> None:
        Members.__init__(self, context)
        self._logs = logs

    async def force_delete(self, session: str, *, by: str = "unknown") -> None:
        """Take a session away without a controller, whatever stands under its keys; idempotent.

        For what `Bus.delete` is refused: a record or a log that cannot be read. A tombstone keeps its name, as after any
        deletion. It needs the rights of a controller.

        Args:
            session: session id.
            by: who does it, for people.

        Raises:
            UnknownSession: there is nothing of it.
            SchemaMismatch: another version wrote it, and that version can delete it.
            AccessDenied: the user may not do what a controller may.
            Unreachable: the server does not answer; doing it again is safe.
        """
        names, why = self._context.names, f"deleted by force by {by}"
        told = Message.of(
            SessionState(to=State.DELETED, version=0, why=why, by=by),
            session=check_session(session),
            source="tidings",
            time=self._context.clock.now(),
        )
        keys = [names.record(session), *(names.log(plane, session) for plane in ("events", "status", "commands"))]
        keys += [names.children(session), names.ready(*await self._place(session)), names.due, names.sessions]
        args: list[Argument] = [session, new_epoch(), why, names.channel("events", session), names.channel("status", session)]
        args += [RETENTION, int(RETENTION_S * 1000), told.id, encode_state(told)]
        answer = await self._context.run_again("force_delete", keys, args)
        if answer[0] == b"unknown":
            raise UnknownSession(session, start=False)
        check_fit(session, answer)

    async def _place(self, session: str) -> Place:
        """Return queue and agent of a session, as far as they can be read."""
        pipeline = self._context.pipeline(atomic=False)
        pipeline.hmget(self._context.names.record(session), ["queue", "agent"])
        found = (await self._context.read_each(pipeline))[0]
        queue, agent = ("", "") if isinstance(found, TidingsError) else ((one or b"").decode(errors="replace") for one in found)
        return queue if is_session(queue) else DEFAULT_QUEUE, agent if is_session(agent) else None

    async def unreadable(self) -> AsyncIterator[Unreadable]:
        """Yield the sessions whose records cannot be read, in no order; it reads every record there is.

        Raises:
            Unreachable: the server does not answer.
        """
        batch: list[str] = []
        async for session in self._logs.names():
            batch.append(session)
            if len(batch) == PAGE:
                for one in await self._logs.unreadable(batch):
                    yield one
                batch = []
        for one in await self._logs.unreadable(batch) if batch else []:
            yield one
