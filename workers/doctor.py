"""The doctor: what is known of an installation, judged, and what to do about each finding. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tidings.bus import Member, Queue, Queues, Role, Server, Unreadable
from tidings.bus.channels import Place

SLOW_S = 0.05
"""A round trip that makes each step of a fleet slow; within a data centre it is 0.5 ms, within a region 20."""
CLOCK_S = 5.0
"""A difference of clocks that people notice when they compare times; nothing else depends on it."""
FULL = 0.9
"""Part of the memory allowed beyond which it is time to do something."""
_NAMED = 5
"""Processes or rights that are named; of the others only the number is told."""


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing."""
    PROBLEM = "problem"
    """Something does not work, or data can be lost."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: stable name of what was looked at.
        level: how bad it is.
        found: what was found, for a person.
        advice: what to do; empty where nothing is to be done.
    """

    check: str
    level: Level
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the findings rest on.

    Attributes:
        now: server time.
        server: what the server is like.
        roll: which processes there are.
        queues: what waits.
        lease_s: length of a lease in seconds.
        version: of Tidings, here.
        denied: what each role would need and our user may not do; for the roles that were tried.
        untried: roles that could not be tried, because we may not open a transaction.
        unreadable: sessions with records that cannot be read.
        waiting: how many sessions wait for a worker, by queue and agent.
    """

    now: datetime
    server: Server
    roll: Sequence[Member]
    queues: Queues
    lease_s: float
    version: str
    denied: Mapping[Role, Sequence[str]] = field(default_factory=dict)
    untried: Sequence[Role] = ()
    unreadable: Sequence[Unreadable] = ()
    waiting: Mapping[Place, int] = field(default_factory=dict)


def examine(facts: Facts) -> list[Finding]:
    """Judge the facts, in the order in which to mend what is wrong."""
    return [
        *_server(facts.server),
        _rights(facts),
        *_durability(facts.server),
        *_memory(facts.server),
        _latency(facts.server),
        _clock(facts.server),
        _live(facts, Role.CONTROLLER),
        _live(facts, Role.WORKER),
        *_versions(facts),
        *_records(facts),
        *_undecided(facts),
        *_unserved(facts),
        *_messages(facts),
        _ready(facts),
        _due(facts),
    ]


def _server(server: Server) -> Iterator[Finding]:
    if server.version is None:
        yield Finding("server", Level.NOTE, "the server does not say what it is", "give the user the right to INFO")
    else:
        yield Finding("server", Level.OK, f"{server.program} {server.version}")
    if server.replica:
        advice = "give the address of the primary (TIDINGS_REDIS_URL)"
        yield Finding("server", Level.PROBLEM, "the server is a replica and takes no writes", advice)


def _rights(facts: Facts) -> Finding:
    missing = {role: denied for role, denied in facts.denied.items() if denied}
    if facts.untried:
        advice = "give the user +multi and +discard: rights are tried in a transaction that is discarded"
        return Finding("rights", Level.PROBLEM, "the user may not open a transaction", advice)
    if not missing:
        return Finding("rights", Level.OK, f"the user may do the work of every role asked for: {', '.join(facts.denied)}")
    told = "; ".join(f"as {role}: {_some(denied)}" for role, denied in missing.items())
    able = [role.value for role in facts.denied if role not in missing]
    advice = "give the user the rights of its role (docs/operations.md)"
    if able:
        advice += f"; if it is only meant for one of {', '.join(able)}, ask with --role"
    return Finding("rights", Level.PROBLEM, f"not allowed {told}", advice)


def _durability(server: Server) -> Iterator[Finding]:
    if server.disk_error:
        advice = "look at the disk of the server and at its log; it refuses writes until it can write"
        yield Finding("durability", Level.PROBLEM, "the server cannot write to its disk", advice)
    if server.appendonly is None:
        advice = "give the user the right to INFO, or see yourself that appendonly is yes and appendfsync is always"
        yield Finding("durability", Level.NOTE, "the server does not say whether it keeps its data", advice)
    elif not server.appendonly:
        advice = "set `appendonly yes` and `appendfsync always`"
        yield Finding(
            "durability", Level.PROBLEM, "a restart of the server loses what is not in a snapshot: no append-only file", advice
        )
    elif server.appendfsync is None:
        advice = "see yourself that appendfsync is always, or give the user CONFIG|GET (it shows the server's password too)"
        yield Finding("durability", Level.NOTE, "there is an append-only file; the server does not say when it is synced", advice)
    elif server.appendfsync == "always":
        yield Finding("durability", Level.OK, "what is acknowledged is on the disk (appendfsync always)")
    else:
        loss = "about the last 2 s" if server.appendfsync == "everysec" else "what the system has not written by itself"
        found = f"a crash of the machine loses {loss} (appendfsync {server.appendfsync})"
        yield Finding("durability", Level.NOTE, found, "set `appendfsync always` if that is not acceptable")


def _memory(server: Server) -> Iterator[Finding]:
    if server.maxmemory_policy is None:
        yield Finding(
            "eviction", Level.NOTE, "the server does not say what it does when it is full", "give the user the right to INFO"
        )
    elif server.maxmemory_policy != "noeviction":
        found = f"a full server throws sessions away (maxmemory-policy {server.maxmemory_policy})"
        yield Finding("eviction", Level.PROBLEM, found, "set `maxmemory-policy noeviction`")
    else:
        yield Finding("eviction", Level.OK, "a full server refuses writes and loses nothing (noeviction)")
    if server.memory is not None and server.maxmemory:
        used = server.memory / server.maxmemory
        level = Level.PROBLEM if used >= 1 else Level.NOTE if used >= FULL else Level.OK
        advice = (
            "delete sessions (tidings delete --older-than 30d) or raise maxmemory: "
            "a full server lets sessions be deleted and kept, and refuses all else"
        )
        advice = "" if level is Level.OK else advice
        yield Finding("memory", level, f"{used:.0%} of maxmemory is used", advice)


def _latency(server: Server) -> Finding:
    found = f"a round trip takes {server.latency_s * 1000:.1f} ms, at the worst {server.latency_worst_s * 1000:.1f} ms"
    if server.latency_s > SLOW_S:
        return Finding("latency", Level.NOTE, found, "run workers and controllers nearer to the server")
    return Finding("latency", Level.OK, found)


def _clock(server: Server) -> Finding:
    found = f"the server's clock and ours differ by {abs(server.clock_s):.1f} s"
    if abs(server.clock_s) > CLOCK_S:
        advice = "set both by NTP; Tidings goes by the server's, but people compare times"
        return Finding("clock", Level.NOTE, found, advice)
    return Finding("clock", Level.OK, found)


def _live(facts: Facts, role: Role) -> Finding:
    those = [one for one in facts.roll if one.presence.role is role]
    live = [one for one in those if one.live and not one.presence.starting]
    starting = [one.presence.name for one in those if one.live and one.presence.starting]
    silent = sorted((one for one in those if not one.live), key=lambda one: one.seen_at, reverse=True)
    check = f"{role.value}s"
    if not live and starting:
        advice = "ask again in some seconds (a worker first imports litellm); if it stays so, look at its log"
        return Finding(check, Level.NOTE, f"no {role.value} works yet; starting: {_some(starting)}", advice)
    if not live:
        last = f"; the last one heard of was {silent[0].presence.name}" if silent else ""
        return Finding(check, Level.PROBLEM, f"no {role.value} is alive{last}", f"start one: tidings {role.value}")
    found = f"{len(live)} alive"
    if role is Role.WORKER:
        held, room = sum(len(one.presence.sessions) for one in live), sum(one.presence.concurrency for one in live)
        found += f", holding {held} of at most {room} sessions"
    if starting:
        found += f"; starting: {_some(starting)}"
    if silent:
        advice = "they ended without saying so: look at their logs; after a day they are forgotten"
        return Finding(check, Level.NOTE, f"{found}; silent: {_some([one.presence.name for one in silent])}", advice)
    return Finding(check, Level.OK, found)


def _versions(facts: Facts) -> Iterator[Finding]:
    others = sorted({one.presence.version for one in facts.roll if one.live} - {facts.version})
    if others:
        found = f"this is Tidings {facts.version}, and there are processes of {_some(others)}"
        yield Finding("versions", Level.NOTE, found, "end the upgrade: restart those that are older")


def _records(facts: Facts) -> Iterator[Finding]:
    """Name the sessions that cannot be read or written; those that another version wrote are in order."""
    ours = [one for one in facts.unreadable if not (one.other_schema or one.spoiled or one.advice)]
    broken = sorted(f"{one.session} ({one.cause})" for one in ours)
    spoiled = sorted(one.session for one in facts.unreadable if one.spoiled)
    others = sorted(one.session for one in facts.unreadable if one.other_schema)
    if broken:
        what = "record of 1 session" if len(broken) == 1 else f"records of {len(broken)} sessions"
        found = f"the {what} cannot be read: {_some(broken)}"
        advice = "`tidings export SESSION` keeps a history, `tidings delete --force SESSION` takes the session away"
        yield Finding("records", Level.PROBLEM, found, advice)
    for one in sorted((one for one in facts.unreadable if one.advice), key=lambda one: one.session)[:_NAMED]:
        yield Finding("records", Level.PROBLEM, f"session {one.session} cannot be read: {one.cause}", one.advice)
    if spoiled:
        found = f"something else wrote into the events logs of {len(spoiled)} sessions, nothing can be appended: {_some(spoiled)}"
        advice = (
            "`tidings export SESSION` keeps the history, `tidings import FILE --as NAME` goes on with it under another name, "
            "`tidings delete --force SESSION` takes the session away"
        )
        yield Finding("records", Level.PROBLEM, found, advice)
    if others:
        what = "1 session was" if len(others) == 1 else f"{len(others)} sessions were"
        found = f"{what} written by another version of Tidings: {_some(others)}"
        advice = "`tidings export SESSION` with that version, then `tidings import FILE` with this one"
        yield Finding("records", Level.NOTE, found, advice)
    if not facts.unreadable:
        yield Finding("records", Level.OK, "every record can be read")


def _undecided(facts: Facts) -> Iterator[Finding]:
    """Tell of sessions that controllers have set aside although their records can be read."""
    aside = sorted(f"{one.presence.name} {one.presence.unreadable}" for one in facts.roll if one.live and one.presence.unreadable)
    if aside and not facts.unreadable:
        found = f"controllers have set sessions aside that they could not decide: {_some(aside)}"
        advice = "look for session.quarantined in their logs; if it was mended, this ends in a quarter of an hour"
        yield Finding("undecided", Level.PROBLEM, found, advice)


def _unserved(facts: Facts) -> Iterator[Finding]:
    """Tell of queues and agents that sessions wait for and no live worker serves."""
    workers = [one.presence for one in facts.roll if one.live and one.presence.role is Role.WORKER]
    for (queue, agent), count in sorted(facts.waiting.items(), key=str):
        if not any(worker.serves((queue, agent)) for worker in workers):
            whom = f"queue {queue}" + (f" with agent {agent}" if agent else "")
            found = f"{count} {'waits' if count == 1 else 'wait'} for {whom}, which no live worker serves"
            flags = f"--queue {queue}" + (f" --agent {agent}=MODULE:CLASS" if agent else "")
            yield Finding("unserved", Level.PROBLEM, found, f"start one: tidings worker {flags}; or move them: tidings change")


def _messages(facts: Facts) -> Iterator[Finding]:
    those = sorted(f"{one.presence.name} {one.presence.skipped}" for one in facts.roll if one.live and one.presence.skipped)
    if those:
        found = f"messages that could not be read were left out: {_some(those)}"
        advice = "look for message.unreadable in their logs: something else writes into these channels, or a disk is going bad"
        yield Finding("messages", Level.NOTE, found, advice)


def _ready(facts: Facts) -> Finding:
    queue = facts.queues.ready
    age = _age(queue, facts.now)
    if age is None:
        return Finding("ready", Level.OK, "no session waits for a worker")
    found = f"{queue.length} {'waits' if queue.length == 1 else 'wait'} for a worker, {queue.first} for {age:.0f} s"
    if age <= 3 * facts.lease_s:
        return Finding("ready", Level.OK, found)
    alive = [one.presence for one in facts.roll if one.live and one.presence.role is Role.WORKER]
    workers = [one for one in alive if not one.starting]
    if any(len(one.sessions) < one.concurrency and not one.draining for one in workers):
        advice = "workers have room and do not take it: look at their logs"
        return Finding("ready", Level.PROBLEM, found, advice)
    level = Level.NOTE if alive else Level.PROBLEM
    return Finding("ready", level, found, "start more workers, or raise --concurrency")


def _due(facts: Facts) -> Finding:
    queue = facts.queues.due
    age = _age(queue, facts.now)
    if age is None or age <= 0:
        return Finding("due", Level.OK, "no session waits for a controller")
    found = f"{queue.first} has waited for a controller for {age:.0f} s"
    if age > facts.lease_s:
        return Finding("due", Level.PROBLEM, found, "start a controller, or look at the logs of those that run")
    return Finding("due", Level.OK, found)


def _age(queue: Queue, now: datetime) -> float | None:
    return None if queue.since is None else (now - queue.since).total_seconds()


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
