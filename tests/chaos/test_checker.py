"""The checker, by planted violations: each rule finds the record that breaks it, and lets the one pass that just does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from tests.chaos.checker import RULES, check
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
    Left,
    Outcome,
    Output,
    Polled,
    Released,
    Renewed,
    Run,
    Stored,
    Subscribed,
    Text,
)

E = TypeVar("E", bound=Entry)
Change = Entry | Callable[[Entry], Entry | None]
WALL = 1_800_000_000.0
MARKER, SECRET = "told-in-a-notice", "Kq8-planted-Zr5vX2m"


def event(offset: int, id_: str, epoch: str = "e1", text: str = "", kind: str = "agent.message", **data: Any) -> Text:
    """Return an event; what it says is made of its id."""
    body = json.dumps({"text": text or f"says {id_}", **data}, sort_keys=True)
    return Text(id=id_, type=kind, body=body, made=WALL + 1.1, offset=offset, epoch=epoch)


def said(offset: int, command: str = "c1", text: str = "hello", **more: Any) -> Text:
    """Return the event of something that a person said."""
    return event(offset, f"{command}.said", text=text, kind="user.message", **more)


def notice(offset: int, id_: str, kind: str = "llm.retry", epoch: str = "e1", **data: Any) -> Text:
    """Return a notice."""
    return Text(id=id_, type=kind, body=json.dumps(data), made=WALL + offset, offset=offset, epoch=epoch)


def moved(offset: int, version: int, before: str | None, state: str, **more: Any) -> Text:
    """Return the notice of a change of state."""
    return notice(offset, f"v{version}", "session.state", **{"from": before, "to": state, "version": version, **more})


def given(at: float, reader: str, message: Text, picture: bool = False) -> Delivered:
    """Return the delivery of a message."""
    return Delivered(at=at, wall=WALL + at, reader=reader, session="s", message=message, picture=picture)


def asked(at: float, command: str, kind: str, text: str | None = None, timeout_s: float = 1.0, **more: Any) -> Asked:
    """Return the sending of a command; its call is named after the command unless it is said."""
    call = more.pop("call", f"call-{command}")
    expires = WALL + at + timeout_s
    return Asked(at=at, wall=WALL + at, call=call, session="s", command=command, kind=kind, text=text, expires=expires, **more)


def answered(at: float, command: str, result: str = "applied", **more: Any) -> Answered:
    """Return the answer to a command."""
    return Answered(at=at, wall=WALL + at, call=more.pop("call", f"call-{command}"), result=result, **more)


def outcome(at: float, command: str, result: str = "applied", how: str = "channel", **more: Any) -> Outcome:
    """Return an outcome that was published or stored."""
    return Outcome(at=at, wall=WALL + at, session="s", command=command, result=result, how=how, **more)


def held(kind: Callable[..., E], at: float, worker: str = "w1", token: int = 1, **more: Any) -> E:
    """Return an entry of a worker under its lease; the call took a tenth of a second."""
    fields = {"at": at, "wall": WALL + at, "began": at - 0.1, "session": "s", "worker": worker, "epoch": "e1", "token": token}
    return kind(**{**fields, **more})


def appended(at: float, call: str, *events: Text, ack: float | None = None, **lease: Any) -> list[Entry]:
    """Return an append of events with their places, acknowledged a tenth of a second later; 0: never."""
    bare = tuple(replace(one, offset=0, epoch="") for one in events)
    begun = held(AppendBegun, at, began=at, call=call, events=bare, **lease)
    end = at + 0.1 if ack is None else ack
    done = Appended(at=end, wall=WALL + end, call=call, offsets=tuple(one.offset for one in events))
    return [begun, done] if end else [begun]


def crash(at: float, keeps: float | None) -> Fault:
    """Return a crash of the server that keeps what was acknowledged up to a time."""
    return Fault(at=at, wall=WALL + at, until=at + 0.1, kind="crash", target="server", keeps=keeps)


def cut(at: float) -> Fault:
    """Return a fault that ended every subscription."""
    return Fault(at=at, wall=WALL + at, until=at, kind="kill-subscribers", target="server", keeps=None)


HISTORY = (said(1), event(2, "a1"), event(3, "a2"), event(4, "a3"))
STATUS = (
    moved(1, 1, None, "queued"),
    notice(2, "n2", "worker.claimed"),
    moved(3, 2, "queued", "running"),
    notice(4, "n4", "worker.released"),
    moved(5, 3, "running", "awaiting_input"),
)
RUN = Run(at=0.1, wall=WALL, mode="everysec", marker=MARKER, secrets=(SECRET,))
FINAL = Final(
    at=20.0,
    wall=WALL + 20,
    session="s",
    state="awaiting_input",
    epoch="e1",
    version=3,
    token=2,
    events=4,
    status=5,
    commands=1,
    handled=1,
    history=HISTORY,
    ring=STATUS,
    alive=("w1", "w2"),
)


def healthy() -> list[Entry]:
    """Return the record of a session that was started, answered in two steps, and read to its end."""
    return [
        RUN,
        Subscribed(at=0.5, reader="r1", channel="events.s"),
        Subscribed(at=0.5, reader="r2", channel="status.s"),
        asked(1.0, "c1", "session.start", "hello"),
        outcome(1.15, "c1", state="queued", version=1),
        answered(1.2, "c1", state="queued", version=1),
        held(Claimed, 2.0, version=2),
        held(Renewed, 2.5),
        *appended(3.0, "k1", HISTORY[1], HISTORY[2]),
        *appended(3.2, "k2", HISTORY[3]),
        held(Released, 4.0, trigger="yield", state="awaiting_input", version=3),
        *(given(5.0 + text.offset / 10, "r1", text) for text in HISTORY),
        *(given(6.0 + text.offset / 10, "r2", text) for text in STATUS),
        Polled(at=7.0, began=6.9, session="s", epoch="e1", state="awaiting_input", version=3),
        FINAL,
        outcome(20.1, "c1", how="key", state="queued", version=1),
        Ceased(at=21.0, reader="r1", end=True),
        Ceased(at=21.0, reader="r2", end=True),
        Left(at=22.0, kind="task", count=0),
        Ended(at=22.0, name="w1", wanted=True),
        Output(at=22.0, name="w1", text="a line"),
    ]


def final(**changes: Any) -> Callable[[Entry], Entry]:
    """Return a change of what is there at the end."""
    return lambda entry: replace(entry, **changes) if isinstance(entry, Final) else entry


def ends(*history: Text, **changes: Any) -> Callable[[Entry], Entry]:
    """Return the change that another history is there at the end."""
    return final(history=history, events=len(history), **changes)


def without(unwanted: Callable[[Entry], bool]) -> Callable[[Entry], Entry | None]:
    """Return the change that some entries were not noted."""
    return lambda entry: None if unwanted(entry) else entry


def of_reader(*readers: str) -> Callable[[Entry], bool]:
    """Return what is true of all that readers noted."""
    return lambda entry: getattr(entry, "reader", "") in readers


UNREAD = without(of_reader("r1", "r2"))
UNPOLLED = without(lambda entry: isinstance(entry, Polled))


def story(*changes: Change) -> list[Entry]:
    """Return the healthy record with changes: entries are added, functions are applied to what is there by then."""
    entries = healthy()
    for change in changes:
        if isinstance(change, Entry):
            entries.append(change)
        else:
            entries = [kept for entry in entries if (kept := change(entry)) is not None]
    return entries


def rules(entries: list[Entry]) -> set[str]:
    """Return the rules that a record breaks."""
    return {violation.rule for violation in check(entries)}


def swap(reader: str, text: Text) -> Callable[[Entry], Entry]:
    """Return the change that a reader was given another message at the offset of this one."""

    def change(entry: Entry) -> Entry:
        theirs = isinstance(entry, Delivered) and entry.reader == reader and entry.message.offset == text.offset
        return replace(entry, message=text) if theirs else entry  # type: ignore[call-arg]

    return change


def missed(reader: str, *offsets: int) -> Callable[[Entry], Entry | None]:
    """Return the change that a reader was not given some messages."""
    return without(lambda entry: isinstance(entry, Delivered) and entry.reader == reader and entry.message.offset in offsets)


OTHER = event(4, "a9")
"""An event that lies where another did."""
ANEW = [*HISTORY[:3], OTHER]


def command(at: float, id_: str, kind: str, state: str, version: int, text: str | None = None) -> list[Change]:
    """Return a command that was applied within a tenth of a second."""
    told: dict[str, Any] = {"state": state, "version": version}
    return [asked(at, id_, kind, text), answered(at + 0.1, id_, **told), outcome(20.2, id_, how="key", **told)]


PAUSE = command(8.0, "p", "session.pause", "paused", 4)
RESUME = command(9.0, "q", "session.resume", "queued", 5)
STOP = command(8.0, "x", "session.stop", "stopped", 4)
LATE = command(3.25, "c2", "session.say", "queued", 1, "more")
REPEATED: list[Change] = [
    asked(10.0, "c2", "session.say", "more", call="again"),
    AskFailed(at=11.0, call="again", error="Unreachable"),
]
DELETE = command(8.0, "d", "session.delete", "deleted", 4)


def anew(at: float = 10.0, worker: str = "w2", token: int = 3, version: int = 5, **lease: Any) -> list[Change]:
    """Return the changes that the session was claimed again and released, and nobody was told."""
    claim = held(Claimed, at, worker, token, version=version, **lease)
    release = held(Released, at + 3, worker, token, trigger="yield", state="awaiting_input", version=version + 1, **lease)
    return [UNREAD, claim, release, final(version=version + 1, token=token + 1)]


def between(at: float) -> list[Change]:
    """Return the changes that something was said at a time, and lies before the last event of the worker."""
    later = (HISTORY[0], HISTORY[1], HISTORY[2], said(4, "c2", "more"), event(5, "a3", read=4))
    events = tuple(replace(event(4, "a3", read=4), offset=0, epoch="") for _ in range(1))
    return [
        *(UNREAD, *command(at, "c2", "session.say", "running", 2, "more"), ends(*later)),
        lambda entry: replace(entry, offsets=(5,)) if isinstance(entry, Appended) and entry.call == "k2" else entry,
        lambda entry: replace(entry, events=events) if isinstance(entry, AppendBegun) and entry.call == "k2" else entry,
    ]


def deleted(*changes: Change) -> list[Change]:
    """Return the changes that the session was deleted, and that the readers were told."""
    tombstone = moved(6, 4, "awaiting_input", "deleted")
    gone = final(state="deleted", history=(), ring=(), version=4, status=6)
    told = [Gap(at=8.3, reader="r1", session="s", why="deleted", first=5, last=4), given(8.3, "r2", tombstone)]
    return [*DELETE, *told, gone, *changes]


def paused(*changes: Change) -> list[Change]:
    """Return the changes that the session was paused at the end."""
    told = given(8.3, "r2", moved(6, 4, "awaiting_input", "paused"))
    ring = (*STATUS, moved(6, 4, "awaiting_input", "paused"))
    return [*PAUSE, told, final(state="paused", version=4, status=6, ring=ring), *changes]


def queued(**changes: Any) -> list[Change]:
    """Return the changes that the session was queued again at the end, and nobody was told."""
    return [UNREAD, UNPOLLED, final(state="queued", version=4, **{"alive": (), **changes})]


def running(**changes: Any) -> list[Change]:
    """Return the changes that the session was held at the end, and nobody was told."""
    fields = {"worker": "w1", "lease_until": WALL + 21, "due": WALL + 21, **changes}
    return [UNREAD, UNPOLLED, final(state="running", version=4, **fields)]


UNRELEASED = without(lambda entry: isinstance(entry, Released) and entry.token == 1)
UNDONE = without(lambda entry: isinstance(entry, Appended) and entry.call == "k2")
UNENDED = without(lambda entry: isinstance(entry, Ceased) and entry.reader == "r1")
UNKEPT = without(lambda entry: isinstance(entry, Outcome) and entry.how == "key" and entry.at == 20.1)
UNKNOWN = AppendFailed(at=30.0, call="k9", error="OutcomeUnknown")
FIFTH = event(5, "b1")
LOST: list[Change] = [
    *(UNREAD, UNRELEASED, ends(*ANEW, FIFTH), crash(7.0, 3.2)),
    *appended(8.0, "k9", OTHER),
    *appended(9.0, "k10", FIFTH),
]
"""The last event was lost, and two were written since."""
SENT_AGAIN: list[Change] = [Stored(at=9.5, session="s", command="r", offset=9)]
TRIMMED = Gap(at=7.9, reader="r2", session="s", why="trimmed", first=6, last=6)
THIRD = Subscribed(at=0.5, reader="r3", channel="events.s")
FLUSHED: list[Change] = [crash(9.0, 0.0), final(epoch="e2", version=6, token=2, events=0, status=0, history=(), ring=())]
GONE: list[Change] = [UNREAD, UNPOLLED, final(state="", epoch="", events=0, history=())]


def is_asked(command_id: str) -> Callable[[Entry], bool]:
    """Return what is true of all that was noted of a command."""
    return lambda entry: command_id == getattr(entry, "command", "") or f"call-{command_id}" == getattr(entry, "call", "")


def one_more(at: float, ack: float | None = None) -> list[Change]:
    """Return the changes that the first worker has appended another event."""
    return [*appended(at, "k9", event(5, "a9"), ack=ack), ends(*HISTORY, event(5, "a9"))]


def taken(at: float) -> list[Change]:
    """Return the changes that the session was paused while the first worker held it, which renewed at a time."""
    told = command(3.4, "p", "session.pause", "paused", 3)
    return [UNREAD, UNPOLLED, UNRELEASED, *told, held(Renewed, at), final(state="paused")]


def fate(command_id: str, kind: str, at: float, result: str, text: str | None = None, timeout_s: float = 1.0) -> list[Change]:
    """Return a command that was refused or has expired within a second; '': nobody knows."""
    begun = asked(at, command_id, kind, text, timeout_s)
    if not result:
        return [begun, AskFailed(at=at + 1, call=f"call-{command_id}", error="Unreachable")]
    return [begun, answered(at + 1, command_id, result), outcome(20.2, command_id, result, "key")]


def more_said(*changes: Change, made: float = 1.4, read: int = 5) -> list[Change]:
    """Return the changes that something more was said, and answered."""
    answer = event(6, "a9", read=read)
    history = (*HISTORY, replace(said(5, "c2", "more"), made=WALL + made), answer)
    return [UNREAD, UNRELEASED, *appended(11.0, "k9", answer), ends(*history), *changes]


def behind(offset: int) -> list[Change]:
    """Return the changes that a command was decided at offset 5, while another waits at an offset."""
    other = command(8.2, "r", "session.resume", "queued", 4)
    stored = (Stored(at=8.1, session="s", command="q", offset=offset), Stored(at=8.25, session="s", command="r", offset=5))
    return [*other, *stored, outcome(8.3, "r", state="queued", version=4)]


def until(end: float) -> list[Change]:
    """Return the changes that a worker holds the session, with a lease that ends then."""
    return running(lease_until=end, due=end)


def steps(*moves: tuple[int, str, str], offset: int = 6) -> list[Change]:
    """Return the changes that the session went on, with each notice (version, from, to) told at its offset."""
    told = tuple(moved(offset + index, *move) for index, move in enumerate(moves))
    version, _, state = moves[-1]
    fields: dict[str, Any] = {"running": {"worker": "w1", "lease_until": WALL + 21, "due": WALL + 21}}.get(state, {})
    fields |= {"ready": state == "queued", "alive": () if state == "queued" else ("w1",)}
    at = final(state=state, version=version, status=told[-1].offset, ring=(*STATUS, *told), **fields)
    return [*(given(8.0 + text.offset / 2, "r2", text) for text in told), at]


def from_cursor(id_: str) -> list[Change]:
    """Return a reader that went on from a cursor at offset 4."""
    return [
        Subscribed(at=8.5, reader="r3", channel="events.s", epoch="e1", offset=4, id=id_),
        Ceased(at=21.0, reader="r3", end=True),
    ]


def child(state: str, parent: str) -> list[Change]:
    """Return the changes that the session has a child, and both are in these states at the end."""
    start = event(5, "cs", kind="child.start", child="c")
    held_by: dict[str, Any] = {"worker": "w1", "lease_until": WALL + 21, "due": WALL + 21} if state == "running" else {}
    own = Final(at=20.0, wall=WALL + 20, session="c", state=state, epoch="ec", version=1, parent="s", alive=("w1",), **held_by)
    return [UNREAD, UNPOLLED, *appended(3.5, "k9", start), ends(*HISTORY, start, state=parent, version=4), own]


Case = tuple[str, list[Change], list[Change]]

HISTORIES: dict[str, Case] = {
    "a hole": ("history.contiguous", [UNREAD, ends(*HISTORY[:3], replace(HISTORY[3], offset=5))], [UNREAD]),
    "a count that is not true": ("history.contiguous", [UNREAD, final(events=5)], [UNREAD, final(events=4)]),
    "twice": ("history.once", [UNREAD, ends(*HISTORY, replace(HISTORY[1], offset=5))], [UNREAD, ends(*HISTORY)]),
    "not written": (
        "history.written",
        [UNREAD, ends(*HISTORY, event(5, "a9"))],
        [UNREAD, ends(*HISTORY, event(5, "a9")), *appended(3.5, "k9", event(5, "a9"), ack=0), UNKNOWN],
    ),
    "other words": ("history.written", [UNREAD, ends(said(1, text="other"), *HISTORY[1:])], [UNREAD]),
    "acknowledged and not there": (
        "history.kept",
        [UNREAD, ends(*HISTORY[:3])],
        [UNREAD, ends(*HISTORY[:3]), UNDONE, AppendFailed(at=3.3, call="k2", error="LeaseLost")],
    ),
    "lost before the window": (
        "history.kept",
        [UNREAD, ends(*HISTORY[:3]), crash(4.5, 3.4)],
        [UNREAD, ends(*HISTORY[:3]), crash(4.5, 3.2)],
    ),
    "lost by a server that keeps all": (
        "history.kept",
        [UNREAD, ends(*HISTORY[:3]), crash(4.5, None)],
        [UNREAD, ends(*HISTORY[:3]), crash(4.5, 0.0)],
    ),
    "written after the loss": (
        "history.kept",
        [UNREAD, ends(*HISTORY[:3]), crash(2.5, 0.0)],
        [UNREAD, ends(*HISTORY[:3]), crash(3.25, 0.0)],
    ),
    "gone with its epoch": (
        "history.kept",
        GONE,
        [*GONE, crash(9.0, 0.0)],
    ),
    "lost in the middle": (
        "history.tail",
        [UNREAD, ends(*ANEW), *appended(3.4, "k9", OTHER), crash(4.5, 3.2)],
        [UNREAD, ends(*ANEW), *appended(9.0, "k9", OTHER), crash(4.5, 3.2)],
    ),
    "at another place": (
        "history.place",
        [UNREAD, ends(*ANEW, replace(HISTORY[3], offset=5)), *appended(3.15, "k9", OTHER, ack=0), UNKNOWN],
        [UNREAD, ends(*HISTORY, replace(OTHER, offset=5)), *appended(3.15, "k9", OTHER, ack=0), UNKNOWN],
    ),
    "two at one place": (
        "history.place",
        [UNREAD, ends(*ANEW), *appended(9.0, "k9", OTHER)],
        [UNREAD, ends(*ANEW), *appended(9.0, "k9", OTHER), crash(4.5, 3.2)],
    ),
    "out of order": (
        "history.order",
        between(3.4),
        between(3.25),
    ),
    "read in a log that was lost": (
        "history.read",
        [UNREAD, UNRELEASED, *appended(9.0, "k9", event(5, "a9", read=5)), ends(*HISTORY, event(5, "a9", read=5))],
        [UNREAD, UNRELEASED, *appended(9.0, "k9", event(5, "a9", read=4)), ends(*HISTORY, event(5, "a9", read=4))],
    ),
    "half a step": (
        "history.step",
        [*queued(ready=True), ends(*HISTORY[:2]), crash(4.5, 3.0)],
        [*queued(ready=True), ends(*HISTORY[:1]), crash(4.5, 3.0)],
    ),
    "a log of what was deleted": ("history.deleted", deleted(final(history=HISTORY)), deleted()),
    "a notice among events": (
        "history.notice",
        [UNREAD, ends(*HISTORY, event(5, "a9", text=MARKER)), *appended(3.5, "k9", event(5, "a9", text=MARKER))],
        [given(8.0, "r2", notice(6, "n6", text=MARKER)), final(status=6, ring=(*STATUS, notice(6, "n6", text=MARKER)))],
    ),
}

LEASES: dict[str, Case] = {
    "a token given twice": ("lease.token", anew(token=1), anew(token=3)),
    "a token that goes back": ("lease.token", anew(token=0), [*anew(token=0), crash(6.0, 1.9)]),
    "two workers under one token": (
        "lease.token",
        [held(Renewed, 2.6, "w2")],
        [held(Renewed, 7.6, "w2"), crash(6.0, 1.9)],
    ),
    "two workers under one lease": (
        "lease.token",
        [held(Renewed, 2.6, "w1", lease="x"), held(Renewed, 7.6, "w2", lease="x"), crash(6.0, 1.9)],
        [held(Renewed, 2.6, "w1", lease="x"), held(Renewed, 7.6, "w2", lease="y"), crash(6.0, 1.9)],
    ),
    "an append of who was followed": (
        "lease.fenced",
        [*anew(), *one_more(10.5), UNRELEASED],
        [*anew(), *one_more(9.85, ack=10.6), UNRELEASED],
    ),
    "a renewal of who was followed": (
        "lease.fenced",
        [*anew(), held(Renewed, 10.5), UNRELEASED],
        [*anew(), held(Renewed, 10.05), UNRELEASED],
    ),
    "followed by a claim that was lost": (
        "lease.fenced",
        [*anew(), held(Renewed, 10.5), UNRELEASED, crash(10.2, 10.1)],
        [*anew(), held(Renewed, 10.5), UNRELEASED, crash(10.2, 9.5)],
    ),
    "a token that was given again after a loss": (
        "lease.fenced",
        [*anew(token=1), held(Renewed, 10.5), UNRELEASED, crash(6.0, 1.9)],
        [*anew(token=1), held(Renewed, 9.5), UNRELEASED, crash(6.0, 1.9)],
    ),
    "an append from before another epoch": (
        "lease.fenced",
        [*anew(token=1, epoch="e2"), *FLUSHED, held(Renewed, 10.5), UNRELEASED],
        [*anew(token=1, epoch="e2"), *FLUSHED, held(Renewed, 10.05), UNRELEASED],
    ),
    "the same token after a loss": (
        "lease.fenced",
        [*anew(worker="w3"), UNRELEASED, held(Renewed, 10.5), crash(9.5, 1.9)],
        [*anew(worker="w1", token=1), UNRELEASED, held(Renewed, 10.5), crash(9.5, 1.9)],
    ),
    "after a release": ("lease.fenced", [held(Renewed, 4.5)], [held(Renewed, 4.05)]),
    "after a pause": (
        "lease.revoked",
        taken(3.8),
        taken(3.55),
    ),
}
READERS: dict[str, Case] = {
    "a message that is missing": ("reader.hole", [missed("r1", 2)], [missed("r1")]),
    "a notice that is missing": (
        "reader.hole",
        [missed("r2", 4)],
        [missed("r2", 4), Gap(at=6.4, reader="r2", session="s", why="trimmed", first=4, last=4)],
    ),
    "a second picture": (
        "reader.hole",
        [given(6.6, "r2", moved(5, 3, "awaiting_input", "awaiting_input"), picture=True)],
        [
            Gap(at=6.55, reader="r2", session="s", why="reset", first=6, last=5),
            given(6.6, "r2", moved(5, 3, "awaiting_input", "awaiting_input"), picture=True),
        ],
    ),
    "a beginning in the middle": (
        "reader.hole",
        [missed("r2", 1, 2)],
        [missed("r2", 1, 2), given(6.1, "r2", moved(2, 1, "queued", "queued"), picture=True)],
    ),
    "a message twice": ("reader.twice", [given(5.25, "r1", HISTORY[1])], [THIRD, given(5.9, "r3", HISTORY[0])]),
    "a notice at two offsets": (
        "reader.twice",
        [given(8.0, "r2", notice(6, "n4")), final(status=6, ring=(*STATUS, notice(6, "n4")))],
        [given(8.0, "r2", notice(6, "n6")), final(status=6, ring=(*STATUS, notice(6, "n6")))],
    ),
    "again after a reset": (
        "reader.twice",
        [given(5.5 + text.offset / 10, "r1", text) for text in HISTORY],
        [
            Gap(at=5.45, reader="r1", session="s", why="reset", first=5, last=4),
            *(given(5.5 + text.offset / 10, "r1", text) for text in HISTORY),
        ],
    ),
    "again after a cursor": (
        "reader.twice",
        [Subscribed(at=5.9, reader="r3", channel="events.s", epoch="e1", offset=3, id="a2"), given(6.0, "r3", HISTORY[2])],
        [Subscribed(at=5.9, reader="r3", channel="events.s", epoch="e1", offset=3, id="a2"), given(6.0, "r3", HISTORY[3])],
    ),
    "another epoch": (
        "reader.epoch",
        [THIRD, given(5.9, "r3", HISTORY[0]), given(6.0, "r3", event(2, "b2", epoch="e2"))],
        [
            *(THIRD, given(5.9, "r3", HISTORY[0]), Gap(at=5.95, reader="r3", session="s", why="reset", first=2, last=1)),
            given(6.0, "r3", event(1, "b1", epoch="e2")),
        ],
    ),
    "a gap that begins elsewhere": (
        "reader.gap",
        [missed("r2", 4), Gap(at=6.4, reader="r2", session="s", why="trimmed", first=3, last=4)],
        [missed("r2", 4), Gap(at=6.4, reader="r2", session="s", why="trimmed", first=4, last=4)],
    ),
    "a history that is trimmed": (
        "reader.trimmed",
        [missed("r1", 2), Gap(at=5.2, reader="r1", session="s", why="trimmed", first=2, last=2)],
        [],
    ),
    "more after the end": ("reader.deleted", deleted(given(8.5, "r1", event(5, "a9"))), deleted()),
    "other contents": (
        "reader.contents",
        [swap("r1", OTHER)],
        [swap("r1", OTHER), crash(7.0, 3.2), UNENDED],
    ),
    "not at the end": ("reader.end", [missed("r1", 4)], [missed("r1", 4), UNENDED]),
    "a loss that was not told": (
        "reader.end",
        [ends(*HISTORY[:3]), crash(7.0, 3.2)],
        [
            *(ends(*HISTORY[:3]), crash(7.0, 3.2), Gap(at=8.0, reader="r1", session="s", why="reset", first=5, last=4)),
            *(given(8.0 + text.offset / 10, "r1", text) for text in HISTORY[:3]),
        ],
    ),
    "a loss in between that was not told": (
        "reader.end",
        [*LOST, Subscribed(at=8.5, reader="r3", channel="events.s", epoch="e1", offset=4, id="a3"), given(10.0, "r3", FIFTH)],
        [*LOST, Subscribed(at=8.5, reader="r3", channel="events.s", epoch="e1", offset=4, id="a9"), given(10.0, "r3", FIFTH)],
    ),
    "a loss behind a cursor that was not told": (
        "reader.end",
        [ends(*ANEW), *appended(8.0, "k9", OTHER), crash(7.0, 3.2), without(of_reader("r1")), *from_cursor("a3")],
        [ends(*ANEW), *appended(8.0, "k9", OTHER), crash(7.0, 3.2), without(of_reader("r1")), *from_cursor("a9")],
    ),
    "a deletion that was not told": ("reader.end", deleted(without(lambda entry: isinstance(entry, Gap))), deleted()),
    "the newest notice that was not told": (
        "reader.end",
        [final(status=6, ring=(*STATUS, notice(6, "n6")))],
        [final(status=6, ring=(*STATUS, notice(6, "n6"))), given(8.0, "r2", notice(6, "n6"))],
    ),
}
COMMANDS: dict[str, Case] = {
    "two outcomes": (
        "command.once",
        [outcome(9.0, "c1", "refused", "key")],
        [outcome(9.0, "c1", "refused", "key"), crash(5.0, 1.0), UNKEPT],
    ),
    "another version": ("command.once", [outcome(9.0, "c1", how="key", version=2)], [outcome(9.0, "c1", how="key", version=1)]),
    "published twice": ("command.once", [outcome(2.9, "c1")], [outcome(2.9, "c1"), crash(2.7, 1.0)]),
    "an outcome that was not kept": (
        "command.kept",
        [UNKEPT, *command(8.0, "r", "session.resume", "queued", 4)],
        [UNKEPT, *command(8.0, "r", "session.resume", "queued", 4), crash(9.0, 1.0)],
    ),
    "a state that it cannot lead to": (
        "command.true",
        command(8.0, "r", "session.resume", "paused", 3),
        command(8.0, "r", "session.resume", "running", 3),
    ),
    "said and not there": (
        "command.true",
        command(8.0, "c2", "session.say", "queued", 4, "more"),
        [asked(8.0, "c2", "session.say", "more"), AskFailed(at=9.0, call="call-c2", error="Unreachable")],
    ),
    "expired and there": (
        "command.true",
        more_said(*fate("c2", "session.say", 1.3, "expired", "more")),
        more_said(*fate("c2", "session.say", 1.3, "", "more")),
    ),
    "refused and there": (
        "command.true",
        more_said(*fate("c2", "session.say", 1.3, "refused", "more")),
        more_said(*fate("c2", "session.say", 1.3, "refused", "more"), crash(9.5, 1.5)),
    ),
    "expired and done after a loss": (
        "command.true",
        more_said(*fate("c2", "session.say", 1.3, "expired", "more"), crash(9.5, 2.0)),
        more_said(*fate("c2", "session.say", 1.3, "expired", "more"), crash(9.5, 2.0), *REPEATED),
    ),
    "paused and claimed": ("command.true", [*PAUSE, *anew()], [*PAUSE, *RESUME, *anew(version=6)]),
    "paused and claimed, by the versions": (
        "command.true",
        [*PAUSE, *command(7.0, "q", "session.resume", "queued", 3), *anew()],
        [*PAUSE, *command(7.0, "q", "session.resume", "queued", 3), *anew(version=4, at=7.5)],
    ),
    "a resume of which nobody knows": (
        "command.true",
        [*PAUSE, *fate("q", "session.resume", 8.5, "expired"), *anew()],
        [*PAUSE, *fate("q", "session.resume", 8.5, ""), *anew()],
    ),
    "stopped and not over": ("command.true", STOP, [*STOP, UNREAD, UNPOLLED, final(state="stopped", version=4)]),
    "stopped and claimed": (
        "command.true",
        [*STOP, UNREAD, UNPOLLED, held(Claimed, 10.0, "w2", 3, version=5), final(state="stopped", version=6)],
        [*STOP, UNREAD, UNPOLLED, held(Claimed, 8.05, "w2", 3, version=4), final(state="stopped", version=6)],
    ),
    "deleted and there": ("command.true", DELETE, deleted()),
    "started and gone": (
        "command.true",
        GONE,
        [*GONE, crash(9.0, 0.0)],
    ),
    "started and not known": (
        "command.true",
        [asked(8.0, "c2", "session.say", "more"), AskFailed(at=8.1, call="call-c2", error="UnknownSession")],
        [asked(1.1, "c2", "session.say", "more"), AskFailed(at=1.3, call="call-c2", error="UnknownSession")],
    ),
    "resumed and paused": (
        "command.true",
        paused(*RESUME, final(version=5), UNREAD),
        paused(*RESUME, final(version=6), UNREAD, *command(9.5, "p2", "session.pause", "paused", 6)),
    ),
    "passed over": (
        "command.order",
        [*behind(4), *fate("q", "session.resume", 8.0, "expired", timeout_s=3.0)],
        [*behind(6), *fate("q", "session.resume", 8.0, "expired", timeout_s=3.0)],
    ),
    "passed over by one that was decided before a loss": (
        "command.order",
        [*behind(4), *fate("q", "session.resume", 8.0, "expired", timeout_s=3.0), *SENT_AGAIN, outcome(9.6, "r", version=4)],
        [*behind(6), *fate("q", "session.resume", 8.0, "expired", timeout_s=3.0), *SENT_AGAIN, crash(9.3, 7.0)],
    ),
    "passed over while the run heard nothing": (
        "command.order",
        [*behind(4), *fate("q", "session.resume", 8.0, "", timeout_s=3.0)],
        [*behind(4), *fate("q", "session.resume", 8.0, "", timeout_s=3.0), cut(8.0)],
    ),
    "passed over when its time had come": (
        "command.order",
        [*behind(4), *fate("q", "session.resume", 8.0, "", timeout_s=3.0)],
        [*behind(4), *fate("q", "session.resume", 8.0, "", timeout_s=1.0)],
    ),
    "published late": (
        "command.late",
        [asked(8.0, "r", "session.resume"), answered(9.2, "r", "applied"), outcome(10.2, "r"), outcome(20.2, "r", how="key")],
        [asked(8.0, "r", "session.resume"), answered(9.2, "r", "applied"), outcome(9.8, "r"), outcome(20.2, "r", how="key")],
    ),
    "decided late": (
        "command.late",
        more_said(*command(8.0, "c2", "session.say", "queued", 4, "more"), made=10.2),
        more_said(*command(8.0, "c2", "session.say", "queued", 4, "more"), made=9.8),
    ),
    "never answered": (
        "command.answered",
        [asked(8.0, "r", "session.resume", actor="p1")],
        [asked(8.0, "r", "session.resume", actor="p1"), Ended(at=9.0, name="p1", wanted=True)],
    ),
}
STATES: dict[str, Case] = {
    "two states under one version": (
        "state.version",
        [Polled(at=7.5, session="s", epoch="e1", state="queued", version=3)],
        [Polled(at=3.5, session="s", epoch="e1", state="queued", version=3), crash(3.7, 1.9)],
    ),
    "two states beside a loss": (
        "state.version",
        [Polled(at=7.5, session="s", epoch="e1", state="queued", version=3), crash(9.0, 1.9)],
        [Polled(at=7.5, session="s", epoch="e1", state="queued", version=3), crash(7.2, 1.9), UNREAD, final(version=9)],
    ),
    "an illegal step": ("state.legal", steps((4, "awaiting_input", "running")), steps((4, "awaiting_input", "queued"))),
    "a finished session that goes on": (
        "state.legal",
        steps((4, "awaiting_input", "queued"), (5, "finished", "queued")),
        steps((4, "awaiting_input", "queued"), (5, "queued", "running")),
    ),
    "a step from elsewhere": (
        "state.version",
        steps((4, "queued", "running")),
        steps((4, "awaiting_input", "queued")),
    ),
    "a version that is skipped": (
        "state.version",
        steps((5, "awaiting_input", "queued")),
        [TRIMMED, *steps((5, "awaiting_input", "queued"), offset=7)],
    ),
    "the last version not told": (
        "state.version",
        [UNPOLLED, final(version=4, state="queued", alive=(), ready=True)],
        [*steps((4, "awaiting_input", "queued"))],
    ),
    "paused without a command": ("state.cause", paused(without(is_asked("p"))), paused()),
    "paused by what was refused": (
        "state.cause",
        paused(without(is_asked("p")), *fate("p2", "session.pause", 7.1, "refused")),
        paused(without(is_asked("p")), *fate("p2", "session.pause", 7.1, "")),
    ),
    "resumed without a command": (
        "state.cause",
        [*PAUSE, *steps((4, "awaiting_input", "paused"), (5, "paused", "queued"))],
        [*PAUSE, *RESUME, *steps((4, "awaiting_input", "paused"), (5, "paused", "queued"))],
    ),
}
ENDS: dict[str, Case] = {
    "a command that waits": ("end.answered", [final(commands=2, waiting=1)], [final(commands=2, handled=2)]),
    "said and not read": ("end.answered", more_said(*LATE, read=4), more_said(*LATE, read=5)),
    "queued and nowhere": ("end.holder", queued(), queued(ready=True)),
    "queued beside workers": ("end.idle", queued(ready=True, alive=("w1",)), queued(ready=True)),
    "held by who is gone": ("end.holder", running(alive=("w2",)), running()),
    "held and not due": ("end.holder", running(due=None), running()),
    "held by a lease that is over": ("end.holder", until(WALL + 10), until(WALL + 19)),
    "running without a worker": ("end.holder", running(worker="", lease_until=None), running()),
    "parked and not due": (
        "end.holder",
        [*queued(), final(state="rate_limited", resume_at=WALL + 30)],
        [*queued(), final(state="rate_limited", resume_at=WALL + 30, due=WALL + 30)],
    ),
    "parked for a person": (
        "end.holder",
        [*queued(), final(state="retrying")],
        [*queued(), final(state="rate_limited")],
    ),
    "a worker of what is at rest": ("end.holder", [final(worker="w1")], [final(worker="")]),
    "ready and at rest": ("end.holder", [final(ready=True)], [final(ready=False)]),
    "a child of what is over": ("end.child", child("running", "stopped"), child("stopped", "stopped")),
    "a child of which nothing was told": ("end.child", child("finished", "awaiting_input"), child("running", "awaiting_input")),
    "a task left": ("end.left", [Left(at=22.0, kind="task", count=1)], [Left(at=22.0, kind="task", count=0)]),
    "a process that ended": ("end.process", [Ended(at=9.0, name="w1", wanted=False)], [Ended(at=9.0, name="w1", wanted=True)]),
    "an error that was not handled": (
        "end.output",
        [Output(at=22.0, name="w1", text="Traceback (most recent call last):")],
        [Output(at=22.0, name="w1", text="an error")],
    ),
    "a secret": ("end.secret", [Output(at=22.0, name="w1", text=SECRET)], [Output(at=22.0, name="w1", text=MARKER)]),
}
CASES = HISTORIES | LEASES | READERS | COMMANDS | STATES | ENDS


def test_a_record_of_what_was_promised_breaks_no_rule() -> None:
    """Nothing is found in a run in which all went well."""
    assert check(healthy()) == []


@pytest.mark.parametrize("name", CASES)
def test_what_breaks_a_rule_is_found(name: str) -> None:
    """The record breaks the rule, and the violation shows what it rests on."""
    rule, broken, _ = CASES[name]
    found = [violation for violation in check(story(*broken)) if violation.rule == rule]
    assert found
    assert all(str(violation).startswith(rule) for violation in found)


@pytest.mark.parametrize("name", CASES)
def test_what_just_does_not_break_a_rule_is_let_pass(name: str) -> None:
    """The record that differs in one thing breaks no rule."""
    assert [str(violation) for violation in check(story(*CASES[name][2]))] == []


def test_each_rule_is_broken_by_a_case() -> None:
    """No rule is without a planted violation, and none is found that is not named."""
    assert {rule for rule, _, _ in CASES.values()} == set(RULES)
