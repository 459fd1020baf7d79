"""Outcomes: each command has one, it is true, and it is never late."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from tests.chaos.record import AskFailed, Claimed, Delivered, Entry, Final, Outcome, Stored, Text
from tests.chaos.trail import Asking, RetryNotice, Trail, Violation
from tidings.bus.states import COMMANDS, TABLE, Trigger

_MEANINGS = {
    kind: frozenset({trigger, Trigger.NUDGE, Trigger.REST}) if trigger is Trigger.RESUME else frozenset({trigger})
    for kind, trigger in COMMANDS.items()
}
_AFTER = {
    kind: frozenset(after.value for (_, trigger), after in TABLE.items() if trigger in triggers)
    for kind, triggers in _MEANINGS.items()
}
"""The states that each command may lead to, by the table of the states."""


def check_outcomes(trail: Trail) -> Iterator[Violation]:
    """Check each command, then what pauses, resumes and stops have done."""
    stored = any(outcome.how == "key" for outcome in trail.all(Outcome))
    events = _events(trail)
    for asking in trail.commands.values():
        yield from _one_outcome(trail, asking)
        yield from _late(trail, asking, events)
        yield from _said(trail, asking, events)
        yield from _states(asking)
        if stored:
            yield from _kept(trail, asking)
    for session, final in trail.finals.items():
        yield from _paused(trail, session)
        yield from _over(trail, final)
        yield from _resumed(trail, final)
    yield from _unknown(trail)
    yield from _passed_over(trail)
    for entry in trail.unfinished:
        yield Violation("command.answered", getattr(entry, "session", ""), "an end of each call", "none was noted", (entry,))


def _violation(rule: str, asking: Asking, expected: str, seen: str, *entries: Entry) -> Violation:
    asked = tuple(asked for asked, _ in asking.asks[:3])
    return Violation(rule, asking.session, f"{expected} ({asking.kind} {asking.id})", seen, (*asked, *entries))


def _one_outcome(trail: Trail, asking: Asking) -> Iterator[Violation]:
    """All tellings agree, and it is published once; unless the first may have been lost with the data."""
    for first, other in itertools.pairwise(asking.told):
        same = first.result == other.result and _agree(first.state, other.state) and _agree(first.version, other.version)
        if not same and not trail.lost(asking.began, first.at, other.at):
            seen = f"{first.result} {first.state} {first.version}, then {other.result} {other.state} {other.version}"
            yield _violation("command.once", asking, "one outcome", seen, first.entry, other.entry)
    heard = [told for told in asking.told if isinstance(told.entry, Outcome) and told.entry.how == "channel"]
    for first, other in itertools.pairwise(heard):
        if not trail.lost(asking.began, first.at, other.at):
            yield _violation("command.once", asking, "an outcome that is published once", "twice", first.entry, other.entry)


def _agree(one: object, other: object) -> bool:
    """Return whether two say the same; what says nothing agrees with all."""
    return not one or not other or one == other


def _kept(trail: Trail, asking: Asking) -> Iterator[Violation]:
    """An outcome that was told is stored, so that a repeat gets it."""
    if asking.told and not any(isinstance(told.entry, Outcome) and told.entry.how == "key" for told in asking.told):
        last = asking.told[-1]
        if not trail.lost(asking.began, last.at):
            yield _violation("command.kept", asking, "an outcome that is kept for a day", "none at the end", last.entry)


def _states(asking: Asking) -> Iterator[Violation]:
    """What an applied command has led to is a state that it can lead to."""
    for told in asking.told:
        if told.result == "applied" and told.state and asking.kind in _AFTER and told.state not in _AFTER[asking.kind]:
            expected = f"one of {', '.join(sorted(_AFTER[asking.kind]))}"
            yield _violation("command.true", asking, expected, told.state, told.entry)
            return


def _late(trail: Trail, asking: Asking, events: dict[tuple[str, str], list[tuple[Text, Entry]]]) -> Iterator[Violation]:
    """Nothing is applied after its expiry: by when the outcome was published, and when its event was made."""
    slack = trail.run.clock_s
    for told in asking.told:
        published = isinstance(told.entry, Outcome) and told.entry.how == "channel" and told.result == "applied"
        if published and told.entry.wall > asking.expires(told.at) + slack:
            seen = f"it was published {told.entry.wall - asking.expires(told.at):.3f} s after"
            yield _violation("command.late", asking, "not applied after its expiry", seen, told.entry)
            return
    for text, entry in events.get((asking.session, asking.said), ())[:1]:
        if text.made > asking.expires() + slack:
            seen = f"what it says was decided {text.made - asking.expires():.3f} s after"
            yield _violation("command.late", asking, "not applied after its expiry", seen, entry)


def _said(trail: Trail, asking: Asking, events: dict[tuple[str, str], list[tuple[Text, Entry]]]) -> Iterator[Violation]:
    """What was said is in the history if it was applied, and nowhere if it was refused or has expired."""
    final = trail.finals.get(asking.session)
    if asking.text is None or final is None:
        return
    found = events.get((asking.session, asking.said), [])
    applied = asking.outcome("applied")
    there = any(entry is final for _, entry in found)
    if applied and not there and final.state != "deleted" and not trail.lost(asking.began, applied.at):
        yield _violation("command.true", asking, "what was said in the history", "it is not there", applied.entry)
    if asking.told and not applied and found and not _done_anew(trail, asking):
        what = f"nothing said by what was {asking.told[0].result}"
        yield _violation("command.true", asking, what, f"{found[0][0]}", asking.told[0].entry, found[0][1])


def _done_anew(trail: Trail, asking: Asking) -> bool:
    """Return whether a command may have been decided again after its outcome was lost.

    One that has expired is not applied for that reason, but where it was sent again with a later expiry.
    """
    takers = list(trail.takers(asking.began, asking.told[0].at))
    if asking.told[0].result != "expired":
        return bool(takers)
    return any(asked.at > fault.at for fault in takers for asked, _ in asking.asks)


def _events(trail: Trail) -> dict[tuple[str, str], list[tuple[Text, Entry]]]:
    """Return every event that was given or found, by session and id."""
    found: dict[tuple[str, str], list[tuple[Text, Entry]]] = {}
    for item in trail.all(Delivered):
        if trail.plane(item) == "events":
            found.setdefault((item.session, item.message.id), []).append((item.message, item))
    for final in trail.finals.values():
        for text in final.history:
            found.setdefault((final.session, text.id), []).append((text, final))
    return found


def _passed_over(trail: Trail) -> Iterator[Violation]:
    """A controller handles the commands of a session in order: none is left for its time-out when a later one is decided."""
    for commands in trail.stored.values():
        decided = [(stored, told) for stored in commands if (told := _decided(trail, stored)) is not None]
        for stored in commands:
            asking = trail.commands.get(stored.command)
            if asking is None or any(told.result != "expired" for told in asking.told):
                continue
            until = min((asked.expires or math.inf for asked, _ in asking.asks), default=math.inf) - trail.run.clock_s
            for later, told in decided:
                passed = later.offset > stored.offset and later.at > stored.at and told.entry.wall < until
                answered = any(own.at <= told.at for own in asking.told)
                if passed and not answered and not trail.deaf(stored.at, told.at):
                    seen = f"{later.command} at offset {later.offset} was decided, and this at {stored.offset} was not"
                    yield _violation("command.order", asking, "commands decided in their order", seen, stored, later, told.entry)
                    break


def _decided(trail: Trail, stored: Stored) -> RetryNotice | None:
    """Return what a controller published of a command since it was stored; before that it was lost, and sent again."""
    asking = trail.commands.get(stored.command)
    told = [one for one in asking.told if one.at >= stored.at] if asking else []
    return next((one for one in told if isinstance(one.entry, Outcome) and one.entry.how == "channel"), None)


def _unknown(trail: Trail) -> Iterator[Violation]:
    """A session whose start was applied is known to who asks after that."""
    starts = [(asking, told) for asking in trail.commands.values() if asking.kind == "session.start" for told in asking.told[:1]]
    known = {asking.session: (asking, told) for asking, told in starts if told.result == "applied"}
    for asking in trail.commands.values():
        start, told = known.get(asking.session, (None, None))
        for asked, end in asking.asks:
            if start is None or told is None or not isinstance(end, AskFailed) or end.error != "UnknownSession":
                continue
            if asked.at > told.at and not trail.lost(start.began, told.at, end.at):
                yield _violation("command.true", start, "a session", "it is not known", told.entry, end)


# what steers


def _paused(trail: Trail, session: str) -> Iterator[Violation]:
    """A session that was paused is claimed only after a resume."""
    resumes = trail.asked(session, "session.resume")
    for pause in trail.asked(session, "session.pause"):
        applied = pause.outcome("applied")
        if applied is None or applied.state != "paused":
            continue
        for claim in trail.claims.get(session, ()):
            if not _follows(trail, claim, pause, applied) or trail.lost(pause.began, applied.at, claim.at):
                continue
            if not any(_may_end(trail, resume, pause, applied, claim) for resume in resumes):
                seen = "no resume can have been applied in between"
                yield _violation("command.true", pause, "a resume before the next claim", seen, applied.entry, claim)
            break


def _follows(trail: Trail, claim: Claimed, pause: Asking, applied: RetryNotice) -> bool:
    """Return whether a claim was granted after a pause was applied."""
    if applied.version and not trail.parted(min(pause.began, claim.began), max(applied.at, claim.at)):
        return claim.version > applied.version
    return claim.began > applied.at


def _may_end(trail: Trail, resume: Asking, pause: Asking, applied: RetryNotice, claim: Claimed) -> bool:
    """Return whether a resume may have been applied between a pause and a claim."""
    if resume.began >= claim.at:
        return False
    told = resume.outcome("applied")
    if told is None:
        # Its fate is not known to those who asked, or was decided anew after a loss.
        return not resume.told or trail.parted(resume.began, claim.at)
    if told.version and applied.version and not trail.parted(min(resume.began, pause.began), max(told.at, applied.at, claim.at)):
        return applied.version <= told.version < claim.version
    return told.at >= pause.began


def _over(trail: Trail, final: Final) -> Iterator[Violation]:
    """What was stopped or deleted stays so."""
    ends = {"session.stop": ("stopped", "deleted"), "session.delete": ("deleted",)}
    for kind, states in ends.items():
        for asking in trail.asked(final.session, kind):
            applied = asking.outcome("applied")
            if applied is None or trail.lost(asking.began, applied.at):
                continue
            if final.state not in states:
                yield _violation(
                    "command.true", asking, f"{states[0]} at the end", final.state or "no session", applied.entry, final
                )
            for claim in trail.claims.get(final.session, ()):
                if claim.began > applied.at:
                    yield _violation("command.true", asking, f"no claim of what is {states[0]}", "one", applied.entry, claim)
    for asking in trail.asked(final.session, "session.start"):
        applied = asking.outcome("applied")
        if applied and not final.state and not trail.lost(asking.began, applied.at):
            yield _violation("command.true", asking, "a session", "none at the end", applied.entry, final)


def _resumed(trail: Trail, final: Final) -> Iterator[Violation]:
    """What was resumed last is not paused."""
    if final.state != "paused":
        return
    pauses = trail.asked(final.session, "session.pause")
    for resume in trail.asked(final.session, "session.resume"):
        applied = resume.outcome("applied")
        if applied is None or trail.parted(resume.began, final.at):
            continue
        if not any(_may_follow(pause, resume, applied) for pause in pauses):
            seen = "paused at the end, and no pause can have been applied since"
            yield _violation("command.true", resume, "a session that goes on", seen, applied.entry, final)


def _may_follow(pause: Asking, resume: Asking, resumed: RetryNotice) -> bool:
    """Return whether a pause may have been applied after a resume."""
    told = pause.outcome("applied")
    if told is None:
        return not pause.told
    if told.version and resumed.version:
        return told.version >= resumed.version
    return told.at >= resume.began
