"""Authentication: tokens, the cookie that stands for one, and the two roles."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from http.cookies import CookieError, SimpleCookie


class Rank(StrEnum):
    """What a caller may do."""

    OPERATOR = "operator"
    """Looks, and sends commands."""
    VIEWER = "viewer"
    """Looks."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a request.

    Attributes:
        rank: what they may do.
        by_cookie: whether a browser says so by itself, also when another site made it ask.
    """

    rank: Rank
    by_cookie: bool


class AccessTokens:
    """The tokens of one gateway.

    A cookie does not hold the token but a value derived from it, so what a browser keeps opens nothing else; a change of
    the token ends every cookie. Comparisons take the same time for every wrong value.

    Args:
        operator: token of operators.
        viewer: token of viewers, None where there are none.
    """

    def __init__(self, operator: str, viewer: str | None = None) -> None:
        self._tokens = {Rank.OPERATOR: operator} | ({Rank.VIEWER: viewer} if viewer else {})
        # Cookies are kept by host, without the port: two gateways of one machine must not overwrite each other's.
        self.cookie_name = f"tidings_{_derived(operator, 'name')[:8]}"

    def rank_of(self, token: str) -> Rank | None:
        """Return the role of a token, None for an unknown one."""
        return self._match(token, lambda known: known)

    def cookie_of(self, rank: Rank) -> str:
        """Return the cookie's value for a role."""
        return _derived(self._tokens[rank], "cookie")

    def caller(self, authorization: str, cookies: str) -> Caller | None:
        """Return the caller of a request, None without a known token.

        Args:
            authorization: the header of that name; a wrong token in it is not made good by a cookie.
            cookies: the header ``Cookie``.
        """
        if authorization:
            scheme, _, token = authorization.partition(" ")
            rank = self.rank_of(token.strip()) if scheme.lower() == "bearer" else None
            return Caller(rank, by_cookie=False) if rank else None
        value = _cookie(cookies, self.cookie_name)
        rank = self._match(value, lambda known: _derived(known, "cookie")) if value else None
        return Caller(rank, by_cookie=True) if rank else None

    def _match(self, given: str, expected: Callable[[str], str]) -> Rank | None:
        found = None
        for rank, known in self._tokens.items():
            if hmac.compare_digest(_digest(given), _digest(expected(known))):
                found = found or rank
        return found


def _digest(text: str) -> bytes:
    """Return what is compared in place of a text, so that its length does not show either."""
    return hashlib.sha256(text.encode(errors="replace")).digest()


def _derived(token: str, what: str) -> str:
    return hmac.new(token.encode(), f"tidings gateway {what}".encode(), hashlib.sha256).hexdigest()


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return found.value if found else ""
