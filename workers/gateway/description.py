"""What the description of the API says of each path beside its own: how to come in, and what may go wrong."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI, Security
from fastapi.params import Depends
from fastapi.security import APIKeyCookie, HTTPBearer
from pydantic_core import from_json

from tidings.workers.gateway.models import SESSION, ProblemView
from tidings.workers.gateway.problems import KINDS, MEDIA_TYPE
from tidings.workers.gateway.tokens import AccessTokens
from tidings.workers.view import SessionView, view_json

_PROBLEM: Final[dict[str, Any]] = {"model": ProblemView, "content": {MEDIA_TYPE: {}}}
LOOKING: Final = (401, 403)
"""What any request but the health checks may be answered."""
ONE_SESSION: Final = (*LOOKING, 404, 410, 503)
SENDING: Final = (400, *LOOKING, 409, 410, 411, 413, 415, 422, 429, 503, 504, 507)


def admission(tokens: AccessTokens) -> list[Depends]:
    """Return the two ways in as the description names them; either is enough. The guard checks them."""
    bearer = HTTPBearer(scheme_name="token", description="The token of operators or of viewers.", auto_error=False)
    cookie = APIKeyCookie(
        name=tokens.cookie_name,
        scheme_name="cookie",
        description="What a browser has from the link with a token. A request that changes something must then come from our own "
        "page (Origin, or Sec-Fetch-Site: same-origin). The name is another one for each token of operators.",
        auto_error=False,
    )
    return [Security(bearer), Security(cookie)]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the problems that a path may answer with, for its description."""
    told: dict[int | str, dict[str, Any]] = {status: _PROBLEM | {"description": _titles(status)} for status in statuses}
    return told | {"default": _PROBLEM | {"description": "Any other problem"}}


def described(api: FastAPI) -> dict[str, Any]:
    """Return the description of the API."""
    told = api.openapi()
    for operations in told["paths"].values():
        for operation in operations.values():
            for answer in operation["responses"].values():
                # FastAPI files the model of a problem under the type of the answer that all goes well with.
                if MEDIA_TYPE in answer.get("content", {}):
                    answer["content"] = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemView.__name__}"}}}
    told["components"]["schemas"][SessionView.__name__]["example"] = from_json(view_json(SESSION))
    return told


def _titles(status: int) -> str:
    return "; ".join(kind.title for kind in KINDS.values() if kind.status == status)
