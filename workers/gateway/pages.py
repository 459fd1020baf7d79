"""The files of the web page, and the way in: a link with a token becomes a cookie."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from tidings.workers.gateway.guard import caller_of
from tidings.workers.gateway.problems import Problem
from tidings.workers.gateway.tokens import AccessTokens

FOLDER: Final = Path(__file__).resolve().parent / "page"
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
}
"""What a file is, by its suffix; no other file is served."""
_LOOKING: Final = ["GET", "HEAD"]
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
"""No part of a name begins with a dot, so none leads out of the folder."""
_LONGEST_NAME: Final = 200
"""File systems take 255 bytes and end a longer name with an error of their own."""
_STRANGER: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Tidings: a token is needed</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><h1>A token is needed</h1>
<p>Open the link that <code>tidings gateway</code> has printed; it ends in <code>/?token=…</code>. The person who runs it can also
give you the token of a viewer or an operator.</p>
<p>If you have just come by such a link from another page: <a href="/">go on</a>.</p></body></html>
"""


def page_routes(tokens: AccessTokens) -> APIRouter:
    """Return the routes that a browser opens; none of them is part of the API."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=_LOOKING)
    @router.api_route("/sessions/{session}", methods=_LOOKING)
    async def index(request: Request) -> Response:
        """Show the page, or let a person with a token in."""
        token = request.query_params.get("token")
        if token is not None:
            return _let_in(request, tokens, token)
        if caller_of(request) is None:
            return Response(_STRANGER, 401, media_type=TYPES[".html"])
        return page_file("index.html")

    @router.api_route("/static/{name:path}", methods=_LOOKING)
    async def static(name: str) -> Response:
        """Serve a file of the page."""
        return page_file(name)

    return router


def _let_in(request: Request, tokens: AccessTokens, token: str) -> Response:
    """Turn a token into a cookie and show the same address without it."""
    rank = tokens.rank_of(token)
    if rank is None:
        return Response(_STRANGER, 401, media_type=TYPES[".html"])
    rest = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != "token"])
    answer = RedirectResponse(request.url.path + (f"?{rest}" if rest else ""), 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(tokens.cookie_name, tokens.cookie_of(rank), path="/", secure=secure, httponly=True, samesite="strict")
    return answer


def page_file(name: str) -> Response:
    """Return a file of the page.

    Raises:
        Problem: there is none of that name.
    """
    path = FOLDER / name
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name) or path.suffix not in TYPES or not path.is_file():
        raise Problem("not-found")
    # Asked for anew each time: the files change with the version of Tidings, and a token is needed for them.
    return Response(path.read_bytes(), 200, {"Cache-Control": "no-cache"}, TYPES[path.suffix])
