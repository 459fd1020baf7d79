"""What a gateway is told."""

from __future__ import annotations

import pytest

from tidings.workers.gateway import GatewayOptions, is_loopback, new_token
from tidings.workers.settings import BadSetting, load_settings

TOKEN, OTHER = "a-token-0123456789", "another-token-0123456789"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_only_loopback_is_loopback(host: str, loopback: bool) -> None:
    """A name may stand for anything."""
    assert is_loopback(host) is loopback


def test_the_settings_become_options() -> None:
    """AccessTokens, origins and limits arrive; none is shown."""
    settings = load_settings(
        {
            "token": TOKEN,
            "viewer_token": OTHER,
            "allowed_origins": "https://A.example.org, http://b.example.org:81",
            "command_rate": "7",
            "command_timeout_s": "3",
            "payload_limit": "2048",
        }
    )
    options = GatewayOptions.of(settings)
    assert (options.token, options.viewer_token, options.generated) == (TOKEN, OTHER, False)
    assert options.allowed_origins == {"https://a.example.org", "http://b.example.org:81"}
    assert (options.command_rate, options.command_timeout_s, options.payload_limit) == (7, 3, 2048)
    assert TOKEN not in repr(options) + repr(settings)
    assert OTHER not in repr(options) + repr(settings)


def test_without_a_token_one_is_made() -> None:
    """Another each time, and one that the settings would take."""
    one, other = GatewayOptions.of(load_settings({})), GatewayOptions.of(load_settings({}))
    assert one.generated
    assert one.token != other.token
    assert load_settings({"token": new_token()}).token is not None


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"token": "short"}, "--token (TIDINGS_TOKEN)"),
        ({"token": "with spaces 0123456789"}, "TIDINGS_TOKEN"),
        ({"viewer_token": "ümlaut-0123456789abc"}, "TIDINGS_VIEWER_TOKEN"),
        ({"token": TOKEN, "viewer_token": TOKEN}, "TIDINGS_VIEWER_TOKEN"),
        ({"allowed_origins": "no-scheme.example.org"}, "TIDINGS_ALLOWED_ORIGINS"),
        ({"allowed_origins": "https://a.example.org/path"}, "TIDINGS_ALLOWED_ORIGINS"),
        ({"allowed_origins": "*"}, "TIDINGS_ALLOWED_ORIGINS"),
        ({"port": "65536"}, "TIDINGS_PORT"),
        ({"command_rate": "0"}, "TIDINGS_COMMAND_RATE"),
    ],
)
def test_what_cannot_be_used_is_named_and_not_shown(given: dict[str, object], text: str) -> None:
    """In one line."""
    with pytest.raises(BadSetting) as caught:
        load_settings(given)
    assert text in str(caught.value)
    assert not [value for value in given.values() if len(str(value)) > 4 and str(value) in str(caught.value)]
