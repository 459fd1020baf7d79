"""Who somebody is."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.workers.gateway.tokens import AccessTokens, Caller, Rank

OPERATOR, VIEWER = "operator-0123456789", "viewer-0123456789"
TOKENS = AccessTokens(OPERATOR, VIEWER)


@pytest.mark.parametrize(
    ("authorization", "caller"),
    [
        (f"Bearer {OPERATOR}", Caller(Rank.OPERATOR, by_cookie=False)),
        (f"bearer  {VIEWER} ", Caller(Rank.VIEWER, by_cookie=False)),
        (f"Basic {OPERATOR}", None),
        (f"Bearer {OPERATOR}x", None),
        (f"Bearer {OPERATOR[:-1]}", None),
        ("Bearer", None),
        (OPERATOR, None),
        ("", None),
    ],
)
def test_a_header_says_who_it_is(authorization: str, caller: Caller | None) -> None:
    """The whole token, as a bearer."""
    assert TOKENS.caller(authorization, "") == caller


def test_a_cookie_stands_for_a_token_and_is_none() -> None:
    """It says the same, opens nothing else, and belongs to one gateway."""
    for rank, token in ((Rank.OPERATOR, OPERATOR), (Rank.VIEWER, VIEWER)):
        cookie = TOKENS.cookie_of(rank)
        assert token not in cookie
        assert TOKENS.caller("", f"other=1; {TOKENS.cookie_name}={cookie}") == Caller(rank, by_cookie=True)
        assert TOKENS.caller(f"Bearer {cookie}", "") is None
        assert TOKENS.caller("Bearer wrong", f"{TOKENS.cookie_name}={cookie}") is None
    other = AccessTokens("another-0123456789")
    assert other.cookie_name != TOKENS.cookie_name
    assert other.caller("", f"{other.cookie_name}={TOKENS.cookie_of(Rank.OPERATOR)}") is None


def test_without_a_viewer_token_there_are_no_viewers() -> None:
    """Also nobody whose token is empty."""
    tokens = AccessTokens(OPERATOR)
    assert tokens.rank_of("") is None
    assert tokens.rank_of(VIEWER) is None
    assert tokens.caller("Bearer ", "") is None


@given(st.text(max_size=60), st.text(alphabet=string.printable, max_size=60))
def test_no_text_is_a_token_by_accident(authorization: str, cookies: str) -> None:
    """Whatever stands in the headers, it is refused and harms nobody."""
    assert TOKENS.caller(authorization, cookies) is None
    assert TOKENS.rank_of(authorization) is None
