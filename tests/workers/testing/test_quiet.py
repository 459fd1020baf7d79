"""Warnings of litellm's."""

from __future__ import annotations

import warnings

import pytest

from tidings.workers.testing.quiet import quiet_litellm


@pytest.mark.parametrize(
    "message",
    [
        'Field "model_name" has conflict with protected namespace "model_".',
        "Accessing the 'model_fields' attribute on the instance is deprecated.",
        "Item 'summary' on TypedDict class 'X' is using the `ReadOnly` qualifier.",
    ],
)
def test_what_litellm_ignores_is_no_error(message: str) -> None:
    """Also after pytest has forgotten that, and only until the test ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with warnings.catch_warnings():
            quiet_litellm()
            warnings.warn(message, stacklevel=1)
        with pytest.raises(UserWarning):
            warnings.warn(message, stacklevel=1)


def test_everything_else_still_is() -> None:
    """A suite that takes warnings for errors stays as strict as it was."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet_litellm()
        with pytest.raises(UserWarning, match="mine"):
            warnings.warn("mine", stacklevel=1)
