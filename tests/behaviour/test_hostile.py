"""Whatever is in Redis under our keys: only errors of ours come out of the bus, and what is well is shown."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from bus import (
    Bus,
    Gap,
    NewerRecord,
    Role,
    SessionPause,
    State,
    TidingsError,
    UnreadableRecord,
    read_archives,
)
from bus.channels import Names
from bus.redis import open_connection
from tests import actors
from tests import strategies as draw
from workers.board import Board, Row
from workers.cli.doctor import examined
from workers.cli.roll import ProcessView
from workers.cli.view import FamilyView, SessionView
from workers.doctor import Level
from workers.gateway.hub import Hub
from workers.settings import Settings

NAMES = Names()
FIELDS = (
    "state epoch version why by reason since token lease lease_until worker picture nudge resume_at parks losses paused_by pending "
    "parent name children awaits shown reported said status events commands handled touched failures last schema released other"
).split()
WORDS: list[bytes] = [
    *b'-1 0 1.5 1e400 +1 nan inf -0 true null [] { " lost running dreaming deleted queued'.split(),
    *(b"9" * length for length in (15, 16, 19, 25, 5000)),
    *(b"", b" 1", b"\x00", b"\xb2", b"\xff\xfe", b"\xed\xa0\x80", b"a b", b"a\nb", b"x" * 300),
    b'{"waits":{"agent":{"reason":"rate_limit","attempt":%b,"retry_at":"9999-12-31T23:59:59Z","wait_s":1e308}}}' % (b"9" * 400),
    b'{"waits":{"x":{"reason":"rate_limit","retry_at":"0001-01-01T00:00:00Z"}}}',
    b'{"name":"w","pid":%b}' % (b"9" * 100),
    b"[" * 2000,
    b'{"a":' * 200 + b"1" + b"}" * 200,
]
values: SearchStrategy[bytes] = (
    st.sampled_from(WORDS)
    | st.binary(max_size=20)
    | draw.texts.map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.integers().map(lambda number: str(number).encode())
    | draw.json_values.map(lambda value: json.dumps(value).encode())
)
scores = st.floats(allow_nan=False) | st.sampled_from([0.0, -1.0, 1e13, 1e300, float("inf"), float("-inf")])
ids = st.sampled_from(["*", "1-0", "2-0", "2-7", "1000000-0", "18446744073709551615-18446744073709551615"])
messages = st.sampled_from([*draw.KNOWN]).flatmap(draw.of).map(lambda one: one.model_dump_json(by_alias=True).encode())
ours = messages.map(lambda payload: json.dumps({**json.loads(payload), "subject": "bad", "offset": 1, "epoch": "x"}).encode())
entries = st.tuples(ids, st.fixed_dictionaries({}, optional={"id": values, "m": values | messages | ours, "x": values}))
members = st.sampled_from([b"bad", b"good", b"", b"a b", b"\xff", b"x" * 70, b"worker/w", b"../x"]) | st.binary(max_size=8)

hashes = st.dictionaries(st.sampled_from(FIELDS), values, max_size=6)
logs = st.dictionaries(st.sampled_from(["status", "events", "commands"]), st.lists(entries, max_size=3))
shared = st.fixed_dictionaries(
    {},
    optional={
        "ready": st.dictionaries(members, scores, max_size=3),
        "due": st.dictionaries(members, scores, max_size=3),
        "seen": st.dictionaries(members, scores, max_size=3),
        "sessions": st.dictionaries(members, values, max_size=3),
        "presences": st.dictionaries(members, values | messages, max_size=3),
        "children": st.dictionaries(members, values | messages, max_size=3),
    },
)


class Spoiler:
    """Writes what is not ours beside a session that is in order."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def hash(self, fields: dict[str, bytes], gone: bool) -> None:
        """Change the record of ``bad``."""
        if gone:
            await self.client.hdel(NAMES.record("bad"), "epoch", "events")
        if fields:
            await self.client.hset(NAMES.record("bad"), mapping=fields)

    async def logs(self, given: dict[str, list[tuple[str, dict[Any, bytes]]]]) -> None:
        """Write into the logs of ``bad``."""
        for plane, found in given.items():
            for entry, fields in found:
                # An id below the last one is refused: it is then not there.
                with contextlib.suppress(Exception):
                    await self.client.xadd(NAMES.log(plane, "bad"), fields or {b"none": b""}, id=entry)

    async def shared(self, given: dict[str, dict[bytes, Any]]) -> None:
        """Write into what sessions share."""
        keys = {what: getattr(NAMES, what) for what in ("ready", "due", "seen", "sessions", "presences")}
        for what, found in given.items():
            if not found:
                continue
            if what in ("ready", "due", "seen"):
                await self.client.zadd(keys[what], found)
            else:
                await self.client.hset(keys.get(what, NAMES.children("bad")), mapping=found)


@contextlib.asynccontextmanager
async def ours_alone() -> AsyncIterator[None]:
    """Let errors of the bus pass in silence, and no others."""
    with contextlib.suppress(TidingsError):
        yield


async def follow(bus: Bus, channel: str) -> None:
    """Read a channel until nothing more is there at once."""
    board = Board()
    async with ours_alone(), bus.subscribe(channel, reread_s=0.01) as subscription:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                async for item in subscription:
                    if not isinstance(item, Gap) and item.plane == "status":
                        board.apply(item)  # type: ignore[arg-type]
                        shown(board, bus)


def shown(board: Board, bus: Bus) -> None:
    """Draw the rows as people see them."""
    for row in board.rows()[0]:
        assert row.line()
        row.countdown(bus.now())
        row.age(bus.now())


async def read_everything(bus: Bus) -> set[str]:
    """Read ``bad`` in every way there is; returns the sessions that are shown."""
    ways: list[Callable[[], Coroutine[Any, Any, Any]]] = [
        lambda: bus.status("bad"),
        lambda: bus.history("bad"),
        lambda: bus.page("status.bad"),
        lambda: bus.page("commands.bad", 1),
        lambda: bus.children("bad"),
        lambda: bus.snapshot("bad"),
        lambda: bus.salvage("bad"),
        lambda: bus.queues(),
        lambda: bus.inspect(),
        lambda: bus.take_due(),
        lambda: bus.claim(actors.WORKER, lease_s=60),
        lambda: bus.claim(actors.WORKER, session="bad"),
        lambda: bus.submit(SessionPause(subject="bad")),
        lambda: bus.publish(actors.retry("bad")),
    ]
    for way in ways:
        async with ours_alone():
            await way()
    async with ours_alone():
        record = await bus.status("bad")
        FamilyView.with_children(record, await bus.children("bad")).line()
    async with ours_alone():
        lines = [line async for line in bus.export("bad")]
        assert len(lines) < 2000
        list(read_archives(lines))
    for one in await bus.roll():
        ProcessView.of(one).line()
    for channel in ("status.bad", "events.bad", "commands.bad", "status.*"):
        await follow(bus, channel)
    board = Board()
    async for record in bus.sessions():
        SessionView.of(record).line()
        board.put(Row.of(record, bus.now()))
    shown(board, bus)
    hub = Hub(bus)
    try:
        await hub.start()
        assert hub.fleet[0]
        assert {"good"} <= {entry.row.session for entry in hub.ledger}
    finally:
        await hub.aclose()
    return {row.session for row in board.rows()[0]}


async def look(url: str, spoil: Callable[[Spoiler], Coroutine[Any, Any, None]]) -> None:
    """Spoil ``bad`` beside ``good``, and read it all."""
    async with Bus.connect(url) as bus, open_connection(bus.url) as connection:
        await connection.commands.flushall()
        for session in ("bad", "good"):
            claim = await actors.hold(bus, session, lease_s=60)
            await bus.append(claim, [actors.answer(session)], 0)
        await spoil(Spoiler(connection.commands))
        assert "good" in await read_everything(bus)
        findings = await examined(bus, Settings(), list(Role))
        # What is neither told nor refused can be read.
        named = {one.session async for one in bus.unreadable()}
        try:
            await bus.status("bad")
        except NewerRecord:
            pass
        except UnreadableRecord:
            assert "bad" in named
            assert any("bad" in one.found for one in findings if one.check == "records" and one.level is Level.PROBLEM)


def check(url: str, fields: dict[str, bytes], gone: bool, found: Any, others: Any) -> None:
    """Run one example."""

    async def spoil(spoiler: Spoiler) -> None:
        await spoiler.hash(fields, gone)
        await spoiler.logs(found)
        await spoiler.shared(others)

    asyncio.run(look(url, spoil))


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(hashes, st.booleans(), logs, shared)
def test_only_errors_of_ours_leave_the_bus(fields: dict[str, bytes], gone: bool, found: Any, others: Any) -> None:
    """Whatever stands in a record, a log, a queue or a list, every way of reading answers, and the other session is shown."""
    check("memory://", fields, gone, found, others)
