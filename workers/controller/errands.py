"""Errands: what a controller says to other sessions on behalf of the one that it decides.

A parent is told that the turn of its child is over, or that its child was not started; the children of what is over are stopped.
All of it is found in the record, so a controller that dies in between is followed by another, which says the same under the same
ids; the bus keeps one.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import datetime, timedelta

from tidings.bus import (
    AgentMessage,
    Bus,
    Command,
    CommandRefused,
    Decision,
    Message,
    Record,
    Result,
    SessionStart,
    Snapshot,
    State,
    UnknownSession,
    UnreadableRecord,
    carries,
)
from tidings.bus.errors import cause_of
from tidings.bus.states import FINAL
from tidings.workers.family import mark_of, owes_report, refused_start, report_of, stop_of

log = logging.getLogger("tidings.controller")

PAGE = 100
ENVELOPE = 4096
"""Bytes of a report, and of the event that it becomes, that are not its text."""
LOOK_S = 5.0
"""How often to look whether the children of what is over have stopped. They report when they have, so this is for lost ones."""
AGAIN_S = 60.0
"""How often a report is sent that its parent does not take."""
_CUT = " … (cut: it was too long for a report)"


class Errands:
    """Sends commands to parents and children.

    Args:
        bus: where the sessions are.
        source: who sends them, e.g. ``controller/c1``.
    """

    def __init__(self, bus: Bus, source: str) -> None:
        self._bus, self._source = bus, source

    async def run(self, snapshot: Snapshot, decision: Decision) -> Decision:
        """Do what the snapshot and the decision on it call for; returns the decision with what is to be noted of it.

        Raises:
            Unreachable: the server does not answer; doing it again is safe.
        """
        refused = {outcome.command_id: outcome.reason for outcome, _ in decision.outcomes if outcome.result is Result.REFUSED}
        record = snapshot.record
        for command in snapshot.commands:
            if command.id in refused:
                await self.refused(command, refused[command.id], snapshot.now, known_parent=record.parent)
        if decision.to is not None:
            # It moves on first, and is due at once where that calls for something.
            return decision
        if owes_report(record):
            decision = await self._report(snapshot, decision)
        if record.state in FINAL and record.children:
            if not await self._stop_children(snapshot):
                decision = replace(decision, due=decision.due or snapshot.now + timedelta(seconds=LOOK_S))
            elif record.state is State.DELETED:
                await self._bus.controller.forget_children(record.session)
        return decision

    async def refused(self, command: Message[Command], reason: str, now: datetime, known_parent: str | None = None) -> None:
        """Have no parent wait for a child whose start was refused.

        Args:
            known_parent: the session whose child it is already; that has its child.

        Raises:
            Unreachable: the server does not answer.
        """
        if carries(command, SessionStart) and command.data.parent is not None and command.data.parent != known_parent:
            await self._send(refused_start(command, reason, self._source, now))

    async def _report(self, snapshot: Snapshot, decision: Decision) -> Decision:
        record = snapshot.record
        text = fitting(await self._last_words(record), self._bus.payload_limit - ENVELOPE)
        if not await self._send(report_of(record, text, self._source, snapshot.now)):
            return replace(decision, due=decision.due or snapshot.now + timedelta(seconds=AGAIN_S))
        return replace(decision, fields={**decision.fields, "reported": mark_of(record)})

    async def _last_words(self, record: Record) -> str:
        """Return the newest that the agent said since it was last spoken to.

        What it answered before that is no result of this turn, least of all of one that failed. What it said beside a call to a
        tool may be empty and does not count. Of a text that was cut off the parent's agent is told so.
        """
        end = record.events if record.state is not State.DELETED else 0
        while end > record.said:
            begin = max(record.said, end - PAGE)
            for event in reversed(await self._bus.history(record.session, begin, end - begin)):
                if isinstance(event.data, AgentMessage) and event.data.text.strip():
                    return event.data.text + (f"\n\n(cut off here: {event.data.cut})" if event.data.cut else "")
            end = begin
        return ""

    async def _stop_children(self, snapshot: Snapshot) -> bool:
        """Have every child stopped that is not over; returns whether all of them are."""
        living = [child for child in await self._bus.children(snapshot.record.session) if child.state not in FINAL]
        for child in living:
            await self._send(stop_of(child, snapshot.record, self._source, snapshot.now))
        return not living

    async def _send(self, command: Message[Command]) -> bool:
        """Send a command; returns False where it has to be sent again. A session that is gone needs to hear nothing.

        One that another version wrote hears of it when a controller of that version looks at the sender.
        """
        try:
            await self._bus.submit(command.session, command.data, id=command.id, source=command.source, when_full=True)
        except UnknownSession:
            log.info("controller.nobody_to_tell", extra={"session": command.session, "command": command.type})
        except (CommandRefused, UnreadableRecord) as error:
            extra = {"session": command.session, "command": command.type, "cause": cause_of(error)}
            log.warning("controller.not_told", extra=extra)
            return False
        return True


def fitting(text: str, limit: int) -> str:
    """Return as much of a text as takes up to ``limit`` bytes in JSON, and say where something is left out."""
    size = _bytes(text)
    if size <= limit:
        return text
    room = max(0, limit - _bytes(_CUT))
    while size > room:
        # At least one character less each time; a few rounds, because the shares of long characters differ.
        text = text[: min(len(text) - 1, len(text) * room // size)]
        size = _bytes(text)
    return text + _CUT


def _bytes(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode())
