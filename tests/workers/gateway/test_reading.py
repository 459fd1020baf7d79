"""What only looks, over HTTP: rows, histories, notices, and who may see them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from pydantic import TypeAdapter

from tests import actors
from tests.conftest import MakeServer
from tests.waiting import eventually
from tests.workers.cli.stage import bring, hold, park
from tests.workers.gateway.calling import VIEWER, calling, gateway_and_caller
from tidings.bus import Bus, LlmRetry, Reason, State
from tidings.workers.gateway import frames, reading
from tidings.workers.gateway.models import FleetView, HistoryPage, Me, NoticeList, RowPage
from tidings.workers.view import FamilyView, SessionView

ODD = "<script>alert(1)</script> & \u202egnp.exe \x1b[31m \x00 \u2028 e\u0301 \U0001f600 " + "w" * 500


async def test_sessions_are_listed_in_order(bus: Bus) -> None:
    """What needs a person is on top, by name; state and text choose; pages follow each other."""
    for session, state in (("done", State.FINISHED), ("failed", State.ERROR), ("idle", State.AWAITING_INPUT)):
        await bring(bus, session, state)
    await park(bus, "stuck", resume_in_s=None, action="Buy more.")
    await park(bus, "later", resume_in_s=600)
    async with gateway_and_caller(bus) as (_, caller):
        found = RowPage.model_validate(await caller.json("/api/sessions"))
        assert [row.session for row in found.rows] == ["failed", "stuck", "later", "idle", "done"]
        assert (found.total, found.next) == (5, None)
        assert [row.needs_you for row in found.rows] == [True, True, False, False, False]
        chosen = await caller.json("/api/sessions?state=rate_limited&text=BUY+stuck")
        assert [row["session"] for row in chosen["rows"]] == ["stuck"]
        assert (await caller.json("/api/sessions?text=nowhere"))["total"] == 0
        met, following = [], ""
        while following is not None:
            page = await caller.json(f"/api/sessions?limit=2&after={following}" if following else "/api/sessions?limit=2")
            met += [row["session"] for row in page["rows"]]
            following = page["next"]
        assert met == ["failed", "stuck", "later", "idle", "done"]


async def test_one_session_its_history_and_its_notices(bus: Bus) -> None:
    """Each as it is described; a history in pages; what people and models wrote is data, whatever it is."""
    claim = await hold(bus, "sea")
    await claim.append(actors.spoken("sea", ODD), actors.answer("sea", "y" * 200_000), actors.answer("sea"), after=0)
    async with gateway_and_caller(bus) as (_, caller):
        view = TypeAdapter(FamilyView).validate_python(await caller.json("/api/sessions/sea"))
        record = await bus.status("sea")
        assert (view.session, view.state, view.worker, view.events) == ("sea", State.RUNNING, "w1", 3)
        assert view.since == record.since
        assert view.cursor == f"{record.epoch}-3"
        whole = HistoryPage.model_validate(await caller.json("/api/sessions/sea/history"))
        assert (whole.epoch, whole.end, whole.next) == (record.epoch, 3, None)
        assert [event["data"]["text"] for event in whole.events] == [ODD, "y" * 200_000, "an answer"]
        first = HistoryPage.model_validate(await caller.json("/api/sessions/sea/history?limit=2"))
        rest = HistoryPage.model_validate(await caller.json(f"/api/sessions/sea/history?after={first.next}"))
        assert first.events + rest.events == whole.events
        assert rest.next is None
        assert (await caller.json("/api/sessions/sea/history?after=99"))["events"] == []
        notices = NoticeList.model_validate(await caller.json("/api/sessions/sea/notices")).notices
        assert [notice["offset"] for notice in notices] == list(range(1, len(notices) + 1))
        assert {"worker.claimed", "session.state"} <= {notice["type"] for notice in notices}


async def test_the_fleet_and_who_asks(bus: Bus) -> None:
    """The gateway itself is among the processes; a viewer sees the same as an operator."""
    await bring(bus, "idle", State.AWAITING_INPUT)
    async with gateway_and_caller(bus) as (served, caller), calling(served.url, VIEWER) as viewer:
        assert Me.model_validate(await caller.json("/api/me")).role == "operator"
        assert Me.model_validate(await viewer.json("/api/me")).role == "viewer"

        async def with_gateway() -> FleetView:
            fleet = FleetView.model_validate(await viewer.json("/api/fleet"))
            assert fleet.gateways
            return fleet

        fleet = await eventually(with_gateway)
        assert (fleet.by_state, fleet.sessions) == ({State.AWAITING_INPUT: 1}, 1)
        assert fleet.gateways[0].name == "g1"
    assert [one.presence.name for one in await bus.admin.processes()] == []


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("/api/sessions/nobody", 404, "not-found"),
        ("/api/sessions/nobody/history", 404, "not-found"),
        ("/api/sessions/nobody/notices", 404, "not-found"),
        ("/api/sessions/nobody/stream", 404, "not-found"),
        ("/api/sessions/no.name", 404, "not-found"),
        ("/api/nothing", 404, "not-found"),
        ("/api/sessions?limit=0", 422, "invalid"),
        ("/api/sessions?state=sad", 422, "invalid"),
        ("/api/sessions?after=~", 422, "invalid"),
        ("/api/sessions?after=WzFd", 422, "invalid"),
        ("/api/sessions?after=bnVsbA", 422, "invalid"),
        ("/api/sessions?after=MQ", 422, "invalid"),
        ("/api/sessions?after=W251bGwsIiIsIiJd", 422, "invalid"),
        ("/api/sessions?after=W0luZmluaXR5LCIiLCIiXQ", 422, "invalid"),
        ("/api/sessions?after=%C3%A9", 422, "invalid"),
        ("/api/sessions/sea/history?after=20000000000000000000", 422, "invalid"),
        ("/api/sessions/", 404, "not-found"),
        (f"/static/{'a' * 300}.js", 404, "not-found"),
        ("/api/sessions/sea/history?after=-1", 422, "invalid"),
        ("/api/sessions/sea/stream?after=x", 422, "invalid"),
        ("/api/sessions/sea/stream?after=e-1x", 422, "invalid"),
        ("/api/sessions/sea/commands", 405, "wrong-method"),
    ],
)
async def test_what_cannot_be_shown_is_a_problem(bus: Bus, path: str, status: int, word: str) -> None:
    """RFC 9457, with the same members everywhere, and nothing of what was sent in it but its field."""
    await bring(bus, "sea", State.AWAITING_INPUT)
    async with gateway_and_caller(bus) as (_, caller):
        answer = await caller.get(path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        body = answer.json()
        assert (body["status"], body["type"]) == (status, f"/api#{word}")
        assert body["title"]
        assert body["detail"]


async def test_while_redis_is_away(make_server: MakeServer) -> None:
    """What is known in memory is still shown; what is not says 503 and when to come again; then all is as before."""
    server = make_server(appendonly=True)
    async with Bus.connect(server.url, heartbeat_s=0.2) as bus, gateway_and_caller(bus) as (_, caller):
        await bring(bus, "sea", State.AWAITING_INPUT)
        assert (await caller.get("/api/sessions/sea")).status_code == 200
        server.kill()
        for path in ("/api/sessions/sea", "/api/sessions/sea/history", "/api/sessions/sea/stream"):
            answer = await caller.get(path)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["type"] == "/api#unreachable"
        assert [row["session"] for row in (await caller.json("/api/sessions"))["rows"]] == ["sea"]
        assert (await caller.get("/api/fleet")).status_code == 200
        server.start()

        async def back() -> bool:
            return (await caller.get("/api/sessions/sea")).status_code == 200

        await eventually(back)


async def test_no_more_streams_than_are_allowed(bus: Bus) -> None:
    """One more is told to come again; when one has gone there is room."""
    async with gateway_and_caller(bus, most_viewers=1) as (served, caller):
        async with caller.follow("/api/stream") as first:
            await first.until("ready")
            answer = await caller.get("/api/stream")
            assert (answer.status_code, answer.json()["type"]) == (503, "/api#full")
            assert "retry-after" in answer.headers
        await eventually(lambda: not served.gateway.hub.fleet_viewers)
        async with caller.follow("/api/stream") as second:
            await second.until("ready")


async def test_what_is_too_much_for_one_answer_comes_in_pieces(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of rows, children, events and notices; each is given once, and what is left out is counted."""
    monkeypatch.setattr(frames, "LIMIT", 2000)
    monkeypatch.setattr(reading, "LIMIT", 2000)
    claim = await hold(bus, "sea")
    await claim.append(*[actors.answer("sea", str(number) * 700) for number in range(7)], after=0)
    for number in range(30):
        retry = LlmRetry(reason=Reason.RATE_LIMIT, attempt=1, max_attempts=2, message=str(number))
        await bus.publish("sea", retry)
    async with gateway_and_caller(bus) as (served, caller):
        ledger = served.gateway.hub.ledger
        for number in range(9):
            ledger.put(SessionView(f"child-{number}", state=State.QUEUED, parent="sea", why="w" * 300), "e", 1)
        for path, rows in (("/api/sessions/sea/history", "events"), ("/api/sessions", "rows")):
            met, pages, following = list[str](), 0, ""
            while following is not None:
                page = await caller.json(path + (f"?after={following}" if following else ""))
                met += [row["id"] if "id" in row else row["session"] for row in page[rows]]
                pages, following = pages + 1, page["next"]
            assert (len(set(met)), len(met)) == ((7, 7) if rows == "events" else (10, 10))
            assert pages > 1
        view = await caller.json("/api/sessions/sea")
        assert view["children_total"] == 9 > len(view["children"]) > 0
        found = NoticeList.model_validate(await caller.json("/api/sessions/sea/notices"))
        assert found.left_out > 0
        assert found.notices[-1]["data"]["message"] == "29"
        async with caller.follow("/api/sessions/sea/stream") as stream:
            await stream.until("child", count=9 - len(view["children"]))
            told = [row["session"] for row in stream.of("children")[0]["rows"]]
            assert sorted(told + [data["row"]["session"] for data in stream.of("child")]) == sorted(
                f"child-{number}" for number in range(9)
            )


async def test_one_token_cannot_take_every_stream() -> None:
    """Viewers have three quarters of them and are told so; operators still get in, and both are counted."""
    async with (
        Bus.connect("memory://") as bus,
        gateway_and_caller(bus, most_viewers=4) as (served, caller),
        calling(served.url, VIEWER) as viewer,
        AsyncExitStack() as open_streams,
    ):
        for _ in range(3):
            await open_streams.enter_async_context(viewer.follow("/api/stream"))
        answer = await viewer.get("/api/stream")
        assert (answer.status_code, answer.json()["type"]) == (429, "/api#too-many-streams")
        assert answer.headers["retry-after"] == "5"
        assert answer.json()["detail"].startswith("3 streams are open with the token of viewers, and no more may be.")
        await open_streams.enter_async_context(caller.follow("/api/stream"))
        assert (await caller.get("/api/stream")).status_code == 503
        numbers = (await caller.get("/metrics")).text.splitlines()
        assert 'tidings_gateway_streams{role="viewer"} 3.0' in numbers
        assert 'tidings_gateway_streams{role="operator"} 1.0' in numbers
        assert 'tidings_gateway_streams_refused_total{role="viewer"} 1.0' in numbers
        await open_streams.aclose()
        await eventually(lambda: not served.gateway.hub.counts.streams.total())


async def test_who_does_not_read_is_let_go_at_last(bus: Bus) -> None:
    """A stream that is blocked for too long is closed and counted; the others go on."""
    claim = await hold(bus, "sea")
    async with gateway_and_caller(bus, send_timeout_s=0.3) as (served, caller):
        hub = served.gateway.hub
        async with caller.follow("/api/sessions/sea/stream") as reader:
            port = int(served.url.rpartition(":")[2])
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            token = served.token
            writer.write(f"GET /api/sessions/sea/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            await eventually(lambda: len(hub.session_viewers) == 2)
            offset = 0
            while not hub.counts.stalled and offset < 400:
                await claim.append(actors.answer("sea", "z" * 100_000), after=offset)
                offset += 1
            # Whoever writes quickly has filled what is between the two long before the time is over.
            await eventually(lambda: hub.counts.stalled)
            assert hub.counts.stalled == 1
            await eventually(lambda: len(hub.session_viewers) == 1)
            await eventually(lambda: reader.offsets == list(range(1, offset + 1)))
            writer.close()
