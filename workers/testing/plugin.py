"""The pytest plugin, registered under the name ``tidings`` (``-p no:tidings`` switches it off).

It is loaded in every run of pytest in an environment with Tidings, so it imports nothing of ours but its fixtures, and these
import what they need when a test asks for them.
"""

from __future__ import annotations

import importlib

import pytest

FIXTURES = "tidings-fixtures"
"""Name under which the fixtures are registered."""

# By its entry point, by ``-p pytest_asyncio``, by ``-p pytest_asyncio.plugin``.
_PYTEST_ASYNCIO = ("asyncio", "pytest_asyncio", "pytest_asyncio.plugin")


def pytest_configure(config: pytest.Config) -> None:
    """Offer the fixtures; without pytest-asyncio, ones that say what is missing."""
    there = any(config.pluginmanager.hasplugin(name) for name in _PYTEST_ASYNCIO)
    module = "tidings.workers.testing.fixtures" if there else "tidings.workers.testing.unavailable"
    config.pluginmanager.register(importlib.import_module(module), FIXTURES)
