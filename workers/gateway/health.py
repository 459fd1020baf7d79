"""Whether the gateway works, for supervisors and orchestrators; and its metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response

from tidings.bus import Role, TidingsError
from tidings.workers.gateway.description import LOOKING, problems
from tidings.workers.gateway.frames import as_json
from tidings.workers.gateway.hub import Hub
from tidings.workers.gateway.metrics import Metrics
from tidings.workers.gateway.views import Json

KNOWN_S: Final = 1.0
"""How long an answer about Redis and the controllers is given again."""
_WATCHED: Final[dict[str, Any]] = {"methods": ["GET", "HEAD"], "include_in_schema": False}
"""What uptime checks ask with. It is apart from the description, where two methods of one route would have one name."""
_READY: Final = 200
_NOT_READY: Final = 503


def health_routes(hub: Hub) -> APIRouter:
    """Return the two health checks, which need no token and say nothing but yes or no."""
    router, readiness = APIRouter(tags=["operation"]), Readiness(hub)

    @router.get("/healthz")
    @router.api_route("/healthz", **_WATCHED)
    async def healthz() -> Response:
        """Say that the process answers."""
        return Response(as_json({"status": "ok"}), media_type="application/json")

    @router.get("/readyz", responses={503: {"description": "It is not; the members that are false say why."}})
    @router.api_route("/readyz", **_WATCHED)
    async def readyz() -> Response:
        """Say whether Redis answers and a controller is alive."""
        found = await readiness.found()
        status = _READY if all(found.values()) else _NOT_READY
        return Response(as_json({"ready": status == _READY, **found}), status, media_type="application/json")

    return router


def metrics_routes(hub: Hub) -> APIRouter:
    """Return the numbers."""
    router, metrics = APIRouter(tags=["operation"]), Metrics(hub)

    @router.get("/metrics", response_class=PlainTextResponse, responses=problems(*LOOKING))
    async def numbers() -> Response:
        """Show the numbers for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router


class Readiness:
    """Asks Redis once for all requests of about the same time: they need no token.

    Args:
        hub: the hub with the Redis and the controllers that are meant.
        clock: seconds on a steady clock.
    """

    def __init__(self, hub: Hub, clock: Callable[[], float] = time.monotonic) -> None:
        self._hub, self._clock = hub, clock
        self._asked: asyncio.Task[Json] | None = None
        self._known_at = 0.0

    async def found(self) -> Json:
        """Return what is so now, or was at most `KNOWN_S` ago."""
        if self._asked is None or (self._asked.done() and self._clock() - self._known_at >= KNOWN_S):
            self._asked = asyncio.create_task(self._look(), name="tidings-gateway-readiness")
        # A client that goes away must not cancel the answer of the others.
        return await asyncio.shield(self._asked)

    async def _look(self) -> Json:
        try:
            roll = await self._hub.bus.admin.processes()
        except TidingsError:
            return {"redis": False, "controller": False}
        else:
            return {"redis": True, "controller": any(one.live and one.presence.role is Role.CONTROLLER for one in roll)}
        finally:
            self._known_at = self._clock()
