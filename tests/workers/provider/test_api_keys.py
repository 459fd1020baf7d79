"""API keys as they are shown and read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.workers.provider.api_keys import bearer, mask


@pytest.mark.parametrize(
    ("key", "shown"),
    [("", "none"), ("k", "…"), ("abc", "…c"), ("abcdefg", "…efg"), ("sk-0123456789abcd", "…abcd")],
)
def test_a_key_is_shown_by_its_end(key: str, shown: str) -> None:
    """Four characters at most, half of a short key, and a word for none."""
    assert mask(key) == shown


@given(st.text(min_size=1))
def test_no_more_than_half_of_a_key_is_shown(key: str) -> None:
    """A mask never gives a key away."""
    shown = mask(key)
    assert shown.startswith("…")
    assert key.endswith(shown[1:])
    assert len(shown) - 1 <= min(4, len(key) / 2)


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (None, ""),
        ("", ""),
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic abc", ""),
        ("abc", ""),
        ("Bearer", ""),
    ],
)
def test_the_key_is_read_from_a_bearer_header(header: str | None, key: str) -> None:
    """The scheme is case-insensitive; anything else is no key."""
    assert bearer(header) == key
