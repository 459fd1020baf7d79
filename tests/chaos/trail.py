"""The record of a fault run, looked at by session, lease, command and reader; and what its faults may have taken.

Times are monotonic seconds. What was done is known to have happened between ``began`` and ``acked``, and no closer.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from tests.chaos.record import (
    Answered,
    AppendBegun,
    Appended,
    AppendFailed,
    Asked,
    AskFailed,
    Ceased,
    Claimed,
    Delivered,
    Ended,
    Entry,
    Fault,
    Final,
    Gap,
    Lease,
    Outcome,
    Run,
    Stored,
    Subscribed,
    Text,
    merged,
)
from tidings.workers.family import derived

E = TypeVar("E", bound=Entry)

_CUT_SUBSCRIBERS = frozenset({"kill-subscribers", "small-buffers"})
"""Faults that end the subscriptions of the run itself too: it has no proxy."""
_HEARS_AGAIN_S = 1.0
"""How long it may take to subscribe again on a busy machine."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that was promised and not kept.

    Attributes:
        rule: which promise, as it is named in ``checker.RULES``.
        session: where; '' where it is about no session.
        expected: what was promised, for this case.
        seen: what the record says instead.
        entries: what that rests on.
    """

    rule: str
    session: str
    expected: str
    seen: str
    entries: tuple[Entry, ...] = ()

    def __str__(self) -> str:
        where = f" in session {self.session}" if self.session else ""
        lines = [f"{self.rule}{where}: expected {self.expected}; seen: {self.seen}"]
        return "\n".join(lines + [f"    {_shown(entry)}" for entry in self.entries])


@dataclass(slots=True)
class Write:
    """One append, from its beginning to what is known of its end.

    Attributes:
        begun: what was to be appended, under which lease.
        done: its acknowledgement; None: there was none.
    """

    begun: AppendBegun
    done: Appended | None = None


@dataclass(slots=True)
class Written:
    """One event that was written, by all calls that tried it.

    Attributes:
        type: its type.
        text: what it says: for an append its whole body, for a command what was to be said.
        began: when the first call began.
        acks: when it was acknowledged.
        entries: what it is known from.
        tries: how often it was sent.
    """

    type: str
    text: str
    began: float
    acks: list[float] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    tries: int = 0


@dataclass(frozen=True, slots=True)
class RetryNotice:
    """One telling of the outcome of a command."""

    at: float
    result: str
    state: str
    version: int
    entry: Entry


@dataclass(slots=True)
class Asking:
    """One command, by all its sendings and all tellings of its outcome.

    Attributes:
        asks: each sending with its end; None: it has none.
        told: each telling, in the order of time.
    """

    id: str
    session: str
    kind: str
    text: str | None
    asks: list[tuple[Asked, Answered | AskFailed | None]] = field(default_factory=list)
    told: list[RetryNotice] = field(default_factory=list)

    @property
    def began(self) -> float:
        """When it was sent first."""
        return min(asked.at for asked, _ in self.asks)

    @property
    def said(self) -> str:
        """Id of the event that it adds to the history, if it says something."""
        return derived(self.id, "said")

    def outcome(self, result: str) -> RetryNotice | None:
        """Return the first telling of a result."""
        return next((told for told in self.told if told.result == result), None)

    def expires(self, at: float = math.inf) -> float:
        """Return the time of day after which none of the sendings before ``at`` may be applied; inf where one may for good."""
        ends = [asked.expires for asked, _ in self.asks if asked.at <= at]
        return math.inf if not ends or None in ends else max(end for end in ends if end is not None)


@dataclass(slots=True)
class Reader:
    """One subscription and what it was given, in its order."""

    begun: Subscribed
    items: list[Delivered | Gap] = field(default_factory=list)
    ceased: Ceased | None = None

    @property
    def plane(self) -> str:
        """Plane of its channel."""
        return self.begun.channel.partition(".")[0]

    @property
    def ended(self) -> bool:
        """Whether it was given the time to reach the end."""
        return self.ceased is not None and self.ceased.end and not self.ceased.error

    def by_session(self) -> dict[str, list[Delivered | Gap]]:
        """Return its items by session; one of a single channel has its session, also with no item."""
        session = self.begun.channel.partition(".")[2]
        found: dict[str, list[Delivered | Gap]] = {} if session == "*" else {session: []}
        for item in self.items:
            found.setdefault(item.session, []).append(item)
        return found


class Trail:
    """The record, indexed.

    Args:
        entries: the record, in any order.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries: Sequence[Entry] = merged(entries)
        self._by_kind: dict[type[Entry], list[Any]] = defaultdict(list)
        for entry in self.entries:
            self._by_kind[type(entry)].append(entry)

    def all(self, kind: type[E]) -> list[E]:
        """Return the entries of a kind, in the order of time."""
        return self._by_kind[kind]

    @cached_property
    def run(self) -> Run:
        """What the run is."""
        runs = self.all(Run)
        return runs[0] if runs else Run(mode="always")

    @cached_property
    def finals(self) -> dict[str, Final]:
        """The sessions at the end, by id."""
        return {final.session: final for final in self.all(Final)}

    # what the faults may have taken

    @cached_property
    def losses(self) -> list[Fault]:
        """The faults that may have lost data."""
        return [fault for fault in self.all(Fault) if fault.keeps is not None]

    def takers(self, began: float, acked: float, before: float = math.inf) -> Iterator[Fault]:
        """Yield the faults before a time that may have lost what was done between two others."""
        for fault in self.losses:
            if fault.keeps is not None and acked > fault.keeps and began <= _end(fault) and fault.at < before:
                yield fault

    def lost(self, began: float, acked: float, before: float = math.inf) -> bool:
        """Return whether what was done between two times may have been lost before another."""
        return next(self.takers(began, acked, before), None) is not None

    def parted(self, first: float, last: float) -> bool:
        """Return whether data may have been lost between two times, so that what is known of both may be of two worlds."""
        return any(_end(fault) >= first and fault.at <= last for fault in self.losses)

    def deaf(self, first: float, last: float) -> bool:
        """Return whether the run itself may not have heard what was published between two times."""
        cuts = (fault for fault in self.all(Fault) if fault.kind in _CUT_SUBSCRIBERS)
        return self.parted(first, last) or any(_end(fault) + _HEARS_AGAIN_S >= first and fault.at <= last for fault in cuts)

    @cached_property
    def ended(self) -> frozenset[str]:
        """The processes that were ended from outside, so that they may have noted no end of what they did."""
        return frozenset(entry.name for entry in self.all(Ended) if entry.wanted)

    # workers

    @cached_property
    def writes(self) -> dict[str, list[Write]]:
        """The appends by session, in the order in which they began."""
        by_call: dict[str, Write] = {}
        found: dict[str, list[Write]] = defaultdict(list)
        for begun in self.all(AppendBegun):
            write = by_call[begun.call] = Write(begun)
            found[begun.session].append(write)
        for done in self.all(Appended):
            if done.call in by_call:
                by_call[done.call].done = done
        return found

    @cached_property
    def claims(self) -> dict[str, list[Claimed]]:
        """The claims by session, in the order in which they were acknowledged."""
        found: dict[str, list[Claimed]] = defaultdict(list)
        for claim in self.all(Claimed):
            found[claim.session].append(claim)
        return found

    @cached_property
    def _claims_by_lease(self) -> dict[tuple[str, ...], list[Claimed]]:
        found: dict[tuple[str, ...], list[Claimed]] = defaultdict(list)
        for claim in self.all(Claimed):
            found[lease_of(claim)].append(claim)
        return found

    def claim_of(self, lease: Lease) -> Claimed | None:
        """Return the claim of which something was done: the last before it, where a loss had a token given again."""
        return max(
            (claim for claim in self._claims_by_lease[lease_of(lease)] if claim.at <= lease.at),
            key=lambda claim: claim.at,
            default=None,
        )

    @cached_property
    def unfinished(self) -> list[Entry]:
        """The calls that have no end, though their process was not ended. One that waits for nothing (``submit``) needs none."""
        kinds: tuple[type[Entry], ...] = (Appended, AppendFailed, Answered, AskFailed)
        ended = {entry.call for kind in kinds for entry in self._by_kind[kind]}
        waited = [asked for asked in self.all(Asked) if asked.expires is not None]
        begun: list[AppendBegun | Asked] = [*self.all(AppendBegun), *waited]
        return [entry for entry in begun if entry.call not in ended and entry.actor not in self.ended]

    # commands

    @cached_property
    def commands(self) -> dict[str, Asking]:
        """The commands by id."""
        ends = {end.call: end for kind in (Answered, AskFailed) for end in self._by_kind[kind]}
        found: dict[str, Asking] = {}
        for asked in self.all(Asked):
            asking = found.setdefault(asked.command, Asking(asked.command, asked.session, asked.kind, asked.text))
            end = ends.get(asked.call)
            asking.asks.append((asked, end))
            if isinstance(end, Answered):
                asking.told.append(RetryNotice(end.at, end.result, end.state, end.version, end))
        for outcome in self.all(Outcome):
            if outcome.command in found:
                told = RetryNotice(outcome.at, outcome.result, outcome.state, outcome.version, outcome)
                found[outcome.command].told.append(told)
        for asking in found.values():
            asking.told.sort(key=lambda told: told.at)
        return found

    @cached_property
    def stored(self) -> dict[str, list[Stored]]:
        """The commands that were heard to be stored, by session, in the order of time."""
        found: dict[str, list[Stored]] = defaultdict(list)
        for stored in self.all(Stored):
            found[stored.session].append(stored)
        return found

    def asked(self, session: str, kind: str) -> list[Asking]:
        """Return the commands of a kind for a session."""
        return [asking for asking in self.commands.values() if asking.session == session and asking.kind == kind]

    # events

    @cached_property
    def written(self) -> dict[tuple[str, str], Written]:
        """What was written into histories, by session and id."""
        found: dict[tuple[str, str], Written] = {}
        for session, writes in self.writes.items():
            for write in writes:
                for event in write.begun.events:
                    one = found.setdefault((session, event.id), Written(event.type, event.body, write.begun.at))
                    one.tries += 1
                    one.acks += [write.done.at] if write.done else []
                    one.entries += [write.begun, write.done] if write.done else [write.begun]
        for asking in self.commands.values():
            if asking.text is not None:
                kind = "child.result" if asking.kind == "session.report" else "user.message"
                applied = [told for told in asking.told if told.result == "applied"]
                entries: list[Entry] = [asking.asks[0][0], *(told.entry for told in applied[:1])]
                acks = [told.at for told in applied]
                found[asking.session, asking.said] = Written(kind, asking.text, asking.began, acks, entries, len(asking.asks))
        return found

    def acked(self, one: Written) -> float:
        """Return when an event was acknowledged: of one that may have been lost and sent again the last time; inf: it was not."""
        if not one.acks:
            return math.inf
        first, last = min(one.acks), max(one.acks)
        return last if self.parted(first, last) else first

    # readers

    @cached_property
    def readers(self) -> dict[str, Reader]:
        """The subscriptions by name."""
        found = {begun.reader: Reader(begun) for begun in self.all(Subscribed)}
        # In the order in which they were noted: entries of one process keep it where times are equal.
        for item in self.entries:
            if isinstance(item, Delivered | Gap) and item.reader in found:
                found[item.reader].items.append(item)
        for ceased in self.all(Ceased):
            if ceased.reader in found:
                found[ceased.reader].ceased = ceased
        return found

    def plane(self, item: Delivered | Gap) -> str:
        """Return on which plane a reader was given something; '' where it noted no beginning."""
        return self.readers[item.reader].plane if item.reader in self.readers else ""


def lease_of(entry: Lease) -> tuple[str, ...]:
    """Return what tells the lease under which an entry acts from every other."""
    return entry.session, entry.worker, entry.epoch, str(entry.token), entry.lease


def data_of(message: Text) -> dict[str, Any]:
    """Return what a message says."""
    data = json.loads(message.body)
    return data if isinstance(data, dict) else {}


def _end(fault: Fault) -> float:
    return max(fault.at, fault.until)


def _shown(entry: Entry) -> str:
    """Return an entry on one line, the long parts cut."""
    text = repr(entry)
    return text if len(text) <= 600 else f"{text[:600]} …"
