"""Whatever is in Redis under our keys: only errors of ours come out of the bus, and what is well is shown."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests import actors
from tests import strategies as draw
from tests.fleet import Fleet
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import (
    Bus,
    Gap,
    InvalidMessage,
    Message,
    Notice,
    Presence,
    Role,
    SchemaMismatch,
    SessionPause,
    State,
    TidingsError,
    UnexpectedKey,
    UnknownSession,
    UnreadableRecord,
    carries,
    read_archives,
)
from tidings.bus.channels import Names
from tidings.bus.presence import CALLED, CALLED_BYTES
from tidings.bus.redis import open_connection
from tidings.workers.cli.doctor import examined
from tidings.workers.cli.members import ProcessView
from tidings.workers.doctor import Level
from tidings.workers.gateway.hub import Hub
from tidings.workers.settings import Settings
from tidings.workers.view import FamilyView, Roster, SessionView, view_json

NAMES = Names()
_NAMES = """
state epoch version why by reason since token lease lease_until worker picture nudge resume_at parks losses paused_by pending
parent name children awaits shown reported said status events commands handled touched failures last schema released other
"""
FIELDS = tuple(_NAMES.split())
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


@contextlib.asynccontextmanager
async def raw(url: str) -> AsyncIterator[Any]:
    """A bare client."""
    async with open_connection(url) as connection:
        yield connection.commands


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
        keys = {what: _key(what) for what in ("ready", "due", "seen", "sessions", "presences")}
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
    roster = Roster()
    async with ours_alone(), actors.follow(bus, channel, reread_s=0.01) as subscription:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                async for item in subscription:
                    if carries(item, Notice):
                        roster.apply(item)
                        shown(roster, bus)


def shown(roster: Roster, bus: Bus) -> None:
    """Draw the rows as people see them."""
    for row in (placed.row for placed in roster.shown()):
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
        lambda: bus.controller.snapshot("bad"),
        lambda: bus.controller.quarantine("bad", "unreadable"),
        lambda: bus.admin.queues(),
        lambda: bus.admin.server(),
        lambda: bus.controller.due(),
        lambda: bus.worker.claim(actors.WORKER, lease_s=60),
        lambda: bus.worker.claim(actors.WORKER, session="bad"),
        lambda: bus.submit("bad", SessionPause()),
        lambda: actors.publish(bus, actors.retry("bad")),
    ]
    for way in ways:
        async with ours_alone():
            await way()
    async with ours_alone():
        record = await bus.status("bad")
        children = [SessionView.of_child(child, "bad") for child in await bus.children("bad")]
        view_json(FamilyView.of_record(SessionView.of(record, bus.now()), record, children))
    async with ours_alone():
        lines = [line async for line in bus.admin.export("bad")]
        assert len(lines) < 2000
        list(read_archives(lines))
    for one in await bus.admin.processes():
        ProcessView.of(one).line()
    for channel in ("status.bad", "events.bad", "commands.bad", "status.*"):
        await follow(bus, channel)
    roster = Roster()
    async for record in bus.sessions():
        roster.put(row := SessionView.of(record, bus.now()))
        view_json(row)
    shown(roster, bus)
    hub = Hub(bus)
    try:
        await hub.start()
        assert hub.fleet[0]
        assert {"good"} <= {entry.row.session for entry in hub.ledger}
    finally:
        await hub.aclose()
    return {row.session for row in roster}


async def look(url: str, spoil: Callable[[Spoiler], Coroutine[Any, Any, None]]) -> None:
    """Spoil ``bad`` beside ``good``, and read it all."""
    async with Bus.connect(url) as bus, raw(bus.url) as client:
        await client.flushall()
        for session in ("bad", "good"):
            claim = await actors.hold(bus, session, lease_s=60)
            await claim.append(actors.answer(session), after=0)
        assert await client.exists(NAMES.record("bad"))
        await spoil(Spoiler(client))
        assert "good" in await read_everything(bus)
        findings = await examined(bus, Settings(), list(Role))
        # What is neither told nor refused can be read.
        named = {one.session async for one in bus.admin.unreadable()}
        try:
            await bus.status("bad")
        except (SchemaMismatch, UnknownSession):
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


EXAMPLES = settings().max_examples // 10
"""Each is a bus, a gateway and some twenty ways of reading."""
KNOWN: dict[str, tuple[dict[str, bytes], bool, Any, Any]] = {
    "a version below 0": ({"version": b"-1"}, False, {}, {}),
    "an epoch that is none": ({"epoch": b'a"\n\xff'}, False, {}, {}),
    "no epoch": ({}, True, {}, {}),
    "more events than there are": ({"events": b"900000000000000000"}, False, {}, {}),
    "a count without an end": ({"events": b"9" * 5000, "commands": b"9" * 5000}, False, {}, {}),
    "a log with a large hole": ({"events": b"1000000"}, False, {"events": [("1000000-0", {"m": b"{"})]}, {}),
    "a wait at the end of time": ({"state": b"rate_limited", "picture": WORDS[-5]}, False, {}, {}),
    "a claim of no state": ({"state": b"queued", "parent": b"\xff"}, False, {}, {"ready": {b"bad": 1.0}}),
    "names that are none": ({}, False, {}, {what: {b"\xff": 1.0, b"a b": 2.0, b"": 3.0} for what in ("ready", "due", "seen")}),
    "sessions that are none": ({}, False, {}, {"sessions": {b"\xff": b"\xff", b"": b"", b"x" * 5000: b"running"}}),
    "times that are none": ({}, False, {}, {what: {b"bad": float("inf"), b"good": float("-inf")} for what in ("ready", "due")}),
    "children that are none": ({"children": b"3"}, False, {}, {"children": {b"\xff": b"{", b"x": b"[]"}}),
    "a message of another session": ({"events": b"2"}, False, {"events": [("2-0", {"m": b"OTHER"})]}, {}),
}
_OTHER = actors.spoken("good").model_dump_json().encode()


def _key(what: str) -> str:
    """Return the key that all sessions share."""
    found: str = NAMES.ready() if what == "ready" else getattr(NAMES, what)
    return found


@pytest.mark.parametrize("known", KNOWN.values(), ids=KNOWN)
def test_what_once_ended_everything_is_borne(known: tuple[dict[str, bytes], bool, Any, Any]) -> None:
    """Each of these ended watching, listing, a worker, a controller or a starting gateway for all sessions."""
    fields, gone, found, others = known
    found = {
        plane: [(at, {k: _OTHER if v == b"OTHER" else v for k, v in e.items()}) for at, e in es] for plane, es in found.items()
    }
    check(f"memory://{uuid4().hex}", fields, gone, found, others)


def test_a_real_server_tells_the_same(real_url: str) -> None:
    """All of them at once."""
    fields = {"version": b"-1", "epoch": b'"', "events": b"9" * 20, "picture": b"[", "since": b"-9"}
    names = {b"\xff": 1.0, b"a b": float("inf"), b"bad": float("-inf")}
    others = {"ready": names, "due": names, "seen": names, "sessions": {b"\xff": b"\xff"}, "children": {b"x": b"{"}}
    check(real_url, fields, False, {"events": [("7-0", {"m": b"{"})], "commands": [("*", {"id": b"\xff"})]}, others)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(hashes, st.booleans(), logs, shared)
def test_only_errors_of_ours_leave_the_bus(fields: dict[str, bytes], gone: bool, found: Any, others: Any) -> None:
    """Whatever stands in a record, a log, a queue or a list, every way of reading answers, and the other session is shown."""
    check(f"memory://{uuid4().hex}", fields, gone, found, others)


@pytest.mark.parametrize(("field", "value"), [("version", "-1"), ("epoch", "a b"), ("events", str(9 * 10**17)), ("since", "x")])
async def test_a_session_that_cannot_be_read_is_named(redis_url: str, field: str, value: str) -> None:
    """By the field, in the error and by the doctor; its history is exported up to the end of its log."""
    async with Bus.connect(redis_url) as bus, raw(bus.url) as client:
        claim = await actors.hold(bus, "bad")
        await claim.append(actors.answer("bad"), actors.answer("bad"), after=0)
        await client.hset(NAMES.record("bad"), field, value)
        with pytest.raises(UnreadableRecord, match=f"{field}: not a"):
            await bus.status("bad")
        [found] = [one async for one in bus.admin.unreadable()]
        assert (found.session, found.cause.partition(":")[0]) == ("bad", field)
        [archive] = read_archives([line async for line in bus.admin.export("bad")])
        assert len(archive.events) == 2


async def swap(client: Any, key: str, kind: str) -> None:
    """Put a value of another type under a key, and what was there aside."""
    if await client.exists(key):
        await client.rename(key, f"{key}.aside")
    await (client.set(key, "x") if kind == "string" else client.rpush(key, "x"))


async def swap_back(client: Any, key: str) -> None:
    """Take it away, and put back what was there."""
    await client.delete(key)
    if await client.exists(f"{key}.aside"):
        await client.rename(f"{key}.aside", key)


READ = {
    "ready": lambda bus: bus.worker.claim(actors.WORKER),
    "due": lambda bus: bus.controller.due(),
    "sessions": lambda bus: anext(aiter(bus.sessions())),
    "seen": lambda bus: bus.admin.processes(),
    "presences": lambda bus: bus.admin.processes(),
}


@pytest.mark.parametrize("what", READ)
async def test_a_key_of_another_type_is_told(redis_url: str, what: str) -> None:
    """With its name, what it is, and what to do; nothing is half written, and all goes on when it is gone."""
    key = _key(what)
    async with Bus.connect(redis_url) as bus, raw(bus.url) as client:
        await actors.queue(bus, "other")
        claim = await actors.hold(bus)
        before = await client.hgetall(NAMES.record("s"))
        await swap(client, key, "list")
        with pytest.raises(
            UnexpectedKey, match=rf"the key {re.escape(key)} is a list and not a .*: something else wrote it"
        ) as caught:
            await READ[what](bus)
        assert (caught.value.key, caught.value.found) == (key, "list")
        if what in ("ready", "due", "sessions"):
            for write in (claim.release(actors.finished()), bus.worker.claim(actors.WORKER, session="other")):
                with pytest.raises(UnexpectedKey):
                    await write
        assert await client.hgetall(NAMES.record("s")) == before
        [finding] = [one for one in await examined(bus, Settings(), [Role.VIEWER]) if one.check == "keys"]
        assert (finding.level, key in finding.found) == (Level.PROBLEM, True)
        with contextlib.suppress(UnexpectedKey):
            async with asyncio.timeout(PATIENCE_S), bus.follow():
                assert what != "sessions"
        await swap_back(client, key)
        assert await claim.release(actors.finished()) is State.FINISHED


async def test_processes_outlast_keys_of_another_type(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A worker, a controller and who watches wait as for a server that is away, say so, and go on."""
    async with Fleet(redis_url) as fleet, raw(fleet.bus.url) as client, fleet.bus.follow() as notices:
        keys = [NAMES.ready(), NAMES.due, NAMES.sessions, NAMES.seen, NAMES.presences]
        for key in keys:
            await swap(client, key, "string")

        def told() -> bool:
            return {"worker.unreachable", "controller.unreachable"} <= {record.getMessage() for record in caplog.records}

        await eventually(told, PATIENCE_S)
        for key in keys:
            await swap_back(client, key)
        await fleet.start("s")
        await fleet.until("s", State.AWAITING_INPUT)
        async with asyncio.timeout(PATIENCE_S):
            async for item in notices:
                if not isinstance(item, Gap) and item.session == "s":
                    break


OF_ONE = {
    "record": NAMES.record("bad"),
    "events": NAMES.log("events", "bad"),
    "commands": NAMES.log("commands", "bad"),
    "status": NAMES.log("status", "bad"),
    "children": NAMES.children("bad"),
}


@pytest.mark.parametrize("what", OF_ONE)
async def test_a_key_of_one_session_harms_no_other(redis_url: str, what: str) -> None:
    """Reading it says which key it is; another session is listed, watched, claimed and finished."""
    key = OF_ONE[what]
    async with Fleet(redis_url) as fleet, raw(fleet.bus.url) as client:
        bus = fleet.bus
        await actors.hold(bus, "bad", lease_s=60)
        await swap(client, key, "string")
        await client.zadd(NAMES.ready(), {"bad": 1})
        await client.zadd(NAMES.due, {"bad": 1})
        read = bus.children("bad") if what == "children" else bus.status("bad") if what == "record" else bus.page(f"{what}.bad")
        with pytest.raises(UnreadableRecord, match=rf"the key {re.escape(key)} is a string and not a"):
            await read
        if what in ("record", "events"):
            [found] = [one async for one in bus.admin.unreadable()]
            assert (found.session, key in found.cause) == ("bad", True)
        async with bus.follow() as notices:
            await fleet.start("good")
            await fleet.until("good", State.AWAITING_INPUT)
            async with asyncio.timeout(PATIENCE_S):
                async for item in notices:
                    if not isinstance(item, Gap) and item.session == "good":
                        break
        assert "good" in {record.session async for record in bus.sessions()}


async def test_an_outcome_that_is_none_is_told(redis_url: str) -> None:
    """Garbage in its place, or a key of another type."""
    async with Bus.connect(redis_url) as bus, raw(bus.url) as client:
        await actors.hold(bus)
        pause = Message.of(SessionPause(), session="s")
        key = NAMES.outcome("s", pause.id)
        await client.set(key, b"\xff{")
        with pytest.raises(InvalidMessage, match="the outcome of the command cannot be read"):
            await actors.submit(bus, pause)
        await swap(client, key, "list")
        with pytest.raises(UnreadableRecord, match="is a list and not a string"):
            await actors.submit(bus, pause)


async def test_false_presences_are_bounded(redis_url: str) -> None:
    """However many and large they are, what is taken of them is small, those that live are there, and the rest is counted."""
    async with Bus.connect(redis_url) as bus, raw(bus.url) as client:
        now = bus.now().timestamp() * 1000
        large = {
            f"worker/{n}": Presence(role=Role.WORKER, name=str(n), sessions=("s" * 64,) * 1000).model_dump_json()
            for n in range(40)
        }
        wrong = {"worker/x": "x" * 2**20, "worker/y": Presence(role=Role.WORKER, name="z").model_dump_json(), "worker/n": "\0"}
        small = {f"worker/m{n}": Presence(role=Role.WORKER, name=f"m{n}").model_dump_json() for n in range(CALLED)}
        said = large | wrong | small
        await client.hset(NAMES.presences, mapping=said)
        await client.zadd(NAMES.seen, dict.fromkeys(said, now - 1000) | {"worker/m1": now + 10**9})
        await bus.admin.attend(Presence(role=Role.CONTROLLER, name="c1"))
        roll = await bus.admin.processes()
        assert sum(len(one.presence.model_dump_json()) for one in roll) <= CALLED_BYTES
        assert len(roll) <= CALLED
        assert bus.admin.left_out > 0
        assert [one.live for one in roll if one.presence.name in ("c1", "m1")] == [True, False]
        checks = [one.check for one in await examined(bus, Settings(), [Role.VIEWER])]
        assert "processes" in checks
