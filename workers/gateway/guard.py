"""Authentication, origins and security headers. Plain ASGI: a stream costs no more by it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidings.workers.gateway.origins import foreign
from tidings.workers.gateway.problems import Problem
from tidings.workers.gateway.tokens import AccessTokens, Caller, Rank

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Content-Security-Policy: nothing but our own files, no script or style inside the page, in no other site's frame."""

ALWAYS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Headers of every answer."""
_NO_STORE: Final = (b"cache-control", b"no-store")
_OPEN: Final = frozenset({"/healthz", "/readyz"})
_CALLER: Final = "tidings.caller"


class Guard:
    """Lets requests with a token in.

    Args:
        app: what lies behind the door.
        tokens: those that are known.
        allowed_origins: pages of other sites that may call us.
        body_limit: most bytes of a request's body.
    """

    def __init__(self, app: ASGIApp, tokens: AccessTokens, allowed_origins: frozenset[str], body_limit: int) -> None:
        self._app, self._tokens, self._allowed, self._body_limit = app, tokens, allowed_origins, body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        problem = None if scope["path"] in _OPEN else self._examine(scope)
        app = self._app if problem is None else problem.response()
        await app(scope, receive, send)

    def _examine(self, scope: Scope) -> Problem | None:
        """Note the caller; returns why a request is not let in, None where it is."""
        headers, path = Headers(scope=scope), scope["path"]
        caller = self._tokens.caller(headers.get("authorization", ""), headers.get("cookie", ""))
        scope[_CALLER] = caller
        if foreign(
            scope["method"],
            headers.get("origin", ""),
            headers.get("sec-fetch-site", ""),
            headers.get("host", ""),
            by_cookie=caller is not None and caller.by_cookie,
            allowed=self._allowed,
        ):
            return Problem("foreign-origin")
        if caller is None and not is_page(path):
            return Problem("no-token", headers={"WWW-Authenticate": 'Bearer realm="tidings"'})
        if caller is not None and caller.rank is not Rank.OPERATOR and scope["method"] not in ("GET", "HEAD"):
            return Problem("not-allowed")
        return self._measure(headers)

    def _measure(self, headers: Headers) -> Problem | None:
        """Look at what is sent before it is read: it says its length, and uvicorn holds it to that."""
        if "transfer-encoding" in headers:
            return Problem("no-length")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._body_limit:
            return Problem("too-large", f"More than {self._body_limit} bytes are not taken.")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        return Problem("wrong-type") if int(length) and kind != "application/json" else None


class Crossing(CORSMiddleware):
    """Tells browsers which pages of other origins may call us. It stands before the door: a preflight brings no token."""

    def __init__(self, app: ASGIApp, allowed_origins: frozenset[str]) -> None:
        super().__init__(
            app,
            allow_origins=sorted(allowed_origins),
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Tidings-User"],
            expose_headers=["Location", "Retry-After"],
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight; one that is refused is a problem like any other."""
        answer = super().preflight_response(request_headers)
        if answer.status_code < HTTPStatus.BAD_REQUEST:
            return answer
        if not self.is_allowed_origin(request_headers["origin"]):
            problem = Problem("foreign-origin", headers={"Vary": "Origin"})
        else:
            problem = Problem(
                "malformed", "Pages of other sites may not send this method or these headers.", headers=_told(answer)
            )
        return problem.response()


def _told(answer: Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if not name.startswith("content-")}


class Sealed:
    """Puts the security headers on every answer, also on those of the guard."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        await self._app(scope, receive, _with_headers(send) if scope["type"] == "http" else send)


def is_page(path: str) -> bool:
    """Return whether a person comes here with a browser: then the page itself says how to get in."""
    return path == "/" or path.startswith("/sessions/")


def caller_of(request: Request) -> Caller | None:
    """Return the caller of a request, None without a known token."""
    caller: Caller | None = request.scope.get(_CALLER)
    return caller


def is_known(scope: Mapping[str, object]) -> bool:
    """Return whether a request came with a token."""
    return scope.get(_CALLER) is not None


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message["headers"], *ALWAYS]
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append(_NO_STORE)
            message = {**message, "headers": headers}
        await send(message)

    return sending
