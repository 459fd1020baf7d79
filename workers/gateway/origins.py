"""Whether a request was made by our own page: what keeps other sites from using the cookie of a browser. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

_SAFE = frozenset({"GET", "HEAD"})


def foreign(method: str, origin: str, fetch_site: str, host: str, *, by_cookie: bool, allowed: frozenset[str]) -> bool:
    """Return whether a request comes from a page that is not ours and not allowed.

    Args:
        method: of the request.
        origin: its ``Origin``; browsers set it on every request that changes something and on every request to another origin.
        fetch_site: its ``Sec-Fetch-Site``, which browsers set and pages cannot.
        host: its ``Host``; the scheme is not compared, because a proxy in front of us may speak TLS.
        by_cookie: whether the browser vouches for the caller; then silence about the origin is not enough.
        allowed: origins that may call us.
    """
    if origin:
        return origin not in allowed and not _is_at(origin, host)
    return method not in _SAFE and by_cookie and fetch_site != "same-origin"


def _is_at(origin: str, host: str) -> bool:
    try:
        place = urlsplit(origin)
    except ValueError:
        return False
    return place.scheme in ("http", "https") and bool(place.netloc) and place.netloc.lower() == host.lower()
