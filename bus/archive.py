"""Exports of sessions: JSON lines, a header and then each event as on the wire, and how they are read back. Pure: no Redis."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import IO, Any, Literal

from pydantic import Field, ValidationError

from tidings.bus.errors import BadArchive, InvalidMessage
from tidings.bus.messages import Reason, UserMessage, Work, decode_event, explain
from tidings.bus.messages.message import LOST
from tidings.bus.messages.values import Data, Instant, SessionId, Text
from tidings.bus.states import State

VERSION = 1
"""The version of exports that is written, and the newest that is read."""
RESTORE_EVENTS = 50_000
"""Most events of one session that are restored; it is one script, and the server does nothing else meanwhile."""
RESTORE_BYTES = 32 * 1024 * 1024
"""Most bytes of them."""
LINE_BYTES = RESTORE_BYTES
"""Most bytes of one line: no event of a session that can be restored is longer."""
_HEADER, _LEFT_OUT = "tidings.export", "tidings.left_out"


class Header(Data):
    """The first line of an export.

    Attributes:
        type: what it is.
        version: of the form of the export.
        session: its id.
        epoch: identity of the logs that it was taken from.
        state: state when it was exported; None where the record could not be read.
        reason: reason of a wait or failure.
        why: one line for a person.
        since: when it entered the state.
        paused_by: sender of the pause.
        pending: whether a run was interrupted or had not begun.
        exported_at: when, on server time.
        events: lines that follow, one for each offset from 1 on.
        work: how it was worked on.
    """

    type: Literal["tidings.export"] = "tidings.export"
    version: int = Field(default=VERSION, ge=1)
    session: SessionId
    epoch: str = Field(min_length=1, max_length=200)
    state: State | None = None
    reason: Reason | None = None
    why: Text = ""
    since: Instant | None = None
    paused_by: Text | None = None
    pending: bool = False
    exported_at: Instant
    events: int = Field(ge=0)
    work: Work = Field(default_factory=Work)

    def line(self) -> bytes:
        """Return it as it is written."""
        return self.model_dump_json().encode()


class LeftOut(Data):
    """A line in the place of an event that was not in the log, or that could not be read.

    Attributes:
        type: what it is.
        offset: the place.
        content: the bytes that were there, in base64; None where there were none, or more than a line holds.
    """

    type: Literal["tidings.left_out"] = "tidings.left_out"
    offset: int = Field(ge=1)
    content: str | None = None

    @classmethod
    def of(cls, offset: int, content: bytes | None) -> LeftOut:
        """Return the line for what was found at an offset."""
        if content is None or len(content) > LINE_BYTES // 2:
            return cls(offset=offset)
        return cls(offset=offset, content=base64.b64encode(content).decode())

    def line(self) -> bytes:
        """Return it as it is written."""
        return self.model_dump_json().encode()


@dataclass(frozen=True, slots=True)
class Archive:
    """One session out of an export, whole: every line was looked at.

    Attributes:
        header: what the export says of it.
        events: offset, id and JSON of each event, in order; JSON as on the wire but without offset and epoch. Of a session
            that is too large to be restored only the first ones.
        said: offset of the newest user message; 0 where there is none.
        left_out: events that are missing from it; readers will be told of a hole in their place.
        size: bytes of all its events.
    """

    header: Header
    events: tuple[tuple[int, str, bytes], ...]
    said: int = 0
    left_out: int = 0
    size: int = 0

    @property
    def too_large(self) -> bool:
        """Whether it is more than is restored in one step."""
        return self.header.events > RESTORE_EVENTS or self.size > RESTORE_BYTES

    def renamed(self, session: str) -> Archive:
        """Return the same under another session id."""
        header = self.header.model_copy(update={"session": session})
        events = tuple((offset, ident, _renamed(payload, session)) for offset, ident, payload in self.events)
        return replace(self, header=header, events=events)


def event_line(session: str, offset: int, payload: bytes | None) -> bytes:
    """Return the line of an export for what the log of a session holds at an offset; None: nothing."""
    try:
        event = decode_event(payload or b"")
    except InvalidMessage:
        return LeftOut.of(offset, payload).line()
    whole = payload is not None and b"\n" not in payload and (event.offset, event.session) == (offset, session)
    return payload if payload is not None and whole else LeftOut.of(offset, payload).line()


def read_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file for ``read_archives``; one without an end is not read as a whole.

    Raises:
        BadArchive: a line has more than `LINE_BYTES`; the error names it.
    """
    number = 0
    while line := file.readline(LINE_BYTES + 1):
        number += 1
        if len(line) > LINE_BYTES:
            raise BadArchive(f"this line has more than {LINE_BYTES} bytes: this is no export, or the file was changed", number)
        yield line


def read_archives(lines: Iterable[bytes]) -> Iterator[Archive]:
    """Yield the sessions of an export, each when its last line was read.

    Args:
        lines: of a file: ``read_lines``.

    Raises:
        BadArchive: a line is not what must stand there, or the file ends too early; the error names the line. The sessions
            yielded before are whole.
    """
    reader = iter(enumerate(lines, start=1))
    number = 0
    for number, line in reader:
        yield _archive(_header(number, line), number, reader)
    if number == 0:
        raise BadArchive("there is nothing in it: `tidings export SESSION --to FILE` writes an export")


def _archive(header: Header, number: int, reader: Iterator[tuple[int, bytes]]) -> Archive:
    events: list[tuple[int, str, bytes]] = []
    said = left_out = size = 0
    ids: dict[str, int] = {}
    for offset in range(1, header.events + 1):
        number, line = next(reader, (number, b""))
        if not line:
            known = f"{offset - 1} of {header.events} events of session {header.session!r}"
            raise BadArchive(f"the file ends after {known}: it was cut, export it again", number)
        fields = _fields(number, line)
        if fields.get("type") == _LEFT_OUT:
            _check_place(number, offset, fields.get("offset"))
            left_out += 1
            continue
        event = _event(number, line)
        _check_place(number, offset, event.offset)
        if event.session != header.session or header.epoch not in (event.epoch, LOST):
            raise BadArchive(f"this event is not of session {header.session!r}, as the header says", number)
        said = offset if isinstance(event.data, UserMessage) else said
        bare = _bare(number, fields)
        size += len(bare)
        # What is too large to be restored is read all the same: the session wanted may come after it.
        if size <= RESTORE_BYTES and offset <= RESTORE_EVENTS:
            if event.id in ids:
                raise BadArchive(f"this event has the id of the one in line {ids[event.id]}: the file was changed", number)
            ids[event.id] = number
            events.append((offset, event.id, bare))
    return Archive(header, tuple(events), said, left_out, size)


def _header(number: int, line: bytes) -> Header:
    fields = _fields(number, line)
    if fields.get("type") != _HEADER:
        raise BadArchive("an export begins with a line of type tidings.export here", number)
    version = fields.get("version")
    if type(version) is int and version > VERSION:
        raise BadArchive(f"this export is of version {version}, written by a newer Tidings: update this one", number)
    try:
        return Header.model_validate_json(line)
    except ValidationError as error:
        raise BadArchive(explain(error), number) from None


def _fields(number: int, line: bytes) -> dict[str, Any]:
    try:
        # As text: of bytes it would guess the encoding.
        fields = json.loads(line.decode())
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise BadArchive("this is not a JSON object: the file was changed or cut", number)
    return fields


def _event(number: int, line: bytes) -> Any:
    try:
        return decode_event(line)
    except InvalidMessage as error:
        raise BadArchive(str(error), number) from None


def _check_place(number: int, offset: int, found: object) -> None:
    if type(found) is not int or found != offset:
        raise BadArchive(f"the event at offset {offset} must stand here: the file has a hole or was changed", number)


def _bare(number: int, fields: dict[str, Any]) -> bytes:
    """Return an event without its place; all else that it says is kept, also what this version does not know."""
    bare = {name: value for name, value in fields.items() if name not in ("offset", "epoch")}
    try:
        return json.dumps(bare, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise BadArchive("this event holds something that JSON cannot carry", number) from None


def _renamed(payload: bytes, session: str) -> bytes:
    return json.dumps(json.loads(payload) | {"subject": session}, ensure_ascii=False, separators=(",", ":")).encode()
