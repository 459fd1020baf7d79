"""Whatever is asked of the API is answered, and never with 500: requests drawn from the description of our own application."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests import actors
from tests.waiting import PATIENCE_S
from tests.workers.cli.stage import hold
from tests.workers.gateway.calling import OPERATOR, gateway_and_caller
from tidings.bus import Bus
from tidings.workers.gateway.guard import is_page
from tidings.workers.gateway.problems import KINDS, MEDIA_TYPE

NOT_DESCRIBED: Final = ("/", "/sessions/{session}", "/static/{name}", "/openapi.json", "/api", "/api/{name}", "/{name}")
"""Paths beside the API: the page, its files, and what is not there."""

_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=8), inner, max_size=4),
    max_leaves=8,
)
"""Any JSON, also what only Python's reader takes: lone surrogates, NaN, Infinity."""
_SESSIONS: Final = st.sampled_from(
    ["sea", "nobody", "no.name", "", ".", "..", "%", "a" * 300, "a" * 300 + ".js", "sea/../sea", "\x00", "\ud800x"]
)
_NUMBERS: Final = st.sampled_from([-1, 0, 1, 2**31, 2**63, 2**64, 10**19, 10**30]) | st.integers()
_CURSORS: Final = st.builds(
    lambda value: base64.urlsafe_b64encode(json.dumps(value).encode("utf-8", "surrogatepass")).decode().rstrip("="),
    _JSON
    | st.tuples(_JSON, _JSON, _JSON)
    | st.tuples(st.floats() | _NUMBERS, st.text(st.characters(), max_size=9), st.text(st.characters(), max_size=9)),
)
"""What looks like a cursor of the list of sessions."""
_PLACES: Final = st.builds("{}-{}".format, st.text(st.characters(exclude_categories=["Cs"]), max_size=5), _NUMBERS)
_TEXT: Final = st.text(st.characters(), max_size=40)
_QUERIES: Final = _TEXT | _CURSORS | _NUMBERS.map(str) | _PLACES | st.text("9", min_size=1, max_size=450)
_HEADER: Final = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40).map(
    str.strip
)
_HEADERS: Final = st.dictionaries(
    st.sampled_from(
        [
            "Accept",
            "Accept-Encoding",
            "Accept-Language",
            "Authorization",
            "Content-Encoding",
            "Cookie",
            "Forwarded",
            "Host",
            "Idempotency-Key",
            "If-Modified-Since",
            "If-None-Match",
            "Last-Event-ID",
            "Origin",
            "Range",
            "Referer",
            "Sec-Fetch-Site",
            "X-Forwarded-For",
            "X-Tidings-User",
        ]
    ),
    _HEADER | _NUMBERS.map(str) | _PLACES.map(lambda text: text.encode().decode("latin-1")).filter(str.isprintable),
    max_size=3,
)


@dataclass(frozen=True)
class Request:
    """One request, its target as it goes over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes | None


def _right(api: dict[str, Any], schema: dict[str, Any]) -> SearchStrategy[Any]:
    """Return what fits the schema of one field, about: enough of it must be right for what lies behind to be reached."""
    if "anyOf" in schema:
        return _right(api, schema["anyOf"][0])
    if "$ref" in schema:
        return _right(api, api["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("type") == "integer":
        return st.integers(schema.get("minimum", 0), schema.get("maximum", 10**9))
    return st.sampled_from(["sea", ""]) | st.text(max_size=9)


@st.composite
def _seldom(draw: st.DrawFn, odd: SearchStrategy[Any], right: SearchStrategy[Any]) -> Any:
    """Return what is right, and now and then what is odd: were all of it odd at once, the first look would refuse it."""
    return draw(odd if draw(st.integers(0, 3)) == 3 else right)


def _bodies(api: dict[str, Any], operation: dict[str, Any]) -> SearchStrategy[bytes | None]:
    if "requestBody" not in operation:
        return st.none() | st.binary(max_size=20)
    name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    fields = api["components"]["schemas"][name]["properties"]
    good = st.fixed_dictionaries({}, optional={name: _seldom(_JSON, _right(api, schema)) for name, schema in fields.items()})
    broken = st.binary(max_size=40) | st.sampled_from([b"[" * 5000, b"9" * 5000, b'{"text": "\xff"}', b'{"why":1e999}'])
    return _seldom(broken, _seldom(_JSON, good).map(lambda value: json.dumps(value).encode()))


@st.composite
def _request(draw: st.DrawFn, api: dict[str, Any]) -> Request:
    described = [(method, path) for path, methods in api["paths"].items() for method in methods]
    method, path = draw(st.sampled_from([*described, *(("get", path) for path in NOT_DESCRIBED)]))
    operation = api["paths"].get(path, {}).get(method, {})
    parameters = operation.get("parameters", [])
    target = path
    for name in ("session", "name"):
        target = target.replace("{" + name + "}", _quoted(draw(_seldom(_SESSIONS | _TEXT, st.just("sea")))))
    query = []
    for one in parameters:
        if one["in"] == "query" and draw(st.booleans()):
            query.append(f"{one['name']}={_quoted(str(draw(_seldom(_QUERIES, _right(api, one['schema']) | _CURSORS))))}")
    if path not in api["paths"]:
        query += draw(st.lists(st.sampled_from([f"token={OPERATOR}", "token=%ff", "a=b", "&&", "=", "%"]), max_size=2))
    headers = {"Authorization": f"Bearer {OPERATOR}", "Content-Type": "application/json"}
    headers |= draw(_seldom(_HEADERS, st.just({})))
    verb = draw(_seldom(st.sampled_from(["HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "PATCH", "ODD"]), st.just(method.upper())))
    return Request(verb, target + ("?" + "&".join(query) if query else ""), headers, draw(_bodies(api, operation)))


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _is_page(request: Request) -> bool:
    """Return whether a person opens this with a browser; who has no token is told by a page how to come in."""
    return is_page(unquote(request.target.partition("?")[0]))


def _ask(port: int, request: Request) -> None:
    """Send it over a connection of its own, and hold the answer to what is promised."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.putrequest(request.method, request.target, skip_host="Host" in request.headers, skip_accept_encoding=True)
        for name, value in request.headers.items():
            connection.putheader(name, value.encode("latin-1"))
        if request.body is not None:
            connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body)
        answer = connection.getresponse()
        assert answer.status in (503, 504) or answer.status < 500, answer.read()
        told = answer.headers["Content-Type"]
        if answer.status >= 400 and request.method != "HEAD" and not (_is_page(request) and told.startswith("text/html")):
            if request.target.startswith("/readyz") and told == "application/json":
                return  # What is not ready is said by its members, as uptime checks have it.
            assert told == MEDIA_TYPE
            problem = json.loads(answer.read())
            assert problem["status"] == answer.status
            assert problem["type"].removeprefix("/api#") in KINDS
            assert problem["detail"]
    finally:
        connection.close()


async def test_no_request_whatever_is_answered_with_500(bus: Bus) -> None:
    """Every path, parameter, header and body of the description, right and wrong: an answer, or a problem that says why not."""
    claim = await hold(bus, "sea")
    await claim.append(actors.answer("sea"), after=0)
    async with gateway_and_caller(bus, command_timeout_s=0.01) as (served, caller):
        api = await caller.json("/openapi.json")
        port = int(served.url.rpartition(":")[2])

        @given(_request(api))
        def ask(request: Request) -> None:
            _ask(port, request)

        await asyncio.to_thread(ask)
