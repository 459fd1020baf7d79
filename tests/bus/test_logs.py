from __future__ import annotations

import logging
from typing import Any

import pytest
from redis.asyncio import Redis

from tests import actors
from tidings.bus import AgentMessage, Bus, InvalidMessage, State, UnknownSession, carries
from tidings.bus import logs as module
from tidings.bus.channels import Names
from tidings.bus.logs import Logs


@pytest.fixture
def logs(bus: Bus) -> Logs:
    """The logs of the bus under test."""
    return Logs(bus._context)


async def filled(bus: Bus, count: int) -> None:
    """Make a session with so many events, `e1` the first."""
    claim = await actors.hold(bus)
    await claim.append(*[actors.answer("s", id=f"e{index}") for index in range(1, count + 1)], after=0)


# pages


async def test_a_page_holds_what_follows(bus: Bus, logs: Logs) -> None:
    """Up to the limit, with epoch and end of the log, and the id of the entry it follows."""
    await filled(bus, 5)
    epoch = (await bus.status("s")).epoch
    page = await logs.page("events", "s", 2, limit=2)
    assert (page.epoch, page.end, page.id_before) == (epoch, 5, "e2")
    assert [(offset, message and message.id) for offset, message in page.entries] == [(3, "e3"), (4, "e4")]


async def test_pages_follow_each_other(bus: Bus, logs: Logs) -> None:
    """From the beginning to beyond the end."""
    await filled(bus, 5)
    read: list[int] = []
    for _ in range(4):
        page = await logs.page("events", "s", read[-1] if read else 0, limit=2)
        read += [offset for offset, _ in page.entries]
    assert read == [1, 2, 3, 4, 5]
    beyond = await logs.page("events", "s", 9)
    assert (beyond.end, beyond.entries, beyond.id_before) == (5, (), "")


async def test_a_page_of_nothing(logs: Logs) -> None:
    """There is no such session."""
    page = await logs.page("events", "s", 0)
    assert (page.epoch, page.end, page.entries) == (None, 0, ())


async def test_what_cannot_be_read_leaves_its_place(bus: Bus, raw: Redis, names: Names, logs: Logs) -> None:
    """The offset is there, the message is not."""
    await filled(bus, 1)
    await raw.xadd(names.log("events", "s"), {"m": b"\xff"}, id="2-0")
    await raw.xadd(names.log("events", "s"), {"x": b"1"}, id="3-0")
    await raw.hset(names.record("s"), "events", "3")
    page = await logs.page("events", "s", 0)
    assert [(offset, message is None) for offset, message in page.entries] == [(1, False), (2, True), (3, True)]
    assert (await logs.page("events", "s", 3)).id_before == ""


async def test_the_entry_says_where_a_message_stands(bus: Bus, raw: Redis, names: Names, logs: Logs) -> None:
    """Also when the JSON says something else."""
    await filled(bus, 1)
    forged = actors.answer("s").model_copy(update={"offset": 77, "epoch": "x"})
    await raw.xadd(names.log("events", "s"), {"id": forged.id, "m": forged.model_dump_json()}, id="2-0")
    await raw.hset(names.record("s"), "events", "2")
    page = await logs.page("events", "s", 1)
    [(offset, message)] = page.entries
    assert carries(message, AgentMessage)
    assert (offset, message.offset) == (2, 2)


async def test_the_ends_of_many_channels(bus: Bus, logs: Logs) -> None:
    """In the order asked; nothing for what is not there."""
    await filled(bus, 3)
    epoch = (await bus.status("s")).epoch
    assert await logs.ends("events", ["none", "s"]) == [("", 0), (epoch, 3)]
    assert await logs.ends("status", ["s"]) == [(epoch, 2)]
    assert await logs.ends("status", []) == []


# records


async def test_a_record_is_there_or_not(bus: Bus, logs: Logs) -> None:
    """`record` insists, `find` does not."""
    await actors.hold(bus)
    assert await logs.find("none") is None
    assert (await logs.record("s")).state is State.RUNNING
    with pytest.raises(UnknownSession):
        await logs.record("none")


async def test_a_record_that_cannot_be_read(
    bus: Bus, raw: Redis, names: Names, logs: Logs, caplog: pytest.LogCaptureFixture
) -> None:
    """Alone it is an error; among others it is left out and told, so that one does not hide the rest."""
    for session in ("a", "bad", "c"):
        await actors.hold(bus, session)
    await raw.hset(names.record("bad"), "state", "dancing")
    with pytest.raises(InvalidMessage):
        await logs.record("bad")
    with pytest.raises(InvalidMessage):
        await logs.find("bad")
    with caplog.at_level(logging.WARNING):
        found = await logs.records(["a", "bad", "none", "c"])
    assert [record and record.session for record in found] == ["a", None, None, "c"]
    assert [(record.getMessage(), record.__dict__["session"]) for record in caplog.records] == [("record.unreadable", "bad")]
    assert "dancing" not in caplog.text
    assert {record.session async for record in bus.sessions()} == {"a", "c"}


# all sessions


async def test_all_sessions_are_found_once(bus: Bus, logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pages they take, in any state or in one."""
    monkeypatch.setattr(module, "_SCAN", 10)
    names = {f"s{index}" for index in range(600)}
    fields: dict[Any, Any] = {name: "queued" if index % 2 else "error" for index, name in enumerate(sorted(names))}
    await bus._context.connection.commands.hset(bus._context.names.sessions, mapping=fields)
    found = [session async for session in logs.sessions()]
    assert (len(found), set(found)) == (600, names)
    queued = [session async for session in logs.sessions(State.QUEUED)]
    assert set(queued) == {name for name, state in fields.items() if state == "queued"}


async def test_no_sessions(logs: Logs) -> None:
    """An empty server has none."""
    assert [session async for session in logs.sessions()] == []
    assert await logs.scan(0) == (0, {})
