"""Check when a process starts whether the API key for its model is set, and warn if it is not."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from importlib.util import find_spec

from tidings.bus.redaction import environment_secrets
from tidings.workers.llm.library import loaded

log = logging.getLogger("tidings.llm")

_CHAINS = ("AWS_", "VERTEXAI_", "GOOGLE_APPLICATION_")
"""Credentials that the providers' own libraries find in many places: profiles, files, the machine's own role."""
_KEYED = frozenset({"openai", "azure"})
"""Providers that are asked with a key at any address: their libraries send nothing without one."""
_ADVICE = "give the key in the environment; calls fail unless it comes another way"


def missing_key(model: str, api_base: str | None = None, environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the variables of which one would hold the key for a model; none where it is there or not needed.

    litellm's ``validate_environment`` knows the variables. It names addresses and projects too, which have defaults, and does not
    know of credentials that come from elsewhere; of those nothing is said.

    Args:
        api_base: address that is asked in place of the provider's own.
        environment: for tests; otherwise that of the process.
    """
    environment = os.environ if environment is None else environment
    if not model or find_spec("litellm") is None:
        return ()
    library = loaded()
    # To look up one of these is to log in: litellm asks their servers for a code, and a person to enter it.
    if _logs_in(model.partition("/")[0]):
        return ()
    try:
        _, provider, key, _ = library.get_llm_provider(model=model, api_base=api_base)
        names = library.validate_environment(model, api_base=api_base)["missing_keys"]
    except Exception:  # a model that litellm does not know; the call itself will say so
        return ()
    if key or library.api_key or getattr(library, f"{provider}_key", None) or (api_base and provider not in _KEYED):
        return ()
    wanted = tuple(name for name in names if _is_secret(name))
    if any(name.startswith(_CHAINS) for name in wanted) or _has_another(wanted, environment):
        return ()
    return wanted


def tell_missing_key(model: str, api_base: str | None = None) -> None:
    """Log a warning where no key is there for a model; it may be given another way, so nothing is refused. Imports litellm."""
    if missing := missing_key(model, api_base):
        log.warning("llm.key_missing", extra={"model": model, "variables": " or ".join(missing), "advice": _ADVICE})


def _logs_in(provider: str) -> bool:
    # It imports litellm, which must have been done under the lock of `loaded`: half imported in two threads, it stands still.
    try:
        return find_spec(f"litellm.llms.{provider}.authenticator") is not None
    except (ImportError, ValueError):
        return False


def _is_secret(name: str) -> bool:
    return bool(environment_secrets({name: "x" * 8}))


def _has_another(wanted: tuple[str, ...], environment: Mapping[str, str]) -> bool:
    """Whether a secret of the same provider is there under another name: it has several, or signs in with a token."""
    stems = tuple(name.partition("_")[0][:6] for name in wanted)
    return any(value and name.startswith(stems) and _is_secret(name) for name, value in environment.items())
