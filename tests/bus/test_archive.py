"""Exports as lines: what is written is read back, and whatever is wrong is told with its line."""

from __future__ import annotations

import base64
import contextlib
import io
import json
from datetime import UTC, datetime
from typing import IO, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import actors
from tests import strategies as draw
from tidings.bus import Archive, BadArchive, Header, State, messages, read_archives, read_lines
from tidings.bus import archive as archive_module
from tidings.bus.archive import LINE_BYTES, VERSION, event_line

EPOCH = "e0"
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def stored(event: messages.Message[Any], offset: int) -> bytes:
    """Return an event as it lies in the log."""
    return messages.encode(event)[:-1] + f',"offset":{offset},"epoch":"{EPOCH}"}}'.encode()


def header(events: int, session: str = "s", **more: object) -> bytes:
    """Return the first line of an export."""
    given: dict[str, object] = {"session": session, "epoch": EPOCH, "state": State.FINISHED, "exported_at": NOW, "events": events}
    return Header.model_validate(given | more).line()


def lines(count: int, session: str = "s") -> list[bytes]:
    """Return an export with so many events."""
    texts = [actors.spoken(session, "?") if number % 2 else actors.answer(session) for number in range(1, count + 1)]
    return [header(count, session), *(stored(event, offset) for offset, event in enumerate(texts, start=1))]


def read(*given: bytes) -> list[Archive]:
    """Read an export as a whole."""
    return list(read_archives([line + b"\n" for line in given]))


events = st.sampled_from(draw.EVENTS).flatmap(draw.of) | draw.unknown("events")


@given(st.lists(events, max_size=5, unique_by=lambda event: event.id), draw.sessions, st.sampled_from(State))
def test_what_is_written_is_read_back(said: list[messages.Message[Any]], session: str, state: State) -> None:
    """Every event at its offset, with all that it says."""
    placed = [event.model_copy(update={"session": session}) for event in said]
    raw = [stored(event, offset) for offset, event in enumerate(placed, start=1)]
    whole = [
        header(len(raw), session, state=state),
        *(event_line(session, offset, one) for offset, one in enumerate(raw, start=1)),
    ]
    [archive] = read(*whole)
    assert (archive.header.session, archive.header.state, archive.left_out) == (session, state, 0)
    assert [(offset, ident) for offset, ident, _ in archive.events] == [
        (offset, event.id) for offset, event in enumerate(placed, start=1)
    ]
    for (_, _, payload), one in zip(archive.events, raw, strict=True):
        kept = json.loads(one)
        del kept["offset"], kept["epoch"]
        assert json.loads(payload) == kept


@given(st.binary(max_size=60), st.integers(min_value=1, max_value=2**40))
def test_what_cannot_be_read_keeps_its_place_and_its_bytes(content: bytes, offset: int) -> None:
    """A line of its own says so."""
    told = json.loads(event_line("s", offset, content))
    assert (told["type"], told["offset"]) == ("tidings.left_out", offset)
    assert base64.b64decode(told["content"]) == content


def test_what_is_not_there_is_told_as_well() -> None:
    """Offsets have no holes in an export."""
    assert json.loads(event_line("s", 3, None)) == {"type": "tidings.left_out", "offset": 3, "content": None}


def test_several_sessions_follow_each_other() -> None:
    """Each with its header."""
    assert [archive.header.session for archive in read(*lines(2), *lines(0, "t"), *lines(1, "u"))] == ["s", "t", "u"]


def test_the_newest_word_of_a_person_is_known() -> None:
    """A release must not overlook it."""
    assert [archive.said for archive in read(*lines(4), *lines(0, "t"))] == [3, 0]


def test_a_place_left_out_is_counted() -> None:
    """The events around it keep their offsets."""
    whole = lines(3)
    whole[2] = event_line("s", 2, b"rubbish")
    [archive] = read(*whole)
    assert (archive.left_out, [offset for offset, _, _ in archive.events]) == (1, [1, 3])


def test_what_this_version_does_not_know_is_kept() -> None:
    """A field of a newer version goes the whole way."""
    whole = lines(1)
    whole[1] = whole[1].replace(b'"data":{', b'"data":{"mood":"calm",')
    [archive] = read(*whole)
    assert json.loads(archive.events[0][2])["data"]["mood"] == "calm"


def test_under_another_name_every_event_is_of_that_session() -> None:
    """Nothing else changes."""
    [archive] = read(*lines(2))
    renamed = archive.renamed("new")
    assert renamed.header.session == "new"
    assert {json.loads(payload)["subject"] for _, _, payload in renamed.events} == {"new"}
    assert [event[:2] for event in renamed.events] == [event[:2] for event in archive.events]


def _without(index: int) -> list[bytes]:
    return [line for number, line in enumerate(lines(3)) if number != index]


def _with(index: int, line: bytes) -> list[bytes]:
    return [line if number == index else other for number, other in enumerate(lines(3))]


def _twice(whole: list[bytes]) -> list[bytes]:
    """Return an export in which the third event has the id of the second."""
    third = json.loads(whole[3]) | {"id": json.loads(whole[2])["id"]}
    return [*whole[:3], json.dumps(third).encode()]


@pytest.mark.parametrize(
    ("given", "line", "text"),
    [
        ([], None, "nothing in it"),
        (lines(3)[:-1], 3, "after 2 of 3 events"),
        (lines(3)[:1], 1, "after 0 of 3 events"),
        (_with(3, lines(3)[3][:-9]), 4, "not a JSON object"),
        (_with(2, b"[1]"), 3, "not a JSON object"),
        (_with(2, b"[" * 100_000), 3, "not a JSON object"),
        (_with(2, b"\xff"), 3, "not a JSON object"),
        (_without(2), 3, "offset 2 must stand here"),
        (_with(2, lines(3)[1]), 3, "offset 2 must stand here"),
        (_with(2, b'{"type":"tidings.left_out","offset":7}'), 3, "offset 2 must stand here"),
        (_with(2, lines(3, "t")[2]), 3, "not of session 's'"),
        (_with(2, lines(3)[2].replace(EPOCH.encode(), b"e1")), 3, "not of session 's'"),
        (_with(2, b'{"type":"agent.message","offset":2}'), 3, "not a message"),
        (_without(0), 1, "begins with a line of type tidings.export"),
        ([*lines(1), b"{}"], 3, "begins with a line of type tidings.export"),
        ([header(0).replace(b'"version":1', b'"version":%d' % (VERSION + 1))], 1, "newer Tidings"),
        ([header(0).replace(b'"version":1', b'"version":"x"')], 1, "version"),
        ([header(0).replace(b'"s"', b'"../s"')], 1, "session"),
        ([b"\xef\xbb\xbf" + header(0)], 1, "not a JSON object"),
        ([header(0).decode().encode("utf-16")], 1, "not a JSON object"),
        (_twice(lines(3)), 4, "the id of the one in line 3"),
        (_with(2, b'{"type":"tidings.left_out","offset":2.0}'), 3, "offset 2 must stand here"),
        (_with(2, lines(3)[2][:-1] + b',"x":NaN}'), 3, "JSON cannot carry"),
        (_with(2, lines(3)[2][:-1] + b',"x":1e999}'), 3, "JSON cannot carry"),
        (_with(2, lines(3)[2][:-1] + b',"x":' + b"[" * 900 + b"]" * 900 + b"}"), 3, "JSON"),
        (_with(2, lines(3)[2].replace(b'"text":"', b'"text":"\0')), 3, "JSON"),
        (_with(2, lines(3)[2].replace(b'"text":"', b'"text":"\\ud800')), 3, "not a message"),
        ([header(1).replace(b'"events":1', b'"events":-1')], 1, "events"),
        ([header(1).replace(b'"events":1', b'"events":NaN')], 1, "events|JSON"),
        ([header(1).replace(b'"events":1', b'"events":' + b"9" * 30)], 1, "after 0 of 9+ events"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(given: list[bytes], line: int | None, text: str) -> None:
    """A file that was cut, has a hole, holds something else, or comes from a later version."""
    with pytest.raises(BadArchive, match=text) as caught:
        read(*given)
    assert caught.value.line == line


_json = draw.json_values.map(lambda value: json.dumps(value).encode())


@given(st.lists(st.binary(max_size=30) | _json, max_size=4), st.integers(0, 3))
def test_whatever_is_in_a_file_is_told_as_ours(found: list[bytes], kept: int) -> None:
    """No other error comes out of it."""
    with contextlib.suppress(BadArchive):
        read(*lines(3)[:kept], *found)


class Endless(io.RawIOBase):
    """A file with one line that does not end."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return as much of it as is asked for."""
        assert size is not None
        assert size > 0
        self.taken += size
        return b" " * size


def test_a_line_without_an_end_is_not_read_as_a_whole() -> None:
    """It is refused with its number."""
    endless = Endless()
    with pytest.raises(BadArchive, match="line 1: this line has more than") as caught:
        list(read_archives(read_lines(cast(IO[bytes], endless))))
    assert (caught.value.line, endless.taken) == (1, LINE_BYTES + 1)


def test_of_what_is_too_large_no_more_is_kept_than_can_be_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read to its end all the same: the session wanted may come after it."""
    monkeypatch.setattr(archive_module, "RESTORE_EVENTS", 2)
    large, small = read(*lines(4), *lines(2, "t"))
    assert (len(large.events), large.too_large, large.left_out) == (2, True, 0)
    assert (len(small.events), small.too_large) == (2, False)


def test_what_came_before_a_bad_line_is_whole() -> None:
    """The first session is given before the second one fails."""
    reader = read_archives([*lines(1), *lines(3, "t")[:-1]])
    assert next(reader).header.session == "s"
    with pytest.raises(BadArchive):
        next(reader)
