"""Why a call failed."""

from __future__ import annotations

from tidings.bus.messages import Reason


def test_two_reasons_are_rate_limits() -> None:
    """Only these make a session rate limited; everything else is trouble."""
    assert {reason for reason in Reason if reason.is_rate_limit} == {
        Reason.RATE_LIMIT,
        Reason.QUOTA_EXHAUSTED,
    }


def test_reasons_are_stable_words() -> None:
    """They travel on the wire: a change here is a change of the wire format."""
    assert sorted(Reason) == [
        "auth",
        "bad_request",
        "connection",
        "content_policy",
        "context_window",
        "overloaded",
        "quota_exhausted",
        "rate_limit",
        "server_error",
        "timeout",
        "unknown",
    ]
