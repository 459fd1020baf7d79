"""Warnings of litellm's that a suite which takes warnings for errors must not fail by."""

from __future__ import annotations

import warnings

# What litellm itself ignores when it is imported (1.106): remarks of pydantic on how it is used there. They come with the first
# answer and with every stream, and litellm takes an error at that place for a failed call.
_MESSAGES = (
    ".*conflict with protected namespace.*",
    ".*Accessing the.*attribute on the instance is deprecated.*",
    ".*`ReadOnly` qualifier.*",
)


def quiet_litellm() -> None:
    """Ignore what litellm ignores, once more: pytest forgets it at the end of the test that has imported litellm.

    It holds until that test ends as well.
    """
    for message in _MESSAGES:
        warnings.filterwarnings("ignore", message=message)
