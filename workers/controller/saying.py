"""What a command adds to the history. Pure."""

from __future__ import annotations

from datetime import datetime

from tidings.bus import (
    ChildResult,
    ChildResultData,
    Command,
    CommandData,
    Event,
    ReportData,
    SayData,
    StartData,
    UserMessage,
    UserMessageData,
)
from tidings.workers.family import derived


def event_of(command: Command, data: CommandData, source: str, now: datetime) -> Event | None:
    """Return the event that an applied command adds to the history; None where it adds none.

    Its id is the same each time the command is decided, so that the log can tell that it is there.
    """
    if isinstance(data, ReportData):
        return ChildResult(
            id=derived(command.id, "said"),
            source=source,
            subject=command.subject,
            time=now,
            traceparent=command.traceparent,
            data=ChildResultData.model_validate(data.model_dump(include=set(ChildResultData.model_fields))),
        )
    if isinstance(data, StartData | SayData) and data.text is not None:
        return UserMessage(
            id=derived(command.id, "said"),
            source=source,
            subject=command.subject,
            time=now,
            traceparent=command.traceparent,
            data=UserMessageData(text=data.text, by=data.by),
        )
    return None
