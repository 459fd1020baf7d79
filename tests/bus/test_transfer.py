"""Sessions out of an installation and into one."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from tests import actors
from tests.proxy import Proxy
from tests.readers import offsets, take
from tidings.bus import (
    BadArchive,
    Bus,
    Ending,
    Event,
    Gap,
    InvalidName,
    Lease,
    PayloadTooLarge,
    SessionDeleted,
    SessionExists,
    SessionState,
    State,
    Trigger,
    UnknownSession,
    carries,
    read_archives,
)
from tidings.bus import archive as archives
from tidings.bus.archive import Archive
from tidings.bus.channels import Names
from tidings.bus.logs import PAGE
from tidings.bus.records import SCHEMA


async def exported(bus: Bus, session: str = "s") -> Archive:
    """Return the export of a session, read back."""
    [archive] = read_archives([line async for line in bus.admin.export(session)])
    return archive


async def filled(bus: Bus, count: int, session: str = "s") -> Lease:
    """Make a session that is held, with so many events."""
    claim = await actors.hold(bus, session)
    await claim.append(*[actors.answer(session, str(number)) for number in range(count)], after=0)
    return claim


async def delete(bus: Bus, session: str = "s") -> None:
    """Delete a session, as a controller does."""
    seen = await actors.snapshot(bus, session)
    await bus.controller.decide(seen, actors.settled(seen, State.DELETED, revoke=True))


async def test_an_export_is_the_log_byte_for_byte(bus: Bus, raw: Redis, names: Names) -> None:
    """Over several pages, in order, under a header that says what there was."""
    count = PAGE + 3
    await filled(bus, count)
    first, *rest = [line async for line in bus.admin.export("s")]
    assert b'"type":"tidings.export"' in first
    entries: Any = await raw.xrange(names.log("events", "s"))
    assert rest == [entry[1][b"m"] for entry in entries]
    assert len(rest) == count


async def test_a_session_comes_back_as_it_was(bus: Bus) -> None:
    """The same offsets, ids and words under a new epoch; and it goes on from there."""
    claim = await filled(bus, 3)
    await claim.release(Ending(Trigger.YIELD, read=3, why="the turn is over"))
    archive = await exported(bus)
    restored = await bus.admin.restore(archive, "copy")
    assert (restored.session, restored.state, restored.events, restored.left_out) == ("copy", State.AWAITING_INPUT, 3, 0)
    old, new = await bus.history("s"), await bus.history("copy")
    assert [(event.offset, event.id, event.data) for event in new] == [(event.offset, event.id, event.data) for event in old]
    assert {event.session for event in new} == {"copy"}
    record = await bus.status("copy")
    assert record.epoch != (await bus.status("s")).epoch
    assert (record.why, record.version, record.pending, record.schema) == ("the turn is over", 1, False, SCHEMA)
    assert carries(record.last, SessionState)
    assert record.last.data.to is State.AWAITING_INPUT


@pytest.mark.parametrize(
    ("trigger", "state", "pending"),
    [
        (Trigger.YIELD, State.AWAITING_INPUT, False),
        (Trigger.FINISH, State.FINISHED, False),
        (Trigger.FAIL, State.ERROR, True),
        (Trigger.HAND_BACK, State.PAUSED, True),
        (None, State.PAUSED, True),
    ],
)
async def test_what_rested_rests_and_the_rest_is_paused(bus: Bus, trigger: Trigger | None, state: State, pending: bool) -> None:
    """Nothing begins to run because of an import."""
    claim = await filled(bus, 1)
    if trigger is not None:
        await claim.release(Ending(trigger, read=1))
    await bus.admin.restore(await exported(bus), "copy")
    record = await bus.status("copy")
    assert (record.state, record.pending, record.held) == (state, pending, False)
    if state is State.PAUSED:
        assert record.paused_by == "import"
        assert "resume it" in record.why
    assert await bus.worker.claim(actors.WORKER) is None or trigger is Trigger.HAND_BACK


async def test_a_name_that_is_taken_is_not_written_over(bus: Bus) -> None:
    """Neither that of a session nor that of a deleted one."""
    await filled(bus, 2)
    archive = await exported(bus)
    before = await bus.status("s")
    with pytest.raises(SessionExists, match="another name"):
        await bus.admin.restore(archive)
    assert await bus.status("s") == before
    await delete(bus)
    with pytest.raises(SessionDeleted):
        await bus.admin.restore(archive)
    with pytest.raises(InvalidName):
        await bus.admin.restore(archive, "no name")


async def test_a_restored_session_is_listed_and_told(bus: Bus) -> None:
    """Those who already wait for it hear of it, and read its history."""
    await filled(bus, 2)
    archive = await exported(bus)
    async with bus.follow("copy", Event) as events, bus.follow("copy") as notices:
        await bus.admin.restore(archive, "copy")
        assert offsets(await take(events, 2)) == [1, 2]
        [told] = await take(notices, 1)
    assert carries(told, SessionState)
    assert {record.session async for record in bus.sessions()} == {"s", "copy"}


async def test_a_place_left_out_is_a_hole_that_readers_are_told_of(bus: Bus, raw: Redis, names: Names) -> None:
    """What could not be read does not come back, and nothing moves into its place."""
    claim = await filled(bus, 1)
    await raw.xadd(names.log("events", "s"), {"id": "x", "m": b"\xffrubbish"}, id="2-0")
    await raw.hset(names.record("s"), "events", 2)
    await claim.append(actors.answer("s"), after=2)
    restored = await bus.admin.restore(await exported(bus), "copy")
    assert (restored.events, restored.left_out) == (3, 1)
    async with bus.follow("copy", Event) as events:
        assert offsets(await take(events, 3)) == [1, ("trimmed", 2, 2), 3]


async def test_a_record_that_cannot_be_read_is_exported(bus: Bus, raw: Redis, names: Names) -> None:
    """Its history is there, and its end is found in the log."""
    await filled(bus, PAGE + 1)
    await raw.hset(names.record("s"), mapping={"events": "many", "state": "dreaming"})
    archive = await exported(bus)
    assert (archive.header.state, len(archive.events)) == (None, PAGE + 1)
    await bus.admin.restore(archive, "copy")
    record = await bus.status("copy")
    assert (record.state, "could not be read" in record.why) == (State.PAUSED, True)


async def test_what_is_not_there_cannot_be_exported(bus: Bus, raw: Redis, names: Names) -> None:
    """No session, one whose start is not decided, and a deleted one."""
    await raw.hset(names.record("begun"), "epoch", "e")
    for session in ("nobody", "begun"):
        with pytest.raises(UnknownSession):
            await anext(bus.admin.export(session))
    await filled(bus, 1)
    await delete(bus)
    with pytest.raises(SessionDeleted):
        await anext(bus.admin.export("s"))


async def test_a_session_that_ends_while_it_is_exported_is_an_error(bus: Bus, raw: Redis, names: Names) -> None:
    """Half a history is not an export."""
    await filled(bus, PAGE + 1)
    reader = bus.admin.export("s")
    for _ in range(PAGE + 1):
        await anext(reader)
    await raw.hset(names.record("s"), "epoch", "another")
    with pytest.raises(BadArchive, match="lost while"):
        await anext(reader)
    reader = bus.admin.export("s")
    for _ in range(PAGE + 1):
        await anext(reader)
    await delete(bus)
    with pytest.raises(SessionDeleted):
        await anext(reader)


async def test_what_is_too_large_is_refused_before_anything_is_written(
    bus: Bus, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One script holds the server up; the error says what can be done."""
    await filled(bus, 3)
    archive = await exported(bus)
    for name in ("RESTORE_EVENTS", "RESTORE_BYTES"):
        with monkeypatch.context() as limits:
            limits.setattr(archives, name, 2)
            with pytest.raises(BadArchive, match="keep the file"):
                await bus.admin.restore(archive, "copy")
    async with Bus.connect(redis_url, payload_limit=20) as narrow:
        with pytest.raises(PayloadTooLarge):
            await narrow.admin.restore(archive, "copy")
    with pytest.raises(UnknownSession):
        await bus.status("copy")


@pytest.mark.parametrize("what", ["request", "reply"])
async def test_a_restore_over_a_broken_connection_happens_once(lossy: Bus, proxy: Proxy, what: Any) -> None:
    """It is tried again, and knows what it has written."""
    await filled(lossy, 2)
    archive = await exported(lossy)
    proxy.lose_script(what, "restore")
    assert (await lossy.admin.restore(archive, "copy")).events == 2
    assert len(await lossy.history("copy")) == 2


@pytest.mark.parametrize("count", [2_000, pytest.param(10_000, marks=pytest.mark.full)])
async def test_thousands_of_events_go_out_and_in(bus: Bus, count: int) -> None:
    """Page by page out, in one step in."""
    claim = await actors.hold(bus)
    for start in range(0, count, 1000):
        await claim.append(*[actors.answer("s", str(start + number)) for number in range(1000)], after=start)
    assert (await bus.admin.restore(await exported(bus), "copy")).events == count
    async with bus.follow("copy", Event, count - 1) as events:
        [last] = await take(events, 1)
    assert not isinstance(last, Gap)
    assert (last.offset, getattr(last.data, "text", "")) == (count, str(count - 1))
