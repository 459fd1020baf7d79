"""The values that messages are made of: texts, JSON, names, instants and durations that every reader can read."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

from tidings.bus.errors import InvalidMessage, InvalidName

MAX_DEPTH = 64
"""Nesting of JSON in a message, the envelope not counted. Redis' own cjson and many JSON readers stop not far above (cjson: 1,000
in the server, 128 in several clients), and no tool needs more."""

MAX_COUNT = 2**53 - 1
"""The largest whole number that Lua and most readers of JSON hold exactly."""

MAX_INTEGER_BITS = 1024
"""Length of an integer in JSON. Most readers hold numbers as doubles, to which anything longer is infinity; beyond 4,300 digits
Python and pydantic do not read back what they wrote."""

_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SESSION_RULE = "use 1 to 64 letters, digits, '_' and '-', starting with a letter or a digit"
_FIELD = re.compile(r"[a-z][a-z_.]{0,39}|\[key\]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def is_session(name: object) -> bool:
    """Return whether this is a session id: ``[A-Za-z0-9][A-Za-z0-9_-]{0,63}``."""
    return isinstance(name, str) and _SESSION.fullmatch(name) is not None


def check_session(name: str) -> str:
    """Return the session id unchanged.

    Raises:
        InvalidName: it is not ``[A-Za-z0-9][A-Za-z0-9_-]{0,63}``.
    """
    if not is_session(name):
        shown = repr(name)[:80]
        raise InvalidName(f"{shown} is not a session id: {_SESSION_RULE}")
    return name


def _check_subject(name: str) -> str:
    # Not `check_session`: its text quotes the name, and what is wrong with a message is told without quoting it.
    if not is_session(name):
        raise ValueError(f"not a session id: {_SESSION_RULE}")
    return name


def _check_child_name(name: str) -> str:
    if not is_session(name):
        raise ValueError(f"not a name of a child: {_SESSION_RULE}")
    return name


def _in_utc(when: datetime) -> datetime:
    try:
        there = when.astimezone(UTC)
    except OverflowError:
        there = datetime.min
    # In the first and the last year the time of day in another time zone may be one that Python does not have.
    if not 1 < there.year < 9999:
        raise ValueError("the time lies outside the years 2 to 9998 in UTC")
    return there


def _clean_text(value: object) -> object:
    """Replace lone surrogates by U+FFFD: models emit them, and UTF-8 (so JSON on the wire) cannot carry them."""
    return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value


def _clean_json(value: Any, depth: int = 0) -> Any:
    """Return a copy of a JSON value that every reader can read; the errors name no key, keys are input as well."""
    if isinstance(value, dict | list | tuple):
        if depth >= MAX_DEPTH:
            raise ValueError(f"JSON nested deeper than {MAX_DEPTH}: flatten it or send it as text")
        if isinstance(value, dict):
            return {_clean_key(key): _clean_json(item, depth + 1) for key, item in value.items()}
        return [_clean_json(item, depth + 1) for item in value]
    return _clean_scalar(value)


def _clean_key(key: object) -> object:
    if not isinstance(key, str):
        raise ValueError("the keys of a JSON object are strings")
    return _clean_text(key)


def _clean_scalar(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("NaN and infinity are not JSON: send null or a string")
    if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
        raise ValueError(f"an integer takes more than {MAX_INTEGER_BITS} bits: send it as text")
    if value is not None and not isinstance(value, str | int | float):
        raise ValueError(f"{type(value).__name__} is not JSON: send a string, number, boolean, null, list or object")
    return _clean_text(value)


Text = Annotated[str, BeforeValidator(_clean_text)]
"""Text from a person, a model or a provider; lone surrogates become U+FFFD."""

Json = Annotated[JsonValue, BeforeValidator(_clean_json)]
"""Any JSON value: finite numbers of at most 1024 bits, at most 64 lists and objects within each other."""

JsonObject = Annotated[dict[str, JsonValue], BeforeValidator(_clean_json)]
"""A JSON object: finite numbers of at most 1024 bits, at most 64 lists and objects within each other."""

SessionId = Annotated[str, AfterValidator(_check_subject)]

ChildName = Annotated[str, AfterValidator(_check_child_name)]
"""What a session calls a child. Written like a session id: it becomes part of one, and scripts put it into JSON as it is."""

Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""An absolute time; a naive one is refused. Always UTC after validation."""

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A duration in seconds, finite and not negative."""


def missing(value: object) -> bool:
    """Whether a value is None: for fields that are left out of JSON then (``exclude_if``)."""
    return value is None


class Data(BaseModel):
    """A value with fields: frozen; fields that are not known are kept out, so that older readers stand newer writers."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        defer_build=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


M = TypeVar("M", bound=BaseModel)


def build(model: type[M], /, **fields: Any) -> M:
    """Make a value of input, with our own error in place of pydantic's.

    Raises:
        InvalidMessage: a field is missing or wrong; the text names it.
    """
    try:
        return model(**fields)
    except ValidationError as error:
        raise InvalidMessage(f"{model.__name__}: {explain(error)}") from None


def explain(error: ValidationError) -> str:
    """Say what is wrong in one line, without quoting the input (it may be long or secret)."""
    parts = (
        f"{_place(problem['loc'])}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_url=False, include_context=False)
    )
    return "; ".join(parts)[:1000]


def _place(loc: tuple[int | str, ...]) -> str:
    """Name the place by our own field names; what does not look like one is a key of the input, shown as ``*``."""
    shown = (str(item) if isinstance(item, int) or _FIELD.fullmatch(item) else "*" for item in loc)
    return ".".join(shown) or "message"
