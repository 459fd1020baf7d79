"""How a session is to be worked on: by which queue, agent and model, how urgently, for whom, and what people call it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from tidings.bus.messages.values import Data, Text, is_session, missing

DEFAULT_QUEUE: Final = "default"
"""The queue of a session that names none."""
MOST_LABELS: Final = 16


def _check_name(name: str) -> str:
    # Not quoted: what is wrong with a message is told without its content.
    if not is_session(name):
        raise ValueError("use 1 to 64 letters, digits, '_' and '-', starting with a letter or a digit")
    return name


QueueName = Annotated[str, AfterValidator(_check_name)]
"""Name of a queue, an agent, a tenant or a label. Written like a session id: it becomes part of a key of Redis."""
LabelText = Annotated[Text, Field(max_length=100)]


class Priority(StrEnum):
    """Who waits for a session."""

    PERSON = "person"
    BACKGROUND = "background"


class Work(Data):
    """How a session is worked on.

    Attributes:
        queue: workers that serve this queue take it.
        agent: name of the agent that runs it; None: the first agent of its worker.
        model: the model that it asks, as litellm names it; None: that of its worker.
        priority: who waits for it.
        tenant: key of fair shares; None: the session, or the root above it.
        labels: what people call it by, up to 16.
    """

    queue: QueueName = DEFAULT_QUEUE
    agent: QueueName | None = Field(default=None, exclude_if=missing)
    model: Text | None = Field(default=None, min_length=1, max_length=200, exclude_if=missing)
    priority: Priority = Priority.PERSON
    tenant: QueueName | None = Field(default=None, exclude_if=missing)
    labels: dict[QueueName, LabelText] = Field(default_factory=dict, max_length=MOST_LABELS)

    def changed(self, wanted: Wanted) -> Work:
        """Return it with what is wanted.

        Raises:
            ValueError: there would be too many labels.
        """
        labels = {name: text for name, text in {**self.labels, **(wanted.labels or {})}.items() if text}
        if len(labels) > MOST_LABELS:
            raise ValueError(f"a session has at most {MOST_LABELS} labels, this would make {len(labels)}")
        named = {name: value for name in _SINGLE if (value := getattr(wanted, name)) is not None}
        return self.model_copy(update={**named, "labels": labels})

    def inherited(self, tenant: str) -> Work:
        """Return it for a child: the same, its labels left out, and the tenant that of its parent, whose name is given."""
        return self.model_copy(update={"tenant": self.tenant or tenant, "labels": {}})

    @property
    def place(self) -> tuple[str, str | None]:
        """Queue and agent, by which workers take sessions."""
        return self.queue, self.agent

    def fields(self) -> dict[str, str]:
        """Return the fields of the record that hold it, as Redis keeps them."""
        return {"queue": self.queue, "agent": self.agent or "", "work": self.model_dump_json(exclude_defaults=True)}


class Wanted(Data):
    """What is wanted of the work on a session; what is None stays as it is, or as its parent has it.

    Attributes:
        queue: as in `Work`.
        agent: as in `Work`.
        model: as in `Work`.
        priority: as in `Work`.
        tenant: as in `Work`.
        labels: labels to set; an empty text takes one away.
    """

    queue: QueueName | None = Field(default=None, exclude_if=missing)
    agent: QueueName | None = Field(default=None, exclude_if=missing)
    model: Text | None = Field(default=None, min_length=1, max_length=200, exclude_if=missing)
    priority: Priority | None = Field(default=None, exclude_if=missing)
    tenant: QueueName | None = Field(default=None, exclude_if=missing)
    labels: dict[QueueName, LabelText] | None = Field(default=None, max_length=MOST_LABELS, exclude_if=missing)

    def wanted(self) -> dict[str, Any]:
        """Return what is wanted, by the name of the field."""
        return {name: value for name in Wanted.model_fields if (value := getattr(self, name)) is not None}


_SINGLE = ("queue", "agent", "model", "priority", "tenant")
