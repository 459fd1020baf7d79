"""Read what a provider answered: status, headers and body, whatever its dialect.

The errors of OpenAI, Azure, Anthropic, Gemini, Mistral, Bedrock, OpenRouter and the many servers that
imitate them differ in where they put the code and the message. Here they become one `Answer`, without a
judgement.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

TEXT_LIMIT: Final = 16_384
"""Characters of a provider's text that are looked at; what matters stands at the beginning."""

_BODY_LIMIT: Final = 262_144
_CODE_LIMIT: Final = 100
_TAG: Final = re.compile(r"<[^<>]*>")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider said when it did not give what was asked for."""

    status: int | None
    """The HTTP status; inside a stream or an answer "200 OK" with an error in it, the status in the body."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: object
    """The parsed JSON, or the text."""
    message: str
    """The provider's own words for people; not redacted."""
    text: str
    """The message and what else tells the reason in prose: upstream's words, names of quotas."""
    codes: frozenset[str]
    """Every code, type and status in the body, in lower case."""
    code: str | None
    """The most telling of them, as written."""


def read_answer(status: int | None, headers: object, body: object) -> Answer:
    """Bring an answer into one form; it never raises.

    Args:
        status: The HTTP status, or None if there was none (an error in the middle of a stream).
        headers: A mapping, or anything else, which counts as none.
        body: Text, bytes or parsed JSON.
    """
    parsed = _parse(body)
    known = lower_headers(headers)
    error = _error_object(parsed)
    message = _message(error, parsed)
    codes = tuple(_codes(error, parsed, known))
    return Answer(
        status=_status(status, error),
        headers=known,
        body=parsed,
        message=message,
        text="\n".join((message, *_asides(error, parsed)))[:TEXT_LIMIT],
        codes=frozenset(code.lower() for code in codes),
        code=next((code for code in codes if not code.isdigit()), None),
    )


def error_details(body: object) -> Iterator[Mapping[str, object]]:
    """Yield the `details` of a Google error, which may come in a list of one; at most twenty."""
    details = _error_object(body).get("details")
    for detail in details[:20] if isinstance(details, list) else ():
        if isinstance(detail, Mapping):
            yield detail


def lower_headers(headers: object) -> dict[str, str]:
    """Copy headers with their names in lower case; what is no mapping has none."""
    if not isinstance(headers, Mapping):
        return {}
    return {str(name).lower(): str(value).strip() for name, value in headers.items()}


def _parse(body: object) -> object:
    if isinstance(body, bytes | bytearray):
        body = bytes(body[:_BODY_LIMIT]).decode("utf-8", errors="replace")
    if not isinstance(body, str):
        return body
    text = body.strip()
    if text[:1] not in ("{", "[") or len(text) > _BODY_LIMIT:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _error_object(body: object) -> Mapping[str, object]:
    """Find the object that holds code and message: `error` inside, or the body itself."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, Mapping):
        return {}
    error = body.get("error")
    return error if isinstance(error, Mapping) else body


def _message(error: Mapping[str, object], body: object) -> str:
    for key in ("message", "Message", "error", "detail", "msg", "error_description"):
        value = error.get(key)
        if isinstance(value, str) and value.strip():
            return value
    if isinstance(body, str):
        return _TAG.sub(" ", body[: TEXT_LIMIT * 4])
    return _compact(body) if body else ""


def _compact(body: object) -> str:
    try:
        return json.dumps(body, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return ""


def _status(status: int | None, error: Mapping[str, object]) -> int | None:
    """Prefer the HTTP status, unless it claims success; then the one in the body counts."""
    if status is not None and status >= 300:
        return status
    for key in ("code", "status", "status_code"):
        value = error.get(key)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{3}", value):
            value = int(value)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    return status


def _codes(error: Mapping[str, object], body: object, headers: Mapping[str, str]) -> Iterator[str]:
    """Yield every code, the most telling first: OpenAI's `code` says more than its `type`."""
    inner = error.get("innererror")
    places = [error.get("code"), error.get("type"), error.get("status"), error.get("__type")]
    places.append(inner.get("code") if isinstance(inner, Mapping) else None)
    places += [detail.get("reason") for detail in error_details(body)]
    places.append(headers.get("x-amzn-errortype", "").partition(":")[0])
    for place in places:
        code = place.rpartition("#")[2].strip() if isinstance(place, str) else ""
        if code and code != "error" and len(code) <= _CODE_LIMIT:
            yield code


def _asides(error: Mapping[str, object], body: object) -> Iterator[str]:
    """Yield what tells the reason outside the message: OpenRouter's upstream words, Google's quotas."""
    metadata = error.get("metadata")
    if isinstance(metadata, Mapping) and isinstance(raw := metadata.get("raw"), str):
        yield raw[:TEXT_LIMIT]
    for detail in error_details(body):
        violations = detail.get("violations")
        for violation in violations[:20] if isinstance(violations, list) else ():
            if isinstance(violation, Mapping):
                yield f"{violation.get('quotaId', '')} {violation.get('quotaMetric', '')}"
