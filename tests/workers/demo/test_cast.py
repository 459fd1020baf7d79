"""Who plays: the settings fit each other, and the environment is ours."""

from __future__ import annotations

import pytest

from workers.demo import cast
from workers.demo.cast import FLEET, RETRY_AFTER_S, SESSIONS, WINDOW_S, WORKERS, fleet_environment
from workers.settings import Settings


def test_the_settings_of_the_fleet_are_valid() -> None:
    """They pass the checks of every worker."""
    settings = Settings(**FLEET)  # type: ignore[arg-type]
    assert settings.concurrency * len(WORKERS) >= len(SESSIONS)


def test_the_limit_is_waited_out_and_the_long_wait_is_not() -> None:
    """Retry-After with the longest jitter stays below the hold limit, the scripted one is beyond it."""
    settings = Settings(**FLEET)  # type: ignore[arg-type]
    assert WINDOW_S + settings.backoff_cap_s < settings.hold_limit_s < RETRY_AFTER_S


def test_no_two_sessions_begin_alike() -> None:
    """A prompt tells by its first words whose it is, and a trick hits the call it is meant for."""
    lines = [line(session) for session in SESSIONS for line in (cast.first_line, cast.second_line)]
    assert len(set(lines)) == len(lines) == 16


def test_the_environment_is_the_demos(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person's settings, keys and proxies do not reach the demo."""
    monkeypatch.setenv("TIDINGS_MODEL", "anthropic/claude")
    monkeypatch.setenv("TIDINGS_CONCURRENCY", "77")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-persons-own")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    environment = fleet_environment("unix:///s", "http://127.0.0.1:1/v1", "demo:")
    assert environment["TIDINGS_MODEL"] == cast.MODEL
    assert environment["TIDINGS_CONCURRENCY"] == "3"
    assert environment["TIDINGS_PREFIX"] == "demo:"
    assert environment["TIDINGS_REDIS_URL"] == "unix:///s"
    assert environment["OPENAI_API_KEY"] == cast.API_KEY
    assert environment["NO_PROXY"] == environment["no_proxy"] == "intranet.example,127.0.0.1,localhost"


def test_settings_that_the_demo_does_not_name_take_their_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person set for their own workers does not change the demo."""
    monkeypatch.setenv("TIDINGS_ATTEMPTS", "1")
    assert "TIDINGS_ATTEMPTS" not in fleet_environment("unix:///s", "http://127.0.0.1:1/v1")
