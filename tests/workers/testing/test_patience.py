"""The factor by which waits are stretched."""

from __future__ import annotations

import pytest

from tidings.workers.testing.patience import VARIABLE, stretch


def test_waits_are_stretched_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at all where it says nothing."""
    monkeypatch.delenv(VARIABLE, raising=False)
    assert stretch() == 1
    monkeypatch.setenv(VARIABLE, "2.5")
    assert stretch() == 2.5


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "nan", "inf"])
def test_what_is_no_factor_is_told(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the name of the variable and what stands there."""
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ValueError, match=f"{VARIABLE} is how many times longer .* it is {text!r}"):
        stretch()
