"""The one object that a user of the bus holds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar, overload
from weakref import WeakSet

from tidings.bus.admin import AdminFace
from tidings.bus.channels import Channel, Names
from tidings.bus.children import read_children
from tidings.bus.controller import ControllerFace
from tidings.bus.errors import SessionDeleted, TidingsError
from tidings.bus.listener import Listener, Subscriber
from tidings.bus.logs import PAGE, Logs, Page
from tidings.bus.messages import (
    PAYLOAD_LIMIT,
    Body,
    ChildState,
    Command,
    Cursor,
    Event,
    Message,
    Notice,
    Outcome,
    SessionChange,
    SessionDelete,
    SessionPause,
    SessionResume,
    SessionSay,
    SessionStart,
    SessionStop,
    UnknownCommand,
    Wanted,
    build,
    carries,
    check_session,
    kind_of,
)
from tidings.bus.publisher import publish_notice
from tidings.bus.records import Record
from tidings.bus.redis.connection import open_connection
from tidings.bus.redis.context import RedisContext, ServerClock
from tidings.bus.sender import CommandSender
from tidings.bus.states import State
from tidings.bus.subscription import BUFFER, REREAD_S, Subscription
from tidings.bus.worker.face import WorkerFace

B = TypeVar("B", bound=Body)
N = TypeVar("N", bound=Notice)
C = TypeVar("C", bound=Command)

_CLOCK_S = 30.0
"""How often the difference to the server's clock is measured anew; quartz drifts a few milliseconds in that time."""


class Bus:
    """Publish, subscribe, read and steer sessions on one Redis.

    Use ``Bus.connect``. What each call promises is in its docstring. Its own methods are for people and programs; ``worker``,
    ``controller`` and ``admin`` have those of workers, of controllers, and of those who look after an installation.
    """

    def __init__(self, context: RedisContext, listener: Listener) -> None:
        self._context, self._listener = context, listener
        self._logs = Logs(context)
        self._sender = CommandSender(context, listener)
        self.admin = AdminFace(context, self._logs)
        """For those who look after an installation: processes, queues, the server, exports."""
        self.controller = ControllerFace(context, listener)
        """What controllers do: take what is due, read it, decide it."""
        self.worker = WorkerFace(context, listener, self.admin, self._logs, self._another_face)
        """What workers do: claim sessions and hold them."""
        self._closing = asyncio.Event()
        self._subscriptions: WeakSet[Subscription[Any]] = WeakSet()

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        url: str,
        *,
        prefix: str = "",
        payload_limit: int = PAYLOAD_LIMIT,
        heartbeat_s: float = 5.0,
        clock: ServerClock | None = None,
    ) -> AsyncIterator[Bus]:
        """Open a bus, and close it on leaving.

        Args:
            url: ``redis://``, ``rediss://``, ``unix://``, ``embedded://`` (a server of our own, in a temporary folder, or in the
                one named) or ``memory://`` (this process only).
            prefix: lets several installations share one Redis.
            payload_limit: bytes of one encoded message.
            heartbeat_s: silence on the Pub/Sub connection after which it is asked for a sign of life.
            clock: the estimate of the server's time that the bus goes by, measured on entering and every 30 s. A test that moves
                the server's time gives one of its own, and sets it with each move.

        Raises:
            BadAddress: the address cannot be used as written.
            Unreachable: nothing answers there, within 2 s.
            AccessDenied: the name or password is wrong.
            UnsupportedServer: Redis is older than 7.0.
        """
        names = Names(prefix)
        async with open_connection(url) as connection:
            context = RedisContext(connection, names, payload_limit, clock or ServerClock())
            await context.measure_clock()
            bus = cls(context, Listener(context, heartbeat_s))
            keeping = asyncio.create_task(bus._keep_clock(), name="tidings-clock")
            try:
                yield bus
            finally:
                bus._closing.set()
                keeping.cancel()
                try:
                    await asyncio.wait([keeping])
                finally:
                    await bus._aclose()

    @asynccontextmanager
    async def another(self) -> AsyncIterator[Bus]:
        """Open a bus of the same installation for the event loop of another thread, and close it on leaving.

        Raises:
            TidingsError: as ``connect`` does.
        """
        limit = self._context.payload_limit
        async with type(self).connect(self.url, prefix=self._context.names.prefix, payload_limit=limit) as bus:
            yield bus

    @asynccontextmanager
    async def _another_face(self) -> AsyncIterator[WorkerFace]:
        async with self.another() as bus:
            yield bus.worker

    async def _keep_clock(self) -> None:
        # Not only cancelled: redis-py can swallow a cancellation that meets the end of its time-out.
        while not self._closing.is_set():
            try:
                async with asyncio.timeout(_CLOCK_S):
                    await self._closing.wait()
            except TimeoutError:
                with contextlib.suppress(TidingsError):
                    await self._context.measure_clock()

    async def _aclose(self) -> None:
        await self.worker.aclose()
        await self._listener.aclose()
        for subscription in tuple(self._subscriptions):
            await subscription.aclose()

    def __repr__(self) -> str:
        return f"Bus({self._context.connection.address!r}, prefix={self._context.names.prefix!r})"

    @property
    def url(self) -> str:
        """Address with which another process reaches the same server; may hold credentials, do not show it."""
        return self._context.connection.url

    @property
    def address(self) -> str:
        """Address without credentials, for people."""
        return self._context.connection.address

    @property
    def in_memory(self) -> bool:
        """Whether there is no server but in this process's memory (``memory://``)."""
        return self._context.connection.memory

    @property
    def connected(self) -> bool:
        """Whether the Pub/Sub connection stands (False also before the first subscription)."""
        return self._listener.connected

    @property
    def reconnects(self) -> int:
        """How often the Pub/Sub connection was lost."""
        return self._listener.reconnects

    @property
    def payload_limit(self) -> int:
        """Bytes that one encoded message may take."""
        return self._context.payload_limit

    def now(self) -> datetime:
        """Return the server's time, by our estimate."""
        return self._context.clock.now()

    def at(self, monotonic: float) -> datetime:
        """Return the server's time at a moment of our monotonic clock."""
        return self._context.clock.at(monotonic)

    async def publish(
        self, session: str, notice: N, *, id: str = "", source: str = "", traceparent: str | None = None
    ) -> Message[N]:
        """Tell something about a session to all who follow it; returns the message as it was stored.

        It never reaches a model. A worker that must not wait uses `Lease.tell`.

        Args:
            session: session id.
            notice: what is told, ours or of a class of one's own (see `Notice`).
            id: id of the message, to publish it again after a broken connection and have it stored once; '' makes one.
            source: the sender; '' is ``tidings``.
            traceparent: W3C trace context, passed through.

        Raises:
            TypeError: it is not a notice; events are appended, commands are sent.
            InvalidMessage: the session, id or source cannot be one.
            UnknownSession: there is no such session.
            SessionDeleted: it was deleted.
            Unreachable: the server does not answer; the notice may have been stored.
            PayloadTooLarge: it is over the limit.
        """
        if not isinstance(notice, Notice):
            raise TypeError(f"only notices are published, this is a {kind_of(notice)}")
        message = self._message(session, notice, id, source, traceparent)
        offset, epoch = await publish_notice(self._context, message)
        return message.model_copy(update={"offset": offset, "epoch": epoch})

    def _message(self, session: str, said: B, id: str, source: str, traceparent: str | None) -> Message[B]:
        given = {"id": id, "source": source, "traceparent": traceparent}
        envelope: dict[str, Any] = {name: value for name, value in given.items() if value}
        return Message.of(said, session=check_session(session), time=self.now(), **envelope)

    @overload
    def follow(
        self,
        session: str = "*",
        kind: type[Notice] = Notice,
        after: Cursor | int | None = None,
        *,
        buffer: int = BUFFER,
        reread_s: float = REREAD_S,
    ) -> Subscription[Notice]: ...

    @overload
    def follow(
        self,
        session: str,
        kind: type[Event],
        after: Cursor | int | None = None,
        *,
        buffer: int = BUFFER,
        reread_s: float = REREAD_S,
    ) -> Subscription[Event]: ...

    @overload
    def follow(
        self,
        session: str,
        kind: type[Command],
        after: Cursor | int | None = None,
        *,
        buffer: int = BUFFER,
        reread_s: float = REREAD_S,
    ) -> Subscription[Command]: ...

    def follow(
        self,
        session: str = "*",
        kind: type[Notice] | type[Event] | type[Command] = Notice,
        after: Cursor | int | None = None,
        *,
        buffer: int = BUFFER,
        reread_s: float = REREAD_S,
    ) -> Subscription[Any]:
        """Follow what is told of a session, or of all (``*``, notices only): what is retained, then what happens.

        Each message comes once, in order, also over a broken connection; what can no longer be delivered is told by a `Gap`.
        Without ``after`` events and commands begin with the oldest retained, notices with the current state.

        Args:
            session: session id, or ``*``.
            kind: `Notice` (its status), `Event` (its history) or `Command` (what was asked of it).
            after: a cursor or an offset to begin after; only a cursor notices that the data was lost meanwhile.
            buffer: live messages that may wait for the reader; beyond it the log is read instead.
            reread_s: how often the end of the log is looked at in silence, in seconds.

        Raises:
            InvalidName: it is no session id, or ``*`` with events, commands or a cursor.
            TypeError: the kind is none of the three.
            ValueError: ``after`` lies before the beginning.
        """
        if kind not in (Notice, Event, Command):
            raise TypeError(
                f"follow Notice, Event or Command, not {getattr(kind, '__name__', kind)!r}: look at message.data for more"
            )
        place = Channel.parse(f"{kind.plane}.{session}")
        subscription = Subscription[Any](
            self._context, self._listener, place, after, logs=self._logs, buffer=buffer, reread_s=reread_s
        )
        self._subscriptions.add(subscription)
        return subscription

    async def history(self, session: str, after: int = 0, limit: int = PAGE) -> tuple[Message[Event], ...]:
        """Return up to ``limit`` events after an offset. What cannot be read is left out, and counted in ``skipped``.

        Raises:
            UnknownSession: there is no such session.
            SessionDeleted: it was deleted.
            Unreachable: the server does not answer.
        """
        check_session(session)
        page = await self._logs.page("events", session, after, limit)
        if page.deleted:
            raise SessionDeleted(session)
        if page.epoch is None:
            await self._logs.record(session)
        return tuple(message for _, message in page.entries if carries(message, Event))

    async def page(self, channel: str, after: int = 0, limit: int = PAGE) -> Page:
        """Read up to ``limit`` retained messages of one channel after an offset, with the epoch and the end of its log.

        For programs that pass messages on and keep the places of their readers themselves; others ``follow``.

        Raises:
            InvalidName: there is no such channel, or it is a pattern.
            Unreachable: the server does not answer.
        """
        place = Channel.parse(channel)
        return await self._logs.page(place.plane, check_session(place.session), after, limit)

    async def status(self, session: str) -> Record:
        """Return what is known of a session; of a deleted one, that it was deleted, when and by whom.

        Raises:
            UnknownSession: there is no such session.
            UnreadableRecord: its record cannot be read.
            Unreachable: the server does not answer.
        """
        return await self._logs.record(check_session(session))

    async def sessions(self, state: State | None = None) -> AsyncIterator[Record]:
        """Yield the records of all sessions, or of those in one state, in no order.

        What cannot be read is left out; see ``unreadable``. Deleted sessions are not among them.

        Raises:
            Unreachable: the server does not answer.
        """
        batch: list[str] = []
        async for session in self._logs.sessions(state):
            batch.append(session)
            if len(batch) == PAGE:
                for record in await self._records(batch, state):
                    yield record
                batch = []
        for record in await self._records(batch, state):
            yield record

    async def _records(self, sessions: list[str], state: State | None) -> list[Record]:
        found = await self._logs.records(sessions) if sessions else []
        return [record for record in found if record and record.state and state in (None, record.state)]

    @property
    def skipped(self) -> int:
        """How many stored messages this process could not read and left out so far."""
        return self._logs.skipped

    async def start(
        self,
        session: str,
        text: str | None = None,
        *,
        wanted: Wanted | None = None,
        by: str = "unknown",
        why: str = "",
        timeout_s: float = 10.0,
        key: str = "",
    ) -> Outcome:
        """Make a session and queue it for a worker. See ``send``; ``warning`` of the outcome says where no worker serves it.

        Args:
            text: its first user message.
            wanted: queue, agent, model and so on, where they are not the usual ones.
        """
        asked = (wanted or Wanted()).wanted()
        return await self.send(session, build(SessionStart, text=text, by=by, why=why, **asked), timeout_s, key=key)

    async def say(
        self, session: str, text: str, *, by: str = "unknown", why: str = "", timeout_s: float = 10.0, key: str = ""
    ) -> Outcome:
        """Say something to the agent of a session. See ``send``."""
        return await self.send(session, build(SessionSay, text=text, by=by, why=why), timeout_s, key=key)

    async def resume(
        self,
        session: str,
        *,
        wanted: Wanted | None = None,
        by: str = "unknown",
        why: str = "",
        timeout_s: float = 10.0,
        key: str = "",
    ) -> Outcome:
        """Go on with what was interrupted, now, with another model for example; adds nothing to the history. See ``send``."""
        asked = (wanted or Wanted()).wanted()
        return await self.send(session, build(SessionResume, by=by, why=why, **asked), timeout_s, key=key)

    async def change(
        self, session: str, wanted: Wanted, *, by: str = "unknown", why: str = "", timeout_s: float = 10.0, key: str = ""
    ) -> Outcome:
        """Change how a session is worked on, from its next turn on, and its labels. See ``send``."""
        return await self.send(session, build(SessionChange, by=by, why=why, **wanted.wanted()), timeout_s, key=key)

    async def pause(self, session: str, *, by: str = "unknown", why: str = "", timeout_s: float = 10.0, key: str = "") -> Outcome:
        """Stop working on a session until a person resumes it. See ``send``."""
        return await self.send(session, build(SessionPause, by=by, why=why), timeout_s, key=key)

    async def stop(self, session: str, *, by: str = "unknown", why: str = "", timeout_s: float = 10.0, key: str = "") -> Outcome:
        """End a session for good. See ``send``."""
        return await self.send(session, build(SessionStop, by=by, why=why), timeout_s, key=key)

    async def delete(
        self, session: str, *, by: str = "unknown", why: str = "", timeout_s: float = 10.0, key: str = ""
    ) -> Outcome:
        """Take a session away with its history; a tombstone keeps its name from being used again. See ``send``."""
        return await self.send(session, build(SessionDelete, by=by, why=why), timeout_s, key=key)

    async def send(
        self,
        session: str,
        command: Command,
        timeout_s: float = 10.0,
        *,
        key: str = "",
        id: str = "",
        source: str = "",
        traceparent: str | None = None,
    ) -> Outcome:
        """Ask something of a session and wait until a controller has decided it.

        Args:
            session: session id.
            command: what is asked.
            timeout_s: how long to wait; the command expires with it and is not applied later.
            key: what the sender calls this command; for 24 h another command of the session under the same key is refused.
            id: command id: sent again under the same id it is stored once, and its first outcome is that of all; '' makes one.
            source: what the command comes through; '' is ``tidings``. ``by`` of the command names its sender.
            traceparent: W3C trace context, passed through.

        Returns:
            The outcome, which is ``applied``: the state has changed already.

        Raises:
            CommandRefused: a controller refused it; the error says what would be legal.
            CommandExpired: no controller handled it in time, and none will.
            TypeError: it is not a command, or one that controllers do not know.
            InvalidMessage: the session, id or source cannot be one.
            UnknownSession: there is no such session.
            SessionDeleted: it was deleted; deleting it once more is applied.
            IdempotencyConflict: the key is another command's.
            SchemaMismatch: another version wrote its record; nothing was stored.
            ServerFull: the server has no memory left, and it is not a deletion; nothing was stored.
            Unreachable: the server does not answer. A command that got through expires with its time-out.
            PayloadTooLarge: it is over the limit.
        """
        return await self._sender.send(self._command(session, command, id, source, traceparent), timeout_s, key)

    async def submit(
        self,
        session: str,
        command: Command,
        *,
        key: str = "",
        id: str = "",
        source: str = "",
        traceparent: str | None = None,
        when_full: bool = False,
    ) -> Outcome | None:
        """Store a command and wait for nothing; returns its outcome where it has one already. It does not expire.

        Args:
            when_full: store it also where the server is full, as a deletion always is: for controllers, without whose commands
                what is being deleted would not come to its end.

        Raises:
            CommandRefused: too many commands wait there already.
            TidingsError: as ``send``.
        """
        return await self._sender.submit(self._command(session, command, id, source, traceparent), key, when_full=when_full)

    def _command(self, session: str, command: C, id: str, source: str, traceparent: str | None) -> Message[C]:
        if not isinstance(command, Command) or isinstance(command, UnknownCommand):
            raise TypeError(f"a {kind_of(command)} is not a command that controllers know")
        return self._message(session, command, id, source, traceparent)

    async def children(self, session: str) -> tuple[ChildState, ...]:
        """Return what is known of the children of a session, by name; see ``read_children``."""
        return await read_children(self._context, check_session(session))

    async def on_status(self, session: str, subscriber: Subscriber) -> None:
        """Have a subscriber told of everything on one session's status channel; a wake-up, not a promise."""
        await self.worker.listen(session, subscriber)

    async def forget(self, subscriber: Subscriber) -> None:
        """Tell a subscriber nothing more."""
        await self._listener.forget(subscriber)
