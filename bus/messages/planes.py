"""The three planes as types, and the classes of what is said on them: ours, and those of a user's own."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from pydantic import ConfigDict, Field, ValidationError, ValidationInfo, ValidatorFunctionWrapHandler, field_validator

from tidings.bus.messages.values import Data, Instant, Json, Text

RESERVED: Final = ("llm.", "session.", "agent.", "worker.", "child.", "tool.", "user.", "history.", "quota.")
"""Beginnings of the types that are ours."""

_TYPE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_LONGEST: Final = 100

TYPES: Final[dict[str, type[Body]]] = {}
"""The class of each type that this process knows."""


class Body(Data):
    """What a message says; the envelope round it is a `Message`.

    A class of one's own is registered when it is defined, and is read as that class from then on:

        class Progress(Notice, type="acme.progress"):
            done: int
            total: int

    A process that does not know the type gets it as unknown, with its fields as they are.

    Raises:
        TypeError: the type is no dotted name, is reserved for Tidings, or belongs to another class already; or it is a command.
    """

    plane: ClassVar[str] = ""
    type: ClassVar[str] = ""

    def __init_subclass__(cls, type: str = "", **config: Any) -> None:
        super().__init_subclass__(**config)
        if type:
            cls.type = type

    @classmethod
    def __pydantic_init_subclass__(cls, type: str = "", **config: Any) -> None:
        super().__pydantic_init_subclass__(**config)
        if type:
            _register(cls, type)


def _register(cls: type[Body], kind: str) -> None:
    if not cls.plane:
        raise TypeError(f"{cls.__name__} is on no plane: derive it from Notice, Event or Command")
    if not _TYPE.fullmatch(kind) or len(kind) > _LONGEST:
        raise TypeError(
            f"{kind!r} is no type of a message: use a dotted name such as 'acme.progress', {_LONGEST} letters at most"
        )
    ours = cls.__module__.startswith("tidings.")
    if cls.plane == "commands" and not ours:
        raise TypeError(f"{cls.__qualname__}: controllers know Tidings' commands alone; publish a Notice, or say something")
    if kind.startswith(RESERVED) and not ours:
        raise TypeError(f"types that begin with {kind.partition('.')[0]!r} are Tidings' own: begin with a name of yours")
    known = TYPES.get(kind)
    if known is not None:
        raise TypeError(
            f"{kind!r} is {known.__module__}.{known.__qualname__} already: give {cls.__qualname__} a type of its own "
            "(a module that is run and imported is loaded twice)"
        )
    TYPES[kind] = cls


class Event(Body):
    """What was said or done in a session: the agent's history. Prompts are built from events alone."""

    plane: ClassVar[str] = "events"


class Notice(Body):
    """What the system is doing, for people, controllers and other workers. It never reaches a model."""

    plane: ClassVar[str] = "status"


class Command(Body):
    """What a person or a program asks of a session.

    Attributes:
        by: the sender.
        why: why, for the people who see it.
        expires_at: server time after which it must not be applied; set by the bus when it is sent.
    """

    plane: ClassVar[str] = "commands"

    by: Text = Field(default="unknown", min_length=1, max_length=200)
    why: Text = Field(default="", max_length=500)
    expires_at: Instant | None = None


PLANES: Final[dict[str, type[Notice] | type[Event] | type[Command]]] = {cls.plane: cls for cls in (Notice, Event, Command)}
"""What is said on each plane."""


class Unknown(Data):
    """The fields of a message whose type this process does not know, or that its class refuses."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Json]

    @property
    def fields(self) -> dict[str, Any]:
        """The fields, as they were written."""
        return dict(self.__pydantic_extra__ or {})


class UnknownEvent(Event, Unknown):
    """An event of a type that this process does not know, as it is."""


class UnknownNotice(Notice, Unknown):
    """A notice of a type that this process does not know, as it is."""


class UnknownCommand(Command, Unknown):
    """A command of a type that this process does not know; controllers refuse it."""

    @field_validator("by", "why", "expires_at", mode="wrap")
    @classmethod
    def _or_nothing(cls, value: object, read: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        """Take what is no asker, reason or time as not given: in the type of another program the words may mean anything."""
        try:
            return read(value)
        except ValidationError:
            return cls.model_fields[info.field_name or ""].default


UNKNOWN: Final[dict[str, type[Body]]] = {cls.plane: cls for cls in (UnknownEvent, UnknownNotice, UnknownCommand)}
