"""Whether our own page asks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.workers.gateway.origins import foreign

HOST = "127.0.0.1:8080"
ALLOWED = frozenset({"https://ops.example.org"})


@pytest.mark.parametrize(
    ("method", "origin", "site", "by_cookie", "refused"),
    [
        ("POST", f"http://{HOST}", "same-origin", True, False),
        ("POST", f"https://{HOST}", "", True, False),
        ("POST", "https://ops.example.org", "cross-site", False, False),
        ("POST", "https://evil.example.org", "cross-site", True, True),
        ("POST", "https://evil.example.org", "", False, True),
        ("POST", "http://127.0.0.1:3000", "same-site", True, True),
        ("POST", "null", "cross-site", True, True),
        ("POST", "", "same-origin", True, False),
        ("POST", "", "", True, True),
        ("POST", "", "none", True, True),
        ("POST", "", "cross-site", True, True),
        ("POST", "", "", False, False),
        ("GET", "", "", True, False),
        ("GET", "", "cross-site", True, False),
        ("GET", "https://evil.example.org", "cross-site", True, True),
        ("DELETE", "", "", True, True),
        ("POST", f"file://{HOST}", "", True, True),
        ("POST", "http://[", "", True, True),
        ("POST", "http://", "", True, True),
    ],
)
def test_who_asks_from_where(method: str, origin: str, site: str, by_cookie: bool, refused: bool) -> None:
    """Our own page may; a page of another site or port may not; a program without a browser may with its token."""
    assert foreign(method, origin, site, HOST, by_cookie=by_cookie, allowed=ALLOWED) is refused


@given(st.text(min_size=1, max_size=40))
def test_no_other_origin_is_ours(origin: str) -> None:
    """Whatever stands there."""
    ours = {f"http://{HOST}", f"https://{HOST}"} | ALLOWED
    assert foreign("GET", origin, "", HOST, by_cookie=False, allowed=ALLOWED) is (origin.lower() not in ours)
