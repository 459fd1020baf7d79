"""The scenario: the sessions and what is said in them, the settings of fleet and provider, the scripted failures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidings.workers.provider import Fault, Limit, ProviderSettings
from tidings.workers.provider.completions import compose

SESSIONS = ("athens", "berlin", "cairo", "delhi", "essen", "florence", "geneva", "hanoi")
CONTROLLERS, WORKERS = 2, 3

PARKED = "berlin"
"""The session that meets a long Retry-After on its first call."""
ORPHAN = "delhi"
"""The session that loses its worker, killed, in the middle of its second call."""

CALLS = 3
"""The provider serves so many calls in a window: eight sessions that ask at once run into it two or three times."""
RETRY_AFTER_S = 600
"""What the parked session is asked to wait, far beyond the hold limit: only a resume can bring it back while the demo lasts."""

FLEET: Mapping[str, Any] = {
    "model": "openai/demo",
    # Three times three slots: all sessions at once, and still enough with one worker less.
    "concurrency": 3,
    # A killed worker is missed after the lease; long enough not to lose a live one on a busy machine.
    "lease_s": 3.0,
    "renew_s": 0.5,
    "visibility_s": 5.0,
    "drain_timeout_s": 1.0,
    # The call that hangs ends with its worker, long before this.
    "llm_timeout_s": 60.0,
    # Retry-After is at most the window; with the jitter it stays below what a worker waits out itself.
    "backoff_cap_s": 4.0,
    "max_inline_wait_s": 8.0,
    # Should a session use up its six attempts all the same, it comes back soon by itself.
    "park_base_s": 2.0,
    "park_cap_s": 8.0,
}
"""Settings of the workers and controllers, over those of `tidings.workers.testing.processes`."""


def first_line(session: str) -> str:
    """Return what a session begins with; no two begin alike, so a trick hits the call it is meant for."""
    return f"What is the weather like in {session.title()}?"


def second_line(session: str) -> str:
    """Return what is said in a session after its first answer."""
    return f"And what will it be like in {session.title()} tomorrow?"


def expected_answer(said: str) -> str:
    """Return what the provider answers to a line."""
    return compose([{"role": "user", "content": said}]).text


def provider_settings(window_s: float) -> ProviderSettings:
    """Return the provider's settings: a limit that will be hit, and one call that is asked to wait for long.

    Args:
        window_s: seconds in which it serves `CALLS` calls.
    """
    wait_long = Fault(
        kind="status",
        status=429,
        headers={"Retry-After": str(RETRY_AFTER_S)},
        message=f"Rate limit reached for demo on requests per hour. Please try again in {RETRY_AFTER_S // 60}m0s.",
        contains=first_line(PARKED),
    )
    return ProviderSettings(limit=Limit(requests_per_minute=CALLS, kind="window", window_s=window_s), script=(wait_long,))


def hang() -> Fault:
    """Return the trick for `ORPHAN`: its call is not answered until the script is cleared."""
    return Fault(kind="timeout", times=None, contains=second_line(ORPHAN))
