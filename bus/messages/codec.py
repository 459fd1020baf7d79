"""Messages to bytes and back: one adapter a plane, built once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Tag, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from tidings.bus.errors import InvalidMessage, PayloadTooLarge
from tidings.bus.messages import commands, events, notices
from tidings.bus.messages.envelope import Message

PAYLOAD_LIMIT = 256 * 1024
"""Bytes of one encoded message, by default. A quarter of NATS' default; a pattern subscriber must hold hundreds of them."""

_FIELD = re.compile(r"[a-z][a-z_.]{0,39}|\[key\]")

M = TypeVar("M", bound=BaseModel)

NOTICES: tuple[type[notices.Notice], ...] = (
    notices.LlmRetry,
    notices.LlmAttempt,
    notices.LlmParked,
    notices.LlmRateLimited,
    notices.LlmRecovered,
    notices.LlmFailed,
    notices.WorkerClaimed,
    notices.WorkerReleased,
    notices.WorkerLost,
    notices.SessionState,
    notices.ChildState,
)
EVENTS: tuple[type[events.Event], ...] = (
    events.UserMessage,
    events.AgentMessage,
    events.ToolCall,
    events.ToolResult,
    events.AgentError,
    events.ChildStart,
    events.ChildResult,
    events.HistoryCondensed,
)
COMMANDS: tuple[type[commands.Command], ...] = (
    commands.SessionStart,
    commands.SessionSay,
    commands.SessionResume,
    commands.SessionPause,
    commands.SessionStop,
    commands.SessionDelete,
    commands.SessionReport,
)


def _type_of(model: type[Message]) -> str:
    return str(model.model_fields["type"].default)


def _tagger(known: frozenset[str]) -> Callable[[Any], str]:
    def tag(value: Any) -> str:
        kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
        # In a message from elsewhere it may be anything, a list for instance, which a set cannot be asked for.
        return kind if isinstance(kind, str) and kind in known else "unknown"

    return tag


def _adapter(models: tuple[type[Message], ...], unknown: type[Message]) -> TypeAdapter[Any]:
    tagged = [Annotated[model, Tag(_type_of(model))] for model in models] + [Annotated[unknown, Tag("unknown")]]
    union: Any = tagged[0]
    for member in tagged[1:]:
        union = union | member
    known = frozenset(_type_of(model) for model in models)
    # pydantic would keep the last 16,384 short texts that it has read, and ids, times and sessions do not come again.
    config = ConfigDict(hide_input_in_errors=True, cache_strings="keys")
    return TypeAdapter(Annotated[union, Discriminator(_tagger(known))], config=config)


@cache
def _adapters() -> Mapping[str, TypeAdapter[Any]]:
    """Build the adapters with the first message that is read: a process that only looks at `--help` should not pay for them."""
    return {
        "status": _adapter(NOTICES, notices.UnknownNotice),
        "events": _adapter(EVENTS, events.UnknownEvent),
        "commands": _adapter(COMMANDS, commands.UnknownCommand),
    }


def encode(message: Message, limit: int = PAYLOAD_LIMIT) -> bytes:
    """Return the message as one JSON object in UTF-8, without offset and epoch: the store adds those.

    Raises:
        PayloadTooLarge: it takes more than ``limit`` bytes.
        InvalidMessage: it holds something that JSON cannot carry.
    """
    try:
        text = message.model_dump_json(by_alias=True, exclude={"offset", "epoch"})
    except (PydanticSerializationError, UnicodeError) as error:
        raise InvalidMessage(f"{message.type} cannot be written as JSON: {error}") from error
    payload = text.encode()
    if len(payload) > limit:
        raise PayloadTooLarge(message.type, len(payload), limit)
    return payload


def as_stored(message: Message) -> str:
    """Return a stored message as it is on the wire: as ``encode`` wrote it, with offset and epoch last, where the store put them.

    Raises:
        ValueError: the message has not been stored.
    """
    epoch, offset, _ = message.cursor
    place = json.dumps({"offset": offset, "epoch": epoch}, separators=(",", ":"))
    return message.model_dump_json(by_alias=True, exclude={"offset", "epoch"})[:-1] + "," + place[1:]


def _decode(plane: str, payload: bytes | str) -> Any:
    try:
        return _adapters()[plane].validate_json(payload)
    except ValidationError as error:
        # pydantic's own text names keys of the input; ours says the same without them.
        raise InvalidMessage(f"this is not a message of the {plane} plane: {explain(error)}") from None


def decode_notice(payload: bytes | str) -> notices.Notice:
    """Read a message of the status plane.

    Raises:
        InvalidMessage: it is not one.
    """
    notice: notices.Notice = _decode("status", payload)
    return notice


def decode_event(payload: bytes | str) -> events.Event:
    """Read a message of the events plane.

    Raises:
        InvalidMessage: it is not one.
    """
    event: events.Event = _decode("events", payload)
    return event


def decode_command(payload: bytes | str) -> commands.Command:
    """Read a message of the commands plane.

    Raises:
        InvalidMessage: it is not one.
    """
    command: commands.Command = _decode("commands", payload)
    return command


def read_child(value: bytes | str) -> notices.Child:
    """Read what is known of a child, as it is kept beside its parent.

    Raises:
        InvalidMessage: it is not that.
    """
    try:
        return notices.Child.model_validate_json(value)
    except ValidationError as error:
        raise InvalidMessage(f"this is not what is known of a child: {explain(error)}") from None


def decode(plane: str, payload: bytes | str) -> Message:
    """Read a message of the plane named.

    Raises:
        InvalidMessage: it is not one.
    """
    message: Message = _decode(plane, payload)
    return message


def build(model: type[M], /, **fields: Any) -> M:
    """Make a message or its data, with our own error in place of pydantic's.

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
