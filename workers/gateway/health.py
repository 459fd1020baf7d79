"""Whether the gateway works, for those who start and watch processes; and its numbers."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response

from bus import Role, TidingsError
from workers.gateway.description import LOOKING, problems
from workers.gateway.frames import as_json
from workers.gateway.hub import Hub
from workers.gateway.metrics import Metrics
from workers.gateway.views import Json

_WATCHED: Final[dict[str, Any]] = {"methods": ["GET", "HEAD"], "include_in_schema": False}
"""What uptime checks ask with. It is apart from the description, where two methods of one route would have one name."""
_READY: Final = 200
_NOT_READY: Final = 503


def health_routes(hub: Hub) -> APIRouter:
    """Return the two health checks, which need no token and say nothing but yes or no."""
    router = APIRouter(tags=["operation"])

    @router.get("/healthz")
    @router.api_route("/healthz", **_WATCHED)
    async def healthz() -> Response:
        """Say that the process answers."""
        return Response(as_json({"status": "ok"}), media_type="application/json")

    @router.get("/readyz", responses={503: {"description": "It is not; the members that are false say why."}})
    @router.api_route("/readyz", **_WATCHED)
    async def readyz() -> Response:
        """Say whether Redis answers and a controller is alive."""
        found = await _checks(hub)
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


async def _checks(hub: Hub) -> Json:
    try:
        roll = await hub.bus.roll()
    except TidingsError:
        return {"redis": False, "controller": False}
    return {"redis": True, "controller": any(one.live and one.presence.role is Role.CONTROLLER for one in roll)}
