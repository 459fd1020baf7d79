"""The end of a run: nothing unanswered, nothing without a holder, nothing left behind, no secret anywhere."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.record import Ended, Final, Left, Output, Run, encode
from tests.chaos.trail import Trail, Violation, data_of
from tidings.bus.states import FINAL

_HELD = frozenset({"running", "retrying", "rate_limited"})
_OVER = frozenset(state.value for state in FINAL)
_TROUBLE = (
    "Traceback (most recent call last)",
    "Task was destroyed but it is pending",
    "exception was never retrieved",
    "was never awaited",
    "ResourceWarning",
)
"""What a process writes when something in it went wrong that it has not handled."""


def check_ending(trail: Trail) -> Iterator[Violation]:
    """Check the sessions at the end, the processes, and what they wrote."""
    for final in trail.finals.values():
        yield from _answered(final)
        if final.state and final.state not in _OVER:
            yield from _holder(trail, final)
        yield from _child(trail, final)
    for left in trail.all(Left):
        if left.count > 0:
            yield Violation("end.left", "", f"no {left.kind} left behind", f"{left.count}: {left.what}", (left,))
    for ended in trail.all(Ended):
        if not ended.wanted:
            yield Violation(
                "end.process", "", f"{ended.name} to go on", f"it ended: {ended.error or 'without an error'}", (ended,)
            )
    yield from _outputs(trail)
    yield from _secrets(trail)


def _answered(final: Final) -> Iterator[Violation]:
    """No command waits, and of what was said nothing is left unread by an agent whose turn is over."""
    if final.waiting or final.handled < final.commands:
        seen = f"{final.commands} were sent, those up to {final.handled} handled, {final.waiting} wait"
        yield Violation("end.answered", final.session, "no command that waits", seen, (final,))
    if final.state in ("awaiting_input", "finished"):
        said = [text for text in final.history if text.type == "user.message"]
        read = [_read(data_of(text).get("read"), text.offset) for text in final.history if text.type == "agent.message"]
        if said and (not read or max(read) < said[-1].offset):
            seen = f"{said[-1]} is not read, and the session is {final.state}"
            yield Violation("end.answered", final.session, "an answer to all that was said", seen, (final,))


def _read(read: object, offset: int) -> int:
    """Return up to which offset an answer answers; one that does not say it: all before it."""
    return read if isinstance(read, int) else offset


def _holder(trail: Trail, final: Final) -> Iterator[Violation]:
    """A session that is not over is held: by a worker that lives, `ready`, a time in `due`, or a person."""
    if final.state == "queued":
        if not final.ready and final.due is None:
            yield _lost(final, "a queued session in ready, or in due")
        elif final.alive:
            yield Violation("end.idle", final.session, "nothing queued beside idle workers", "it is queued", (final,))
    elif final.state in _HELD and final.worker:
        if final.alive and final.worker not in final.alive:
            yield _lost(final, f"a worker that lives: {', '.join(final.alive)}")
        elif final.due is None or final.lease_until is None:
            yield _lost(final, "a time in due, and a lease that ends")
        elif max(final.due, final.lease_until) < final.wall - trail.run.lease_s - trail.run.clock_s:
            yield _lost(final, "a lease that has not run out long ago")
    elif final.state in _HELD:
        parked = final.state == "rate_limited" or final.resume_at is not None
        if not parked or (final.resume_at is not None and final.due is None):
            yield _lost(final, "a worker, or a time in due for what is parked until then")
    if final.state not in _HELD and final.worker:
        yield _lost(final, f"no worker for what is {final.state}")
    if final.ready and final.state != "queued":
        yield _lost(final, f"nothing in ready that is {final.state}")


def _lost(final: Final, expected: str) -> Violation:
    seen = f"{final.state}, worker {final.worker or 'none'}, ready {final.ready}, due {final.due}, lease {final.lease_until}"
    return Violation("end.holder", final.session, expected, seen, (final,))


def _child(trail: Trail, final: Final) -> Iterator[Violation]:
    """What is over has no child that is not, and a parent that is not over was told of each child whose turn is."""
    parent = trail.finals.get(final.parent) if final.parent else None
    if parent is None or not parent.state or not final.state:
        return
    if parent.state in _OVER:
        if final.state not in _OVER:
            seen = f"it is {final.state}, its parent {parent.session} is {parent.state}"
            yield Violation("end.child", final.session, "no child of what is over", seen, (parent, final))
        return
    over = final.state in (*_OVER, "awaiting_input", "error")
    told = any(text.type == "child.result" and data_of(text).get("child") == final.session for text in parent.history)
    asked = any(text.type == "child.start" and data_of(text).get("child") == final.session for text in parent.history)
    if over and asked and not told:
        seen = f"the child is {final.state}, and there is no child.result"
        yield Violation("end.child", parent.session, f"to be told of its child {final.session}", seen, (parent, final))


def _outputs(trail: Trail) -> Iterator[Violation]:
    """No process has written that something in it went wrong unhandled."""
    for output in trail.all(Output):
        for words in _TROUBLE:
            at = output.text.find(words)
            if at >= 0:
                shown = output.text[max(0, at - 300) : at + 3000]
                yield Violation("end.output", "", f"no {words!r} from {output.name}", shown)
                break


def _secrets(trail: Trail) -> Iterator[Violation]:
    """No secret stands anywhere: in no message, outcome, record, error or log line."""
    secrets = [secret.encode() for secret in trail.run.secrets]
    if not secrets:
        return
    for entry in trail.entries:
        line = b"" if isinstance(entry, Run) else encode(entry)
        if any(secret in line for secret in secrets):
            kind = type(entry).__name__
            yield Violation("end.secret", "", "no secret in what is recorded", f"one in a {kind} of {entry.actor} at {entry.at}")
