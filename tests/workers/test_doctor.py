"""What the doctor says of what is known: the judgement alone, without a server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.bus import Member, Presence, Queue, Queues, Role, Server, Unreadable
from tidings.workers.doctor import Facts, Finding, Level, examine

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SERVER = Server(
    program="redis",
    version="7.0.15",
    replica=False,
    appendonly=True,
    appendfsync="always",
    disk_error=False,
    memory=10,
    maxmemory=100,
    maxmemory_policy="noeviction",
    latency_s=0.0005,
    latency_worst_s=0.001,
    clock_s=0.1,
)


def there(role: Role, name: str, *, live: bool = True, **fields: Any) -> Member:
    """A process on the roll."""
    presence = Presence(role=role, name=name, version="1", **fields)
    return Member(presence, NOW - timedelta(seconds=1 if live else 100), live)


ROLL = (there(Role.CONTROLLER, "c1"), there(Role.WORKER, "w1", concurrency=4, sessions=("sea",)))
WELL = Facts(NOW, SERVER, ROLL, Queues(Queue(0), Queue(0)), lease_s=10, version="1", denied=dict.fromkeys(Role, ()))


def found(facts: Facts, check: str) -> Finding:
    """The worst finding about one thing."""
    order = list(Level)
    return max((finding for finding in examine(facts) if finding.check == check), key=lambda one: order.index(one.level))


def waiting(seconds: float, count: int = 1) -> Queue:
    """A queue whose first session has waited so long."""
    return Queue(count, "sea", NOW - timedelta(seconds=seconds))


def test_a_well_installation_has_nothing_to_be_done() -> None:
    """Every check is there, each says OK and advises nothing."""
    findings = examine(WELL)
    assert {finding.level for finding in findings} == {Level.OK}
    assert not any(finding.advice for finding in findings)
    assert [finding.check for finding in findings] == [
        *("server", "rights", "durability", "eviction", "memory", "latency", "clock"),
        *("controllers", "workers", "records", "ready", "due"),
    ]


@pytest.mark.parametrize(
    ("change", "check", "level", "words"),
    [
        ({"version": None}, "server", Level.NOTE, "INFO"),
        ({"replica": True}, "server", Level.PROBLEM, "primary"),
        ({"appendonly": False}, "durability", Level.PROBLEM, "appendonly yes"),
        ({"appendfsync": "everysec"}, "durability", Level.NOTE, "appendfsync always"),
        ({"appendfsync": "no"}, "durability", Level.NOTE, "appendfsync always"),
        ({"appendfsync": None}, "durability", Level.NOTE, "CONFIG"),
        ({"appendonly": None}, "durability", Level.NOTE, "INFO"),
        ({"disk_error": True}, "durability", Level.PROBLEM, "disk"),
        ({"maxmemory_policy": "allkeys-lru"}, "eviction", Level.PROBLEM, "noeviction"),
        ({"maxmemory_policy": None}, "eviction", Level.NOTE, "INFO"),
        ({"memory": 95}, "memory", Level.NOTE, "maxmemory"),
        ({"memory": 100}, "memory", Level.PROBLEM, "tidings delete"),
        ({"latency_s": 0.2}, "latency", Level.NOTE, "nearer"),
        ({"clock_s": -60.0}, "clock", Level.NOTE, "NTP"),
    ],
)
def test_what_is_wrong_with_a_server_comes_with_what_to_do(change: dict[str, Any], check: str, level: Level, words: str) -> None:
    """One thing changed from well, one finding changed, and its advice names the remedy."""
    finding = found(replace(WELL, server=replace(SERVER, **change)), check)
    assert finding.level is level
    assert words in finding.advice


def test_missing_rights_are_named_by_role() -> None:
    """With the roles that the user does have the rights of; long lists are cut."""
    denied = dict.fromkeys(Role, ()) | {Role.WORKER: tuple(f"HSET {n}" for n in range(9))}
    finding = found(replace(WELL, denied=denied), "rights")
    assert finding.level is Level.PROBLEM
    assert finding.found == "not allowed as worker: HSET 0, HSET 1, HSET 2, HSET 3, HSET 4 and 4 more"
    assert "controller, person, viewer" in finding.advice
    assert found(replace(WELL, denied={}, untried=[Role.WORKER]), "rights").level is Level.PROBLEM
    alone = found(replace(WELL, denied={Role.WORKER: ("HSET x",)}), "rights")
    assert "--role" not in alone.advice


def test_nobody_alive_is_a_problem() -> None:
    """With the name of who was there last; some silent beside living ones are worth a note."""
    silent = there(Role.WORKER, "w0", live=False)
    gone = replace(WELL, roll=(ROLL[0], silent))
    assert found(gone, "workers").level is Level.PROBLEM
    assert "w0" in found(gone, "workers").found
    assert found(replace(WELL, roll=ROLL[1:]), "controllers").advice == "start one: tidings controller"
    assert found(replace(WELL, roll=(*ROLL, silent)), "workers").level is Level.NOTE


def test_a_worker_that_is_starting_is_no_problem() -> None:
    """It is named, and people are told to ask again; beside one that works there is nothing to be done."""
    starting = there(Role.WORKER, "w0", concurrency=4, starting=True)
    alone = replace(WELL, roll=(ROLL[0], starting), queues=Queues(waiting(100), Queue(0)))
    assert found(alone, "workers").level is Level.NOTE
    assert "w0" in found(alone, "workers").found
    assert found(alone, "ready").level is Level.NOTE
    assert found(replace(WELL, roll=(*ROLL, starting)), "workers") == Finding(
        "workers", Level.OK, "1 alive, holding 1 of at most 4 sessions; starting: w0"
    )


def test_processes_of_another_version_are_noted() -> None:
    """An upgrade that was begun is to be ended."""
    other = Member(Presence(role=Role.WORKER, name="w2", version="0.9"), NOW, True)
    assert "0.9" in found(replace(WELL, roll=(*ROLL, other)), "versions").found


def test_sessions_that_wait_long_for_a_worker() -> None:
    """OK for a while; a problem where workers have room; a note where all are busy; a problem where there are none."""
    busy = there(Role.WORKER, "w1", concurrency=1, sessions=("sea",))

    def level(seconds: float, roll: tuple[Member, ...]) -> Level:
        return found(replace(WELL, roll=roll, queues=Queues(waiting(seconds), Queue(0))), "ready").level

    assert level(30, ROLL) is Level.OK
    assert level(31, ROLL) is Level.PROBLEM
    assert level(31, (busy,)) is Level.NOTE
    assert level(31, ()) is Level.PROBLEM
    # Those that are listed were read under this prefix: it cannot be the cause.
    assert "prefix" not in found(replace(WELL, queues=Queues(waiting(31), Queue(0))), "ready").advice


def test_sessions_that_wait_long_for_a_controller() -> None:
    """What lies ahead does not wait; a lease time behind is a problem."""
    for seconds, level in ((-5, Level.OK), (10, Level.OK), (11, Level.PROBLEM)):
        assert found(replace(WELL, queues=Queues(Queue(0), waiting(seconds))), "due").level is level


servers = st.builds(
    Server,
    program=st.none() | st.text(),
    version=st.none() | st.text(),
    replica=st.none() | st.booleans(),
    appendonly=st.none() | st.booleans(),
    appendfsync=st.none() | st.sampled_from(["always", "everysec", "no", "?"]),
    disk_error=st.none() | st.booleans(),
    memory=st.none() | st.integers(0),
    maxmemory=st.none() | st.integers(0),
    maxmemory_policy=st.none() | st.text(),
    latency_s=st.floats(0, 100),
    latency_worst_s=st.floats(0, 100),
    clock_s=st.floats(-1e9, 1e9),
)
times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
queues = st.builds(Queue, st.integers(0), st.none() | st.text(), st.none() | times)
presences = st.builds(
    Presence,
    role=st.sampled_from(Role),
    name=st.text(min_size=1, max_size=200),
    version=st.text(max_size=64),
    sessions=st.lists(st.just("s")).map(tuple),
    concurrency=st.integers(0, 5),
    starting=st.booleans(),
    draining=st.booleans(),
)


@given(
    st.builds(
        Facts,
        now=times,
        server=servers,
        roll=st.lists(st.builds(Member, presences, times, st.booleans())),
        queues=st.builds(Queues, queues, queues),
        lease_s=st.floats(0.1, 3600),
        version=st.text(),
        denied=st.dictionaries(st.sampled_from(Role), st.lists(st.text())),
        untried=st.lists(st.sampled_from(Role)),
        unreadable=st.lists(st.builds(Unreadable, st.text(min_size=1), st.text(), st.booleans())),
    )
)
def test_judging_never_fails_and_bad_findings_say_what_to_do(facts: Facts) -> None:
    """Whatever is known or not: every check that matters is there, and OK alone has no advice."""
    findings = examine(facts)
    assert {
        "server",
        "rights",
        "durability",
        "eviction",
        "latency",
        "clock",
        "controllers",
        "workers",
        "records",
        "ready",
        "due",
    } <= {finding.check for finding in findings}
    for finding in findings:
        assert finding.found
        assert bool(finding.advice) is (finding.level is not Level.OK)


def test_records_that_cannot_be_read_are_named() -> None:
    """And what can still be done with them; those of another version are no fault."""
    broken, other = Unreadable("sea", "version: ValueError", False), Unreadable("sky", "schema", True)
    finding = found(replace(WELL, unreadable=[broken, other]), "records")
    assert (finding.level, "sea" in finding.found, "sky" in finding.found) == (Level.PROBLEM, True, False)
    assert "tidings delete" in finding.advice
    assert finding.found == "the record of 1 session cannot be read: sea (version: ValueError)"
    finding = found(replace(WELL, unreadable=[other]), "records")
    assert (finding.level, "tidings import" in finding.advice) == (Level.NOTE, True)
    assert finding.found == "1 session was written by another version of Tidings: sky"
    several = [Unreadable(name, "schema", True) for name in ("sky", "sun")]
    assert found(replace(WELL, unreadable=several), "records").found.startswith("2 sessions were written by")


def test_sessions_that_take_no_events_are_named() -> None:
    """And how their history goes on."""
    finding = found(replace(WELL, unreadable=[Unreadable("sea", "its events log", other_schema=False, spoiled=True)]), "records")
    assert (finding.level, "sea" in finding.found, "tidings import" in finding.advice) == (Level.PROBLEM, True, True)


def test_sessions_that_controllers_gave_up_are_told() -> None:
    """Where no record explains it; by controllers that live."""
    roll = (*ROLL, there(Role.CONTROLLER, "c2", unreadable=2), there(Role.CONTROLLER, "c3", live=False, unreadable=9))
    finding = found(replace(WELL, roll=roll), "undecided")
    assert (finding.level, "c2 2" in finding.found, "c3" in finding.found) == (Level.PROBLEM, True, False)
    explained = replace(WELL, roll=roll, unreadable=[Unreadable("sea", "version: ValueError", False)])
    assert "undecided" not in {one.check for one in examine(explained)}


def test_messages_left_out_are_told_with_who_met_them() -> None:
    """Of those that live; a process that is gone has met them before."""
    roll = (*ROLL, there(Role.WORKER, "w2", skipped=3), there(Role.WORKER, "w3", live=False, skipped=9))
    finding = found(replace(WELL, roll=roll), "messages")
    assert (finding.level, "w2 3" in finding.found, "w3" in finding.found) == (Level.NOTE, True, False)


def test_what_is_no_record_has_an_advice_of_its_own() -> None:
    """It can be neither exported nor deleted."""
    other = Unreadable("sea", "the key k is a string and not a hash", other_schema=False, advice="rename it")
    finding = found(replace(WELL, unreadable=[other]), "records")
    assert finding.found == "session sea cannot be read: the key k is a string and not a hash"
    assert finding.advice == "rename it"


def test_a_queue_without_a_worker_is_a_problem() -> None:
    """With how many wait, and what to type; what a worker serves is none."""
    waiting = {("default", None): 2, ("gpu", None): 1, ("gpu", "coder"): 3}
    served = [replace(one, presence=one.presence.model_copy(update={"queues": ("default",)})) for one in ROLL]
    found = [finding for finding in examine(replace(WELL, roll=served, waiting=waiting)) if finding.check == "unserved"]
    assert [finding.found for finding in found] == [
        "3 wait for queue gpu with agent coder, which no live worker serves",
        "1 waits for queue gpu, which no live worker serves",
    ]
    assert "tidings worker --queue gpu --agent coder=MODULE:CLASS" in found[0].advice
