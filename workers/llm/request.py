"""What litellm is asked: the prompt, the tools and the parameters, checked."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

Messages = Sequence[Mapping[str, Any]]
"""A prompt in OpenAI's form."""

Tools = Sequence[Mapping[str, Any]]
"""Tools in OpenAI's form."""

_RETRIES = "retries are the plan's: give plan to Llm()"
_FALLBACKS = "make an Llm for the other model, and call it when this one raises"
_RESERVED: Mapping[str, str] = {
    "model": "give it to Llm(), or take a sibling by named()",
    "messages": "give them as the first argument",
    "stream": "call stream()",
    "timeout": "give timeout_s to Llm()",
    "request_timeout": "give timeout_s to Llm()",
    "max_retries": _RETRIES,
    "num_retries": _RETRIES,
    "retry_policy": _RETRIES,
    "retry_strategy": _RETRIES,
    "fallbacks": _FALLBACKS,
    "context_window_fallback_dict": _FALLBACKS,
}
"""Parameters of litellm's that would hide requests, waits or models from those who watch."""

_ADDRESSES = ("api_base", "base_url", "azure_endpoint")


def check_params(params: Mapping[str, Any]) -> None:
    """Refuse what must not be passed on.

    Raises:
        TypeError: there is such a parameter; the text says what to do instead.
        ValueError: a user and a password are in the address of the provider.
    """
    for name, value in params.items():
        if name in _RESERVED:
            raise TypeError(f"{name} is not passed on to litellm: {_RESERVED[name]}")
        if name in _ADDRESSES and isinstance(value, str):
            check_address(value)


def check_address(address: str) -> None:
    """Refuse an address of a provider with credentials in it: the libraries put it into errors, logs and the names of caches.

    Raises:
        ValueError: a user or a password is in it; the text says where a key belongs, and does not repeat the address.
    """
    behind_scheme = re.sub(r"^\s*(?:[A-Za-z][A-Za-z0-9+.-]*:)?[/\\]+", "", address)
    if "@" in re.split(r"[/?#\\]", behind_scheme, maxsplit=1)[0]:
        raise ValueError(
            "the address of the provider holds a user name or a password and must not: the key belongs in the provider's "
            "variable (OPENAI_API_KEY, ...) or as api_key, and what else a proxy wants as extra_headers"
        )


def check_prompt(messages: Messages) -> None:
    """Refuse a prompt that holds something else than messages for a model, first of all a notice.

    Raises:
        TypeError: something in it is no mapping.
    """
    for message in messages:
        if not isinstance(message, Mapping):
            raise TypeError(
                f"a prompt is made of mappings with role and content, not of {type(message).__name__}: "
                "build it from events; what the system tells people is never sent to a model"
            )


def build_request(
    model: str, messages: Messages, tools: Tools | None, params: Mapping[str, Any], timeout_s: float
) -> dict[str, Any]:
    """Make one request; prompt and tools are copied, because litellm's routes rewrite them in place."""
    request = {**params, "model": model, "timeout": timeout_s}
    request["messages"] = [copy.deepcopy(dict(message)) for message in messages]
    if tools:
        request["tools"] = [copy.deepcopy(dict(tool)) for tool in tools]
    return request


def checked_name(name: str) -> str:
    """Return the name of a path unchanged.

    Raises:
        ValueError: it does not have 1 to 64 characters.
    """
    if not 1 <= len(name) <= 64:
        raise ValueError(f"{name[:80]!r} cannot name a path: give 1 to 64 characters")
    return name
