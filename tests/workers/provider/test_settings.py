"""The provider's settings."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tidings.workers.provider import Limit, ProviderSettings

SECRET = "sk-planted-0123456789"


def test_the_defaults_listen_on_loopback_and_limit_nothing() -> None:
    """A provider without settings serves this machine alone, at any speed."""
    settings = ProviderSettings()
    assert (settings.host, settings.port, settings.keys) == ("127.0.0.1", 0, None)
    assert settings.limit == Limit()


def test_keys_have_their_limits_also_from_plain_data() -> None:
    """Limits may come as JSON objects."""
    settings = ProviderSettings.model_validate({"keys": {"a": {"requests_per_minute": 3}, "b": Limit()}})
    assert settings.keys == {"a": Limit(requests_per_minute=3), "b": Limit()}


@pytest.mark.parametrize(
    "wrong",
    [
        {"keys": {SECRET: {"requests_per_minute": -1}}},
        {"keys": {SECRET: "fast"}},
        {"keys": {SECRET: Limit(), "": Limit()}},
        {"keys": {SECRET: Limit(), 7: Limit()}},
        {"keys": SECRET},
        {"keys": {SECRET: Limit()}, "port": 70000},
        {"limit": {"requests_per_minute": 0}},
        {"latency_s": -1},
        {"retry_after": "minutes"},
        {"request_log": -1},
        {"colour": "red"},
    ],
)
def test_wrong_settings_are_refused_without_telling_a_key(wrong: dict[str, Any]) -> None:
    """The error says what is wrong and shows no key, which pydantic would name as the place."""
    with pytest.raises(ValidationError) as caught:
        ProviderSettings.model_validate(wrong)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)


def test_settings_show_no_key() -> None:
    """A repr in a log is harmless."""
    assert SECRET not in repr(ProviderSettings(keys={SECRET: Limit()}))


def test_an_error_names_the_key_by_its_mask() -> None:
    """Which of several keys has the wrong limit is still told."""
    with pytest.raises(ValidationError, match="key …6789: requests_per_minute"):
        ProviderSettings.model_validate({"keys": {SECRET: {"requests_per_minute": 0}}})
