"""Leases: a token is one worker's, and who was followed by another writes nothing more."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator

from tests.chaos.record import Claimed, Entry, Lease, Released, Renewed
from tests.chaos.trail import Asking, RetryNotice, Trail, Violation, lease_of


def check_leases(trail: Trail) -> Iterator[Violation]:
    """Check claims, and everything that was granted under them."""
    for session, claims in trail.claims.items():
        yield from _tokens(trail, session, claims)
        yield from _followed(trail, session, claims)
        yield from _revoked(trail, session)
    yield from _released(trail)


def _tokens(trail: Trail, session: str, claims: list[Claimed]) -> Iterator[Violation]:
    """A token is given once, and a later claim has a larger one; unless data may have been lost in between."""
    for one, other in itertools.pairwise(claims):
        first, last = min(one.began, other.began), max(one.at, other.at)
        if one.epoch != other.epoch or trail.parted(first, last):
            continue
        if one.token == other.token:
            yield Violation("lease.token", session, "each token given once", f"{one.token} was given twice", (one, other))
        elif one.at < other.began and one.token > other.token:
            yield Violation("lease.token", session, f"a token above {one.token}", f"{other.token}", (one, other))
    yield from _shared(trail, session)


def _shared(trail: Trail, session: str) -> Iterator[Violation]:
    """Nothing is granted to two workers under one token; with a random part under one lease, whatever was lost in between."""
    users: dict[tuple[str, int, str], dict[str, tuple[Lease, float]]] = defaultdict(dict)
    for write, acked in _granted(trail, session):
        users[write.epoch, write.token, write.lease].setdefault(write.worker, (write, acked))
    for (_, token, lease), found in users.items():
        for (one, _), (other, acked) in itertools.pairwise(found.values()):
            if lease or not trail.parted(one.at, acked):
                seen = f"{one.worker} and {other.worker} both under token {token}"
                yield Violation("lease.token", session, "one worker a token", seen, (one, other))


def _followed(trail: Trail, session: str, claims: list[Claimed]) -> Iterator[Violation]:
    """After the acknowledgement of a later claim nothing that begins then is granted under an older one."""
    for write, acked in _granted(trail, session):
        mine = trail.claim_of(write)
        for later in claims:
            began = write.began or write.at
            if mine is None or lease_of(later) == lease_of(write) or later.at >= began or not _after(later, mine, trail):
                continue
            # A claim that was lost with the tail follows nobody.
            if not trail.lost(later.began, later.at, before=acked):
                expected = f"nothing granted to {write.worker} under token {write.token}, which {later.worker} has followed"
                yield Violation("lease.fenced", session, expected, "it was granted", (mine, later, write))
                break


def _after(later: Claimed, mine: Claimed, trail: Trail) -> bool:
    """Return whether a claim was granted after another."""
    if later.epoch == mine.epoch and not trail.parted(min(later.began, mine.began), max(later.at, mine.at)):
        return later.token > mine.token
    return mine.at <= later.began


def _revoked(trail: Trail, session: str) -> Iterator[Violation]:
    """After a pause or a stop nothing that begins then is granted to the worker that held the session."""
    endings = [
        (asking, told)
        for kind in ("session.pause", "session.stop")
        for asking in trail.asked(session, kind)
        if (told := asking.outcome("applied")) is not None
    ]
    if not endings:
        return
    for write, acked in _granted(trail, session):
        mine = trail.claim_of(write)
        for asking, told in endings:
            if mine is not None and _takes(trail, asking, told, mine, write) and not trail.lost(asking.began, told.at, acked):
                expected = f"nothing granted to {write.worker} after the {asking.kind} was applied"
                yield Violation("lease.revoked", session, expected, "it was granted", (mine, told.entry, write))
                break


def _takes(trail: Trail, asking: Asking, told: RetryNotice, mine: Claimed, write: Lease) -> bool:
    """Return whether a pause or stop came after a claim, and was answered before something was written under it."""
    if told.at >= (write.began or write.at):
        return False
    if told.version and not trail.parted(min(asking.began, mine.began), max(told.at, mine.at)):
        return told.version > mine.version
    return asking.began > mine.at


def _released(trail: Trail) -> Iterator[Violation]:
    """After its release nothing that begins then is granted under a lease."""
    for release in trail.all(Released):
        for write, acked in _granted(trail, release.session):
            late = lease_of(write) == lease_of(release) and (write.began or write.at) > release.at
            # Where a loss had the token given again it is another lease.
            late = late and trail.claim_of(write) is trail.claim_of(release)
            if late and not trail.lost(release.began, release.at, acked):
                expected = f"nothing granted under token {release.token} after its release"
                entries: tuple[Entry, ...] = (release, write)
                yield Violation("lease.fenced", release.session, expected, "it was granted", entries)


def _granted(trail: Trail, session: str) -> Iterator[tuple[Lease, float]]:
    """Yield what was granted under leases of a session, appends and renewals, each with the time of its acknowledgement."""
    for write in trail.writes.get(session, ()):
        if write.done is not None and write.begun.events:
            yield write.begun, write.done.at
    for renewed in trail.all(Renewed):
        if renewed.session == session:
            yield renewed, renewed.at
