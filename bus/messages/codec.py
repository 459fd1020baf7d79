"""Messages to bytes and back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from tidings.bus.errors import InvalidMessage, PayloadTooLarge
from tidings.bus.messages.message import Message
from tidings.bus.messages.notices import ChildState, SessionState
from tidings.bus.messages.planes import Command, Event, Notice
from tidings.bus.messages.values import explain

PAYLOAD_LIMIT = 256 * 1024
"""Bytes of one encoded message, by default. A quarter of NATS' default; a pattern subscriber must hold hundreds of them."""


def encode(message: Message[Any], limit: int = PAYLOAD_LIMIT, *, without: Iterable[str] = ()) -> bytes:
    """Return the message as one JSON object in UTF-8, without offset and epoch: the store adds those.

    Args:
        without: fields of what is said that the store adds as well, because only it knows them.

    Raises:
        PayloadTooLarge: it takes more than ``limit`` bytes.
        InvalidMessage: it holds something that JSON cannot carry.
    """
    try:
        text = message.model_dump_json(by_alias=True, exclude={"offset": True, "epoch": True, "data": set(without)})
    except (PydanticSerializationError, UnicodeError) as error:
        raise InvalidMessage(f"{message.type} cannot be written as JSON: {error}") from error
    payload = text.encode()
    if len(payload) > limit:
        raise PayloadTooLarge(message.type, len(payload), limit)
    return payload


def encode_state(notice: Message[SessionState]) -> bytes:
    """Return a change of state for a script, which adds what only it knows: from what, to what, the version, whose child."""
    return encode(notice, without=("from_", "to", "version", "parent", "name"))


def as_stored(message: Message[Any]) -> str:
    """Return a stored message as it is on the wire: as ``encode`` wrote it, with offset and epoch last, where the store put them.

    Raises:
        ValueError: the message has not been stored.
    """
    epoch, offset, _ = message.cursor
    place = json.dumps({"offset": offset, "epoch": epoch}, separators=(",", ":"))
    return message.model_dump_json(by_alias=True, exclude={"offset", "epoch"})[:-1] + "," + place[1:]


def decode(plane: str, payload: bytes | str) -> Message[Any]:
    """Read a message of the plane named.

    A type that this process does not know comes as unknown with its fields as they are, and so does one whose class refuses them
    (``refused``).

    Raises:
        InvalidMessage: it is not one.
    """
    try:
        return Message.model_validate_json(payload, context=plane)
    except ValidationError as error:
        # pydantic's own text names keys of the input; ours says the same without them.
        raise InvalidMessage(f"this is not a message of the {plane} plane: {explain(error)}") from None


def decode_notice(payload: bytes | str) -> Message[Notice]:
    """Read a message of the status plane.

    Raises:
        InvalidMessage: it is not one.
    """
    return decode("status", payload)


def decode_event(payload: bytes | str) -> Message[Event]:
    """Read a message of the events plane.

    Raises:
        InvalidMessage: it is not one.
    """
    return decode("events", payload)


def decode_command(payload: bytes | str) -> Message[Command]:
    """Read a message of the commands plane.

    Raises:
        InvalidMessage: it is not one.
    """
    return decode("commands", payload)


def read_child(value: bytes | str) -> ChildState:
    """Read what is known of a child, as it is kept beside its parent.

    Raises:
        InvalidMessage: it is not that.
    """
    try:
        return ChildState.model_validate_json(value)
    except ValidationError as error:
        raise InvalidMessage(f"this is not what is known of a child: {explain(error)}") from None
