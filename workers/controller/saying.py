"""What a command adds to the history. Pure."""

from __future__ import annotations

from datetime import datetime

from tidings.bus import ChildResult, Command, Event, Message, SessionReport, SessionSay, SessionStart, UserMessage
from tidings.workers.family import derived


def event_of(command: Message[Command], data: Command, source: str, now: datetime) -> Message[Event] | None:
    """Return the event that an applied command adds to the history; None where it adds none.

    Its id is the same each time the command is decided, so that the log can tell that it is there.
    """
    if isinstance(data, SessionReport):
        return Message.of(
            ChildResult.model_validate(data.model_dump(include=set(ChildResult.model_fields))),
            id=derived(command.id, "said"),
            source=source,
            session=command.session,
            time=now,
            traceparent=command.traceparent,
        )
    if isinstance(data, SessionStart | SessionSay) and data.text is not None:
        return Message.of(
            UserMessage(text=data.text, by=data.by),
            id=derived(command.id, "said"),
            source=source,
            session=command.session,
            time=now,
            traceparent=command.traceparent,
        )
    return None
