from __future__ import annotations

import asyncio
import contextlib
import random
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from tests import actors
from tests.conftest import MakeServer
from tests.readers import Writer, offsets, read_to, take
from tests.waiting import PATIENCE_S, eventually
from tidings.bus import (
    Bus,
    Closed,
    Command,
    Cursor,
    Ending,
    Event,
    Gap,
    InvalidName,
    LlmRetry,
    Message,
    Notice,
    Picture,
    Reason,
    SessionPause,
    SessionState,
    State,
    Subscription,
    Trigger,
    Unreachable,
    UserMessage,
    carries,
)
from tidings.bus.channels import Names
from tidings.bus.publisher import RETENTION
from tidings.bus.records import SCHEMA

NEVER_S = 600.0
"""A look at the log in silence that no test lives to see: what arrives has come without it."""


async def fill(bus: Bus, count: int, session: str = "s") -> None:
    """Make a session with so many events, `e1` the first."""
    claim = await actors.hold(bus, session)
    await claim.append(*[actors.answer(session, id=f"e{index}") for index in range(1, count + 1)], after=0)


async def told(bus: Bus, count: int, session: str = "s") -> None:
    """Publish so many notices."""
    for attempt in range(1, count + 1):
        await actors.publish(bus, actors.retry(session, attempt))


async def nothing_more(subscription: Subscription[Any]) -> None:
    """Make sure that nothing waits: a reader that is cancelled got nothing, and whatever comes later is still complete."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await anext(subscription)


def states(items: list[Any]) -> list[tuple[str, State]]:
    """Return which session each notice of a state is about, and the state."""
    return [(item.session, item.data.to) for item in items if isinstance(item.data, SessionState)]


# events


async def test_history_then_live_is_one_sequence(bus: Bus) -> None:
    """From the oldest event on, without a seam."""
    claim = await actors.hold(bus)
    stored = await claim.append(*[actors.answer("s", str(index)) for index in range(3)], after=0)
    async with bus.follow("s", Event) as events:
        assert await take(events, 3) == list(stored)
        stored = await claim.append(actors.answer("s", "live"), after=3)
        assert await take(events, 1) == list(stored)
        await nothing_more(events)


async def test_a_long_history_is_read_in_pages(bus: Bus) -> None:
    """Each event once, also those appended while it is read."""
    await fill(bus, 1100)
    async with bus.follow("s", Event) as events:
        seen = await take(events, 10)
        seen += await read_to(events, 1100)
        assert offsets(seen) == list(range(1, 1101))
        assert events.statistics().resyncs == 0


async def test_a_session_that_does_not_exist_yet(bus: Bus) -> None:
    """Its first events come when there are any."""
    async with bus.follow("s", Event) as events:
        await nothing_more(events)
        await fill(bus, 2)
        assert offsets(await take(events, 2)) == [1, 2]


async def test_commands_can_be_followed(bus: Bus) -> None:
    """Those that wait, then those that come."""
    await actors.hold(bus)
    asking = [asyncio.create_task(bus.send("s", SessionPause(), 30, id="c1"))]
    await actors.waiting(bus)
    async with bus.follow("s", Command) as commands:
        asking.append(asyncio.create_task(bus.send("s", SessionPause(), 30, id="c2")))
        assert [getattr(item, "id", None) for item in await take(commands, 2)] == ["c1", "c2"]
    for each in asking:
        each.cancel()


async def test_attaching_under_load(bus: Bus) -> None:
    """Fifty readers attach while somebody writes without pause: each gets everything once, in order."""
    writer = Writer(bus, await actors.hold(bus))
    await writer.write()
    writer.start()

    async def attach(after: int | None) -> tuple[int | None, list[Message[Any] | Gap]]:
        async with bus.follow("s", Event, after) as events:
            entered = writer.written
            seen = await read_to(events, entered + 5)
            seen += await read_to(events, entered + 10)
            return after, seen

    readers = []
    for index in range(50):
        readers.append(asyncio.create_task(attach(writer.written if index % 2 else None)))
        aim = writer.written + 1 + index % 3
        await eventually(lambda aim=aim: writer.written >= aim)  # type: ignore[misc]
    for after, seen in await asyncio.gather(*readers):
        last = seen[-1]
        assert not isinstance(last, Gap)
        assert last.offset is not None
        assert offsets(seen) == list(range((after or 0) + 1, last.offset + 1))
    await writer.stop()


# cursors


@pytest.mark.parametrize("read", [0, 1, 4, 7])
async def test_a_reader_goes_on_where_it_was(bus: Bus, read: int) -> None:
    """By a cursor or a bare offset: exactly with the next event."""
    await fill(bus, 7)
    cursor: Cursor | int = 0
    async with bus.follow("s", Event) as events:
        for item in await take(events, read):
            assert not isinstance(item, Gap)
            cursor = item.cursor
    claim_epoch = (await bus.status("s")).epoch
    places: list[Cursor | int] = [
        cursor,
        read,
        Cursor(claim_epoch, read),
        Cursor(claim_epoch, read, "" if not read else f"e{read}"),
    ]
    for place in places:
        async with bus.follow("s", Event, place) as events:
            assert offsets(await take(events, 7 - read)) == list(range(read + 1, 8))
            await nothing_more(events)
            assert events.statistics().gaps == 0


@pytest.mark.parametrize("case", ["epoch", "beyond", "beyond by offset", "id", "id at the end"])
async def test_a_cursor_of_another_log_is_told(bus: Bus, case: str) -> None:
    """One reset, then everything there is: the data was lost meanwhile, whatever tells so."""
    await fill(bus, 5)
    epoch = (await bus.status("s")).epoch
    places: dict[str, Cursor | int] = {
        "epoch": Cursor("another", 3),
        "beyond": Cursor(epoch, 9),
        "beyond by offset": 9,
        "id": Cursor(epoch, 3, "another"),
        "id at the end": Cursor(epoch, 5, "another"),
    }
    place = places[case]
    last = place.offset if isinstance(place, Cursor) else place
    async with bus.follow("s", Event, place) as events:
        assert offsets(await take(events, 6)) == [("reset", last + 1, last), 1, 2, 3, 4, 5]
        await nothing_more(events)
        assert events.statistics().gaps == 1


async def test_a_cursor_whose_session_is_gone(bus: Bus) -> None:
    """The loss is told at once; what begins anew follows."""
    async with bus.follow("s", Event, Cursor("lost", 3, "x")) as events:
        assert offsets(await take(events, 1)) == [("reset", 4, 3)]
        await fill(bus, 2)
        assert offsets(await take(events, 2)) == [1, 2]


async def test_a_place_before_the_beginning_is_refused(bus: Bus) -> None:
    """As a mistake, before anything is asked."""
    for place in (-1, Cursor("e", -1)):
        with pytest.raises(ValueError, match="first offset is 1"):
            bus.follow("s", Event, place)


@pytest.mark.parametrize(
    ("channel", "after"), [("events.*", None), ("commands.*", None), ("status.*", 0), ("status.*", Cursor("e", 1))]
)
async def test_patterns_are_for_status_without_a_cursor(bus: Bus, channel: str, after: Cursor | int | None) -> None:
    """A cursor belongs to one channel, and nobody can hold all events of all sessions."""
    with pytest.raises(InvalidName, match=r"status\.\*"):
        actors.follow(bus, channel, after)


# status


async def test_status_begins_with_the_picture(bus: Bus) -> None:
    """The state as it is, in place of what led to it; then what happens, each notice once."""
    claim = await actors.hold(bus)
    await told(bus, 3)
    async with bus.follow("s") as notices:
        await told(bus, 2)
        picture, *live = await take(notices, 3)
        assert carries(picture, SessionState)
        assert (picture.data.to, picture.data.worker, picture.offset, picture.epoch) == (
            State.RUNNING,
            actors.WORKER,
            5,
            claim.epoch,
        )
        assert offsets(live) == [6, 7]
        assert all(carries(notice, LlmRetry) for notice in live)


async def test_a_late_subscriber_sees_the_wait_at_once(bus: Bus) -> None:
    """What the session waits for, and until when, without waiting for the next notice."""
    claim = await actors.hold(bus)
    wait = actors.LIMITED.model_copy(update={"retry_at": bus.now() + timedelta(seconds=3)})
    await actors.renew(claim, Picture(model="m", waits={"agent": wait}))
    seen = await actors.snapshot(bus)
    await bus.controller.decide(seen, actors.settled(seen, State.RATE_LIMITED))
    for channel in ("s", "*"):
        async with bus.follow(channel) as notices:
            [picture] = await take(notices, 1)
            assert carries(picture, SessionState)
            assert (picture.data.to, picture.data.wait, picture.data.reason) == (State.RATE_LIMITED, wait, Reason.RATE_LIMIT)


async def test_a_cursor_from_a_picture_can_be_resumed(bus: Bus) -> None:
    """Its id is not that of the notice at its offset, and that is no loss of data."""
    await actors.hold(bus)
    async with bus.follow("s") as notices:
        [picture] = await take(notices, 1)
        assert not isinstance(picture, Gap)
    await told(bus, 2)
    async with bus.follow("s", Notice, picture.cursor) as notices:
        assert offsets(await take(notices, 2)) == [3, 4]
        assert notices.statistics().gaps == 0


async def test_what_the_ring_has_lost_is_one_gap(bus: Bus) -> None:
    """Exactly the missing range, then all that is left."""
    await actors.hold(bus)
    await told(bus, RETENTION + 10)
    end = RETENTION + 12
    async with bus.follow("s", Notice, 5) as notices:
        assert offsets(await take(notices, 1 + RETENTION)) == [
            ("trimmed", 6, end - RETENTION),
            *range(end - RETENTION + 1, end + 1),
        ]
        await nothing_more(notices)


async def test_a_ring_that_has_expired_is_a_gap_and_the_picture(bus: Bus, raw: Redis, names: Names) -> None:
    """Nothing is left of it, but the state is known."""
    await actors.hold(bus)
    await told(bus, 3)
    await raw.delete(names.log("status", "s"))
    async with bus.follow("s", Notice, 1) as notices:
        gap, picture = await take(notices, 2)
        assert offsets([gap, picture]) == [("trimmed", 2, 5), 5]
        assert states([picture]) == [("s", State.RUNNING)]
        await told(bus, 1)
        assert offsets(await take(notices, 1)) == [6]


async def test_a_status_channel_before_its_session(bus: Bus) -> None:
    """Nothing to draw yet; then every notice from the first on."""
    async with bus.follow("s") as notices:
        await actors.hold(bus)
        assert offsets(await take(notices, 2)) == [1, 2]


async def test_all_sessions_are_drawn_then_followed(bus: Bus) -> None:
    """Each with its picture; new ones from their first notice on."""
    await actors.queue(bus, "a", "b")
    async with bus.follow() as notices:
        await actors.hold(bus, "c")
        await told(bus, 1, "a")
        items = await take(notices, 5)
        assert sorted(states(items[:2])) == [("a", State.QUEUED), ("b", State.QUEUED)]
        live = [(getattr(item, "session", ""), item.offset) for item in items[2:] if not isinstance(item, Gap)]
        assert sorted(live) == [("a", 5), ("c", 1), ("c", 2)]
        await nothing_more(notices)


async def test_more_sessions_than_the_buffer_holds(bus: Bus, raw: Redis, names: Names) -> None:
    """They are drawn as the reader goes on, and those to come do not wait in memory."""
    sessions = [f"s{index}" for index in range(700)]
    fields: Any = {"epoch": "e", "schema": SCHEMA, "state": "queued", "version": 1, "status": 4}
    pipeline = raw.pipeline(transaction=False)
    for session in sessions:
        pipeline.hset(names.sessions, session, "queued")
        pipeline.hset(names.record(session), mapping=fields)
    await pipeline.execute()
    async with bus.follow("*", Notice, buffer=5) as notices:
        assert 5 <= notices.statistics().pending < 700
        seen = dict(states(await take(notices, 700)))
        assert seen == dict.fromkeys(sessions, State.QUEUED)
        await nothing_more(notices)
        await told(bus, 1, "s7")
        assert offsets(await take(notices, 1)) == [5]


async def test_a_record_that_cannot_be_read_hides_nobody_else(bus: Bus, raw: Redis, names: Names) -> None:
    """Its own notices still come."""
    await actors.queue(bus, "a", "bad", "c")
    await raw.hset(names.record("bad"), "losses", "many")
    async with bus.follow() as notices:
        assert {session for session, _ in states(await take(notices, 2))} == {"a", "c"}
        await actors.publish(bus, actors.retry("bad"))
        items = await read_to(notices, 5)
        assert {getattr(item, "session", "") for item in items} == {"bad"}


# slow readers


async def test_a_slow_reader_loses_no_event(bus: Bus) -> None:
    """Its buffer overflows, and it reads the log instead, at its own pace."""
    claim = await actors.hold(bus)
    async with bus.follow("s", Event, buffer=5, reread_s=NEVER_S) as events:
        await nothing_more(events)
        for index in range(60):
            await claim.append(actors.answer("s"), after=index)
        await eventually(lambda: events.statistics().overflows)
        assert events.statistics().pending <= 5
        assert offsets(await read_to(events, 60)) == list(range(1, 61))
        counted = events.statistics()
        assert (counted.delivered, counted.gaps) == (60, 0)
        assert counted.dropped == counted.overflows * 5


async def test_a_slow_reader_of_status_is_told_what_is_gone(bus: Bus) -> None:
    """One gap for what the ring has lost, and nothing else is missing."""
    await actors.hold(bus)
    async with bus.follow("s", Notice, buffer=5, reread_s=NEVER_S) as notices:
        await take(notices, 1)
        await told(bus, 100)
        await eventually(lambda: notices.statistics().overflows)
        items = await read_to(notices, 102)
        assert offsets(items) == [("trimmed", 3, 102 - RETENTION), *range(102 - RETENTION + 1, 103)]
        assert notices.statistics().gaps == 1


async def test_a_slow_reader_of_all_sessions(bus: Bus) -> None:
    """Those that overflowed are read from their rings, each in order; the others are not touched."""
    await actors.queue(bus, "a", "b", "c")
    async with bus.follow("*", Notice, buffer=4, reread_s=NEVER_S) as notices:
        await take(notices, 3)
        for _ in range(10):
            await told(bus, 1, "a")
            await told(bus, 1, "b")
        await actors.hold(bus, "d")
        await eventually(lambda: notices.statistics().overflows)
        seen: dict[str, list[int | None]] = {}
        for item in await take(notices, 22):
            assert not isinstance(item, Gap)
            seen.setdefault(item.session, []).append(item.offset)
        assert seen == {"a": list(range(5, 15)), "b": list(range(5, 15)), "d": [1, 2]}
        await nothing_more(notices)


async def test_a_slow_reader_slows_nobody_else(bus: Bus) -> None:
    """Others on the same channel get everything live."""
    claim = await actors.hold(bus)
    async with bus.follow("s", Event, buffer=2), bus.follow("s", Event) as quick:
        for index in range(20):
            await claim.append(actors.answer("s"), after=index)
            assert offsets(await take(quick, 1)) == [index + 1]
        assert quick.statistics().overflows == 0


@pytest.mark.parametrize("seed", range(3))
async def test_any_schedule_delivers_each_event_once(bus: Bus, seed: int) -> None:
    """Writing, reading, giving up in the middle of it, and coming back by the cursor, in any order."""
    rng = random.Random(seed)
    claim, written, seen = await actors.hold(bus), 0, list[Message[Any] | Gap]()
    cursor: Cursor | None = None
    while written < 150:
        async with bus.follow(
            "s", Event, cursor, buffer=rng.choice([1, 3, 1000]), reread_s=rng.choice([0.01, NEVER_S])
        ) as events:
            for _ in range(rng.randrange(8)):
                if rng.random() < 0.5:
                    step = [actors.answer("s") for _ in range(rng.randrange(1, 12))]
                    await claim.append(*step, after=written)
                    written += len(step)
                for _ in range(rng.randrange(12)):
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(rng.choice([0.0001, 0.002])):
                            seen.append(await anext(events))
        if seen:
            last = seen[-1]
            assert not isinstance(last, Gap)
            cursor = last.cursor
    async with bus.follow("s", Event, cursor) as events:
        rest = written - len(seen)
        seen += await take(events, rest)
        await nothing_more(events)
    assert offsets(seen) == list(range(1, written + 1))


# what does not belong


async def test_what_cannot_be_read_is_counted_and_passed_over(bus: Bus, raw: Redis, names: Names) -> None:
    """Once, whether it came live or from the log."""
    claim = await actors.hold(bus)
    async with bus.follow("s", Event) as events:
        await nothing_more(events)
        await raw.hincrby(names.record("s"), "events", 1)
        await raw.xadd(names.log("events", "s"), {"m": b"{"}, id="1-0")
        await raw.publish("events.s", b"{")
        [stored] = await claim.append(actors.answer("s"), after=1)
        assert await take(events, 1) == [stored]
        assert events.statistics().invalid == 1
    async with bus.follow("s", Event) as events:
        assert await take(events, 1) == [stored]
        assert events.statistics().invalid == 1


async def test_what_was_only_published_is_not_believed(bus: Bus, raw: Redis) -> None:
    """Anybody can publish: noise, another session's event, an offset that is not there."""
    claim = await actors.hold(bus)
    await fill(bus, 2, "other")
    forged = actors.answer("s").model_copy(update={"offset": 7, "epoch": claim.epoch})
    foreign = (await bus.history("other"))[0]
    disguised = foreign.model_copy(update={"epoch": claim.epoch})
    async with bus.follow("s", Event) as events, bus.follow() as notices:
        await take(notices, 2)
        await nothing_more(events)
        for noise in (
            b"\xff",
            b"null",
            forged.model_dump_json(),
            foreign.model_dump_json(),
            disguised.model_dump_json(),
            actors.answer("s").model_dump_json(),
        ):
            await raw.publish("events.s", noise)
            await raw.publish("status.s", noise)
            await raw.publish("status.unknown", b"\xff")
        await nothing_more(events)
        [stored] = await claim.append(actors.answer("s"), after=0)
        assert await take(events, 1) == [stored]
        await actors.publish(bus, actors.retry("s"))
        assert offsets(await take(notices, 1)) == [3]
        assert (events.statistics().gaps, notices.statistics().gaps) == (0, 0)


# data that is lost


async def test_lost_data_is_told(bus: Bus, raw: Redis) -> None:
    """Also in silence, by the slow look at the log; what begins anew follows from its first event."""
    await fill(bus, 3)
    async with bus.follow("s", Event, reread_s=0.02) as events, bus.follow("*", Notice, reread_s=0.02) as notices:
        await take(events, 3)
        await take(notices, 1)
        await raw.flushall()
        assert offsets(await take(events, 1)) == [("reset", 4, 3)]
        assert offsets(await take(notices, 1)) == [("reset", 3, 2)]
        await fill(bus, 2)
        assert offsets(await take(events, 2)) == [1, 2]
        assert offsets(await take(notices, 2)) == [1, 2]


async def test_data_lost_and_begun_anew_at_once(bus: Bus, raw: Redis) -> None:
    """The epoch tells, even where the offsets go on as if nothing had happened."""
    await fill(bus, 3)
    async with bus.follow("s", Event) as events:
        await take(events, 3)
        await raw.flushall()
        await fill(bus, 5)
        assert offsets(await take(events, 6)) == [("reset", 4, 3), 1, 2, 3, 4, 5]


async def test_data_lost_and_written_over_under_the_same_epoch(bus: Bus, raw: Redis, names: Names) -> None:
    """The record survived, the newest events did not, and others have taken their places: as after a crash with `everysec`."""
    await fill(bus, 3)
    async with bus.follow("s", Event, reread_s=0.02) as events:
        await take(events, 3)
        kept: Any = await raw.xrange(names.log("events", "s"), count=2)
        pipeline = raw.pipeline(transaction=True)
        pipeline.delete(names.log("events", "s"))
        for ident, fields in kept:
            pipeline.xadd(names.log("events", "s"), fields, id=ident)
        for offset in (3, 4):
            other = actors.answer("s", id=f"other{offset}").model_dump_json(exclude={"offset", "epoch"})
            pipeline.xadd(names.log("events", "s"), {"id": f"other{offset}", "m": other}, id=f"{offset}-0")
        pipeline.hset(names.record("s"), "events", 4)
        await pipeline.execute()
        seen = await take(events, 5)
        assert offsets(seen) == [("reset", 4, 3), 1, 2, 3, 4]
        assert [getattr(item, "id", "") for item in seen[3:]] == ["other3", "other4"]


async def test_status_lost_and_written_over_since_the_picture(bus: Bus, raw: Redis, names: Names) -> None:
    """A reader that has nothing but the picture is told as well: the record says which notice stood at its offset."""
    await fill(bus, 1)
    async with bus.follow("s", Notice, reread_s=0.02) as notices:
        [picture] = await take(notices, 1)
        assert offsets([picture]) == [2]
        pipeline = raw.pipeline(transaction=True)
        pipeline.delete(names.log("status", "s"))
        for offset in (1, 2, 3):
            other = actors.retry("s", id=f"other{offset}").model_dump_json(exclude={"offset", "epoch"})
            pipeline.xadd(names.log("status", "s"), {"id": f"other{offset}", "m": other}, id=f"{offset}-0")
        pipeline.hset(names.record("s"), "status", 3)
        await pipeline.execute()
        assert offsets(await take(notices, 4)) == [("reset", 3, 2), 1, 2, 3]


@pytest.mark.parametrize("channel", ["status.s", "status.*"])
async def test_status_lost_and_written_over_up_to_the_same_offset(bus: Bus, raw: Redis, names: Names, channel: str) -> None:
    """The log ends where the reader is, with another message: what comes next does not follow what the reader has."""
    await fill(bus, 1)
    async with actors.follow(bus, channel) as notices:
        assert offsets(await take(notices, 1)) == [2]
        pipeline = raw.pipeline(transaction=True)
        pipeline.delete(names.log("status", "s"))
        for offset in (1, 2):
            other = actors.retry("s", id=f"other{offset}").model_dump_json(exclude={"offset", "epoch"})
            pipeline.xadd(names.log("status", "s"), {"id": f"other{offset}", "m": other}, id=f"{offset}-0")
        await pipeline.execute()
        # As when the connection was replaced.
        notices.on_subscribed()
        assert offsets(await take(notices, 3)) == [("reset", 3, 2), 1, 2]


@pytest.mark.parametrize("channel", ["status.s", "status.*"])
async def test_what_was_heard_before_a_server_was_lost_is_read_again(make_server: MakeServer, channel: str) -> None:
    """A slow reader is not given what the server has lost meanwhile: the offset is another message's now."""
    server = make_server()
    async with Bus.connect(server.url, heartbeat_s=0.2) as bus:
        await actors.hold(bus)
        async with actors.follow(bus, channel, reread_s=NEVER_S) as notices:
            await take(notices, 1)
            server.command("SAVE")
            await actors.publish(bus, actors.retry("s", id="lost"))
            await eventually(lambda: notices.statistics().pending == 1)
            server.kill()
            server.start()
            await eventually(lambda: bus.reconnects == 1 and bus.connected)
            reading = asyncio.create_task(read_to(notices, 4))
            await eventually(lambda: notices.statistics().pending == 0)
            for name in ("kept", "later"):
                await again(bus, actors.retry("s", id=name))
            items = await reading
            assert [item.id for item in items if not isinstance(item, Gap)] == ["kept", "later"]


async def again(bus: Bus, notice: Message[LlmRetry]) -> None:
    """Publish a notice, however long the server takes to come back."""

    async def published() -> bool:
        """The server takes it."""
        try:
            await actors.publish(bus, notice)
        except Unreachable:
            return False
        return True

    await eventually(published)


async def test_what_was_never_heard_is_found_in_silence(bus: Bus, raw: Redis, names: Names) -> None:
    """The last message before a silence cannot be missed by counting."""
    await fill(bus, 1)
    async with bus.follow("s", Event, reread_s=0.02) as events, bus.follow("*", Notice, reread_s=0.02) as notices:
        await take(events, 1)
        await take(notices, 1)
        unheard = actors.answer("s").model_dump_json(exclude={"offset", "epoch"})
        await raw.hincrby(names.record("s"), "events", 1)
        await raw.xadd(names.log("events", "s"), {"id": "e2", "m": unheard}, id="2-0")
        await raw.hincrby(names.record("s"), "status", 1)
        await raw.xadd(
            names.log("status", "s"), {"id": "n", "m": actors.retry("s").model_dump_json(exclude={"offset"})}, id="3-0"
        )
        assert offsets(await take(events, 1)) == [2]
        assert offsets(await take(notices, 1)) == [3]


# entering and leaving


async def test_entering_comes_before_reading(bus: Bus) -> None:
    """What is not subscribed yet would have holes."""
    with pytest.raises(Closed, match="enter the subscription"):
        await anext(bus.follow("s", Event))


async def test_closing_wakes_the_reader(bus: Bus) -> None:
    """It gets the end of the iteration; closing again is no error."""
    async with bus.follow("s", Event, reread_s=NEVER_S) as events:

        async def read() -> list[Message[UserMessage] | Any]:
            return [item async for item in events]

        reading = asyncio.create_task(read())
        await eventually(lambda: events._wake._waiters)
        await events.aclose()
        await events.aclose()
        async with asyncio.timeout(PATIENCE_S):
            assert await reading == []
        with pytest.raises(StopAsyncIteration):
            await anext(events)


async def test_a_reader_that_is_cancelled_loses_nothing(bus: Bus) -> None:
    """It can give up waiting at any moment, also in the middle of a look at the log, and go on later."""
    await fill(bus, 3)
    for turn in range(60):
        seen: list[Any] = []
        async with bus.follow("s", Event, reread_s=NEVER_S) as events:
            reading = asyncio.ensure_future(anext(events))
            for _ in range(turn):
                await asyncio.sleep(0)
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                seen.append(await reading)
            seen += await take(events, 3 - len(seen))
            assert offsets(seen) == [1, 2, 3]


async def test_what_is_in_hand_is_still_given_out_after_closing(bus: Bus) -> None:
    """A page that was read is delivered to its end."""
    await fill(bus, 3)
    async with bus.follow("s", Event) as events:
        await take(events, 1)
    assert offsets([item async for item in events]) == [2, 3]


async def test_statistics_tell_what_happened(bus: Bus) -> None:
    """From nothing to what waits."""
    claim = await actors.hold(bus)
    subscription = bus.follow("s", Event)
    assert subscription.statistics().connected is False
    async with subscription as events:
        await nothing_more(events)
        for index in range(3):
            await claim.append(actors.answer("s"), after=index)
        await take(events, 2)
        await eventually(lambda: events.statistics().pending == 1)
        counted = events.statistics()
        assert (counted.delivered, counted.overflows, counted.dropped, counted.invalid) == (2, 0, 0, 0)
        assert (counted.gaps, counted.resyncs, counted.connected) == (0, 0, True)


async def test_parking_and_letting_go_are_seen(bus: Bus) -> None:
    """A watcher of everything follows a session through its states."""
    async with bus.follow() as notices:
        claim = await actors.hold(bus)
        resume_at = bus.now() + timedelta(minutes=5)
        await claim.release(Ending(Trigger.PARK, read=0, resume_at=resume_at, waits={"agent": actors.LIMITED}))
        seen = await actors.snapshot(bus)
        await bus.controller.decide(seen, actors.settled(seen, State.QUEUED, {"resume_at": ""}))
        assert states(await take(notices, 5)) == [("s", State.RUNNING), ("s", State.RATE_LIMITED), ("s", State.QUEUED)]
