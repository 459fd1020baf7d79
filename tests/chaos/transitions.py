"""Transitions: states change as the table says, each under a version of its own, and not without a cause."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tests.chaos.record import Claimed, Delivered, Entry, Gap, Polled, Released
from tests.chaos.trail import Trail, Violation, data_of
from tidings.bus.states import HELD, TABLE, State, Trigger

_BY_WORKERS = frozenset(
    {Trigger.CLAIM, Trigger.PARK, Trigger.OUTAGE, Trigger.YIELD, Trigger.FINISH, Trigger.FAIL, Trigger.HAND_BACK}
)
_TELLS_A_STATE = frozenset({"llm.retry", "llm.attempt", "llm.recovered"})
_HELD = frozenset(state.value for state in HELD)
_CAUSES = {"paused": "session.pause", "stopped": "session.stop", "deleted": "session.delete"}


@dataclass(frozen=True, slots=True)
class _Sight:
    """A state that was seen under a version.

    Attributes:
        before: state before, as a notice says it; None where that is not known.
        notice: whether it is a notice of the log.
        since, until: between which (monotonic) times the record held it.
    """

    epoch: str
    version: int
    state: str
    before: str | None
    notice: bool
    since: float
    until: float
    entry: Entry


def check_transitions(trail: Trail) -> Iterator[Violation]:
    """Check what is told of each session's states by notices, claims, releases, polls and its record at the end."""
    by_session: dict[str, list[_Sight]] = defaultdict(list)
    for session, sight in _sights(trail):
        by_session[session].append(sight)
    for session, sights in by_session.items():
        chain = _Chain(trail, session, sights)
        yield from chain.agreement()
        yield from chain.legality()
        yield from chain.joints()
        yield from chain.causes()
    yield from _steps(trail)


class _Chain:
    """The states of one session by version."""

    def __init__(self, trail: Trail, session: str, sights: list[_Sight]) -> None:
        self._trail, self._session, self._sights = trail, session, sights
        self._by_version: dict[tuple[str, int], _Sight] = {}
        for sight in sights:
            self._by_version.setdefault((sight.epoch, sight.version), sight)
        unique = {(sight.epoch, sight.version, sight.before, sight.state): sight for sight in reversed(sights) if sight.notice}
        self._notices = list(unique.values())

    def agreement(self) -> Iterator[Violation]:
        """Under one version there is one state."""
        told: set[tuple[str, int]] = set()
        for sight in self._sights:
            key = sight.epoch, sight.version
            first = self._by_version[key]
            if sight.state != first.state and key not in told and not self._parted(first, sight):
                told.add(key)
                yield self._violation("state.version", f"one state under version {sight.version}", first, sight)

    def legality(self) -> Iterator[Violation]:
        """A state follows from the one before, by one step of a worker or by what one decision may hold."""
        for sight in self._notices:
            if sight.state not in _reachable(sight.before):
                yield self._violation("state.legal", f"a state that {sight.before or 'nothing'} leads to", sight)

    def joints(self) -> Iterator[Violation]:
        """A state begins where the one before has ended."""
        for sight in self._notices:
            before = self._by_version.get((sight.epoch, sight.version - 1))
            if before is not None and before.state != (sight.before or "") and not self._parted(before, sight):
                yield self._violation("state.version", f"version {sight.version} from {before.state}", before, sight)
            if sight.version == 1 and sight.before is not None:
                yield self._violation("state.version", "version 1 from nothing", sight)

    def causes(self) -> Iterator[Violation]:
        """Nothing is paused, stopped or deleted, and nothing paused goes on, without a command."""
        final = self._trail.finals.get(self._session)
        for sight in self._notices:
            # A child is stopped by controllers, when its parent is over.
            kind = None if sight.state == sight.before else _CAUSES.get(sight.state)
            if sight.before == "paused" and sight.state not in ("paused", *_CAUSES):
                kind = "session.resume"
            if kind is not None and not (final and final.parent and kind == "session.stop") and not self._asked(kind, sight):
                yield self._violation("state.cause", f"a {kind} before it is {sight.state}", sight)

    def _asked(self, kind: str, sight: _Sight) -> bool:
        """Return whether a command may have led to a state."""
        for asking in self._trail.asked(self._session, kind):
            applied = asking.outcome("applied")
            parted = self._trail.parted(asking.began, sight.until)
            if asking.began <= sight.until and (applied or not asking.told or parted):
                versions = applied.version if applied else 0
                if not versions or parted or versions == sight.version:
                    return True
        return False

    def _parted(self, one: _Sight, other: _Sight) -> bool:
        return self._trail.parted(min(one.since, other.since), max(one.until, other.until))

    def _violation(self, rule: str, expected: str, *sights: _Sight) -> Violation:
        seen = ", ".join(f"{sight.before or ''}→{sight.state} at {sight.version} of {sight.epoch}" for sight in sights)
        return Violation(rule, self._session, expected, seen, tuple(sight.entry for sight in sights))


def _sights(trail: Trail) -> Iterator[tuple[str, _Sight]]:
    for item in trail.all(Delivered):
        # What a worker does with a session is drawn as it says, before a controller has followed.
        drawn = item.picture and item.message.type == "session.state" and data_of(item.message)["to"] in _HELD
        if item.message.type == "session.state" and not drawn:
            yield item.session, _of_notice(trail, item)
    calls: list[Claimed | Released | Polled] = [*trail.all(Claimed), *trail.all(Released), *trail.all(Polled)]
    for call in calls:
        state = "running" if isinstance(call, Claimed) else call.state
        if state:
            yield call.session, _Sight(call.epoch, call.version, state, None, False, call.began or call.at, call.at, call)
    for final in trail.finals.values():
        if final.state:
            yield final.session, _Sight(final.epoch, final.version, final.state, None, False, final.at, final.at, final)


def _of_notice(trail: Trail, item: Delivered) -> _Sight:
    data, message = data_of(item.message), item.message
    made = message.made - item.wall + item.at - trail.run.clock_s
    return _Sight(message.epoch, data["version"], data["to"], data["from"], not item.picture, min(made, item.at), item.at, item)


def _steps(trail: Trail) -> Iterator[Violation]:
    """A reader that is told of no gap is told of each version, and has the last at the end.

    Of a version that a worker's own notice has told there is no ``session.state``.
    """
    for reader in trail.readers.values():
        if reader.plane != "status":
            continue
        for session, items in reader.by_session().items():
            last: tuple[int, Delivered] | None = None
            told = False
            for item in items:
                if isinstance(item, Gap):
                    last = None
                elif item.message.type in _TELLS_A_STATE:
                    told = True
                elif item.message.type == "session.state":
                    version = int(data_of(item.message)["version"])
                    next_one = last is None or item.picture or version == last[0] + 1 or (told and version > last[0])
                    if last is not None and not next_one:
                        yield _step(session, f"version {last[0] + 1} next", f"{version}", last[1], item)
                    last, told = (version, item), item.picture
            final = trail.finals.get(session)
            behind = last is not None and final is not None and (last[0] > final.version if told else last[0] != final.version)
            if reader.ended and last is not None and final and behind:
                expected = f"version {final.version}, the last, told to a reader that reached the end"
                yield _step(session, expected, f"{last[0]}", reader.begun, last[1], final)


def _step(session: str, expected: str, seen: str, *entries: Entry) -> Violation:
    return Violation("state.version", session, expected, seen, entries)


@cache
def _reachable(before: str | None) -> frozenset[str]:
    """Return the states that one decision or one step of a worker may lead to.

    A decision handles all commands that wait, then looks at the lease, the picture and the resume time; so it may take several
    steps, and only the last is told.
    """
    begin = State(before) if before else None
    decided: set[State | None] = set()
    todo: list[State | None] = [begin]
    while todo:
        state = todo.pop()
        for (held, trigger), after in TABLE.items():
            if held is state and trigger not in _BY_WORKERS and after not in decided:
                decided.add(after)
                todo.append(after)
    done = {after for (state, trigger), after in TABLE.items() if state is begin and trigger in _BY_WORKERS}
    return frozenset(state.value for state in {*decided, *done} if state is not None)
