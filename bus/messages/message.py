"""The envelope round what is said: CloudEvents 1.0 attributes in JSON, plus where the message stands in its channel."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Generic, Literal, NamedTuple, TypeGuard, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, ValidationInfo, field_validator

from tidings.bus.errors import InvalidMessage
from tidings.bus.messages.planes import TYPES, UNKNOWN, Body, Unknown
from tidings.bus.messages.values import Instant, SessionId, Text, build, explain

LOST = "lost"
"""The epoch of logs that have lost their own; the scripts write the same."""

B = TypeVar("B", bound=Body)
T_co = TypeVar("T_co", bound=Body, covariant=True)


class Cursor(NamedTuple):
    """A place in one channel: everything up to it has been seen.

    ``offset`` 0 is the place before the first message. ``id`` is the id of the message at ``offset`` where it is known; a log
    that holds another message there is not the log that the cursor was taken from.
    """

    epoch: str
    offset: int
    id: str = ""


def new_id() -> str:
    """Return a fresh message id (128 random bits, hexadecimal)."""
    return uuid.uuid4().hex


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Message(BaseModel, Generic[T_co]):
    """What travels: frozen, one JSON object, readable by any Redis client. The bus makes it round what is said.

    Attributes:
        specversion: version of CloudEvents.
        id: unique; a message sent again after a broken connection keeps it.
        source: the process that wrote it, e.g. ``worker/w1``.
        type: dotted and stable, e.g. ``llm.retry``.
        session: what it is about; ``subject`` on the wire.
        time: when it was made, on the writer's estimate of server time.
        traceparent: W3C trace context, passed through.
        data: what is said.
        offset: position in the channel, 1 for the first; None until stored.
        epoch: identity of the session's logs; None until stored.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        defer_build=True,
        hide_input_in_errors=True,
        # pydantic would keep the last 16,384 short texts that it has read, and ids, times and sessions do not come again.
        cache_strings="keys",
    )

    specversion: Literal["1.0"] = "1.0"
    id: str = Field(default_factory=new_id, min_length=1, max_length=128, pattern=r"^[!#-\[\]-~]+$")
    source: Text = Field(default="tidings", min_length=1, max_length=200)
    type: Text = Field(min_length=1)
    session: SessionId = Field(alias="subject")
    time: Instant = Field(default_factory=_utc_now)
    traceparent: str | None = Field(default=None, max_length=128)
    data: SerializeAsAny[T_co]
    offset: int | None = Field(default=None, ge=1)
    epoch: str | None = None

    @classmethod
    def of(cls, data: B, /, *, session: str, **envelope: Any) -> Message[B]:
        """Put an envelope round what is said.

        Args:
            data: what is said.
            session: what it is about.
            envelope: ``id``, ``source``, ``time``, ``traceparent``; else fresh, ``tidings``, now and None.

        Raises:
            InvalidMessage: the session is no session id, or another attribute is not allowed; the text names it.
        """
        try:
            made = cls(data=data, session=session, **{"type": data.type} | envelope)  # type: ignore[arg-type]
        except ValidationError as error:
            raise InvalidMessage(f"{type(data).__name__}: {explain(error)}") from None
        return cast(Message[B], made)

    @classmethod
    def unknown(
        cls, plane: str, type: str, fields: Mapping[str, Any] | None = None, *, session: str, **envelope: Any
    ) -> Message[Any]:
        """Make a message of a type that this process does not know, as it comes from elsewhere; see ``of``."""
        return cls.of(build(UNKNOWN[plane], **fields or {}), session=session, type=type, **envelope)

    @field_validator("data", mode="plain")
    @classmethod
    def _read(cls, value: object, info: ValidationInfo) -> Body:
        """Read what is said as the class of its type; as unknown where there is none, or where that class refuses it."""
        return value if isinstance(value, Body) else _body(info.context, info.data.get("type"), value)

    @property
    def refused(self) -> bool:
        """Whether the class of its type has refused what it says, so that it came as unknown."""
        return isinstance(self.data, Unknown) and self.type in TYPES and TYPES[self.type].plane == self.data.plane

    @property
    def cursor(self) -> Cursor:
        """The place of this message in its channel.

        Raises:
            ValueError: the message has not been stored.
        """
        if self.offset is None or self.epoch is None:
            raise ValueError("a message has a cursor only after it was stored")
        return Cursor(self.epoch, self.offset, self.id)


def carries(message: object, *kinds: type[B]) -> TypeGuard[Message[B]]:
    """Return whether this is a message that says something of one of these kinds: `Event`, `UserMessage`, ..."""
    return isinstance(message, Message) and isinstance(message.data, kinds)


def kind_of(message: object) -> str:
    """Return the name of the class of what a message says, or of what is no message, for an error."""
    return type(message.data if isinstance(message, Message) else message).__name__


def _body(plane: object, kind: object, value: object) -> Body:
    """Read what is said on a plane as the class of its type.

    Raises:
        ValueError: it is no object, or its plane is not known.
    """
    known = TYPES.get(kind) if isinstance(kind, str) else None
    if plane is None and known is not None:
        plane = known.plane
    if not isinstance(value, dict) or not isinstance(plane, str):
        raise ValueError("what is said is a JSON object")
    if known is not None and known.plane == plane:
        # Not only what pydantic raises: a class of a user's own may do anything.
        with contextlib.suppress(Exception):
            return known.model_validate(value)
    return UNKNOWN[plane].model_validate(value)
