"""The settings: one class, the environment and what is given."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Ge, Le
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tidings.bus.messages import PAYLOAD_LIMIT
from tidings.bus.redaction import redact
from tidings.bus.worker.lease import LEASE_S
from tidings.workers.retry import RetryPlan
from tidings.workers.settings import (
    BadSetting,
    Flag,
    Settings,
    flag_of,
    load_settings,
    spelling,
    variable_of,
)


def test_the_defaults_are_those_of_the_architecture() -> None:
    """6 attempts, 1 to 30 s, 300 s a run, hold 60 s, lease 10 s renewed every second, parks 60 to 900 s for a day."""
    settings = Settings()
    assert settings.redis_url.get_secret_value() == "redis://127.0.0.1:6379/0"
    assert (settings.attempts, settings.backoff_base_s, settings.backoff_cap_s) == (6, 1, 30)
    assert (settings.wait_budget_s, settings.max_inline_wait_s) == (300, 60)
    assert (settings.lease_s, settings.renew_s) == (10, 1)
    assert (settings.park_base_s, settings.park_cap_s, settings.park_for_s) == (60, 900, 86_400)
    assert (settings.command_timeout_s, settings.log_level, settings.log_json) == (10, "info", False)


def test_the_defaults_are_those_of_the_parts() -> None:
    """What the bus and the plan take by themselves is what the settings give them."""
    settings = Settings()
    assert settings.payload_limit == PAYLOAD_LIMIT
    assert settings.lease_s == LEASE_S
    assert settings.plan() == RetryPlan()


def test_the_plan_is_made_of_the_settings() -> None:
    """Each setting of the retries reaches the field of the plan that it is about."""
    settings = Settings(
        attempts=2,
        backoff_base_s=3,
        backoff_cap_s=4,
        wait_budget_s=5,
        max_inline_wait_s=6,
        park_base_s=7,
        park_cap_s=8,
        park_for_s=9,
    )
    assert asdict(settings.plan()) == {
        "attempts": 2,
        "base_s": 3,
        "cap_s": 4,
        "budget_s": 5,
        "max_inline_wait_s": 6,
        "park_base_s": 7,
        "park_cap_s": 8,
        "park_for_s": 9,
        "quota_after_s": RetryPlan().quota_after_s,
    }


def _within(name: str) -> st.SearchStrategy[float]:
    (low,) = (item.ge for item in Settings.model_fields[name].metadata if isinstance(item, Ge))
    (high,) = (item.le for item in Settings.model_fields[name].metadata if isinstance(item, Le))
    whole = Settings.model_fields[name].annotation is int
    return st.integers(low, high) if whole else st.floats(low, high)  # type: ignore[arg-type]


_PLAN = ("attempts", "wait_budget_s", "max_inline_wait_s", "park_for_s")


@given(
    rest=st.fixed_dictionaries({name: _within(name) for name in _PLAN}),
    backoff=st.tuples(_within("backoff_base_s"), _within("backoff_cap_s")).map(sorted),
    park=st.tuples(_within("park_base_s"), _within("park_base_s")).map(sorted),
)
def test_settings_that_are_accepted_make_a_plan(rest: dict[str, Any], backoff: list[float], park: list[float]) -> None:
    """A worker never starts with settings that its plan refuses."""
    names = ("backoff_base_s", "backoff_cap_s", "park_base_s", "park_cap_s")
    load_settings(rest | dict(zip(names, (*backoff, *park), strict=True))).plan()


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables have the name of the setting with a prefix; an empty one counts as not set."""
    monkeypatch.setenv("TIDINGS_LEASE_S", "20")
    monkeypatch.setenv("TIDINGS_LOG_JSON", "true")
    monkeypatch.setenv("TIDINGS_REDIS_URL", "redis://other:1/2")
    monkeypatch.setenv("TIDINGS_ATTEMPTS", "")
    settings = load_settings({})
    assert (settings.lease_s, settings.log_json, settings.attempts) == (20, True, 6)
    assert settings.redis_url.get_secret_value() == "redis://other:1/2"


def test_what_is_given_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag beats a variable, and text is read alike in both."""
    monkeypatch.setenv("TIDINGS_LEASE_S", "20")
    assert load_settings({"lease_s": "30"}).lease_s == 30


def test_no_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .env in the current folder belongs to somebody else."""
    (tmp_path / ".env").write_text("TIDINGS_LEASE_S=20\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings({}).lease_s == 10


def test_they_are_frozen() -> None:
    """What a process runs with does not change under it."""
    with pytest.raises(ValidationError, match="frozen"):
        Settings().lease_s = 5  # type: ignore[misc]


def test_no_credentials_are_shown() -> None:
    """The password in the address of Redis and a key in a provider's stay out of repr, str and dumps."""
    settings = load_settings({"redis_url": "redis://me:hunter2000@h/0", "api_base": "https://api/v1?key=hunter3000"})
    for shown in (repr(settings), str(settings)):
        assert "hunter" not in shown
        assert "api/v1" in shown
    assert "hunter2000" not in settings.model_dump_json()


@pytest.mark.parametrize("address", ["https://me:hunter3000@api/v1", "https://hunter3000@api", "me:hunter3000@api/v1"])
def test_an_address_of_a_provider_holds_no_credentials(address: str) -> None:
    """The text names the setting, says where a key belongs, and does not repeat the address."""
    with pytest.raises(BadSetting, match=r"--api-base \(TIDINGS_API_BASE\): .*OPENAI_API_KEY") as caught:
        load_settings({"api_base": address})
    assert "hunter" not in str(caught.value)
    assert redact(str(caught.value)) == str(caught.value)
    assert load_settings({"api_base": "https://api/v1/@scope?user=a@b"}).api_base


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_is(name: str) -> None:
    """It has a description that fits into a help text, a flag, and bounds where it is a number."""
    field = Settings.model_fields[name]
    assert field.description
    assert "[" not in field.description, "brackets would be read as markup in the help"
    assert field.description.endswith(".")
    assert flag_of(name).name.startswith("--")
    assert flag_of(name).group
    if field.annotation in (int, float):
        assert [item for item in field.metadata if isinstance(item, Ge)]
        assert [item for item in field.metadata if isinstance(item, Le)]


def test_flags_are_told_apart() -> None:
    """No two settings share a flag or a variable."""
    flags = [flag_of(name).name for name in Settings.model_fields]
    assert len(set(flags)) == len(flags)
    assert flag_of("redis_url") == Flag("Connection", "URL", "--redis")
    assert flag_of("lease_s").name == "--lease-s"
    assert variable_of("lease_s") == "TIDINGS_LEASE_S"
    with pytest.raises(KeyError):
        flag_of("nonsense")


@pytest.mark.parametrize(("lease_s", "renew_s"), [(0.1, 0.025), (1.5, 0.375), (4, 1), (3600, 1)])
def test_a_short_lease_is_renewed_more_often(lease_s: float, renew_s: float) -> None:
    """Who gives only the lease, a controller for one, contradicts nothing; what is given is never changed."""
    assert load_settings({"lease_s": lease_s}).renew_s == renew_s
    assert load_settings({"lease_s": lease_s, "renew_s": 0.01}).renew_s == 0.01


@pytest.mark.parametrize(
    ("given_", "names"),
    [
        ({"lease_s": "soon"}, ("lease_s",)),
        ({"lease_s": "-1"}, ("lease_s",)),
        ({"lease_s": "inf"}, ("lease_s",)),
        ({"concurrency": "1.5"}, ("concurrency",)),
        ({"prefix": "a*"}, ("prefix",)),
        ({"agent": "no colon"}, ("agent",)),
        ({"log_level": "loud", "attempts": 0}, ("log_level", "attempts")),
        ({"renew_s": 5}, ("renew_s", "lease_s")),
        ({"renew_s": 1, "lease_s": 1.5}, ("renew_s", "lease_s")),
        ({"backoff_base_s": 31}, ("backoff_base_s", "backoff_cap_s")),
        ({"park_cap_s": 59}, ("park_base_s", "park_cap_s")),
        ({"redis_url": ""}, ("redis_url",)),
        ({"nonsense": 1}, ("nonsense",)),
    ],
)
def test_a_bad_setting_is_named(given_: dict[str, Any], names: tuple[str, ...]) -> None:
    """The error is one line that names each setting in question as people write it."""
    with pytest.raises(BadSetting) as caught:
        load_settings(given_)
    assert sorted(caught.value.names) == sorted(names)
    assert "\n" not in str(caught.value)
    assert all(spelling(name) in str(caught.value) for name in names)


def test_a_bad_variable_is_named_and_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The value may be a secret that was put into the wrong variable."""
    monkeypatch.setenv("TIDINGS_LEASE_S", "sk-planted-secret")
    with pytest.raises(BadSetting, match=r"--lease-s \(TIDINGS_LEASE_S\)") as caught:
        load_settings({})
    assert "planted" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"


@pytest.mark.parametrize(
    ("old", "new"),
    [("PARK_LIMIT", "PARK_FOR_S"), ("GRACE_S", "DRAIN_TIMEOUT_S"), ("HOLD_LIMIT_S", "MAX_INLINE_WAIT_S")],
)
def test_a_setting_that_was_replaced_names_the_new_one(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """It is not passed over in silence: a person who gave it believes that it counts."""
    monkeypatch.setenv(f"TIDINGS_{old}", "3")
    with pytest.raises(BadSetting, match=f"TIDINGS_{old} is not a setting any more: .* TIDINGS_{new}"):
        load_settings({})
