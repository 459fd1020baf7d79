"""Looking at sessions as they are now: one in detail, or all of them in a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Self

from rich.text import Text

from tidings.bus import Bus, ChildState, Priority, Record, State, Work
from tidings.bus.messages import DEFAULT_QUEUE, check_session
from tidings.bus.redaction import one_line
from tidings.workers.cli.exits import BadUsage, Exit
from tidings.workers.cli.live_table import draw, state_text
from tidings.workers.cli.open_bus import on_bus
from tidings.workers.cli.output import print_json, screen
from tidings.workers.cli.wanted import parse_labels
from tidings.workers.settings import Settings
from tidings.workers.view import FamilyView, Roster, SessionView, clock, day_and_clock, duration, rank, view_json

if TYPE_CHECKING:
    from rich.console import Console


def show_status(settings: Settings, session: str, *, as_json: bool) -> int:
    """Print what is known of one session; returns the exit code."""
    check_session(session)

    async def act(bus: Bus) -> int:
        await tell_family(bus, await bus.status(session), as_json=as_json)
        return Exit.DONE

    return on_bus(settings, act)


async def tell_family(bus: Bus, record: Record, *, as_json: bool) -> None:
    """Print one record with the children of its session; see ``tell_status``."""
    children = await bus.children(record.session) if record.children else ()
    tell_status(record, bus.now(), children, as_json=as_json)


def tell_status(record: Record, now: datetime, children: tuple[ChildState, ...] = (), *, as_json: bool) -> None:
    """Print one record: as the JSON line of ``status``, or as a short sheet."""
    row = SessionView.of(record, now)
    below = sorted((SessionView.of_child(child, record.session) for child in children), key=rank)
    if as_json:
        print_json(view_json(FamilyView.of_record(row, record, below)).decode())
        return
    out = screen()
    since = f" for {duration((now - record.since).total_seconds())}" if record.since else ""
    out.print(Text.assemble((record.session, "bold"), "  ", state_text(row, ascii_only=_ascii(out)), since))
    for name, text in _sheet(record, row, now):
        out.print(Text.assemble((f"  {name:<10}", "dim"), one_line(text, 1000)))
    for child in below:
        out.print(_child_line(child, now, ascii_only=_ascii(out)))


def _child_line(row: SessionView, now: datetime, *, ascii_only: bool) -> Text:
    """Return a line on a child: its name, its state, what it waits for and for how long, and its session."""
    left = row.countdown(now)
    parts = [row.tried, f"goes on in {left}" if left else "", row.story()]
    told = "  ".join(part for part in parts if part)
    state = state_text(row, ascii_only=ascii_only)
    return Text.assemble(("  child     ", "dim"), (row.label, "bold"), "  ", state, f"  {told}  ", (row.session, "dim"))


def _sheet(record: Record, row: SessionView, now: datetime) -> Iterator[tuple[str, str]]:
    """Yield the lines of the sheet that have something to say."""
    wait = record.wait
    if row.doing:
        yield "doing", row.doing
    elif record.why and not (row.needs_you and row.to_do in record.why):
        yield "why", record.why
    if row.reason:
        yield "reason", row.reason_word
    if wait and wait.asked_at:
        yield "attempt", f"{row.attempt} under way for {duration((now - wait.asked_at).total_seconds())}"
    elif wait and wait.retry_at:
        left = duration((wait.retry_at - now).total_seconds())
        yield "wait", f"{row.attempt} failed, the next in {left} (at {clock(wait.retry_at)})"
    elif wait:
        yield "attempt", row.attempt
    if record.resume_at:
        left = duration((record.resume_at - now).total_seconds())
        yield "resumes", f"in {left} (at {day_and_clock(record.resume_at, now)}), on the next worker"
    if row.message:
        yield "provider", row.message
    if row.needs_you:
        yield "to do", row.to_do
    elif row.parked:
        yield "helps", row.to_do
    if record.paused_by:
        yield "paused", f"by {record.paused_by}"
    if record.parent:
        yield "child of", f"{record.parent}, as {record.name or record.session}"
    if record.worker:
        yield "worker", f"{record.worker.name} (process {record.worker.pid} on {record.worker.host})"
    if row.model:
        yield "model", row.model
    if record.work.place != (DEFAULT_QUEUE, None):
        yield "queue", record.work.queue + (f", with agent {record.work.agent}" if record.work.agent else "")
    if record.work.priority is not Priority.PERSON or record.work.tenant:
        yield "for", ", ".join(part for part in (record.work.priority.value, record.work.tenant) if part)
    if record.work.labels:
        yield "labels", "  ".join(f"{name}={text}" for name, text in sorted(record.work.labels.items()))
    yield "history", f"{record.events} {'event' if record.events == 1 else 'events'}"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which sessions are listed, by how they are worked on.

    Attributes:
        queue: only those of this queue; None: of any.
        agent: only those that name this agent; None: any.
        labels: only those that have all of these.
    """

    queue: str | None = None
    agent: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, queue: str | None, agent: str | None, labels: Sequence[str]) -> Self:
        """Read what was typed.

        Raises:
            BadUsage: a label is not written NAME=TEXT.
        """
        return cls(queue, agent, parse_labels(list(labels)))

    def takes(self, work: Work) -> bool:
        """Whether a session that is worked on so is listed."""
        if self.queue not in (None, work.queue) or self.agent not in (None, work.agent):
            return False
        return self.labels.items() <= work.labels.items()


def list_sessions(settings: Settings, state: str | None, only: Filter | None = None, *, as_json: bool) -> int:
    """Print all sessions, or those in one state or of one filter; returns the exit code."""
    wanted = None if state is None else parse_states(state, deleted=False)
    if wanted is not None and len(wanted) != 1:
        raise BadUsage("--state takes one state; leave it out for all of them")
    of_state = None if wanted is None else next(iter(wanted))
    return on_bus(settings, lambda bus: print_sessions(bus, of_state, only, as_json=as_json))


async def print_sessions(bus: Bus, state: State | None, only: Filter | None = None, *, as_json: bool) -> int:
    """Print the sessions of a bus that is open already; see ``list_sessions``."""
    roster = Roster()
    async for record in bus.sessions(state):
        if only is None or only.takes(record.work):
            roster.put(SessionView.of(record, bus.now()))
    if as_json:
        for placed in roster.shown():
            print_json(view_json(placed.row).decode())
    else:
        _print_roster(roster, bus.now())
    return Exit.DONE


def _print_roster(roster: Roster, now: datetime) -> None:
    """Print a table on a terminal; elsewhere a line a session, with nothing cut."""
    out = screen(fold=True)
    if out.is_terminal:
        out.print(draw(roster, now, width=out.width, ascii_only=_ascii(out)))
    else:
        for placed in roster.shown():
            out.print(Text(placed.row.line()), soft_wrap=True)


def parse_states(text: str, *, deleted: bool = True) -> frozenset[State]:
    """Read a list of states, as in ``finished,awaiting_input``.

    Args:
        deleted: whether that may be one of them; a deleted session is not found by its state.

    Raises:
        BadUsage: one of them is no state, or there is none.
    """
    names = [name.strip().lower().replace("-", "_") for name in text.split(",") if name.strip()]
    known = {state.value: state for state in State if deleted or state is not State.DELETED}
    if State.DELETED in names and not deleted:
        raise BadUsage(
            "deleted sessions cannot be listed: nothing but the name is kept of them, and `tidings status SESSION` says so; "
            f"there are {', '.join(known)}"
        )
    if not names or not set(names) <= set(known):
        raise BadUsage(f"{one_line(text, 60)!r} names no state of a session: there are {', '.join(known)}")
    return frozenset(known[name] for name in names)


def _ascii(out: Console) -> bool:
    return out.options.ascii_only
