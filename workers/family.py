"""Parents and children: what is said between them, and what of a child is told when. Pure: no Redis, no clock.

All ids here are derived from what they stand for. Who does the same again, after a crash or beside another controller, sends the
same command, and the bus keeps one.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from tidings.bus import ChildStart, ChildState, Message, Record, SessionReport, SessionStart, SessionStop, State
from tidings.bus.states import FINAL

RESTS = FINAL | {State.AWAITING_INPUT, State.ERROR}
"""States in which the turn of a child is over."""

_ID_LIMIT = 128
_WHY_LIMIT = 500


def derived(identity: str, what: str) -> str:
    """Return the id of something that follows from a message: the same each time, and never too long."""
    found = f"{identity}.{what}"
    return found if len(found) <= _ID_LIMIT else f"{hashlib.sha256(identity.encode()).hexdigest()}.{what}"


def child_id(parent: str, name: str, event_id: str) -> str:
    """Return the session id of a child: a person sees in it whose child it is, and what that calls it."""
    digest = hashlib.sha256(f"{parent} {name} {event_id}".encode()).hexdigest()
    return f"{parent[:30]}-{name[:20]}-{digest[:12]}"


def start_of(event: Message[ChildStart], source: str) -> Message[SessionStart]:
    """Return the command that starts the child which a parent's event tells of.

    Raises:
        ValueError: the event does not name the child's session.
    """
    data = event.data
    if data.child is None:
        raise ValueError("a child.start that is stored names its session")
    asked = SessionStart(by=f"session/{event.session}", text=data.text, parent=event.session, name=data.name, **data.wanted())
    return Message.of(asked, id=derived(event.id, "start"), source=source, session=data.child, time=event.time)


def known_as(record: Record) -> str:
    """Return what the parent of a session calls it."""
    return record.name or record.session


def mark_of(record: Record) -> str:
    """Return what a report of a session stands for: the same state without a further event is no news."""
    return f"{record.state}.{record.events}"


def owes_report(record: Record) -> bool:
    """Whether the turn of a child is over and its parent has not been told.

    A child that waits for children of its own has not done yet what it was asked for.
    """
    if record.parent is None or record.state not in RESTS:
        return False
    if record.state is State.AWAITING_INPUT and record.awaits:
        return False
    return record.reported != mark_of(record)


def report_of(record: Record, text: str, source: str, now: datetime) -> Message[SessionReport]:
    """Return the command that tells a parent what became of its child.

    Raises:
        ValueError: the session is nobody's child, or has no state.
    """
    if record.parent is None or record.state is None:
        raise ValueError(f"session {record.session!r} has nobody to report to, or nothing to report")
    return Message.of(
        SessionReport(
            by=f"session/{record.session}",
            why=record.why[:_WHY_LIMIT],
            child=record.session,
            name=known_as(record),
            state=record.state,
            reason=record.reason,
            text=text,
        ),
        id=f"report-{record.session}-{record.epoch[:16]}-{mark_of(record)}",
        source=source,
        session=record.parent,
        time=now,
    )


def refused_start(command: Message[SessionStart], reason: str, source: str, now: datetime) -> Message[SessionReport]:
    """Return the command that tells a parent that its child was not started.

    Raises:
        ValueError: the start names no parent.
    """
    if command.data.parent is None:
        raise ValueError("only a child has a parent to be told")
    return Message.of(
        SessionReport(
            by=f"session/{command.session}",
            why=f"it was not started: {reason}"[:_WHY_LIMIT],
            child=command.session,
            name=command.data.name or command.session,
            state=State.ERROR,
        ),
        id=derived(command.id, "refused"),
        source=source,
        session=command.data.parent,
        time=now,
    )


def stop_of(child: ChildState, parent: Record, source: str, now: datetime) -> Message[SessionStop]:
    """Return the command that stops a child whose parent is over."""
    return Message.of(
        SessionStop(by=f"session/{parent.session}", why=f"its parent is {parent.state}"),
        id=f"stop-{child.child}-{parent.epoch[:16]}",
        source=source,
        session=child.child,
        time=now,
    )


def shown_as(child: ChildState) -> str:
    """Return a mark that differs where people see something different."""
    return hashlib.sha256(child.model_dump_json().encode()).hexdigest()[:16]


def child_state(child: ChildState, parent: str, source: str, now: datetime) -> Message[ChildState]:
    """Return the notice that shows a child to those who watch its parent."""
    return Message.of(child, source=source, session=parent, time=now)
