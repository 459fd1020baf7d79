"""Read what a provider answered: status, headers and body, in every dialect.

The errors of OpenAI, Azure, Anthropic, Gemini, Mistral, Bedrock, OpenRouter and the many servers that imitate them differ
in where they put the code and the message, and those that pass on the words of others wrap them: as text in
`metadata.raw` (OpenRouter), as JSON in the message (Google's SDK), in `detail` (FastAPI). Here they become one `Answer`,
without a judgement.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic_core import from_json

TEXT_LIMIT: Final = 8_192
"""Characters of a provider's text that are looked at; what matters stands at the beginning. The rules look through them some
twenty times, in 25 ms at the most, which the event loop stands still for."""

_BODY_LIMIT: Final = 262_144
_CODE_LIMIT: Final = 100
_NESTING: Final = 3
_ENTRIES: Final = 20
_TAG: Final = re.compile(r"<[^<>]*>")
_NO_CODES: Final = ("", "error", "none", "null")  # the LiteLLM proxy says "None"
# base_resp and status_msg: MiniMax; error_msg: Baidu; title: RFC 9457.
_INSIDE: Final = ("error", "detail", "base_resp")
_WORDS: Final = (
    *("message", "Message", "error", "detail", "msg", "error_description", "error_message", "errorMessage", "error_msg"),
    *("status_msg", "status_message", "details", "title"),
)
_CODES: Final = ("code", "type", "status", "__type", "error_type", "error_code", "errorCode", "Code")
ECHOES: Final = frozenset(
    {
        *("ctx", "failed_generation", "history", "input", "inputs", "messages", "parameters", "params", "prompt", "query"),
        *("request", "tools", "value"),
    }
)
"""Names of fields that repeat what was asked: what stands in them is no verdict of the provider's."""

_QUOTED: Final = re.compile(
    r"\"[^\"]{0,8000}\"|“[^“”]{0,8000}”|`[^`]{0,8000}`|«[^«»]{0,8000}»|「[^「」]{0,8000}」|(?<![\w'])'[^'\n]{0,8000}'(?!\w)"
)
_QUOTE_LIMIT: Final = 11
_OWN_NAME: Final = re.compile(r"[\"'](?:message|error|detail|msg|reason|description|title)[\"']\s?:\s?$")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider said when it did not give what was asked for."""

    status: int | None
    """The HTTP status; inside a stream or an answer "200 OK" with an error in it, the status in the body."""
    headers: Mapping[str, str]
    """Names in lower case; those that OpenRouter repeats in the body are among them."""
    body: object
    """The parsed JSON, or the text."""
    message: str
    """The provider's own words for people; not redacted."""
    text: str
    """The message and what else tells the reason in prose: names of quotas. Of anything but a 429 what the message quotes is
    left out: it may be the prompt, and a provider's verdict is in its own words."""
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
    errors = _errors(parsed)
    known = _headers(headers, [*errors, parsed] if isinstance(parsed, Mapping) else errors)
    message = _message(errors, parsed)
    codes = tuple(_codes(errors, known))
    status = _status(status, errors)
    said = message[:TEXT_LIMIT] if status == 429 else _without_quotes(message[:TEXT_LIMIT])
    return Answer(
        status=status,
        headers=known,
        body=parsed,
        message=message,
        text="\n".join((said, *_quotas(parsed)))[:TEXT_LIMIT],
        codes=frozenset(code.lower() for code in codes),
        code=next((code for code in codes if not code.isdigit()), None) or next((code for code in codes if len(code) > 3), None),
    )


def error_details(body: object) -> Iterator[Mapping[str, object]]:
    """Yield the `details` of a Google error, which may come in a list of one, or wrapped; at most twenty."""
    for error in _errors(body):
        details = error.get("details")
        for detail in details[:_ENTRIES] if isinstance(details, list) else ():
            if isinstance(detail, Mapping):
                yield detail


def lower_headers(headers: object) -> dict[str, str]:
    """Copy headers with their names in lower case; what is no mapping has none."""
    if not isinstance(headers, Mapping):
        return {}
    return {_text(name).lower(): _text(value).strip() for name, value in headers.items()}


def _text(value: object) -> str:
    """Turn a value into text; an integer that is too long for that has none."""
    try:
        return str(value)
    except ValueError:
        return ""


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
        return _beginning(text)


def _beginning(text: str) -> object:
    """Parse JSON that was cut; codes and message stand at its beginning. Other text is returned as it is."""
    try:
        return from_json(text, allow_partial="trailing-strings") or text
    except ValueError:
        return text


def _errors(body: object) -> list[Mapping[str, object]]:
    """Return the objects that hold code and message, from the outermost to the one at the bottom of it."""
    errors: list[Mapping[str, object]] = []
    inner: object = body
    while len(errors) < _NESTING and (error := _error_object(inner)):
        errors.append(error)
        inner = _wrapped(error)
    return errors


def _error_object(body: object) -> Mapping[str, object]:
    """Find the object that holds code and message: in `error`, in `detail`, in the first of `errors`, or the body itself."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, Mapping):
        return {}
    for name in _INSIDE:
        inside = body.get(name)
        if isinstance(inside, Mapping):
            return inside
    listed = body.get("errors")
    if isinstance(listed, list) and listed and isinstance(listed[0], Mapping) and not _words(body):
        first: Mapping[str, object] = listed[0]
        return first
    return body


def _wrapped(error: Mapping[str, object]) -> object:
    """Return what an error says of another one: upstream's own answer, or the JSON in its message."""
    raw = _metadata(error).get("raw")
    if isinstance(raw, str) and raw.strip():
        parsed = _parse(raw)
        return {"message": parsed} if isinstance(parsed, str) else parsed
    return _parse(_words(error))


def _metadata(error: Mapping[str, object]) -> Mapping[str, object]:
    """Return what OpenRouter says beside the message."""
    metadata = error.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def _words(error: Mapping[str, object]) -> str:
    values = (error.get(key) for key in _WORDS)
    return next((value for value in values if isinstance(value, str) and value.strip()), "")


def _message(errors: list[Mapping[str, object]], body: object) -> str:
    said = [words for error in errors if (words := _words(error)) and isinstance(_parse(words), str)]
    if said:
        return ": ".join(dict.fromkeys(said))
    if isinstance(body, str):
        return _TAG.sub(" ", body[: TEXT_LIMIT * 4])
    return _compact(body) if body else ""


def _compact(body: object) -> str:
    try:
        return json.dumps(_without_echoes(body, _NESTING), ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return ""


def _without_echoes(body: object, depth: int) -> object:
    """Leave out what only repeats the request, as FastAPI's `input` does."""
    if isinstance(body, list) and depth:
        return [_without_echoes(item, depth - 1) for item in body]
    if isinstance(body, Mapping) and depth:
        return {key: _without_echoes(value, depth - 1) for key, value in body.items() if str(key).lower() not in ECHOES}
    return body


def _without_quotes(text: str) -> str:
    """Leave out what a text quotes, but for single words and for the words of an error within JSON or a Python dictionary."""
    return _QUOTED.sub(lambda quote: quote[0] if _is_own(quote, text) else " ", text)


def _is_own(quote: re.Match[str], text: str) -> bool:
    if len(quote[0]) <= _QUOTE_LIMIT or not any(space in quote[0] for space in " \n\t"):
        return True
    return bool(_OWN_NAME.search(text[max(0, quote.start() - 24) : quote.start()]))


def _status(status: int | None, errors: list[Mapping[str, object]]) -> int | None:
    """Prefer the HTTP status, unless it claims success; then the one in the body counts."""
    if status is not None and status >= 300:
        return status
    for error in errors:
        for key in ("code", "status", "status_code"):
            value = error.get(key)
            if isinstance(value, str) and re.fullmatch(r"[0-9]{3}", value):
                value = int(value)
            if isinstance(value, int) and 400 <= value <= 599:
                return value
    return status


def _headers(headers: object, errors: list[Mapping[str, object]]) -> dict[str, str]:
    known = lower_headers(headers)
    for error in errors:
        metadata = _metadata(error)
        seconds = metadata.get("retry_after_seconds")
        told = {"retry-after": _text(seconds)} if isinstance(seconds, int | float) else {}
        known = {**told, **lower_headers(error.get("headers")), **lower_headers(metadata.get("headers")), **known}
    return known


def _codes(errors: list[Mapping[str, object]], headers: Mapping[str, str]) -> Iterator[str]:
    """Yield every code, the most telling first: the innermost error's, and OpenAI's `code` before its `type`."""
    places = [place for error in reversed(errors) for place in _code_places(error)]
    places.append(headers.get("x-amzn-errortype", "").partition(":")[0])
    for place in places:
        if isinstance(place, int) and not isinstance(place, bool) and place > 999:  # not an HTTP status
            place = _text(place)
        code = place.rpartition("#")[2].strip() if isinstance(place, str) else ""
        if code.lower() not in _NO_CODES and len(code) <= _CODE_LIMIT:
            yield code


def _code_places(error: Mapping[str, object]) -> Iterator[object]:
    yield from (error.get(key) for key in _CODES)
    status = error.get("status_code")
    yield status if isinstance(status, int) and status > 999 else None  # MiniMax
    inner, details, metadata = error.get("innererror"), error.get("details"), _metadata(error)
    yield inner.get("code") if isinstance(inner, Mapping) else None  # Azure
    yield details.get("error_code") if isinstance(details, Mapping) else None  # Anthropic
    for detail in details[:_ENTRIES] if isinstance(details, list) else ():  # Google
        yield detail.get("reason") if isinstance(detail, Mapping) else None
    yield from (metadata.get(key) for key in ("error_type", "reason", "limit_source"))  # OpenRouter


def _quotas(body: object) -> Iterator[str]:
    """Yield the names of the quotas that Google says are exceeded; they tell the day from the minute."""
    for detail in error_details(body):
        metadata = _metadata(detail)
        if "quota_limit" in metadata or "quota_unit" in metadata:
            yield f"{_text(metadata.get('quota_limit', ''))} {_text(metadata.get('quota_unit', ''))}"
        violations = detail.get("violations")
        for violation in violations[:_ENTRIES] if isinstance(violations, list) else ():
            if isinstance(violation, Mapping):
                yield f"{_text(violation.get('quotaId', ''))} {_text(violation.get('quotaMetric', ''))}"
