"""The checker of fault runs: from the record of a run to what was promised in it and not kept. Pure: no Redis, no clock.

What is known of a call is when it began and when it ended, so a rule speaks only where no order of what happened in between would
keep it. Where a fault may have taken data (``Fault.keeps``), what rests on the data taken is not held against the bus; that they
are one tail of all that was written, and that readers are told, is.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.chaos.deliveries import check_deliveries
from tests.chaos.ending import check_ending
from tests.chaos.histories import check_histories
from tests.chaos.leases import check_leases
from tests.chaos.outcomes import check_outcomes
from tests.chaos.record import Entry
from tests.chaos.trail import Trail, Violation
from tests.chaos.transitions import check_transitions

__all__ = ["RULES", "Violation", "check"]

RULES = {
    "history.contiguous": "offsets are 1, 2, 3, …, as many as the record counts, under its epoch",
    "history.once": "no event is in a history twice",
    "history.written": "nothing is in a history that was not written, and it says what was written",
    "history.kept": "an acknowledged event is there, as far as the durability promises",
    "history.place": "an acknowledged event is at the offset that was acknowledged, and alone there",
    "history.tail": "what a fault takes of a history is its tail",
    "history.read": "an answer has read what lies before it, and nothing that was lost",
    "history.order": "what was acknowledged before something else was begun lies before it",
    "history.step": "the events of a step are there together or not at all",
    "history.deleted": "of a deleted session no log is left",
    "history.notice": "no text of a notice is in an event",
    "lease.token": "a token is given once, to one worker, and the next is larger",
    "lease.fenced": "nothing is granted under a lease that was released or followed by another",
    "lease.revoked": "nothing is granted to a worker whose session was paused or stopped",
    "reader.hole": "a reader is given every message, or told of a gap in its place",
    "reader.twice": "offsets go forward, and nothing is given twice",
    "reader.epoch": "a new epoch is told by a gap",
    "reader.gap": "a gap begins where the reader stands",
    "reader.trimmed": "nothing of a history is trimmed",
    "reader.deleted": "nothing follows the gap that tells of a deletion",
    "reader.contents": "all are given the same message at one place",
    "reader.end": "a reader that has the time reaches the end of the log, and was told of what was lost",
    "command.once": "a command has one outcome, published once",
    "command.kept": "an outcome is kept for a day",
    "command.true": "an outcome says what was done",
    "command.late": "nothing is applied after its expiry",
    "command.order": "the commands of a session are decided in their order",
    "command.answered": "each call comes back",
    "state.version": "a version has one state, and follows the one before",
    "state.legal": "states change as the table says",
    "state.cause": "nothing is paused, stopped, deleted or resumed without a command",
    "end.answered": "no command waits at the end, and nothing that was said is unread",
    "end.holder": "a session that is not over is held by a worker, ready, due or a person",
    "end.idle": "nothing stays queued beside idle workers",
    "end.child": "what is over has no child that is not, and a parent is told of its children",
    "end.left": "no task, file, connection or process is left behind",
    "end.process": "no process ends by itself",
    "end.output": "no process writes of an error that it has not handled",
    "end.secret": "no secret is anywhere",
}
"""What is promised, by the name of the rule."""
_SHOWN = 5


def check(record: Iterable[Entry]) -> list[Violation]:
    """Return what was promised and not kept, the histories first; of one rule in one session the first few.

    Args:
        record: what all processes of one run noted, in any order.
    """
    trail = Trail(record)
    found: dict[tuple[str, str], list[Violation]] = {}
    for part in (check_histories, check_leases, check_deliveries, check_outcomes, check_transitions, check_ending):
        for violation in part(trail):
            found.setdefault((violation.rule, violation.session), []).append(violation)
    return [violation for some in found.values() for violation in some[:_SHOWN]]
