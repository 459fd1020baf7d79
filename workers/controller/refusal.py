"""Refusing: what is written when a session cannot be decided otherwise. Pure."""

from __future__ import annotations

from tidings.bus import Decision, Outcome, Result, Snapshot
from tidings.bus.states import legal_commands

_SPEAKING = frozenset({"session.start", "session.say", "session.report"})
"""Commands that append to the history."""


def refuse_all(snapshot: Snapshot, reason: str, *, mute: bool = False) -> Decision:
    """Refuse every waiting command, for a session that cannot be decided otherwise.

    Args:
        mute: nothing can be appended to its history, so that no command that would is legal now.
    """
    record = snapshot.record
    legal = tuple(name for name in legal_commands(record.state) if not (mute and name in _SPEAKING))
    refused = dict.fromkeys(command.id for command in snapshot.commands if command.id not in snapshot.settled)
    outcomes = tuple(
        (
            Outcome(
                command_id=command_id,
                session=record.session,
                result=Result.REFUSED,
                reason=reason,
                state=record.state,
                version=record.version,
                legal=legal,
            ),
            None,
        )
        for command_id in refused
    )
    due = snapshot.now if snapshot.more else record.lease_until if record.held else record.resume_at
    return Decision(handled=newest(snapshot), outcomes=outcomes, fields={"failures": "0"}, due=due)


def newest(snapshot: Snapshot) -> int:
    """Return the offset of the newest command that a snapshot holds."""
    return max((command.offset or 0 for command in snapshot.commands), default=snapshot.record.handled)
