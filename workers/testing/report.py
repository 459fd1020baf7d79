"""What a wait that failed has to say: where each session stands, and what would bring it on. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tidings.bus import LlmFailed, LlmParked, LlmRateLimited, LlmRetry, Record, SessionState, State
from tidings.workers.family import owes_report
from tidings.workers.provider import RequestRecord

RESTING = frozenset({State.AWAITING_INPUT, State.PAUSED, State.ERROR, State.STOPPED, State.FINISHED})
"""States that a session leaves only when a person asks for it, or never."""

_STATES = 12
_REQUESTS = 12
_TEXT = 300
_HINT = '  Waits pass only when the clock is moved: fleet.idle(), fleet.skip_wait("s") or fleet.advance(seconds).'


class NotInTime(AssertionError):
    """What a test waited for did not happen in time; the text shows each session."""


def at_rest(record: Record) -> bool:
    """Whether a session stays as it is until a person asks for something."""
    if record.commands > record.handled or owes_report(record):
        return False
    return record.state in RESTING or (record.state is State.RATE_LIMITED and record.parked and record.resume_at is None)


def children_begun(record: Record, records: Sequence[Record]) -> bool:
    """Whether the children that an agent waits for are sessions by now; until a controller has decided, a start is none."""
    if record.state is not State.AWAITING_INPUT:
        return True
    return sum(other.parent == record.session and not other.reported for other in records) >= record.awaits


def describe(
    what: str,
    records: Sequence[Record],
    *,
    now: datetime,
    left: Mapping[str, float],
    states: Mapping[str, Sequence[State]],
    requests: Sequence[RequestRecord],
    scripted: Sequence[Mapping[str, Any]],
) -> str:
    """Say what was waited for, and where everything stands.

    Args:
        now: server time.
        left: how far the clock must be moved until a session goes on, for those that wait for it.
        states: what each session came to, in order.
        requests: what the provider received.
        scripted: what still waits in its script.
    """
    lines = [what]
    lines += ["  there is no session: nothing was started" for _ in range(not records)]
    for record in records:
        lines += _session(record, now, left.get(record.session), states.get(record.session, ()))
    lines.append(_provider(requests, scripted))
    if left:
        lines.append(_HINT)
    return "\n".join(lines)


def _session(record: Record, now: datetime, left_s: float | None, states: Sequence[State]) -> list[str]:
    since = f" for {max(0.0, (now - record.since).total_seconds()):.1f} s" if record.since else ""
    lines = [f"  {record.session}: {record.state or 'not decided yet'}{since}: {_shown(record.why) or 'no reason given'}"]
    lines += [f"    {line}" for line in (_wait(record, left_s), _holder(record), _path(states), _last(record)) if line]
    return lines


def _wait(record: Record, left_s: float | None) -> str:
    wait = record.wait
    text = ""
    if wait is not None:
        text = f"attempt {wait.attempt} of {wait.max_attempts} failed: {wait.reason}: {_shown(wait.message)}"
    if wait is not None and wait.asked_at is not None:
        return f"{text}; the next is under way"
    if left_s is not None:
        return f"{text or 'waits'}; goes on when the clock has moved {left_s:.3f} s"
    if record.parked and record.resume_at is None:
        return f"{text or 'parked'}; goes on when a person resumes it"
    return text


def _holder(record: Record) -> str:
    commands = record.commands - record.handled
    waiting = f"{commands} command{'s' * (commands > 1)} not handled yet" if commands > 0 else ""
    held = f"held by {record.worker.name}" if record.worker else ""
    return ", ".join(part for part in (held, waiting) if part)


def _path(states: Sequence[State]) -> str:
    if not states:
        return ""
    shown = " > ".join(states[-_STATES:])
    return f"came by {'... > ' if len(states) > _STATES else ''}{shown}"


def _last(record: Record) -> str:
    notice, text = record.last, ""
    if notice is None:
        return ""
    if isinstance(notice.data, SessionState) and notice.data.why != record.why:
        text = f"{notice.data.to}: {notice.data.why}"
    elif isinstance(notice.data, LlmRetry | LlmRateLimited | LlmParked | LlmFailed):
        text = notice.data.message
    return f"last told: {notice.type}" + (f" ({_shown(text)})" if text else "")


def _provider(requests: Sequence[RequestRecord], scripted: Sequence[Mapping[str, Any]]) -> str:
    answers = [str(request.status or request.fault or request.outcome) for request in requests]
    shown = ", ".join((["..."] if len(answers) > _REQUESTS else []) + answers[-_REQUESTS:])
    received = f"{len(answers)} request{'s' * (len(answers) != 1)}" + (f" ({shown})" if shown else "")
    left = ", ".join(f"{entry['status'] or entry['kind']}x{entry['left'] or '*'}" for entry in scripted)
    return f"  the provider received {received}" + (f"; scripted and not asked for yet: {left}" if left else "")


def _shown(text: str) -> str:
    """Return a text from elsewhere as one line without control characters, cut."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= _TEXT else f"{line[: _TEXT - 3]}..."
