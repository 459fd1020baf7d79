"""Scripted failures: what a provider does wrong on request, and the compact way to write it."""

from __future__ import annotations

import re
from typing import Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

FaultKind = Literal["status", "timeout", "disconnect", "cut", "silent_cut", "quota"]

_ANSWERING = ("status", "quota")
_STREAMING = ("cut", "silent_cut")
_FIELDS_OF: dict[str, tuple[str, ...]] = {
    "status": _ANSWERING,
    "code": _ANSWERING,
    "message": _ANSWERING,
    "type": _ANSWERING,
    "headers": _ANSWERING,
    "body": _ANSWERING,
    "seconds": ("timeout",),
    "chunks": _STREAMING,
}
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "upgrade", "trailer"})
_HEAD = re.compile(r"(?P<what>[0-9]{3}|[a-z][a-z_-]*)(?:x(?P<times>[0-9]{1,9}|\*))?")
_COMMA = re.compile(r"(?<!\\),")
_OPTIONS = "retry-after, code, message, type, body, chunks, seconds, model, key, contains, header.NAME"


class FaultSyntaxError(ValueError):
    """A fault in compact form is misspelt; the text says what is wrong and what would be right."""


class Fault(BaseModel):
    """One scripted failure.

    Attributes:
        kind: `status` answers with any HTTP status; `quota` with 429 insufficient_quota; `timeout` never
            answers; `disconnect` closes the connection without an answer; `cut` closes it in the middle of a
            stream; `silent_cut` ends a stream cleanly but too early, without finish_reason and without
            [DONE].
        times: How many calls it happens to; None is every one until the script is cleared.
        status: The HTTP status, for `status` (200 to 599) and, if not 429, for `quota`.
        code: `error.code` of the body. Codes that OpenAI documents bring their own type and text.
        message: `error.message` of the body.
        type: `error.type` of the body.
        headers: Further response headers, such as Retry-After.
        body: The whole body in place of OpenAI's: text as it is, anything else as JSON.
        seconds: How long a `timeout` holds the connection before it closes it; None is until the client
            leaves.
        chunks: Pieces of the answer that a `cut` or `silent_cut` still sends, not counting the opening one
            without text. These two happen to streaming calls only and wait for one.
        model: Only calls for this model.
        key: Only calls with this API key, never shown.
        contains: Only calls with this text in their last user message.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: FaultKind
    times: int | None = Field(default=1, ge=1)
    status: int | None = Field(default=None, ge=200, le=599)
    code: str | None = None
    message: str | None = None
    type: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    body: JsonValue = None
    seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    chunks: int = Field(default=2, ge=0)
    model: str | None = None
    key: str | None = Field(default=None, repr=False)
    contains: str | None = None

    @property
    def needs_stream(self) -> bool:
        """Whether only a streaming call can fail in this way."""
        return self.kind in _STREAMING

    @classmethod
    def parse(cls, text: str) -> Fault:
        r"""Read a fault in compact form: `WHAT[xTIMES][:OPTION=VALUE[,OPTION=VALUE]...]`.

        WHAT is a status of three digits or `timeout`, `disconnect`, `cut`, `silent_cut`, `quota`. TIMES is a
        number, or `*` for every call. Options: `retry-after`, `code`, `message`, `type`, `body`, `chunks`,
        `seconds`, `model`, `key`, `contains` and `header.NAME` for any other header. A comma within a value
        is written `\,`.

        For example `500x2`, `429x3:retry-after=2`, `timeout:seconds=5`, `cut:chunks=1,contains=weather` or
        `quotax*`.

        Raises:
            FaultSyntaxError: the text is not of this form.
        """
        head, _, options = text.strip().partition(":")
        fields = _head(head)
        for part in _COMMA.split(options) if options else ():
            _add_option(fields, part)
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise FaultSyntaxError(f"scripted failure {head!r}: {explain(error)}") from None

    @field_validator("headers")
    @classmethod
    def _headers_can_be_sent(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name) or name.lower() in _FRAMING:
                raise ValueError(f"{name[:60]!r} is not a header that a scripted failure can set")
            if not _HEADER_VALUE.fullmatch(value):
                raise ValueError(f"the value of header {name!r} must be printable ASCII on one line")
        return headers

    @model_validator(mode="after")
    def _fields_fit_the_kind(self) -> Self:
        for name, kinds in _FIELDS_OF.items():
            # Compared by value, not by what was set: a dumped fault names every field and must load again.
            if self.kind not in kinds and getattr(self, name) != _default(name):
                raise ValueError(f"{name} says nothing about a {self.kind}: it goes with {' or '.join(kinds)}")
        if self.kind == "status" and self.status is None:
            raise ValueError("a fault of kind status needs the status to answer with, such as status=500")
        if self.status in (204, 205, 304):
            raise ValueError(f"an answer {self.status} has no body: choose another status")
        return self


def _default(field: str) -> Any:
    return Fault.model_fields[field].get_default(call_default_factory=True)


def explain(error: ValidationError) -> str:
    """Say in one line what a fault lacks; without its values, one of which may be a key."""
    parts = []
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        place = ".".join(str(step) for step in detail["loc"])
        reason = detail["msg"].removeprefix("Value error, ")
        parts.append(f"{place}: {reason}" if place else reason)
    return "; ".join(parts)


def _head(head: str) -> dict[str, Any]:
    match = _HEAD.fullmatch(head)
    what = match["what"].replace("-", "_") if match else ""
    if match is None or not (what.isdigit() or what in get_args(FaultKind)) or what == "status":
        raise FaultSyntaxError(
            f"{head.partition('=')[0][:60]!r} is not a scripted failure: write a status (500) or timeout, "
            "disconnect, cut, silent_cut or quota, then how often (x3, or x* for every call), then options "
            "(:retry-after=2)"
        )
    fields: dict[str, Any] = {"kind": "status", "status": int(what)} if what.isdigit() else {"kind": what}
    if times := match["times"]:
        fields["times"] = None if times == "*" else int(times)
    return fields


def _add_option(fields: dict[str, Any], part: str) -> None:
    name, equals, value = part.strip().partition("=")
    if not equals:
        raise FaultSyntaxError(f"an option is written name=value, and a comma within a value as '\\,': options are {_OPTIONS}")
    value = value.replace("\\,", ",")
    field, header = name.lower(), None
    if field == "retry-after":
        field, header = "headers", "Retry-After"
    elif field.startswith("header."):
        field, header = "headers", name[len("header.") :]
    elif field not in {"code", "message", "type", "body", "chunks", "seconds", "model", "key", "contains"}:
        raise FaultSyntaxError(f"there is no option {name[:40]!r}: options are {_OPTIONS}")
    if header is not None:
        _put(fields.setdefault("headers", {}), header, value)
    else:
        _put(fields, field, value)


def _put(target: dict[str, Any], name: str, value: str) -> None:
    if name in target:
        raise FaultSyntaxError(f"the option for {name} is given twice")
    target[name] = value
