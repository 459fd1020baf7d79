"""Connections that send what no client should, too slowly or too many of them, to a real gateway on loopback."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator

import pytest

from tests import actors
from tests.waiting import PATIENCE_S, eventually
from tests.workers.cli.stage import hold
from tests.workers.gateway.calling import OPERATOR, calling, gateway_and_caller, open_wire, wire
from tidings.bus import Bus, Record
from tidings.workers.gateway import ServedGateway

TOKEN = f"Authorization: Bearer {OPERATOR}\r\n".encode()
ME = b"GET /api/me HTTP/1.1\r\nHost: x\r\n" + TOKEN
SEND = b"POST /api/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + TOKEN
STREAM = b"GET /api/stream HTTP/1.1\r\nHost: x\r\n" + TOKEN + b"\r\n"


@pytest.fixture
async def served() -> AsyncIterator[ServedGateway]:
    """A gateway in memory."""
    async with Bus.connect("memory://") as bus, gateway_and_caller(bus) as (found, _):
        yield found


def ended(served: ServedGateway) -> dict[str, int]:
    """Return how many connections were ended, by why."""
    return dict(served.gateway.hub.counts.connections_ended)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (SEND + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (SEND + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (SEND + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 411),
        (SEND + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        (SEND + b"Content-Length: -1\r\n\r\n", 400),
        (SEND + b"Content-Length: 9" + b"9" * 30 + b"\r\n\r\n", 400),
        (ME + b"X : y\r\n\r\n", 400),
        (ME + b"X: a\r\n b\r\n\r\n", 400),
        (ME + b"X: \x00\r\n\r\n", 400),
        (ME.replace(b"\r\n", b"\n") + b"\n", 400),
        (ME + b"no colon\r\n\r\n", 400),
        (ME + b"Host: y\r\n\r\n", 400),
        (b"GET /api/me HTTP/1.1\r\n" + TOKEN + b"\r\n", 400),
        (ME + b"X: y\r\n" * 200 + b"\r\n", 431),
        (ME + b"X: " + b"y" * 100_000 + b"\r\n\r\n", 431),
        (b"GET http://127.0.0.1/api/me HTTP/1.1\r\nHost: x\r\n" + TOKEN + b"\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"\r\n\r\n\r\n", 400),
    ],
)
async def test_what_can_be_read_in_two_ways_is_answered_once_and_the_connection_closed(
    served: ServedGateway, sent: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """So no second request can be hidden behind it; the answer is a problem, and the log has one line for all of them."""
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            found, problem = await wire(served, sent)
            assert found == status
            assert problem["status"] == status
            assert problem["detail"]
    assert ended(served) == {"malformed": 3}
    assert [record.message for record in caplog.records if record.levelno > logging.INFO] == ["gateway.connections_ended"]


async def test_a_connection_that_offers_another_protocol_is_answered_in_this_one(
    served: ServedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    """HTTP/2 or WebSocket: the request is answered, and nothing is logged."""
    for protocol in (b"h2c", b"websocket"):
        offer = b"Connection: Upgrade, close\r\nUpgrade: " + protocol + b"\r\nConnection: close\r\n\r\n"
        status, me = await wire(served, ME + offer)
        assert (status, me["role"]) == (200, "operator")
    assert not caplog.records


async def test_a_request_that_does_not_come_is_given_up() -> None:
    """Its head, its body, or nothing at all; a stream that is open goes on."""
    async with (
        Bus.connect("memory://") as bus,
        gateway_and_caller(bus, request_timeout_s=0.3) as (served, caller),
        caller.follow("/api/stream") as stream,
    ):
        sent = [b"GET /api/me HTTP/1.1\r\nHo", SEND + b"Content-Length: 9\r\n\r\n{", b""]
        answers = await asyncio.gather(*(wire(served, one) for one in sent))
        assert [status for status, _ in answers] == [408, 408, 0]
        assert ended(served) == {"head": 1, "body": 1, "idle": 1}
        ticks = len(stream.of("tick"))
        await stream.until("tick", count=ticks + 3)
        assert not stream.ended


async def test_half_sent_requests_do_not_keep_out_who_has_a_token(caplog: pytest.LogCaptureFixture) -> None:
    """Hundreds of them: the oldest go first, nobody with a token or a stream among them, and the log has one line."""
    async with (
        Bus.connect("memory://") as bus,
        gateway_and_caller(bus, most_connections=20) as (served, caller),
        caller.follow("/api/stream") as stream,
    ):
        await stream.until("ready")
        writers = []
        with caplog.at_level(logging.WARNING):
            for _ in range(300):
                _, writer = await open_wire(served)
                writer.write(b"GET /api/me HTTP/1.1\r\nHost: x\r\n")
                writers.append(writer)
            counts = served.gateway.hub.counts
            await eventually(lambda: ended(served).get("limit", 0) >= 280)
            assert counts.connections <= 20
            async with calling(served.url) as other:
                assert (await other.json("/api/me"))["role"] == "operator"
        assert len(caplog.records) == 1
        ticks = len(stream.of("tick"))
        await stream.until("tick", count=ticks + 1)
        for writer in writers:
            writer.close()


async def test_a_connection_that_has_shown_a_token_stays_known_while_it_asks_again() -> None:
    """Also in the few turns of the loop in which its next request is there and not yet looked at, while others rush in."""
    async with Bus.connect("memory://") as bus, gateway_and_caller(bus, most_connections=20) as (served, _):
        port, rush = int(served.url.rpartition(":")[2]), []
        for turns in range(10):
            reader, writer = await open_wire(served)
            for begin in (0, turns):
                if begin:
                    rush += [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
                for _ in range(begin):
                    await asyncio.sleep(0)
                writer.write(ME + b"\r\n")
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
                assert head.startswith(b"HTTP/1.1 200 ")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                await reader.readexactly(length)
            writer.close()
        for plug in rush:
            plug.close()


async def test_where_all_connections_are_in_use_the_next_one_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 503 and when to come again, and closed; a connection that only waits for its next request makes room before that."""
    async with (
        Bus.connect("memory://") as bus,
        gateway_and_caller(bus, most_connections=2, viewer_token=None) as (served, caller),
    ):
        assert (await caller.get("/api/me")).status_code == 200
        status, entered, going_on = bus.status, asyncio.Event(), asyncio.Event()

        async def slow(session: str) -> Record:
            entered.set()
            await going_on.wait()
            return await status(session)

        monkeypatch.setattr(bus, "status", slow)
        async with calling(served.url) as other, other.follow("/api/stream") as stream, calling(served.url) as third:
            await stream.until("ready")
            asked = asyncio.create_task(third.get("/api/sessions/sea"))
            await entered.wait()
            assert ended(served) == {"limit": 1}
            found, problem = await wire(served, b"")
            assert (found, problem["type"]) == (503, "/api#full")
            assert problem["detail"].endswith("Try again in 5 s.")
            going_on.set()
            assert (await asked).status_code == 404
            assert not stream.ended


@pytest.mark.parametrize("path", ["/api/sessions/sea/history", "/api/sessions/sea/stream"])
async def test_who_does_not_read_an_answer_loses_the_connection(path: str) -> None:
    """A plain answer as well as a stream: it is counted, and its descriptor is free again."""
    async with Bus.connect("memory://") as bus, gateway_and_caller(bus, send_timeout_s=0.3) as (served, _):
        claim = await hold(bus, "sea")
        for offset in range(40):
            await claim.append(actors.answer("sea", "z" * 200_000), after=offset)
        counts = served.gateway.hub.counts
        _, writer = await open_wire(served)
        request = b"GET " + path.encode() + b" HTTP/1.1\r\nHost: x\r\n" + TOKEN + b"\r\n"
        writer.write(request * 20)
        await eventually(lambda: counts.stalled == 1)
        await eventually(lambda: counts.connections == 0)
        assert ended(served) == {"reader": 1}
        writer.close()
