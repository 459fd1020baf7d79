"""Take secrets and terminal tricks out of text that others wrote, before it is shown.

Providers repeat the key they were given in their error messages, and litellm passes those on verbatim.
Everything that goes into a notice, an event, a record, a log line or an error passes through here first.

Every pattern is linear: a match starts only at a fixed literal or at the beginning of a run, and what
follows is bounded or cannot be scanned twice.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import quote, unquote, urlsplit

REDACTED: Final = "[redacted]"
"""What stands in the place of a secret."""

_CUT_MARGIN: Final = 2_048
"""Characters that are looked at beyond a limit. What has the shape of a secret is recognized by less of it: the longest is
the user in an address, with 1,024."""

EXCERPT: Final = 4_096
"""Characters of a text from outside that are worth showing to people; a limit for `redact`."""

_SECRET_NAME: Final = re.compile(r"(?:_|^)(?:KEY|TOKEN|SECRET|PASSWD|PAT|CREDENTIALS?)$|(?:API_?KEY|PASSWORD)$", re.IGNORECASE)
_SHORTEST_SECRET: Final = 6
"""Shorter values of the environment ("1", "true", "none") are words of ordinary text."""

_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[A-Za-z0-9+/=\s\\]*(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?"
)
_URL_USER: Final = re.compile(r"(?<=://)(?!\[redacted\]@)[^\s/?#\"'<>]{1,1024}@")
_BEARER: Final = re.compile(
    r"\b(bearer|basic)(\s{1,5})(?!(?:token|auth|authentication|authorization|credentials|scheme|realm)\b)"
    r"[A-Za-z0-9._~+/=*-]{6,}",
    re.IGNORECASE,
)
_JWT: Final = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?")
_TOKEN: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:sk-|sk_(?:live|test)_|gsk_|xai-|nvapi-|pplx-|gh[opsur]_|github_pat_|glpat-|xox[abeprs]-|ya29\.|AIza)"
    r"[A-Za-z0-9_*-]{8,}"
    r"|(?:hf_|r8_|sk_)[A-Za-z0-9]{16,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{12,})"
)
_NAMED: Final = re.compile(
    r"""
    (?<![A-Za-z0-9])
    ( (?: api[-_]?key | access[-_]?key | secret[-_]?key | (?:access|auth|refresh|session|id)[-_]?token
        | (?:client[-_]?)?secret | password | passwd | authorization | (?<=[?&])(?:key|token|sig|signature) )
      \\?["']? \s{0,5} [:=] \s{0,5} )
    (?! (?:\\?["'])? (?:(?:bearer|basic)\s{1,5})? \[redacted\] )
    (?: (\\?["']) [^"'\\\r\n]{1,512} (?=\\?["'])
      | ((?:(?:bearer|basic)\s{1,5})?) (?:(?!\[redacted\])[^\s"'&,;}\])\\]){3,} )
    """,
    re.IGNORECASE | re.VERBOSE,
)

_TERMINAL_SEQUENCE: Final = re.compile(r"\x1b\[[0-9;:?]{0,32}[@-~]")
_INVISIBLE: Final = re.compile("[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\U000e0000-\U000e007f]")
_BLANK: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def redact(text: str, secrets: Iterable[str] = (), limit: int | None = None) -> str:
    """Replace every secret in `text` by `[redacted]`.

    What goes: the given values, also where they are written for a URL or inside JSON; and all that has the
    shape of a credential: `sk-…` and its relatives, `Bearer …`, JWTs, private keys, `api_key=…`,
    `"api_key": "…"`, and `user:password@` in a URL. The names around them stay, so that the text can still
    be read.

    Args:
        text: Anything. The work grows in proportion to its length, with any content.
        secrets: Values to remove wherever they stand; `environment_secrets` collects those of a process.
        limit: Most characters to return; None for all. What is beyond is hardly looked at, so that the work is bounded,
            and of a secret that is cut in two there nothing is left: text from outside always gets one.

    Returns:
        The text without them. Redacting twice changes nothing more.
    """
    if limit is None:
        return _redact(text, secrets)
    secrets = frozenset(secrets)
    # Cut with a margin, redact, and cut again: a secret that crosses the limit is still whole when it is looked for.
    # What crosses the end of the margin may not be recognized, but it is no longer than the margin, which goes.
    margin = cut_margin(secrets)
    head = text[: limit + margin]
    clean = _redact(head, secrets)
    return clean[:limit] if len(head) == len(text) else clean[: max(0, min(limit, len(clean) - margin))]


def cut_margin(secrets: Iterable[str]) -> int:
    """Return how many characters beyond a cut must be looked at, so that a secret that crosses it is found whole."""
    return max((_CUT_MARGIN, *map(len, _spellings(frozenset(secrets)))))


def _redact(text: str, secrets: Iterable[str]) -> str:
    text = _without_values(text, secrets)
    text = _PRIVATE_KEY.sub(REDACTED, text)
    text = _URL_USER.sub(f"{REDACTED}@", text)
    text = _BEARER.sub(rf"\1\2{REDACTED}", text)
    text = _JWT.sub(REDACTED, text)
    text = _TOKEN.sub(REDACTED, text)
    return _NAMED.sub(lambda match: f"{match[1]}{match[2] or match[3] or ''}{REDACTED}", text)


def environment_secrets(environment: Mapping[str, str]) -> frozenset[str]:
    """Collect the secret values of an environment, for `redact`.

    Args:
        environment: For example `os.environ`.

    Returns:
        The values of the variables whose names end in `_KEY`, `_TOKEN`, `_SECRET`, `PASSWORD` and the like,
        and the passwords inside values that are URLs (`TIDINGS_REDIS_URL`). Values under six characters are
        left out: removing "true" would spoil every text and protect nothing.
    """
    found: set[str] = set()
    for name, value in environment.items():
        if _SECRET_NAME.search(name):
            found.add(value.strip())
        found.update(_url_passwords(value))
    return frozenset(value for value in found if len(value) >= _SHORTEST_SECRET)


def one_line(text: str, limit: int = 500) -> str:
    """Make text fit to stand in one line of a terminal, a log or a page.

    Control characters, terminal sequences and line breaks become single spaces; characters that are
    invisible or turn the reading direction go; a lone surrogate, which JSON cannot carry, becomes U+FFFD.

    Args:
        limit: Most characters to return, at least 1; a longer text ends in an ellipsis.

    Raises:
        ValueError: `limit` is below 1.
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    text = _INVISIBLE.sub("", _TERMINAL_SEQUENCE.sub(" ", text))
    text = _SURROGATE.sub("\ufffd", _BLANK.sub(" ", text)).strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _without_values(text: str, secrets: Iterable[str]) -> str:
    """Cut the given values out, also where two of them overlap."""
    spans = sorted(span for value in _spellings(frozenset(secrets)) for span in _occurrences(text, value))
    pieces: list[str] = []
    end = 0
    for start, stop in spans:
        if start >= end:
            pieces += (text[end:start], REDACTED)
        end = max(end, stop)
    return "".join((*pieces, text[end:]))


@functools.lru_cache(maxsize=16)
def _spellings(secrets: frozenset[str]) -> frozenset[str]:
    """Give each value as it is, as in a URL and as inside a JSON string."""
    values = {value.strip() for value in secrets} - {""}
    quoted = {quote(value, safe="", errors="replace") for value in values}
    escaped = {json.dumps(value)[1:-1] for value in values}
    escaped |= {json.dumps(value, ensure_ascii=False)[1:-1] for value in values}
    return frozenset(values | quoted | escaped)


def _occurrences(text: str, value: str) -> Iterator[tuple[int, int]]:
    start = text.find(value)
    while start >= 0:
        stop = start + len(value)
        yield start, stop
        start = text.find(value, stop)


def _url_passwords(value: str) -> Iterator[str]:
    """Yield the password of a URL, as it is written and as it is meant."""
    if "://" not in value or "@" not in value:
        return
    try:
        password = urlsplit(value).password
    except ValueError:  # not a URL after all
        return
    if password:
        yield password
        yield unquote(password)
