"""The fixtures where pytest-asyncio is not installed or switched off: a test that asks for one gets an error that says so."""

from __future__ import annotations

from typing import NoReturn

import pytest


def _fail(name: str) -> NoReturn:
    pytest.fail(
        f"{name} needs pytest-asyncio: pip install 'tidings[testing]' and do not switch it off. "
        "With another framework use memory_bus and Fleet of tidings.workers.testing and tidings.workers.provider.Provider; "
        "they are async context managers.",
        pytrace=False,
    )


@pytest.fixture
def tidings_clock() -> NoReturn:
    """Say what is missing."""
    _fail("tidings_clock")


@pytest.fixture
def tidings_bus() -> NoReturn:
    """Say what is missing."""
    _fail("tidings_bus")


@pytest.fixture
def tidings_provider_settings() -> NoReturn:
    """Say what is missing."""
    _fail("tidings_provider_settings")


@pytest.fixture
def tidings_provider() -> NoReturn:
    """Say what is missing."""
    _fail("tidings_provider")


@pytest.fixture
def tidings_fleet() -> NoReturn:
    """Say what is missing."""
    _fail("tidings_fleet")
