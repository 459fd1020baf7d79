"""API keys as they may be shown, and as they arrive."""

from __future__ import annotations

NO_KEY = "none"
"""How a call without a key is shown."""

_SHOWN = 4


def mask(key: str) -> str:
    """Return a key as it may be shown: its last 4 characters, and never more than half of it.

    Two keys with the same ending look alike.
    """
    if not key:
        return NO_KEY
    shown = min(_SHOWN, len(key) // 2)
    return "…" + key[len(key) - shown :]


def bearer(authorization: str | None) -> str:
    """Return the key of an Authorization header `Bearer KEY` (RFC 6750); empty if there is none."""
    scheme, _, key = (authorization or "").strip().partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
