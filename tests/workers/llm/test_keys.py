"""Whether a key is there, as litellm knows it."""

from __future__ import annotations

import importlib.util
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from tests.workers.llm.scene import LITELLM_WARNS
from tidings.workers.llm import keys, library
from tidings.workers.llm.keys import missing_key, tell_missing_key

pytestmark = LITELLM_WARNS

LOCAL = "http://127.0.0.1:1/v1"


@pytest.mark.parametrize(
    ("model", "api_base", "environment", "missing"),
    [
        ("openai/gpt-4o", None, {}, ("OPENAI_API_KEY",)),
        ("gpt-4o", None, {}, ("OPENAI_API_KEY",)),
        # Its library sends nothing without a key, whoever is asked.
        ("openai/gpt-4o", LOCAL, {}, ("OPENAI_API_KEY",)),
        ("openai/gpt-4o", None, {"OPENAI_API_KEY": "sk-1234567890"}, ()),
        ("anthropic/claude-x", None, {}, ("ANTHROPIC_API_KEY",)),
        ("anthropic/claude-x", None, {"ANTHROPIC_AUTH_TOKEN": "abcdefgh"}, ()),
        ("gemini/gemini-x", None, {}, ("GOOGLE_API_KEY", "GEMINI_API_KEY")),
        ("azure/mine", None, {}, ("AZURE_API_KEY",)),
        ("azure/mine", None, {"AZURE_AD_TOKEN": "abcdefgh"}, ()),
        ("together_ai/x", None, {"TOGETHER_API_KEY": "abcdefgh"}, ()),
        ("perplexity/x", None, {"PERPLEXITY_API_KEY": "abcdefgh"}, ()),
        ("replicate/x", None, {"REPLICATE_API_TOKEN": "abcdefgh"}, ()),
        # A machine's own role, a profile, a file: nobody can know that there is none.
        ("bedrock/anthropic.claude-x", None, {}, ()),
        ("vertex_ai/gemini-x", None, {}, ()),
        # What runs here needs none.
        ("ollama/llama3", None, {}, ()),
        ("hosted_vllm/x", LOCAL, {}, ()),
        ("deepseek/x", LOCAL, {}, ()),
        ("lm_studio/x", None, {}, ()),
        # Looking it up would be logging in.
        ("github_copilot/x", None, {}, ()),
        ("no-such-provider/x", None, {}, ()),
        ("", None, {}, ()),
    ],
)
def test_only_a_key_that_is_known_to_be_missing_is_named(
    model: str, api_base: str | None, environment: dict[str, str], missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never a guess: where it may come from elsewhere, or none is needed, nothing is said."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert missing_key(model, api_base, environment) == missing


def test_a_key_that_was_given_to_litellm_itself_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module with an agent may set it."""
    for name in ("api_key", "openai_key"):
        with monkeypatch.context() as given:
            given.setattr(f"litellm.{name}", "sk-1234567890")
            assert missing_key("openai/x", None, {}) == ()
    assert missing_key("openai/x", None, {}) == ("OPENAI_API_KEY",)


def test_it_is_said_in_one_line_and_harms_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """With the variables; a litellm that fails to look says nothing."""
    caplog.set_level(logging.WARNING)
    tell_missing_key("gemini/x")
    (line,) = caplog.records
    assert (line.message, line.__dict__["model"]) == ("llm.key_missing", "gemini/x")
    assert line.__dict__["variables"] == "GOOGLE_API_KEY or GEMINI_API_KEY"

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(keys, "loaded", lambda: SimpleNamespace(get_llm_provider=broken))
    assert missing_key("openai/x") == ()


def test_litellm_is_imported_under_the_lock_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """To look for one of its modules is to import it: beside a worker's own import both would see half of it."""
    asked: list[str] = []
    load = library.loaded

    def loaded() -> Any:
        asked.append("loaded")
        return load()

    def find_spec(name: str) -> Any:
        asked.append(name)
        return importlib.util.find_spec(name)

    monkeypatch.setattr(keys, "loaded", loaded)
    monkeypatch.setattr(keys, "find_spec", find_spec)
    assert missing_key("openai/x", environment={}) == ("OPENAI_API_KEY",)
    assert asked.index("loaded") < min(at for at, name in enumerate(asked) if "." in name)
