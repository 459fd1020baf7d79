"""The streams: every event once, each state as it is, whoever breaks off, is slow, or comes late."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests import actors
from tests.conftest import MakeServer
from tests.fleet import Fleet
from tests.waiting import eventually
from tests.workers.cli.stage import bring, hold
from tests.workers.gateway.calling import calling, gateway_and_caller, options
from tidings.bus import Bus, Lease, LlmRetry, Message, Page, Reason, State, Unreachable
from tidings.workers.gateway import serve
from tidings.workers.gateway import session_feed as feed
from tidings.workers.gateway.hub import Hub
from tidings.workers.gateway.streams import SessionStream, chunks
from tidings.workers.view import SessionView

PATH = "/api/sessions/sea/stream"


async def write(bus: Bus, claim: Lease, count: int, *, after: int = 0, text: str = "") -> None:
    """Append so many events, one by one."""
    for offset in range(after, after + count):
        await claim.append(actors.answer("sea", text or f"number {offset + 1}"), after=offset)


# one session


async def test_a_stream_begins_with_what_is_and_goes_on_with_what_comes(bus: Bus) -> None:
    """Hello, the state, the whole history, then each event as it is written, byte for byte as on the wire."""
    claim = await hold(bus, "sea")
    await write(bus, claim, 3)
    async with gateway_and_caller(bus) as (_, caller), caller.follow(PATH) as stream:
        await stream.until("event", count=3)
        assert [frame.event for frame in stream.frames[:2]] == ["hello", "status"]
        assert stream.frames[0].data["row"]["session"] == "sea"
        assert stream.of("status")[0]["row"]["state"] == "running"
        await write(bus, claim, 2, after=3)
        await stream.until("event", count=5)
        assert stream.offsets == [1, 2, 3, 4, 5]
        history = (await caller.json("/api/sessions/sea/history"))["events"]
        assert stream.of("event") == history
        assert stream.last_id == f"{claim.epoch}-5"
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-store"


async def test_a_stream_that_broke_goes_on_exactly_there(bus: Bus) -> None:
    """After any event, by header or by address, with or without the epoch: what comes is the rest, each once."""
    claim = await hold(bus, "sea")
    await write(bus, claim, 6)
    async with gateway_and_caller(bus) as (_, caller):
        for offset in range(7):
            rest = list(range(offset + 1, 7))
            for path, last in (
                (PATH, f"{claim.epoch}-{offset}"),
                (f"{PATH}?after={offset}", ""),
                (f"{PATH}?after=1", f"{offset}"),
            ):
                async with caller.follow(path, last) as stream:
                    await stream.until("status")
                    await stream.until("tick")
                    await eventually(lambda: stream.offsets == rest)  # noqa: B023 - awaited in this round
                    assert stream.of("gap") == []


async def test_no_event_is_missed_or_doubled_while_it_is_cut_again_and_again(bus: Bus) -> None:
    """A reader that breaks off after each frame while a writer writes has every event once in the end."""
    claim = await hold(bus, "sea")
    met: list[int] = []
    async with gateway_and_caller(bus) as (_, caller):
        last, written = "", 0
        while len(met) < 20:
            await write(bus, claim, 2, after=written)
            written += 2
            async with caller.follow(PATH, last) as stream:
                await stream.until("event")
                met += stream.offsets
                last = stream.last_id
        assert met == list(range(1, met[-1] + 1))


async def test_a_place_in_a_log_that_is_gone_is_told_once(bus: Bus) -> None:
    """Another epoch, or a place beyond the end: a gap that says reset, then everything; who breaks off is not told again."""
    claim = await hold(bus, "sea")
    await write(bus, claim, 2)
    async with gateway_and_caller(bus) as (served, caller):
        for last in ("gone-1", f"{claim.epoch}-9"):
            async with caller.follow(PATH, last) as stream:
                await stream.until("event", count=2)
                [gap] = stream.of("gap")
                assert (gap["channel"], gap["why"]) == ("events.sea", "reset")
                assert stream.offsets == [1, 2]
                place = next(frame.id for frame in stream.frames if frame.event == "gap")
            async with caller.follow(PATH, place) as again:
                await again.until("event", count=2)
                assert again.of("gap") == []
        assert served.gateway.hub.counts.gaps == 2


async def test_what_was_trimmed_is_told_as_a_gap(bus: Bus) -> None:
    """The offsets that are missing, in the place where they would have stood."""
    claim = await hold(bus, "sea")
    await write(bus, claim, 5)
    link = bus._context
    await link.connection.commands.xtrim(link.names.log("events", "sea"), minid="4-0", approximate=False)
    async with gateway_and_caller(bus) as (_, caller), caller.follow(PATH, f"{claim.epoch}-1") as stream:
        await stream.until("event", count=2)
        assert stream.of("gap") == [{"channel": "events.sea", "why": "trimmed", "first": 2, "last": 3}]
        assert stream.offsets == [4, 5]


async def test_a_wait_is_seen_at_once_and_ends(redis_url: str) -> None:
    """Retries as notices and as the state, in place; then it clears by itself; the history has none of it."""
    async with Fleet(redis_url, backoff_base_s=0.2, backoff_cap_s=0.3) as fleet, gateway_and_caller(fleet.bus) as (_, caller):
        fleet.script("429x2")
        await caller.post("/api/sessions", {"session": "sea", "text": "hello"})
        async with caller.follow(PATH) as stream:
            await stream.until("status", lambda data: data["row"]["state"] == "awaiting_input")
            told = [notice["data"]["attempt"] for notice in stream.of("notice") if notice["type"] == "llm.retry"]
            assert told[-1] == 2
            waits = [data["row"]["wait"] for data in stream.of("status") if data["row"]["wait"]]
            assert waits[-1]["attempt"] == 2
            assert stream.of("status")[-1]["row"]["wait"] is None
            await stream.until("event", count=2)
            assert [event["type"] for event in stream.of("event")] == ["user.message", "agent.message"]
        fleet_now = await caller.json("/api/fleet")
        assert sum(count or 0 for count in fleet_now["charts"]["retries"]) == 2
        assert sum(count or 0 for count in fleet_now["charts"]["refused"]) == 2


async def test_a_second_viewer_sees_the_same(bus: Bus) -> None:
    """Two viewers share one subscription, and each has every event; the last one ends it."""
    claim = await hold(bus, "sea")
    await write(bus, claim, 2)
    async with gateway_and_caller(bus) as (served, caller):
        hub = served.gateway.hub
        async with caller.follow(PATH) as one:
            async with caller.follow(PATH) as other:
                await other.until("event", count=2)
                await write(bus, claim, 2, after=2)
                await one.until("event", count=4)
                await other.until("event", count=4)
                assert one.of("event") == other.of("event")
                assert len(hub.feeds) == 1
            await eventually(lambda: len(hub.session_viewers) == 1)
            await write(bus, claim, 1, after=4)
            await one.until("event", count=5)
        await eventually(lambda: len(hub.feeds) == 0)


async def test_children_are_told_as_they_are(bus: Bus) -> None:
    """All of them at first, so that nothing falls between what was read and the stream; then each that changes, comes or goes."""
    await hold(bus, "sea")
    async with gateway_and_caller(bus) as (served, caller):
        hub = served.gateway.hub

        async def move(child: str, to: State, parent: str = "sea") -> None:
            notice = actors.moved(child, to, parent=parent, name=child[-3:])
            await hub._take(notice.model_copy(update={"epoch": "e", "offset": hub.ledger.change + 1}))

        await move("sea-one", State.RUNNING)
        await move("lake-one", State.RUNNING, "lake")
        async with caller.follow(PATH) as stream:
            [told] = await stream.until("children")
            assert [(row["session"], row["name"], row["state"]) for row in told["rows"]] == [("sea-one", "one", "running")]
            await move("sea-one", State.AWAITING_INPUT)
            await move("sea-two", State.QUEUED)
            await move("lake-one", State.ERROR, "lake")
            await stream.until("child", count=2)
            await move("sea-one", State.DELETED)
            assert await stream.until("gone") == [{"session": "sea-one"}]
            changed = {data["row"]["session"]: data["row"]["state"] for data in stream.of("child")}
            assert changed == {"sea-one": "awaiting_input", "sea-two": "queued"}
        async with caller.follow(PATH) as again:
            [told] = await again.until("children")
            assert [row["session"] for row in told["rows"]] == ["sea-two"]


async def test_a_slow_viewer_reads_the_log_and_slows_nobody(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """It falls behind what is kept for all: that is counted, others go on, and in the end it has every event once."""
    monkeypatch.setattr(feed, "TAIL", 4)
    claim = await hold(bus, "sea")
    await write(bus, claim, 1)
    async with gateway_and_caller(bus) as (served, caller), caller.follow(PATH) as quick:
        hub = served.gateway.hub
        slow = SessionStream(hub, "sea", None, 0, b"first").frames()
        assert await anext(slow) == b"first"
        taken = b""
        while b"-1\n" not in taken:
            taken += await anext(slow)
        # One by one: a writer that is quicker than the wire would leave the quick one behind a tail of four as well.
        for written in range(1, 31):
            await write(bus, claim, 1, after=written)
            await quick.until("event", count=written + 1)
        while f"-{31}\n".encode() not in taken:
            taken += await anext(slow)
        places = [int(line.rpartition(b"-")[2]) for line in taken.split(b"\n") if line.startswith(b"id: ")]
        assert places == list(range(1, 32))
        assert hub.counts.overflows["session"] == 1
        assert quick.offsets == list(range(1, 32))
        await slow.aclose()


async def test_signs_of_life_do_not_wait_for_the_log(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """While reading takes long, what is new beside the history is sent all the same."""
    claim = await hold(bus, "sea")
    await write(bus, claim, 1)
    async with gateway_and_caller(bus) as (served, caller):
        hub, page, going_on = served.gateway.hub, bus.page, asyncio.Event()

        async def slow(channel: str, after: int = 0, limit: int = 50) -> Page:
            await going_on.wait()
            return await page(channel, after, limit)

        monkeypatch.setattr(bus, "page", slow)
        async with caller.follow(PATH) as stream:
            await stream.until("status")
            assert stream.of("event") == []
            going_on.set()
            await stream.until("event")
            assert hub.counts.frames["session"] >= 3


async def test_one_large_event_is_kept_whatever_its_size(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tail is bounded by bytes too; a line of 200 KB arrives whole."""
    monkeypatch.setattr(feed, "TAIL_BYTES", 1000)
    claim = await hold(bus, "sea")
    async with gateway_and_caller(bus) as (_, caller), caller.follow(PATH) as stream:
        await stream.until("status")
        await write(bus, claim, 3, text="\u202e<b>" + "x" * 200_000)
        await stream.until("event", count=3)
        assert {event["data"]["text"] for event in stream.of("event")} == {"\u202e<b>" + "x" * 200_000}


async def test_events_that_cannot_be_read_are_left_out(bus: Bus) -> None:
    """A whole page of them too; what comes after arrives."""
    claim = await hold(bus, "sea")
    await write(bus, claim, 60)
    link, log = bus._context, bus._context.names.log("events", "sea")
    redis = link.connection.commands
    await redis.xtrim(log, maxlen=0, approximate=False)
    for offset in range(1, 61):
        await redis.hset(link.names.record("sea"), "events", str(offset))
    await redis.delete(log)
    for offset in range(1, 60):
        await redis.xadd(log, {"id": "x", "m": "{"}, id=f"{offset}-0")
    message = Message.of(actors.answer("sea").data, session="sea").model_dump_json(exclude={"offset", "epoch"})
    await redis.xadd(log, {"id": "y", "m": message[:-1] + f',"offset":60,"epoch":"{claim.epoch}"}}'}, id="60-0")
    async with gateway_and_caller(bus) as (_, caller), caller.follow(PATH) as stream:
        await stream.until("event")
        assert stream.offsets == [60]


async def test_a_gateway_that_is_restarted_costs_nobody_an_event(bus: Bus) -> None:
    """A viewer that goes on at another gateway has no event twice and misses none; its cookie and token still let it in."""
    claim = await hold(bus, "sea")
    met: list[int] = []
    last = ""
    for written in (0, 3, 6):
        await write(bus, claim, 1, after=written)
        async with serve(bus, options=options()) as served, calling(served.url) as caller, caller.follow(PATH, last) as stream:
            await write(bus, claim, 2, after=written + 1)
            await stream.until("event", count=3)
            met += stream.offsets
            last = stream.last_id
    assert met == list(range(1, 10))


async def test_streams_outlive_a_restart_of_redis(make_server: MakeServer) -> None:
    """Lost and back is told by the sign of life; events go on, each once; the state is the one that is."""
    server = make_server(appendonly=True)
    async with Bus.connect(server.url, heartbeat_s=0.2) as bus, gateway_and_caller(bus) as (served, caller):
        claim = await hold(bus, "sea")
        await write(bus, claim, 2)
        async with caller.follow(PATH) as stream, caller.follow("/api/stream") as fleet:
            await stream.until("event", count=2)
            await fleet.until("ready")
            server.kill()
            await stream.until("tick", lambda data: data["connected"] is False)
            await fleet.until("tick", lambda data: data["connected"] is False)
            server.start()
            async with Bus.connect(server.url) as other:
                await write(other, claim, 3, after=2)
                await bring(other, "new", State.ERROR)
            await stream.until("event", count=5)
            assert stream.offsets == [1, 2, 3, 4, 5]
            assert stream.of("gap") == []
            await eventually(lambda: stream.of("tick")[-1]["connected"] is True)
            await fleet.until("row", lambda data: data["row"]["session"] == "new" and data["row"]["state"] == "error")
            assert served.gateway.hub.bus.reconnects >= 1


async def test_data_that_was_lost_is_told(make_server: MakeServer) -> None:
    """A Redis that comes back empty: a gap for who reads the history, and the session is gone from the fleet."""
    server = make_server()
    async with Bus.connect(server.url, heartbeat_s=0.2) as bus, gateway_and_caller(bus) as (_, caller):
        claim = await hold(bus, "sea")
        await write(bus, claim, 2)
        async with caller.follow(PATH) as stream, caller.follow("/api/stream") as fleet:
            await stream.until("event", count=2)
            server.flush()
            await hold(bus, "other")
            server.kill()
            server.start()
            await fleet.until("gone", lambda data: data["session"] == "sea")
            await stream.until("gone")
            await hold(bus, "sea")
            await stream.until("gap", lambda data: data["why"] == "reset")
            await stream.until("status", lambda data: data["row"]["state"] == "running", 2)


async def test_many_large_events_at_once_come_in_pieces(bus: Bus) -> None:
    """More events at once than fit into one piece arrive in several, each once."""
    claim = await hold(bus, "sea")
    async with gateway_and_caller(bus) as (served, caller), caller.follow(PATH) as stream:
        await stream.until("status")
        feed_ = served.gateway.hub.feeds.get("sea")
        assert feed_ is not None
        await eventually(lambda: feed_.following)
        await write(bus, claim, 12, text="w" * 20_000)
        await stream.until("event", count=12)
        await write(bus, claim, 1, after=12)
        await stream.until("event", count=13)
        assert stream.offsets == list(range(1, 14))


async def test_a_log_that_cannot_be_read_is_read_later(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is away for one moment; the next sign of life has the stream try again."""
    claim = await hold(bus, "sea")
    await write(bus, claim, 2)
    page, failures = bus.page, [True, True]

    async def failing(*arguments: Any) -> Page:
        if failures:
            failures.pop()
            raise Unreachable("away")
        return await page(*arguments)

    monkeypatch.setattr(bus, "page", failing)
    async with gateway_and_caller(bus) as (_, caller), caller.follow(PATH) as stream:
        await stream.until("event", count=2)
        assert stream.offsets == [1, 2]
        assert not failures


# the fleet


async def test_the_fleet_is_told_whole_and_then_by_changes(bus: Bus) -> None:
    """Rows, ready, the strip; then a row for each session that changes."""
    for number in range(5):
        await bring(bus, f"s{number}", State.AWAITING_INPUT)
    async with gateway_and_caller(bus) as (_, caller), caller.follow("/api/stream") as stream:
        await stream.until("fleet")
        assert [frame.event for frame in stream.frames[:4]] == ["hello", "rows", "ready", "fleet"]
        assert {row["session"] for data in stream.of("rows") for row in data["rows"]} == {f"s{number}" for number in range(5)}
        await bring(bus, "new", State.ERROR)
        await stream.until("row", lambda data: data["row"]["session"] == "new" and data["row"]["state"] == "error")
        await stream.until("fleet", lambda data: data["sessions"] == 6 and data["by_state"].get("error") == 1)
        await stream.until("tick", count=2)


async def test_many_rows_come_in_parts(bus: Bus) -> None:
    """No more than 200 in one frame, and every session once."""
    async with gateway_and_caller(bus) as (served, caller):
        for number in range(450):
            served.gateway.hub._put(row(f"s{number}"), "e", 1)
        async with caller.follow("/api/stream") as stream:
            await stream.until("ready")
            parts = [[one["session"] for one in data["rows"]] for data in stream.of("rows")]
            assert [len(part) for part in parts] == [200, 200, 50]
            assert len({name for part in parts for name in part}) == 450


async def test_a_viewer_that_missed_too_many_farewells_begins_anew(bus: Bus) -> None:
    """A second hello says that what was told before is to be forgotten; it is counted."""
    async with gateway_and_caller(bus) as (served, caller), caller.follow("/api/stream") as stream:
        hub = served.gateway.hub
        await stream.until("ready")
        hub.ledger.forgotten = hub.ledger.change + 1
        hub._put(row("a"), "e", 1)
        hub._put(row("b"), "e", 1)
        await stream.until("hello", count=2)
        await stream.until("ready", count=2)
        assert hub.counts.overflows["fleet"] == 1


async def test_everything_ends_when_the_gateway_ends(bus: Bus) -> None:
    """Streams end as streams end, not by a broken connection."""
    await hold(bus, "sea")
    async with serve(bus, options=options()) as served:
        stack = [calling(served.url), calling(served.url)]
        one, other = [await context.__aenter__() for context in stack]
        first, second = one.follow("/api/stream"), other.follow(PATH)
        fleet, session = await first.__aenter__(), await second.__aenter__()
        await fleet.until("ready")
        await session.until("status")
    await eventually(lambda: fleet.ended and session.ended)
    for context in (first, second, *stack):
        await context.__aexit__(None, None, None)


# parts


def row(session: str) -> SessionView:
    """Return a row that is queued."""
    return SessionView(session, state=State.QUEUED)


def test_frames_are_sent_in_pieces_of_a_sensible_size() -> None:
    """A single one stays the object that all share; nothing is lost or reordered."""
    one = b"a" * 200_000
    assert chunks([one])[0] is one
    assert chunks([]) == []
    many = [bytes([65 + number % 26]) * 30_000 for number in range(9)]
    pieces = chunks(many)
    assert b"".join(pieces) == b"".join(many)
    assert all(len(piece) < 64 * 1024 + 30_000 for piece in pieces)
    assert len(pieces) == 3


async def test_a_slow_viewer_misses_old_notices_and_that_is_counted(bus: Bus) -> None:
    """Status may be dropped: the newest are kept, and the state is sent in any case."""
    await hold(bus, "sea")
    async with gateway_and_caller(bus) as (served, _):
        hub: Hub = served.gateway.hub
        stream = SessionStream(hub, "sea", None, 0, b"first").frames()
        await anext(stream)
        for attempt in range(1, 81):
            data = LlmRetry(
                reason=Reason.RATE_LIMIT, attempt=attempt, max_attempts=100, retry_at=bus.now() + timedelta(seconds=9)
            )
            await bus.publish("sea", data)
        await eventually(lambda: hub.counts.retries == 80)
        taken = b""
        while b'"attempt":80' not in taken:
            taken += await anext(stream)
        assert taken.count(b"event: notice") <= feed.NOTICES
        assert hub.counts.notices_missed >= 80 - feed.NOTICES
        await stream.aclose()
