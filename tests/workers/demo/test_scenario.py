"""The scenario: the settings fit each other and what is to happen."""

from __future__ import annotations

from tidings.workers.demo import scenario
from tidings.workers.demo.runner import FOR_PEOPLE
from tidings.workers.demo.scenario import FLEET, RETRY_AFTER_S, SESSIONS, WORKERS
from tidings.workers.settings import Settings


def test_the_limit_is_waited_out_and_the_long_wait_is_not() -> None:
    """All sessions have a slot; Retry-After with the longest jitter stays below the hold limit, the scripted one is beyond it."""
    settings = Settings(**FLEET)
    assert settings.concurrency * WORKERS >= len(SESSIONS)
    assert FOR_PEOPLE.window_s + settings.backoff_cap_s < settings.max_inline_wait_s < RETRY_AFTER_S


def test_no_two_lines_are_alike() -> None:
    """A trick hits the call that it is meant for."""
    lines = {line(session) for session in SESSIONS for line in (scenario.first_line, scenario.second_line)}
    assert len(lines) == 2 * len(SESSIONS)
