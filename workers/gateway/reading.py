"""What only looks: rows, histories, notices, and the two streams."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from pydantic import TypeAdapter
from sse_starlette import EventSourceResponse
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tidings.bus import Notice, Record, SessionDeleted, State, UnknownSession, carries
from tidings.bus.messages import as_stored, is_session
from tidings.bus.redis.clients import installed_version
from tidings.workers.gateway.description import LOOKING, ONE_SESSION, problems
from tidings.workers.gateway.frames import LIMIT, as_json, batches
from tidings.workers.gateway.guard import caller_of
from tidings.workers.gateway.hub import Hub
from tidings.workers.gateway.models import (
    FLEET_STREAM,
    SESSION_STREAM,
    FleetView,
    HistoryPage,
    Me,
    NoticeList,
    RowPage,
)
from tidings.workers.gateway.options import GatewayOptions
from tidings.workers.gateway.problems import Problem, later
from tidings.workers.gateway.streams import PAGE, ROWS, SessionStream, fleet_stream, hello
from tidings.workers.gateway.tokens import Rank
from tidings.workers.gateway.viewers import Counts
from tidings.workers.view import FamilyView, SessionView, searching, view_json
from tidings.workers.view.order import Place

_RING: Final = 1000
"""More notices than are ever retained of one session."""
_FULL_S: Final = 5.0
_PLACE: Final[TypeAdapter[Place]] = TypeAdapter(Place)
_FURTHEST: Final = 10**15 - 1
"""The largest offset that may be named: Redis counts to 2**64 and JavaScript, which reads offsets, to 2**53."""

After = Annotated[str, Query(max_length=100, description="A place to begin after: `<epoch>-<offset>`, or an offset alone.")]
LastEventId = Annotated[str, Header(alias="Last-Event-ID", max_length=100, description="What browsers send after a break.")]


class Stream(EventSourceResponse):
    """A stream of frames. Signs of life are frames of its own, so no task and no timer pings for each viewer."""

    def __init__(self, frames: AsyncIterator[bytes], rank: Rank, counts: Counts, options: GatewayOptions) -> None:
        super().__init__(frames, ping=0)
        self._rank, self._counts, self._options = rank, counts, options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until either side ends.

        Raises:
            Problem: too many are open already, in all or with this token.
        """
        counts = self._counts
        # Here, not where the answer is made: nothing else runs between the look and the counting.
        self._check_room()
        counts.streams[self._rank] += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            counts.streams[self._rank] -= 1

    def _check_room(self) -> None:
        counts, options, rank = self._counts, self._options, self._rank
        problem = None
        if counts.streams.total() >= options.most_streams:
            problem = later("full", _FULL_S, "Too many streams are open on this gateway. Try again in {wait} s.")
        elif counts.streams[rank] >= options.most_streams_per_token:
            share = options.most_streams_per_token
            detail = f"{share} streams are open with the token of {rank}s, and no more may be. Close what is not looked at, or "
            problem = later("too-many-streams", _FULL_S, detail + "try again in {wait} s.")
        if problem is not None:
            counts.streams_refused[rank] += 1
            raise problem


class Reading:
    """Answers requests that only read."""

    def __init__(self, hub: Hub, options: GatewayOptions) -> None:
        self.hub, self.bus, self._options = hub, hub.bus, options

    async def record(self, session: str) -> Record:
        """Return the record of a session.

        Raises:
            UnknownSession: there is none, or no session can be called that.
            SessionDeleted: it was deleted.
        """
        if not is_session(session):
            raise UnknownSession(session[:64])
        record = await self.bus.status(session)
        if record.state is State.DELETED:
            raise SessionDeleted(session)
        return record

    def stream(self, request: Request, frames: AsyncIterator[bytes]) -> Stream:
        """Return an answer that goes on for ever."""
        return Stream(frames, _rank(request), self.hub.counts, self._options)

    def rows(self, state: State | None, text: str, limit: int, after: str | None) -> bytes:
        """Return a page of rows as JSON."""
        matches = searching(text)

        def wanted(row: SessionView) -> bool:
            return (state is None or row.state is state) and matches(row)

        found, total = self.hub.ledger.page(wanted, _read_place_of_row(after) if after else None, limit)
        rows = next(batches((entry.json for _, entry in found[:limit]), limit), [])
        following = _written_place(found[len(rows) - 1][0]) if len(rows) < len(found) else None
        return b'{"rows":[%b],"total":%d,"next":%b}' % (b",".join(rows), total, as_json(following))

    async def session(self, session: str) -> bytes:
        """Return one session as JSON."""
        record = await self.record(session)
        row, children = self.hub.learn(record), self.hub.ledger.children(session)
        listed = children[: len(next(batches((child.json for child in children), ROWS), []))]
        return view_json(FamilyView.of_record(row, record, (child.row for child in listed), len(children)))

    async def history(self, session: str, after: int, limit: int) -> bytes:
        """Return a piece of a history as JSON: so many events, or as many as go into one answer."""
        await self.record(session)
        events, size = list[bytes](), 0
        while True:
            page = await self.bus.page(f"events.{session}", after, min(limit, PAGE))
            for offset, event in page.entries:
                after, limit = offset, limit - 1
                if event is not None:
                    events.append(as_stored(event).encode())
                    size += len(events[-1])
                if size >= LIMIT:
                    break
            if not page.entries or after >= page.end or not limit or size >= LIMIT:
                break
        following = as_json(after if page.entries and after < page.end else None)
        return b'{"epoch":%b,"end":%d,"events":[%b],"next":%b}' % (as_json(page.epoch), page.end, b",".join(events), following)

    async def notices(self, session: str) -> bytes:
        """Return the retained notices as JSON: the newest ones that go into one answer, oldest first."""
        await self.record(session)
        page = await self.bus.page(f"status.{session}", 0, _RING)
        found = [as_stored(notice).encode() for _, notice in page.entries if carries(notice, Notice)]
        listed = next(batches(reversed(found), _RING), [])[::-1]
        return b'{"notices":[%b],"left_out":%d}' % (b",".join(listed), len(found) - len(listed))

    async def follow(self, request: Request, session: str, after: str) -> Stream:
        """Return the stream of one session."""
        epoch, offset = _read_place(after)
        record = await self.record(session)
        first = hello(self.hub, self.hub.learn(record))
        return self.stream(request, SessionStream(self.hub, session, epoch, offset, first).frames())


def reading_routes(reading: Reading) -> APIRouter:
    """Return the routes that only look."""
    router, hub = APIRouter(prefix="/api", tags=["looking"]), reading.hub

    @router.get("/me", response_model=Me, responses=problems(*LOOKING))
    async def me(request: Request) -> Response:
        """Return the role of the caller, and the clock of the server."""
        return _json(
            as_json(
                {"role": _rank(request), "version": installed_version(), "now": hub.bus.now(), "heartbeat_s": hub.heartbeat_s}
            )
        )

    @router.get("/fleet", response_model=FleetView, responses=problems(*LOOKING))
    async def fleet() -> Response:
        """Show the processes, the sessions by state, and the charts."""
        return _json(as_json(hub.fleet_now()))

    @router.get("/sessions", response_model=RowPage, responses=problems(*LOOKING, 422))
    async def sessions(
        state: State | None = None,
        text: Annotated[str, Query(max_length=200, description="Words that must all occur in what is seen of it.")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: Annotated[str | None, Query(max_length=8000, description="The `next` of the page before.")] = None,
    ) -> Response:
        """List sessions in the order of the page: what needs a person first, children below their parents."""
        return _json(reading.rows(state, text, limit, after))

    @router.get("/sessions/{session}", response_model=FamilyView, responses=problems(*ONE_SESSION))
    async def session_now(session: str) -> Response:
        """Show one session with its children and its place in the history."""
        return _json(await reading.session(session))

    @router.get("/sessions/{session}/history", response_model=HistoryPage, responses=problems(*ONE_SESSION, 422))
    async def history(
        session: str, after: Annotated[int, Query(ge=0, le=_FURTHEST)] = 0, limit: Annotated[int, Query(ge=1, le=500)] = 100
    ) -> Response:
        """Read what was said and done."""
        return _json(await reading.history(session, after, limit))

    @router.get("/sessions/{session}/notices", response_model=NoticeList, responses=problems(*ONE_SESSION))
    async def notices(session: str) -> Response:
        """Read the notices that are retained."""
        return _json(await reading.notices(session))

    @router.get(
        "/sessions/{session}/stream",
        response_class=EventSourceResponse,
        responses=_stream(SESSION_STREAM) | problems(*ONE_SESSION, 422, 429),
    )
    async def session_stream(request: Request, session: str, last: LastEventId = "", after: After = "") -> Response:
        """Follow one session: its history, its state, its notices."""
        return await reading.follow(request, session, last or after)

    @router.get("/stream", response_class=EventSourceResponse, responses=_stream(FLEET_STREAM) | problems(*LOOKING, 429, 503))
    async def stream(request: Request) -> Response:
        """Follow the whole fleet."""
        return reading.stream(request, fleet_stream(hub))

    return router


def _rank(request: Request) -> Rank:
    caller = caller_of(request)
    return caller.rank if caller else Rank.VIEWER


def _stream(example: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "Frames, for ever.", "content": {"text/event-stream": {"example": example}}}}


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _read_place(text: str) -> tuple[str | None, int]:
    """Read ``<epoch>-<offset>`` or an offset alone; '' is the beginning.

    Raises:
        Problem: it is neither.
    """
    epoch, _, offset = text.rpartition("-")
    if not text:
        return None, 0
    if not (offset.isascii() and offset.isdigit() and len(offset) <= len(str(_FURTHEST))):
        raise Problem("invalid", "Last-Event-ID, after: write <epoch>-<offset>, as the id of a frame says it, or an offset.")
    return epoch or None, int(offset)


def _written_place(place: Place) -> str:
    return base64.urlsafe_b64encode(as_json(place)).decode().rstrip("=")


def _read_place_of_row(text: str) -> Place:
    """Read what `_written_place` has written.

    Raises:
        Problem: it is anything else.
    """
    try:
        return _PLACE.validate_json(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), strict=True)
    except ValueError:
        detail = "after: give what the page before calls next, or leave it out to begin with the first page."
        raise Problem("invalid", detail) from None
