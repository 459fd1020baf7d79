"""What must not be repeated: the secrets that a call is made with, and how to get them out of an error."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tidings.bus.redaction import EXCERPT, cut_margin, environment_secrets, redact
from tidings.workers.retry.evidence import text_of

_DEPTH = 16


def known_secrets(params: Mapping[str, Any]) -> frozenset[str]:
    """Collect the secrets of this process' environment and of a call's parameters, headers included."""
    named = {name.replace("-", "_"): value for name, value in _texts(params)}
    authorizations = {value.split()[-1] for name, value in named.items() if name.lower() == "authorization" and value.strip()}
    return environment_secrets(os.environ) | environment_secrets(named) | authorizations


def scrub(error: BaseException, secrets: Iterable[str]) -> str:
    """Take secrets out of the text of an exception and of what caused it, in place, and bound those texts.

    Providers repeat the key that they were given, litellm passes that on verbatim, and a traceback prints the
    whole chain. Attributes that nobody prints (the response with its request's headers) are left alone.

    Returns:
        The exception's own text as it is now, at most `EXCERPT` characters.
    """
    secrets = frozenset(secrets)
    # litellm and the SDKs hand one text from exception to exception: each is looked at once.
    once = functools.cache(lambda beginning: redact(beginning, secrets, EXCERPT))
    enough = EXCERPT + cut_margin(secrets) + 1

    def clean(text: str) -> str:
        return once(text[:enough])

    for link in _chain(error):
        link.args = tuple(_clean(arg, clean) for arg in link.args)
        message = getattr(link, "message", None)
        if isinstance(message, str):
            _set(link, "message", clean(message))
        notes = getattr(link, "__notes__", None)
        if isinstance(notes, list):
            notes[:] = [_clean(note, clean) for note in notes]
    return clean(text_of(error))


def _texts(params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in params.items():
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, Mapping):
            yield from ((str(inner), text) for inner, text in value.items() if isinstance(text, str))


def _clean(value: object, clean: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, int | float | None):
        return value
    try:
        shown = repr(value)
    except Exception:
        return value
    cleaned = clean(shown)
    return value if cleaned == shown else cleaned


def _set(link: BaseException, name: str, value: str) -> None:
    try:
        setattr(link, name, value)
    except AttributeError:  # a property; its source is in args
        return


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and everything a traceback of it prints, each once, not without end."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting and len(seen) < _DEPTH:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        waiting += (link.__context__, link.__cause__)
        if isinstance(link, BaseExceptionGroup):
            waiting += link.exceptions
