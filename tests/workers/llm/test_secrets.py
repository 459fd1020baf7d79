"""Secrets of a call, and errors without them."""

from __future__ import annotations

import traceback
from types import SimpleNamespace
from typing import Any

import pytest

from tidings.bus import redaction
from tidings.workers.llm import secrets
from tidings.workers.llm.secrets import known_secrets, scrub

SECRET = "Tr0ub4dor-and-3"


@pytest.mark.parametrize(
    "params",
    [
        {"api_key": SECRET},
        {"azure_ad_token": SECRET},
        {"aws_secret_access_key": SECRET},
        {"extra_headers": {"Authorization": f"Bearer {SECRET}"}},
        {"extra_headers": {"authorization": SECRET}},
        {"extra_headers": {"X-Api-Key": SECRET}},
        {"api_base": f"https://user:{SECRET}@proxy.example/v1"},
    ],
)
def test_the_secrets_of_a_call_are_known(params: dict[str, Any]) -> None:
    """Keys, tokens, headers, and passwords in addresses."""
    assert SECRET in known_secrets(params)


def test_the_secrets_of_the_environment_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever litellm may read its key from."""
    monkeypatch.setenv("ACME_API_KEY", SECRET)
    assert SECRET in known_secrets({"temperature": 0, "extra_headers": {"Authorization": " ", "n": 1}})


def test_an_error_and_its_causes_lose_their_secrets() -> None:
    """Nothing that a traceback prints, or a repr, holds it; the rest of the text stays."""

    class ProviderError(Exception):
        def __init__(self, message: str) -> None:
            super().__init__(message, {"headers": {"x": SECRET}}, 401, None, SimpleNamespace(size=3))
            self.message = message

        def __str__(self) -> str:
            return self.message

    inner = ProviderError(f"key {SECRET} is wrong")
    inner.add_note(f"asked with {SECRET}")
    outer = RuntimeError(f"call failed: {SECRET}")
    outer.__cause__ = ExceptionGroup("several", [inner, ValueError(SECRET)])
    inner.__context__ = outer
    scrub(outer, [SECRET])
    shown = "".join(traceback.format_exception(outer)) + repr(outer) + repr(inner) + repr(inner.args)
    assert SECRET not in shown
    assert "is wrong" in shown
    assert "asked with" in shown
    assert inner.args[2:4] == (401, None)
    assert inner.args[4].size == 3


def test_an_error_that_resists_does_no_harm() -> None:
    """What cannot be set or shown is left as it is."""

    class Stubborn(Exception):
        message = property(lambda _: f"key {SECRET}")

    class Unspeakable:
        def __repr__(self) -> str:
            raise RuntimeError

    error = Stubborn(SECRET, Unspeakable())
    scrub(error, [SECRET])
    assert error.args[0] == "[redacted]"
    assert isinstance(error.args[1], Unspeakable)


def test_each_text_is_looked_at_once_and_no_longer_than_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Litellm hands a provider's words from exception to exception, and says them twice in each."""
    looked_at: list[str] = []

    def redact(text: str, secrets: frozenset[str], limit: int) -> str:
        looked_at.append(text)
        return redaction.redact(text, secrets, limit)

    monkeypatch.setattr(secrets, "redact", redact)
    words = f"key {SECRET} is wrong. " + "More of it. " * 100_000
    outer = error = RuntimeError(words, words)
    for _ in range(12):
        cause = RuntimeError(words)
        cause.add_note(words)
        error.__cause__, error = cause, cause
    told = scrub(outer, [SECRET])
    assert len(looked_at) == 2
    assert max(map(len, looked_at)) < 2 * redaction.EXCERPT
    assert told.startswith("('key [redacted] is wrong.")
    assert redaction.EXCERPT - 10 < len(outer.args[0]) <= redaction.EXCERPT
