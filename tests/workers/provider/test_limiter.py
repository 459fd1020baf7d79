"""Who may call."""

from __future__ import annotations

import pytest

from tidings.workers.provider import Limit, ProviderSettings
from tidings.workers.provider import limiter as gate_module
from tidings.workers.provider.limiter import Limiter


def test_without_keys_everyone_is_known() -> None:
    """Any key and no key, under the same limit each."""
    limiter = Limiter(ProviderSettings(limit=Limit(requests_per_minute=1)))
    assert limiter.knows("")
    assert [limiter.admit(key, "m", 1, 0.0).admitted for key in ("a", "a", "b", "")] == [True, False, True, True]
    assert Limiter(ProviderSettings(keys={})).knows("anyone")


def test_each_key_has_its_own_limit() -> None:
    """A key that is not set is not known."""
    keys = {"slow": Limit(requests_per_minute=1), "fast": Limit(requests_per_minute=2)}
    limiter = Limiter(ProviderSettings(keys=keys))
    assert [limiter.knows(key) for key in ("slow", "fast", "other", "")] == [True, True, False, False]
    admitted = {key: [limiter.admit(key, "m", 1, 0.0).admitted for _ in range(3)] for key in keys}
    assert admitted == {"slow": [True, False, False], "fast": [True, True, False]}
    with pytest.raises(KeyError, match="other"):
        limiter.admit("other", "m", 1, 0.0)


def test_each_model_is_counted_apart() -> None:
    """Using up one model leaves the other."""
    limiter = Limiter(ProviderSettings(limit=Limit(requests_per_minute=1)))
    assert [limiter.admit("k", model, 1, 0.0).admitted for model in ("a", "a", "b")] == [True, False, True]


def test_meters_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The meter unused for longest is forgotten, never one in use."""
    monkeypatch.setattr(gate_module, "METERS_MAX", 2)
    limiter = Limiter(ProviderSettings(limit=Limit(requests_per_minute=1)))
    admitted = [limiter.admit("k", model, 1, 0.0).admitted for model in ("a", "b", "a", "c", "a", "b")]
    assert admitted == [True, True, False, True, False, True]
