"""The workers, controllers and gateways that there are: all of them in a list, or the one of this machine for a health check."""

from __future__ import annotations

import socket
from datetime import datetime
from typing import Self

from rich import box
from rich.table import Table
from rich.text import Text

from tidings.bus import Bus, Member, Role
from tidings.bus.messages import DEFAULT_QUEUE
from tidings.bus.redaction import one_line
from tidings.workers.cli.exits import BadUsage, CommandFailed, Exit
from tidings.workers.cli.open_bus import on_bus
from tidings.workers.cli.output import complain, print_json, screen
from tidings.workers.cli.view import View
from tidings.workers.settings import Settings
from tidings.workers.view import duration

_CHECKED = (Role.WORKER, Role.CONTROLLER, Role.GATEWAY)
_LONGEST = 128


class ProcessView(View):
    """A process as ``workers --json`` tells it.

    Attributes:
        sessions: those that it holds.
        concurrency: how many it can hold; 0 for a controller or a gateway.
        queues: those that a worker serves.
        agents: the names of its agents.
        started_at: since when it works.
        seen_at: when it was last heard of.
        starting: whether it is there and does not work yet.
        live: whether that is so recent that it is taken to live.
        unreadable: sessions that it has set aside because their records cannot be read.
        skipped: stored messages that it could not read and left out.
    """

    role: Role
    name: str
    host: str
    pid: int
    version: str
    model: str | None
    sessions: tuple[str, ...]
    concurrency: int
    queues: tuple[str, ...]
    agents: tuple[str, ...]
    starting: bool
    draining: bool
    unreadable: int
    skipped: int
    started_at: datetime | None
    seen_at: datetime
    live: bool

    @classmethod
    def of(cls, member: Member) -> Self:
        """Return what is told of a process."""
        return cls(**member.presence.model_dump(), seen_at=member.seen_at, live=member.live)


def list_processes(settings: Settings, *, as_json: bool) -> int:
    """Print the workers, controllers and gateways of the last day; returns the exit code."""

    async def act(bus: Bus) -> int:
        roll = await bus.admin.processes()
        if as_json:
            for one in roll:
                print_json(ProcessView.of(one).line())
        else:
            _print(roll, bus.now())
        if bus.admin.left_out:
            complain(f"{bus.admin.left_out} of the list cannot be read, or are too much: ask tidings doctor")
        return Exit.DONE

    return on_bus(settings, act)


def _print(roll: tuple[Member, ...], now: datetime) -> None:
    """Print a table on a terminal; elsewhere a line a process, with nothing cut."""
    out = screen(fold=True)
    if not out.is_terminal:
        for one in roll:
            out.print(Text("  ".join(_cells(one, now))), soft_wrap=True)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("role", "name", "host", "pid", "version", "sessions", "seen", "state"):
        table.add_column(head, justify="right" if head in ("pid", "sessions", "seen") else "left", overflow="fold")
    for one in roll:
        table.add_row(*map(Text, _cells(one, now)), style="" if one.live else "red")
    out.print(table)


def _cells(one: Member, now: datetime) -> list[str]:
    it = one.presence
    held = f"{len(it.sessions)}/{it.concurrency}" if it.concurrency else "-"
    ago = f"{duration((now - one.seen_at).total_seconds())} ago"
    state = "silent" if not one.live else "draining" if it.draining else "starting" if it.starting else "live"
    texts = (one_line(text, _LONGEST) for text in (it.name, it.host or "-", str(it.pid), it.version))
    if it.queues and it.queues != (DEFAULT_QUEUE,):
        state += f", serves {one_line(', '.join(it.queues), _LONGEST)}"
    if it.agents:
        state += f", agents {one_line(', '.join(it.agents), _LONGEST)}"
    for count, what in ((it.unreadable, "unreadable"), (it.skipped, "skipped")):
        state += f", {count} {what}" if count else ""
    return [it.role.value, *texts, held, ago, state]


def check_health(settings: Settings, role: str, name: str | None, *, as_json: bool) -> int:
    """Say whether a process of this machine, or the one named, is alive and at work; returns the exit code.

    Raises:
        BadUsage: no process has this role.
        CommandFailed: it is not alive, or still starting.
    """
    known = {one.value: one for one in _CHECKED}
    if role not in known:
        raise BadUsage(f"give the role of the process: {', '.join(known)}")
    return on_bus(settings, lambda bus: _check(bus, known[role], name, as_json=as_json))


async def _check(bus: Bus, role: Role, name: str | None, *, as_json: bool) -> int:
    host = socket.gethostname()
    wanted = f"named {name}" if name else f"on {host}"
    those = [one for one in await bus.admin.processes() if one.presence.role is role]
    those = [one for one in those if (one.presence.name == name if name else one.presence.host == host)]
    live = [one for one in those if one.live and not one.presence.starting]
    if not live and any(one.live for one in those):
        raise CommandFailed(f"no {role} {one_line(wanted, _LONGEST)} works yet: it is starting")
    if not live:
        newest = max((one.seen_at for one in those), default=None)
        ago = f"; last heard of {duration((bus.now() - newest).total_seconds())} ago" if newest else ""
        raise CommandFailed(f"no {role} {one_line(wanted, _LONGEST)} is alive{ago}")
    if as_json:
        for one in live:
            print_json(ProcessView.of(one).line())
    else:
        screen().print(Text(f"{len(live)} {role}{'' if len(live) == 1 else 's'} {one_line(wanted, _LONGEST)} alive"))
    return Exit.DONE
