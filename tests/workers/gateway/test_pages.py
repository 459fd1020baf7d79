"""The way in, and the files of the page."""

from __future__ import annotations

from http.cookies import SimpleCookie
from pathlib import Path

import pytest

from tests.workers.gateway.calling import OPERATOR, VIEWER, calling, gateway_and_caller
from tidings.bus import Bus
from tidings.workers.gateway import pages


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of two files, and one beside it that is nobody's business."""
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>the page</title>")
    (folder / "app.js").write_text("export {};")
    (folder / "secret.txt").write_text("secret")
    (tmp_path / "outside.js").write_text("outside")
    monkeypatch.setattr(pages, "FOLDER", folder.resolve())


@pytest.mark.parametrize(("token", "role"), [(OPERATOR, "operator"), (VIEWER, "viewer")])
async def test_a_link_becomes_a_cookie(token: str, role: str) -> None:
    """The address is shown without the token; the cookie cannot be read by a page and is sent to nobody else."""
    async with Bus.connect("memory://") as bus, gateway_and_caller(bus) as (served, _), calling(served.url, None) as browser:
        assert (await browser.get("/")).status_code == 401
        answer = await browser.get(f"/sessions/sea?token={token}&tab=history")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sessions/sea?tab=history")
        [morsel] = SimpleCookie(answer.headers["set-cookie"]).values()
        assert (morsel["httponly"], morsel["samesite"], morsel["path"], morsel["secure"]) == (True, "strict", "/", "")
        assert token not in answer.headers["set-cookie"]
        page = await browser.get(answer.headers["location"])
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "the page" in page.text
        assert (await browser.json("/api/me"))["role"] == role


async def test_behind_tls_the_cookie_is_secure() -> None:
    """A proxy on this machine says so."""
    async with Bus.connect("memory://") as bus, gateway_and_caller(bus) as (served, _), calling(served.url, None) as browser:
        answer = await browser.get(f"/?token={OPERATOR}", headers={"X-Forwarded-Proto": "https"})
        assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize("path", ["/", "/sessions/sea", "/?token=wrong-token-0123456789"])
async def test_a_stranger_is_told_how_to_get_in(path: str) -> None:
    """A page without script, and no cookie."""
    async with Bus.connect("memory://") as bus, gateway_and_caller(bus) as (served, _), calling(served.url, None) as browser:
        answer = await browser.get(path)
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
        assert "tidings gateway" in answer.text
        assert "<script" not in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/static/app.js", 200),
        ("/static/nothing.js", 404),
        ("/static/secret.txt", 404),
        ("/static/%2e%2e/outside.js", 404),
        ("/static/..%2foutside.js", 404),
        ("/static/", 404),
        ("/static/%00.js", 404),
    ],
)
async def test_only_the_files_of_the_page(path: str, status: int) -> None:
    """By their suffix, from their folder, and from nowhere else."""
    async with Bus.connect("memory://") as bus, gateway_and_caller(bus) as (_, caller):
        answer = await caller.get(path)
        assert answer.status_code == status
        if status == 200:
            assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
