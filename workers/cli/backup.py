"""Exports: sessions out of an installation into a file, and back."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tidings.bus import (
    Archive,
    BadArchive,
    Bus,
    Restored,
    SessionDeleted,
    SessionExists,
    TidingsError,
    UnknownSession,
    read_archives,
    read_lines,
)
from tidings.bus.redaction import one_line
from tidings.workers.cli.choice import Choice
from tidings.workers.cli.exits import CommandFailed, Exit
from tidings.workers.cli.open_bus import on_bus
from tidings.workers.cli.output import complain, print_json
from tidings.workers.cli.view import View
from tidings.workers.settings import Settings
from tidings.workers.view import LOOKS

STDIO = "-"


class RestoredView(View):
    """A session that was imported, as ``import --json`` tells it; ``left_out`` counts events that were missing."""

    session: str
    state: str
    events: int
    left_out: int


def export(settings: Settings, choice: Choice, to: str) -> int:
    """Write sessions as JSON lines, one after the other; returns the exit code.

    Args:
        to: a file, which is there as a whole or not at all, and only for this user; ``-``: stdout.

    Raises:
        UnknownSession: there is no session of a name that was given.
        SessionDeleted: it was deleted.
        CommandFailed: the file cannot be written.
    """

    async def act(bus: Bus) -> int:
        written: list[str] = []
        with _to(to) as write:
            async for session in choice.sessions(bus):
                lines = -1
                try:
                    async for line in bus.admin.export(session):
                        write(line)
                        lines += 1
                except UnknownSession:
                    if choice.names or lines >= 0:
                        raise
                    continue  # deleted since it was found
                if to != STDIO:
                    written.append(f"{session}: {lines} event{'' if lines == 1 else 's'}")
        # Not before: the file is there as a whole or not at all.
        for told in written:
            print(told, flush=True)
        return Exit.DONE

    return on_bus(settings, act)


@contextmanager
def _to(path: str) -> Iterator[Callable[[bytes], None]]:
    """Open what lines are written to."""
    if path == STDIO:
        yield lambda line: print_json(line.decode())
        return
    try:
        with _aside(Path(path)) as file:
            yield lambda line: _write(file, line)
    except TidingsError:
        raise  # some of these are errors of the system too, but not of the file
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror or error}") from None


def _write(file: IO[bytes], line: bytes) -> None:
    file.write(line + b"\n")


@contextmanager
def _aside(path: Path) -> Iterator[IO[bytes]]:
    """Open a file beside the one wanted, and put it in its place when it is whole and on the disk."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def restore(settings: Settings, source: str, name: str | None = None, only: str | None = None, *, as_json: bool) -> int:
    """Import the sessions of an export, each whole or not at all, and tell of each; returns the exit code.

    Args:
        source: a file; ``-``: stdin.
        name: what to call the session, where there is one; None: what it was called.
        only: the one session of the export that is wanted; None: all of them.

    Raises:
        CommandFailed: the file or the export in it cannot be read; sessions before that place were imported and told of.
    """
    with _from(source) as file:
        try:
            archives = read_archives(read_lines(file))
            if only is not None:
                archives = iter([_chosen(archives, only)])
            elif name is not None:
                archives = iter([_alone(archives)])
            return on_bus(settings, lambda bus: _restore_all(bus, archives, name, as_json))
        except BadArchive as error:
            raise CommandFailed(f"{'stdin' if source == STDIO else source}: {error}", Exit.USAGE) from None


async def _restore_all(bus: Bus, archives: Iterator[Archive], name: str | None, as_json: bool) -> int:
    code = Exit.DONE
    for archive in archives:
        try:
            _tell(await bus.admin.restore(archive, name), as_json)
        except (SessionExists, SessionDeleted) as error:
            complain(f"{error} (tidings import FILE --only {archive.header.session} --as NAME)")
            code = Exit.REFUSED
    return code


def _alone(archives: Iterator[Archive]) -> Archive:
    archive = next(archives)
    if next(archives, None) is not None:
        raise BadArchive("the export holds several sessions, and --as names one: say which with --only SESSION")
    return archive


def _chosen(archives: Iterator[Archive], session: str) -> Archive:
    for archive in archives:
        if archive.header.session == session:
            return archive
    raise BadArchive(f"there is no session {one_line(session, 64)!r} in it")


@contextmanager
def _from(source: str) -> Iterator[IO[bytes]]:
    if source == STDIO:
        yield sys.stdin.buffer
        return
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(Path(source).open("rb"))
        except OSError as error:
            raise CommandFailed(f"{source} cannot be read: {error.strerror or error}", Exit.USAGE) from None
        yield file


def _tell(restored: Restored, as_json: bool) -> None:
    if as_json:
        view = RestoredView(session=restored.session, state=restored.state, events=restored.events, left_out=restored.left_out)
        print_json(view.line())
        return
    missing = f", {restored.left_out} of them missing" if restored.left_out else ""
    events = f"{restored.events} event{'' if restored.events == 1 else 's'}{missing}"
    print(f"{restored.session}: imported with {events}, the session is {LOOKS[restored.state].word}", flush=True)
