"""Fixtures of the test kit's own tests."""

from __future__ import annotations

import pytest

from tidings.workers.llm import load_litellm

pytest.importorskip("fakeredis")


@pytest.fixture(scope="session", autouse=True)
def _imported_once() -> None:
    """Import what is slow outside of any run of pytest within pytest: such a run forgets what it has imported."""
    import tidings.workers.testing.fleet  # noqa: F401

    load_litellm()
