"""The gateway: the hub, the API above it, and its place among the processes."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Self

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from tidings.bus import Bus, Presence, Role, TidingsError
from tidings.bus.redis.clients import installed_version
from tidings.workers.gateway.description import admission, described
from tidings.workers.gateway.guard import Crossing, Guard, Sealed
from tidings.workers.gateway.health import health_routes, metrics_routes
from tidings.workers.gateway.hub import Hub
from tidings.workers.gateway.options import GatewayOptions
from tidings.workers.gateway.pages import TYPES, page_routes
from tidings.workers.gateway.problems import Problem, of_error, of_status
from tidings.workers.gateway.reading import Reading, reading_routes
from tidings.workers.gateway.reference import STYLE, reference_page
from tidings.workers.gateway.steering import Steering, steering_routes
from tidings.workers.gateway.tokens import AccessTokens
from tidings.workers.heartbeat import Heartbeat

log = logging.getLogger("tidings.gateway")

_ABOUT = (
    "What the sessions of a fleet are doing, and what to do about it. A token is needed: `Authorization: Bearer TOKEN`. "
    "Times are ISO 8601 in UTC. Text of models, providers and people is text, never markup. Errors are RFC 9457 problems."
)
_BODY_LEAST = 1024 * 1024


class Gateway:
    """Shows the sessions of a bus to browsers and programs, and sends their commands.

    ``app`` is an ASGI application that begins and ends with its server (lifespan); a program that serves it otherwise enters the
    gateway around that. One bus is shared by all viewers.

    Args:
        bus: an open bus.
        options: tokens, origins and limits.
        name: how people see it among the processes.
    """

    def __init__(self, bus: Bus, options: GatewayOptions, name: str | None = None) -> None:
        self._bus, self.options = bus, options
        self.name = name or f"{socket.gethostname()}-{os.getpid()}"
        self.hub = Hub(bus, heartbeat_s=options.heartbeat_s)
        self.tokens = AccessTokens(options.token, options.viewer_token)
        self._started_at = bus.now()
        self._stack: AsyncExitStack | None = None
        self.app: ASGIApp = self._guarded(self._api())

    def presence(self) -> Presence:
        """Return what the gateway says of itself."""
        return Presence(
            role=Role.GATEWAY,
            name=self.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self._started_at,
            draining=self.hub.closing,
        )

    async def __aenter__(self) -> Self:
        if self._stack is not None:
            raise RuntimeError("a gateway is entered once")
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.hub.aclose)
            await self.hub.start()
            await stack.enter_async_context(Heartbeat(self._bus, self.presence))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    # the application

    def _guarded(self, app: ASGIApp) -> ASGIApp:
        allowed = self.options.allowed_origins
        app = Guard(app, self.tokens, allowed, max(_BODY_LEAST, 2 * self.options.payload_limit))
        return Sealed(Crossing(app, allowed) if allowed else app)

    def _api(self) -> FastAPI:
        api = FastAPI(
            title="Tidings",
            version=installed_version(),
            description=_ABOUT,
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
            # It would lead to the host that the request names, which may be any.
            redirect_slashes=False,
            lifespan=self._lifespan,
        )
        ways_in = admission(self.tokens)
        api.include_router(reading_routes(Reading(self.hub, self.options)), dependencies=ways_in)
        api.include_router(steering_routes(Steering(self._bus, self.options, self.hub.counts)), dependencies=ways_in)
        api.include_router(health_routes(self.hub))
        api.include_router(metrics_routes(self.hub), dependencies=ways_in)
        api.include_router(page_routes(self.tokens))
        _describe(api)
        for kind in (Problem, TidingsError, RequestValidationError, HTTPException, Exception):
            api.add_exception_handler(kind, _answer)
        return api

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Run with the server; a gateway that was entered already stays as it is."""
        if self._stack is not None:
            yield
            return
        async with self:
            yield


def _describe(api: FastAPI) -> None:
    @api.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Any:
        return described(api)

    @api.get("/api/style.css", include_in_schema=False)
    async def style() -> Response:
        return Response(STYLE, media_type=TYPES[".css"])

    @api.get("/api", include_in_schema=False)
    async def reference() -> Response:
        return Response(reference_page(described(api)), media_type="text/html; charset=utf-8")


async def _answer(_: Request, error: Exception) -> Response:
    """Return the problem that an error is for the caller; it tells nothing of the inside."""
    if isinstance(error, TidingsError):
        error = of_error(error)
    elif isinstance(error, RequestValidationError):
        error = _invalid(error)
    elif isinstance(error, HTTPException):
        detail = "" if error.status_code in (404, 405) else str(error.detail)
        error = of_status(error.status_code, detail, dict(error.headers or {}))
    problem = error if isinstance(error, Problem) else Problem("broken")
    return problem.response()


def _invalid(error: RequestValidationError) -> Problem:
    """Name the fields that are wrong, without quoting what was sent."""
    problems = error.errors()
    if any(problem["type"] == "json_invalid" for problem in problems):
        return Problem("malformed", "The body is not JSON.")
    parts = (".".join(str(part) for part in problem["loc"][1:4]) + f": {problem['msg']}" for problem in problems[:5])
    return Problem("invalid", "; ".join(parts)[:500])
