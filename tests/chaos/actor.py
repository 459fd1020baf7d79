"""The actors of a run, each in a process of its own: workers, controllers, people, readers. They use the public API and note it.

A process is forked from a server of processes that has imported everything (``multiprocessing``'s), so that many cost little. It
ends at once when its tie does: the run holds the other end.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests import actors
from tests.chaos import record
from tidings.bus import (
    AccessDenied,
    AgentMessage,
    Bus,
    ChildResult,
    ChildStart,
    Command,
    CommandExpired,
    CommandRefused,
    Cursor,
    Ending,
    Event,
    Gap,
    Lease,
    LeaseLost,
    LlmRetry,
    Message,
    Outcome,
    OutcomeUnknown,
    Picture,
    Reason,
    SessionPause,
    SessionResume,
    SessionSay,
    SessionStart,
    SessionState,
    SessionStop,
    State,
    TidingsError,
    Trigger,
    UnknownSession,
    Unreachable,
    UserMessage,
    Wait,
    WorkerRef,
)
from tidings.bus.channels import EVERYWHERE, Place
from tidings.bus.messages import new_id
from tidings.bus.worker.face import WorkerFace
from tidings.bus.worker.lease import LEASE_S
from tidings.workers import worker
from tidings.workers.agent import Next, Step, as_event
from tidings.workers.context import Context
from tidings.workers.controller import Controller
from tidings.workers.log import configure_logging
from tidings.workers.settings import Settings
from tidings.workers.testing.tied import end_with
from tidings.workers.worker import Worker

LEASE = 1.5
"""Length of a lease in a run, in seconds."""
MARKER = "said-in-a-notice"
"""Stands in notices, and so must stand in no event."""
SESSIONS = ("s1", "s2", "s3", "s4", "s5", "s6", "s7")
ROLES = ("worker", "writer", "controller", "person", "reader")
_PEOPLE = 6
FOLLOW_S = 8.0
"""How long a reader that is told to end may take to reach the end of what it follows."""


def settings() -> Settings:
    """Return the settings of all: as short as they may be beside what a busy machine takes."""
    return Settings(
        model="none",
        lease_s=LEASE,
        renew_s=0.25,
        poll_s=0.3,
        drain_timeout_s=1.0,
        concurrency=2,
        controller_poll_s=0.2,
        visibility_s=1.0,
    )


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is told.

    Attributes:
        role: what it is.
        name: under which it acts; no other process has it.
        seed: what it draws its choices from.
        url: of its proxy.
        folder: where it notes.
    """

    role: str
    name: str
    seed: str
    url: str
    folder: Path


class _NotingFace(WorkerFace):
    """The workers' side of a bus, noted."""

    recorder: record.Recorder

    async def claim(
        self,
        worker: WorkerRef,
        *,
        lease_s: float = LEASE_S,
        session: str | None = None,
        create: bool = False,
        model: str | None = None,
        places: Sequence[Place] = EVERYWHERE,
    ) -> Lease | None:
        """Claim."""
        began = time.monotonic()
        lease = await super().claim(worker, lease_s=lease_s, session=session, create=create, model=model, places=places)
        if lease is not None:
            self.recorder.note(record.Claimed(version=lease.version, began=began, **_lease(lease)))
        return lease

    async def renew(self, leases: Sequence[Lease]) -> list[Any]:
        """Renew."""
        began = time.monotonic()
        answers = await super().renew(leases)
        for lease, answer in zip(leases, answers, strict=True):
            if answer.held:
                self.recorder.note(record.Renewed(began=began, **_lease(lease)))
        return answers

    async def append(
        self, lease: Lease, events: Sequence[Message[Event]], after: int, patience_s: float
    ) -> tuple[Message[Event], ...]:
        """Append."""
        call = uuid.uuid4().hex
        texts = tuple(record.Text.of(event) for event in events)
        self.recorder.note(record.AppendBegun(call=call, events=texts, began=time.monotonic(), **_lease(lease)))
        try:
            stored = await super().append(lease, events, after, patience_s)
        except BaseException as error:
            self.recorder.note(record.AppendFailed(call=call, error=type(error).__name__))
            raise
        self.recorder.note(record.Appended(call=call, offsets=tuple(event.offset or 0 for event in stored)))
        return stored

    async def release(self, lease: Lease, ending: Ending) -> tuple[State, int]:
        """Release."""
        began = time.monotonic()
        state, version = await super().release(lease, ending)
        self.recorder.note(record.Released(trigger=ending.trigger, state=state, version=version, began=began, **_lease(lease)))
        return state, version


class Noting(Bus):
    """A bus that notes what is asked of it and how it answers."""

    recorder: record.Recorder

    async def send(
        self, session: str, command: Command, timeout_s: float = 10.0, *, key: str = "", id: str = "", **more: Any
    ) -> Outcome:
        """Send a command and wait."""
        id = id or new_id()
        call = self._asked(session, command, id, time.time() + timeout_s)
        try:
            outcome = await super().send(session, command, timeout_s, key=key, id=id, **more)
        except CommandRefused as error:
            self.recorder.note(record.Answered(call=call, result="refused", state=error.state))
            raise
        except CommandExpired:
            self.recorder.note(record.Answered(call=call, result="expired"))
            raise
        except BaseException as error:
            self.recorder.note(record.AskFailed(call=call, error=type(error).__name__))
            raise
        self._answered(call, outcome)
        return outcome

    async def submit(self, session: str, command: Command, *, id: str = "", **more: Any) -> Outcome | None:
        """Send a command and wait for nothing."""
        id = id or new_id()
        call = self._asked(session, command, id, None)
        try:
            outcome = await super().submit(session, command, id=id, **more)
        except BaseException as error:
            self.recorder.note(record.AskFailed(call=call, error=type(error).__name__))
            raise
        if outcome is not None:
            self._answered(call, outcome)
        return outcome

    def _asked(self, session: str, command: Command, id: str, expires: float | None) -> str:
        call, text = uuid.uuid4().hex, getattr(command, "text", None)
        self.recorder.note(record.Asked(call=call, session=session, command=id, kind=command.type, text=text, expires=expires))
        return call

    def _answered(self, call: str, outcome: Outcome) -> None:
        self.recorder.note(record.Answered(call=call, result=outcome.result, state=outcome.state or "", version=outcome.version))


def _lease(claim: Lease) -> dict[str, Any]:
    """Return what every entry of a worker names."""
    return {
        "session": claim.session,
        "worker": claim.worker.name,
        "epoch": claim.epoch,
        "token": claim.token,
        "lease": claim.key,
    }


# the process


def main(order: Order, tie: Connection) -> None:
    """Run one actor until it is told to end (SIGTERM); its exit code is 1 where it ends by itself."""
    threading.Thread(target=end_with, args=(tie.fileno(),), name="chaos-tie", daemon=True).start()
    log = os.open(order.folder / f"{order.name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 2)
    os.close(log)
    configure_logging("info")
    # The agent calls no model, and litellm takes seconds to load.
    worker.load_litellm = lambda: None  # type: ignore[attr-defined]
    recorder = record.Recorder(order.folder / f"{order.name}.jsonl", order.name)
    before = open_files()
    asyncio.run(_act(order, recorder))
    gc.collect()
    if left := [file for file in open_files() if file not in before]:
        recorder.note(record.Left(kind="file", count=len(left), what=", ".join(left)))


def open_files() -> list[str]:
    """Return what is open, by its number and name."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            name = os.readlink(f"/proc/self/fd/{number}")
            # The folder that is being listed is open too, for the moment.
            if not name.endswith("/fd"):
                found.append(f"{number}: {name}")
    return found


async def _act(order: Order, recorder: record.Recorder) -> None:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    async with AsyncExitStack() as stack:
        while not told.is_set():
            try:
                bus = await stack.enter_async_context(Noting.connect(order.url, heartbeat_s=0.5))
            except (Unreachable, AccessDenied):
                # At its start it may be told so; what comes later must be outlasted.
                await _wait(told, 0.2)
            else:
                bus.recorder = recorder  # type: ignore[attr-defined]
                bus.worker.__class__ = _NotingFace
                bus.worker.recorder = recorder  # type: ignore[attr-defined]
                await _PARTS[order.role](bus, order, told)  # type: ignore[arg-type]
                break
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    if tasks:
        recorder.note(record.Left(kind="task", count=len(tasks), what=", ".join(task.get_name() for task in tasks)))


async def _wait(told: asyncio.Event, seconds: float) -> bool:
    """Wait so long, or until told to end; returns whether that was so."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await told.wait()
    return told.is_set()


async def _until_told(running: Coroutine[Any, Any, None], told: asyncio.Event, finish: Callable[[], None]) -> None:
    """Run something that has no end, tell it to end when we are told, and wait for that."""
    task = asyncio.ensure_future(running)
    waiting = asyncio.ensure_future(told.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            finish()
        await task
        if not told.is_set():
            raise RuntimeError("it ended by itself")
    finally:
        waiting.cancel()


# workers


class Counting:
    """An agent without a model: what is asked of it says how many numbered events it adds, one or two a step."""

    async def step(self, ctx: Context) -> Step:
        """Add the next numbers, until there are as many as were asked for."""
        await asyncio.sleep(random.uniform(0.01, 0.12))
        return next_step(ctx.history)


def next_step(history: Sequence[Message[Event]]) -> Step:
    """Return the step that follows from a history: the numbers that come next, and sometimes a child."""
    wanted, done, last = 0, 0, ""
    for event in history:
        if isinstance(event.data, UserMessage):
            wanted, last = wanted + _count(event.data.text), event.data.text
        elif isinstance(event.data, ChildResult):
            wanted, last = wanted + 1, ""
        elif isinstance(event.data, AgentMessage):
            done += 1
    if done >= wanted:
        return Step(next=Next.FINISH if "finish" in last else Next.AWAIT_INPUT)
    events: list[Event] = [AgentMessage(text=f"number {done + 1}")]
    if (done + 1) % 3 == 0 and done + 1 < wanted:
        events.append(AgentMessage(text=f"number {done + 2}"))
    children = sum(isinstance(event.data, ChildStart) for event in history)
    if "child" in last and children < 4:
        events.append(ChildStart(name=f"c{children + 1}", text=f"{1 + children % 3} numbers"))
    return Step(events, Next.CONTINUE)


def _count(text: str) -> int:
    """Return how many numbers a text asks for: `3 numbers and a child`."""
    first = text.split(" ", 1)[0]
    return int(first) if first.isdigit() else 0


async def _work(bus: Noting, order: Order, told: asyncio.Event) -> None:
    """A worker as it is in the field."""
    worker = Worker(bus, Counting, settings(), name=order.name)
    await _until_told(worker.run(), told, worker.drain)


async def _write(bus: Noting, order: Order, told: asyncio.Event) -> None:
    """A loop of one's own on the bus alone, less careful than a worker: it renews now and then, and may come late."""
    chance = random.Random(order.seed)
    ref = WorkerRef(name=order.name, pid=os.getpid())
    while not told.is_set():
        try:
            claim = await bus.worker.claim(ref, lease_s=LEASE, model="none")
            if claim is None:
                await _wait(told, chance.uniform(0.02, 0.15))
                continue
            await _take_turn(bus, claim, chance, told)
        except (Unreachable, LeaseLost, UnknownSession):
            await _wait(told, 0.1)


async def _take_turn(bus: Noting, claim: Lease, chance: random.Random, told: asyncio.Event) -> None:
    """Hold a session for one turn."""
    read, history = 0, list[Message[Event]]()
    while True:
        while page := await bus.history(claim.session, read):
            history += page
            read = page[-1].offset or read
        step = next_step(history)
        if told.is_set():
            step = Step(next=Next.CONTINUE)
        made = [as_event(data, claim.session, f"worker/{claim.worker.name}", read) for data in step.events]
        made = [event for event in made if not isinstance(event.data, ChildStart)]
        await _append(bus, claim, made, read)
        if step.next is not Next.CONTINUE or told.is_set():
            trigger = {Next.FINISH: Trigger.FINISH, Next.AWAIT_INPUT: Trigger.YIELD}.get(step.next, Trigger.HAND_BACK)
            await claim.release(Ending(trigger, read=read, why="the turn is over"))
            return
        if chance.random() < 0.1:
            until = bus.now() + timedelta(seconds=chance.uniform(0.1, 1.0))
            await claim.release(
                Ending(Trigger.PARK, read=read, parks=claim.parks + 1, resume_at=until, waits={"agent": _waiting()})
            )
            return
        # Rarely longer than the lease: what it appends after that must be refused.
        await asyncio.sleep(chance.uniform(0.02, 0.1) if chance.random() < 0.95 else LEASE * 1.5)
        await _tell(bus, claim, chance)


_MANY = 80
"""Notices: more than a log of status retains."""


async def _tell(bus: Noting, claim: Lease, chance: random.Random) -> None:
    """Renew, with a picture that shows a wait now and then, and a notice of it."""
    waiting = chance.random() < 0.3
    # Enough of them that an answer to one is lost, and now and then more than are retained.
    for _ in range(chance.choices((3, _MANY), (50, 1))[0]):
        data = LlmRetry(reason=Reason.RATE_LIMIT, attempt=1, max_attempts=6, wait_s=0.1, message=MARKER)
        await bus.publish(claim.session, data, source=f"worker/{claim.worker.name}")
    renewal = await actors.renew(claim, Picture(model="none", waits={"agent": _waiting()} if waiting else {}))
    # Now and then it goes on all the same, as if it had not heard.
    if not renewal.held and chance.random() < 0.7:
        raise LeaseLost(claim.session)


def _waiting() -> Wait:
    return Wait(reason=Reason.RATE_LIMIT, model="none", attempt=1, max_attempts=6, wait_s=0.1, message=MARKER)


async def _append(bus: Noting, claim: Lease, events: Sequence[Message[Event]], after: int) -> None:
    """Append, and again with the same ids while nobody knows whether that was done, for as long as a lease may last."""
    for _ in range(5):
        try:
            await claim.append(*events, after=after, patience_s=LEASE / 2)
        except OutcomeUnknown:
            continue
        return
    raise LeaseLost(claim.session)


async def _control(bus: Noting, order: Order, told: asyncio.Event) -> None:
    """A controller as it is in the field."""
    controller = Controller(bus, settings(), name=order.name)
    await _until_told(controller.run(), told, controller.stop)


# people


async def _ask(bus: Noting, order: Order, told: asyncio.Event) -> None:
    """People: each of them asks something, waits for the answer, and asks the next thing."""
    chance = random.Random(order.seed)
    people = [random.Random(chance.random()) for _ in range(_PEOPLE)]
    await asyncio.gather(*(_person(bus, f"{order.name}-{index}", own, told) for index, own in enumerate(people)))
    # There is work for all after the last command, so that what holds a session then is seen to hold it.
    for session in SESSIONS:
        resume = Message.of(SessionResume(by=order.name), id=f"{order.name}-{session}-resume", session=session)
        say = Message.of(SessionSay(by=order.name, text="5 numbers"), id=f"{order.name}-{session}-say", session=session)
        await _send(bus, resume, 2.0, "")
        await _send(bus, say, 2.0, "")


async def _person(bus: Noting, name: str, chance: random.Random, told: asyncio.Event) -> None:
    count, missing = 0, chance.choice(SESSIONS)
    while not await _wait(told, chance.uniform(0.02, 0.25)):
        count += 1
        command = _command(chance, f"{name}-{count}", missing)
        timeout_s, key = chance.choice((0.2, 0.6, 1.5, 3.0)), command.id if chance.random() < 0.2 else ""
        times = chance.choices((1, 2, 3), (80, 15, 5))[0]
        known = await asyncio.gather(*(_send(bus, command, timeout_s, key) for _ in range(times)))
        missing = "" if all(known) else command.session
        if chance.random() < 0.1:
            # Asked again later, as a person does who is not sure: the first outcome counts.
            await _send(bus, command, timeout_s, key)
        if chance.random() < 0.2:
            await _look(bus, command.session)


async def _send(bus: Noting, command: Message[Command], timeout_s: float, key: str) -> bool:
    """Send a command, and return whether there is such a session; whatever else comes of it has been noted."""
    try:
        await bus.send(command.session, command.data, timeout_s, key=key, id=command.id)
    except UnknownSession:
        return False
    except TidingsError:
        return True
    return True


async def _look(bus: Noting, session: str) -> None:
    began = time.monotonic()
    with contextlib.suppress(TidingsError):
        found = await bus.status(session)
        bus.recorder.note(
            record.Polled(session=session, epoch=found.epoch, state=found.state or "", version=found.version, began=began)
        )


def _command(chance: random.Random, command_id: str, missing: str) -> Message[Command]:
    """Draw what is asked of which session; the one that is missing is started."""
    session = chance.choice(SESSIONS)
    kinds: tuple[type[Command], ...] = (SessionStart, SessionSay, SessionPause, SessionResume, SessionStop)
    [kind] = chance.choices(kinds, (2, 16, 2, 7, 0.4))
    if missing:
        session, kind = missing, SessionStart
    text = f"{chance.randint(1, 6)} numbers" + (" and a child" if chance.random() < 0.15 else "") + f", says {command_id}"
    if kind is SessionSay and chance.random() < 0.01:
        text += ", then finish"
    by = command_id.rpartition("-")[0]
    if kind is SessionStart:
        return Message.of(SessionStart(by=by, why=MARKER, text=text), id=command_id, session=session)
    if kind is SessionSay:
        return Message.of(SessionSay(by=by, why=MARKER, text=text), id=command_id, session=session)
    return Message.of(kind(by=by, why=MARKER), id=command_id, session=session)


# readers


async def _read(bus: Noting, order: Order, told: asyncio.Event) -> None:
    """Readers of histories, of the status of each session, and of the status of all."""
    chance = random.Random(order.seed)
    channels = [f"{plane}.{session}" for session in SESSIONS for plane in ("events", "status")] + ["status.*"]
    readers = [_Reader(bus, channel, random.Random(chance.random())) for channel in channels]
    await asyncio.gather(*(reader.run(told) for reader in readers))


class _Reader:
    """Follows one channel, leaves it now and then, and comes back with its cursor."""

    def __init__(self, bus: Noting, channel: str, chance: random.Random) -> None:
        self._bus, self._channel, self._chance = bus, channel, chance
        self._cursor: Cursor | None = None
        self._places: dict[str, tuple[str, int]] = {}

    async def run(self, told: asyncio.Event) -> None:
        """Read until told to end, and then to the end of what is there."""
        while not told.is_set():
            leave_s = self._chance.uniform(0.5, 6.0)
            await self._follow(told, leave_s)
            # Away for a moment, or for so long that a log may have been lost and written again, or trimmed.
            away_s = self._chance.choices((0.0, 0.5, 5.0), (6, 2, 2))[0]
            await _wait(told, self._chance.uniform(0.0, away_s))

    async def _follow(self, told: asyncio.Event, leave_s: float) -> None:
        """Read on from the cursor; leave after a while, at the latest when the end is reached after being told."""
        name, note = uuid.uuid4().hex[:12], self._bus.recorder.note
        after = None if self._channel.endswith("*") else self._cursor
        error = ""
        place: dict[str, Any] = {"epoch": after.epoch, "offset": after.offset, "id": after.id} if after else {}
        try:
            async with actors.follow(self._bus, self._channel, after, reread_s=0.7, buffer=50) as subscription:
                note(record.Subscribed(reader=name, channel=self._channel, **place))
                if after is None:
                    self._places.clear()
                reading = asyncio.ensure_future(self._take(subscription, name))
                leaving = asyncio.ensure_future(self._leave(told, leave_s))
                await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
                for task in (reading, leaving):
                    task.cancel()
                await asyncio.wait({reading, leaving})
                if not reading.cancelled():
                    reading.result()
        except Unreachable as lost:
            error = type(lost).__name__
        note(record.Ceased(reader=name, error=error, end=told.is_set() and not error))

    async def _leave(self, told: asyncio.Event, leave_s: float) -> None:
        if not await _wait(told, leave_s):
            return
        # RetryNotice to end: not before the end of each log is reached, but for the bound.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FOLLOW_S):
                while not await self._at_end():  # noqa: ASYNC110 - the end lies in the server
                    await asyncio.sleep(0.1)

    async def _at_end(self) -> bool:
        plane, _, session = self._channel.partition(".")
        try:
            found = [one async for one in self._bus.sessions() if session in ("*", one.session)]
        except Unreachable:
            return False
        ends = {one.session: (one.epoch, end) for one in found if (end := getattr(one, plane))}
        # Of a session that is gone it has yet to be told.
        return self._places == ends

    async def _take(self, subscription: Any, name: str) -> None:
        note, whole = self._bus.recorder.note, self._channel.partition(".")[2]
        async for item in subscription:
            if isinstance(item, Gap):
                session = item.channel.partition(".")[2] or whole
                note(record.Gap(reader=name, session=session, why=item.why, first=item.first, last=item.last))
                self._places.pop(session, None)
                continue
            message: Message[Any] = item
            picture = isinstance(message.data, SessionState) and message.source == "record"
            note(record.Delivered(reader=name, session=message.session, message=record.Text.of(message), picture=picture))
            self._places[message.session] = (message.epoch or "", message.offset or 0)
            self._cursor = message.cursor
            if self._chance.random() < 0.02:
                # So slow that more may come meanwhile than waits for it.
                await asyncio.sleep(0.4)


_PARTS: dict[str, Callable[[Noting, Order, asyncio.Event], Coroutine[Any, Any, None]]] = {
    "worker": _work,
    "writer": _write,
    "controller": _control,
    "person": _ask,
    "reader": _read,
}
