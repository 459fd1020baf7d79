"""The door, over HTTP: who comes in, from which page, and what every answer carries."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest

from tests.workers.cli.stage import bring
from tests.workers.gateway.calling import OPERATOR, VIEWER, calling, gateway_and_caller
from tidings.bus import Bus, State
from tidings.workers.gateway import ServedGateway
from tidings.workers.gateway.guard import POLICY
from tidings.workers.gateway.tokens import Rank

PATHS = (
    "/api/me",
    "/api/fleet",
    "/api/sessions",
    "/api/sessions/sea",
    "/api/sessions/sea/history",
    "/api/sessions/sea/notices",
    "/api/sessions/sea/stream",
    "/api/stream",
    "/metrics",
    "/openapi.json",
    "/api",
    "/static/style.css",
    "/nothing",
)
PAUSE = {"type": "session.pause"}


@pytest.fixture
async def served() -> AsyncIterator[ServedGateway]:
    """A gateway in memory, with a session."""
    async with Bus.connect("memory://") as bus:
        await bring(bus, "sea", State.AWAITING_INPUT)
        async with gateway_and_caller(
            bus, allowed_origins=frozenset({"https://ops.example.org"}), command_timeout_s=0.05
        ) as found:
            yield found[0]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("token", [None, "wrong-token-0123456789"])
async def test_nothing_without_a_token(served: ServedGateway, path: str, token: str | None) -> None:
    """401 for whatever there is and whatever is not, and how to ask."""
    async with calling(served.url, token) as stranger:
        answer = await stranger.get(path)
        assert (answer.status_code, answer.json()["type"]) == (401, "/api#no-token")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert (await stranger.post(path, PAUSE)).status_code == 401


async def test_the_two_health_checks_need_none(served: ServedGateway) -> None:
    """They say yes or no, and nothing of the fleet."""
    async with calling(served.url, None) as stranger:
        assert (await stranger.get("/healthz")).status_code == 200
        assert (await stranger.get("/readyz")).json() == {"ready": False, "redis": True, "controller": False}


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/me", "/api/nothing", "/metrics", "/api/sessions?limit=0"])
@pytest.mark.parametrize("token", [None, OPERATOR])
async def test_every_answer_carries_its_headers(served: ServedGateway, path: str, token: str | None) -> None:
    """Errors and refusals too: nothing of others is loaded, nothing is guessed, stored, framed or passed on."""
    async with calling(served.url, token) as caller:
        headers = (await caller.get(path)).headers
        assert headers["content-security-policy"] == POLICY
        assert "unsafe" not in POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] in ("no-store", "no-cache")
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


async def test_a_cookie_lets_our_own_page_steer_and_no_other(served: ServedGateway) -> None:
    """The browser vouches for the person, so the page must be ours: by Origin or by Sec-Fetch-Site."""
    tokens = served.gateway.tokens
    cookie = f"{tokens.cookie_name}={tokens.cookie_of(Rank.OPERATOR)}"
    async with calling(served.url, None) as browser:
        browser.http.headers["Cookie"] = cookie
        path = "/api/sessions/sea/commands"
        assert (await browser.get("/api/me")).json()["role"] == "operator"
        own = {"Origin": served.url, "Sec-Fetch-Site": "same-origin"}
        assert (await browser.http.post(path, json=PAUSE, headers=own)).status_code == 504
        for headers in ({}, {"Origin": "https://evil.example.org"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = await browser.http.post(path, json=PAUSE, headers=headers)
            assert (answer.status_code, answer.json()["type"]) == (403, "/api#foreign-origin")
        assert (await browser.http.get("/api/sessions", headers={"Origin": "http://127.0.0.1:1"})).status_code == 403


async def test_an_origin_that_is_allowed_may_call(served: ServedGateway) -> None:
    """With a token, and told to the browser; any other is not even told what it could ask."""
    async with calling(served.url) as page:
        allowed, other = {"Origin": "https://ops.example.org"}, {"Origin": "https://evil.example.org"}
        answer = await page.http.get("/api/me", headers=allowed)
        assert answer.headers["access-control-allow-origin"] == "https://ops.example.org"
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        assert (await page.http.options("/api/sessions", headers=allowed | asked)).status_code == 200
        refused = await page.http.options("/api/sessions", headers=other | asked)
        assert "access-control-allow-origin" not in refused.headers
        assert (refused.status_code, refused.json()["type"]) == (403, "/api#foreign-origin")
        assert (await page.http.get("/api/me", headers=other)).status_code == 403


@pytest.mark.parametrize(
    ("origin", "method", "header", "status", "word"),
    [
        ("https://evil.example.org", "POST", "authorization", 403, "foreign-origin"),
        ("https://ops.example.org", "DELETE", "authorization", 400, "malformed"),
        ("https://ops.example.org", "POST", "x-other", 400, "malformed"),
    ],
)
async def test_a_refused_preflight_is_a_problem_like_any_other(
    served: ServedGateway, origin: str, method: str, header: str, status: int, word: str
) -> None:
    """As JSON, with the headers that every answer carries; one that is granted carries them too."""
    async with calling(served.url, None) as page:
        asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": header}
        answer = await page.http.options("/api/sessions", headers=asked)
        assert (answer.status_code, answer.json()["type"]) == (status, f"/api#{word}")
        assert answer.headers["content-type"] == "application/problem+json"
        granted = {"Origin": "https://ops.example.org", "Access-Control-Request-Method": "POST"}
        for told in (answer, await page.http.options("/api/sessions", headers=granted)):
            assert (told.headers["content-security-policy"], told.headers["x-content-type-options"]) == (POLICY, "nosniff")
            assert (told.headers["cache-control"], "Origin" in told.headers["vary"]) == ("no-store", True)


async def test_no_token_is_logged_or_told(served: ServedGateway, caplog: pytest.LogCaptureFixture) -> None:
    """Not by a link, a wrong one, an error or a refusal; nor is it in what the gateway says of itself."""
    with caplog.at_level(logging.DEBUG):
        async with calling(served.url) as caller:
            texts = []
            for path in (f"/?token={OPERATOR}", "/?token=wrong-token-0123456789", f"/api/nothing?token={OPERATOR}", "/api/me"):
                answer = await caller.get(path)
                texts.append(answer.text + str(answer.headers))
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    for token in (OPERATOR, VIEWER, "wrong-token-0123456789"):
        assert token not in "".join(ours)
        assert token not in "".join(texts)
        assert token not in repr(served.gateway.options)
