"""Who plays: the sessions and what is said in them, the fleet and its settings, the provider and its tricks."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from workers.provider import Fault, Limit, ProviderSettings
from workers.provider.answers import compose
from workers.settings import ENV_PREFIX, variable_of

SESSIONS = ("athens", "berlin", "cairo", "delhi", "essen", "florence", "geneva", "hanoi")
CONTROLLERS = ("controller-1", "controller-2")
WORKERS = ("worker-1", "worker-2", "worker-3")

PARKED = "berlin"
"""The session whose first call meets a long Retry-After."""
ORPHAN = "delhi"
"""The session whose worker is killed in the middle of its second call."""

CALLS = 3
WINDOW_S = 2.0
"""The provider serves so many calls in so many seconds: eight sessions that ask at once run into it two or three times."""
RETRY_AFTER_S = 600
"""What the parked session is asked to wait, far beyond the hold limit: only a resume can bring it back while the demo lasts."""

API_KEY = "sk-demo-not-a-real-key"
MODEL = "openai/demo"

FLEET: Mapping[str, object] = {
    # Three times three slots: all sessions at once, and still enough with one worker less.
    "concurrency": 3,
    # A killed worker is missed after the lease; long enough not to lose a live one on a busy machine.
    "lease_s": 3.0,
    "renew_s": 0.5,
    "poll_s": 0.5,
    "grace_s": 1.0,
    # The call that hangs ends with its worker, long before this.
    "llm_timeout_s": 60.0,
    # Retry-After is at most the window; with the jitter it stays below what a worker waits out itself.
    "backoff_cap_s": 4.0,
    "hold_limit_s": 8.0,
    # Should a session use up its six attempts all the same, it comes back soon by itself.
    "park_base_s": 2.0,
    "park_cap_s": 8.0,
}
"""Settings of the workers and controllers that differ from the defaults."""


def first_line(session: str) -> str:
    """Return what a session begins with; no two begin alike, so a prompt tells whose it is."""
    return f"What is the weather like in {session.title()}?"


def second_line(session: str) -> str:
    """Return what is said in a session after its first answer."""
    return f"And what will it be like in {session.title()} tomorrow?"


def expected_answer(said: str) -> str:
    """Return what the provider answers to a line."""
    return compose([{"role": "user", "content": said}]).text


def provider_settings() -> ProviderSettings:
    """Return the provider's settings: a limit that will be hit, and one call that is asked to wait for long."""
    limit = Limit(requests_per_minute=CALLS, kind="window", window_s=WINDOW_S)
    wait_long = Fault(
        kind="status",
        status=429,
        headers={"Retry-After": str(RETRY_AFTER_S)},
        message=f"Rate limit reached for demo on requests per hour. Please try again in {RETRY_AFTER_S // 60}m0s.",
        contains=first_line(PARKED),
    )
    return ProviderSettings(limit=limit, script=(wait_long,))


def hang() -> Fault:
    """Return the trick for the session whose worker is killed: its call is never answered, until the script is cleared."""
    return Fault(kind="timeout", times=None, contains=second_line(ORPHAN))


def fleet_environment(url: str, base_url: str, prefix: str = "") -> dict[str, str]:
    """Return the environment for controllers and workers: ours, with the demo's settings in place of the person's.

    Args:
        url: address of the Redis.
        base_url: address of the provider.
        prefix: put before every name in Redis.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    wanted = {**FLEET, "redis_url": url, "prefix": prefix, "model": MODEL, "api_base": base_url}
    loopback = ",".join(filter(None, (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1,localhost")))
    return {
        **inherited,
        **{variable_of(name): str(value) for name, value in wanted.items()},
        "OPENAI_API_KEY": API_KEY,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "NO_PROXY": loopback,
        "no_proxy": loopback,
        # What we import, they import, whatever folder they are started in.
        "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path),
    }
